//! `rollcall ledger`: every frame ever accepted, and what became of it.

use crate::config::Config;
use anyhow::{Context, ensure};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use rollcall_bus::Bus;
use rollcall_schemas::{id::CameraId, subject::Stream};
use rollcall_store::ledger::{self, CameraBalance};
use std::collections::BTreeMap;

/// Prints the ledger.
#[derive(clap::Args)]
pub struct Ledger {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What became of the frames of every camera.
pub type Balances = BTreeMap<CameraId, CameraBalance>;

/// Runs `rollcall ledger`. The database's count is held against the log's own: FRAMES numbers what it accepts without
/// a gap, so the last number is how many there must be.
///
/// # Errors
/// When a server cannot be reached, or the ledger does not balance.
pub async fn run(command: Ledger, config: &Config) -> anyhow::Result<()> {
    // Asked first: what is accepted in between is no discrepancy.
    let bus = Bus::connect(&config.nats, "rollcall-ledger").await.context("connecting to the log")?;
    let numbered = bus.stream(Stream::Frames).await?.last_sequence;
    let balances = ledger::balance(&config.open_database()?).await?;
    let accepted: u64 = balances.values().map(|balance| balance.accepted).sum();
    let unlisted = numbered.saturating_sub(accepted);
    if command.json {
        println!(
            "{}",
            serde_json::json!({ "cameras": json(&balances), "numbered": numbered, "unlisted": unlisted })
        );
    } else {
        println!("{}", table(&balances));
        println!("The log has numbered {numbered} frames; {unlisted} of them are not listed yet.");
    }
    ensure!(balances.values().all(CameraBalance::balances), "the ledger does not balance");
    Ok(())
}

/// The balances as a table, a line per camera and one for the whole.
pub fn table(balances: &Balances) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header([
        "camera",
        "accepted",
        "processed",
        "dead",
        "expired",
        "pending",
        "balances",
    ]);
    for (camera, balance) in balances {
        table.add_row(row(&camera.to_string(), balance));
    }
    table.add_row(row("all", &whole(balances)));
    table
}

fn row(name: &str, balance: &CameraBalance) -> Vec<String> {
    let numbers = [balance.accepted, balance.processed, dead(balance), balance.expired, balance.pending];
    let mut row = vec![name.to_owned()];
    row.extend(numbers.iter().map(u64::to_string));
    row.push(if balance.balances() { "yes" } else { "NO" }.to_owned());
    row
}

fn whole(balances: &Balances) -> CameraBalance {
    balances.values().fold(CameraBalance::default(), |mut whole, balance| {
        whole.accepted += balance.accepted;
        whole.processed += balance.processed;
        whole.expired += balance.expired;
        whole.pending += balance.pending;
        for (reason, frames) in &balance.dead {
            *whole.dead.entry(reason.clone()).or_default() += frames;
        }
        whole
    })
}

fn dead(balance: &CameraBalance) -> u64 {
    balance.dead.values().sum()
}

fn json(balances: &Balances) -> serde_json::Value {
    let cameras = balances.iter().map(|(camera, balance)| {
        serde_json::json!({
            "cameraId": camera,
            "accepted": balance.accepted,
            "processed": balance.processed,
            "dead": balance.dead,
            "expired": balance.expired,
            "pending": balance.pending,
        })
    });
    cameras.collect()
}
