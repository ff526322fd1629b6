//! `rollcall audit`: whether the audit is whole, a copy of it, and the erasure of what it holds of a person.

use crate::config::Config;
use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Utc};
use clap::{Subcommand, ValueEnum};
use futures::TryStreamExt;
use rollcall_api::{ExportFormat, export_audit};
use rollcall_bus::Bus;
use rollcall_schemas::{
    feed::AuditHead,
    id::UserId,
    subject::{self, Stream},
};
use rollcall_service::{
    clock::{Clock, Entropy},
    telemetry::current_trace_id,
};
use rollcall_store::{
    PgConnection, StoreError,
    audit::{
        self, Actor, AuditFilter, Details, Entry, Outcome, Target,
        chain::{self, Hex, Verified},
    },
};
use serde_json::json;
use std::{io::Write, str::FromStr};

/// Who did what.
#[derive(Subcommand)]
pub enum Audit {
    /// Follow the chain from its first line, and name the first one that was changed, moved, or follows a missing one.
    Verify {
        /// An end of the chain that was kept elsewhere, as this command printed it: the chain must still go through it.
        #[arg(long)]
        expect: Option<End>,
    },
    /// Write every line to standard output, newest first.
    Export {
        #[arg(long, value_enum, default_value = "json")]
        format: Format,
        /// From this time on (RFC 3339).
        #[arg(long)]
        from: Option<DateTime<Utc>>,
        /// Before this time (RFC 3339).
        #[arg(long)]
        to: Option<DateTime<Utc>>,
    },
    /// Erase addresses and values of every line about a person or by them. The chain still holds.
    Erase {
        /// The person's id.
        #[arg(long)]
        person: UserId,
    },
}

/// What an export looks like.
#[derive(Clone, Copy, ValueEnum)]
pub enum Format {
    Csv,
    Json,
}

/// An end of the chain: how many lines, and the hash of the last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    position: i64,
    sha256: String,
}

impl FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (position, sha256) = text.split_once(':').ok_or("POSITION:SHA256, as printed")?;
        let position = position.parse().map_err(|_| "the position is a number")?;
        Ok(Self { position, sha256: sha256.to_owned() })
    }
}

/// Runs `rollcall audit`.
///
/// # Errors
/// When the audit is not whole, or a server cannot be reached.
pub async fn run(command: Audit, config: &Config) -> anyhow::Result<()> {
    match command {
        Audit::Verify { expect } => verify(config, expect).await,
        Audit::Export { format, from, to } => {
            export(config, format, AuditFilter { from, to, ..AuditFilter::default() }).await
        }
        Audit::Erase { person } => erase(config, person).await,
    }
}

async fn verify(config: &Config, expect: Option<End>) -> anyhow::Result<()> {
    // Asked first: what is chained in between only makes the chain longer.
    let told = told_end(config).await;
    let pool = config.open_database()?;
    let mut db = pool.acquire().await.map_err(StoreError::from)?;
    let Verified { head, erased, fault } = chain::verify(&mut db).await?;
    if let Some((id, position, fault)) = fault {
        bail!("line {id}, at place {position} of the chain: {fault}; the {} before it hold", head.position);
    }
    let told = match told {
        Ok(told) => told,
        Err(error) => {
            println!(
                "The log cannot be asked where the chain ends, so lines cut off its end would not be missed: {error:#}"
            );
            None
        }
    };
    for end in [told, expect].into_iter().flatten() {
        goes_through(&mut db, &end).await?;
    }
    let unchained = chain::unsealed_count(&mut db).await?;
    println!(
        "{} lines hold; {unchained} wait for their place; {erased} had their details erased.",
        head.position
    );
    println!("The end, to be kept elsewhere: {}:{}", head.position, Hex(&head.sha256));
    Ok(())
}

/// The end that was told to the log.
async fn told_end(config: &Config) -> anyhow::Result<Option<End>> {
    let bus = Bus::connect(&config.nats, "rollcall-audit").await.context("connecting to the log")?;
    let told = bus.last(Stream::Control, &subject::audit_head()).await.context("reading the log")?;
    let Some(told) = told else { return Ok(None) };
    let AuditHead { position, sha256 } = serde_json::from_slice(&told.payload)?;
    Ok(Some(End { position: position.cast_signed(), sha256 }))
}

async fn goes_through(db: &mut PgConnection, end: &End) -> anyhow::Result<()> {
    if end.position == 0 {
        return Ok(());
    }
    let hash = chain::hash_at(db, end.position).await?.with_context(|| {
        format!("the chain once had {} lines: those at its end are missing", end.position)
    })?;
    ensure!(
        Hex(&hash).to_string() == end.sha256,
        "line {} of the chain is another than it was",
        end.position
    );
    Ok(())
}

async fn export(config: &Config, format: Format, filter: AuditFilter) -> anyhow::Result<()> {
    let format = match format {
        Format::Csv => ExportFormat::Csv,
        Format::Json => ExportFormat::Json,
    };
    let mut parts = std::pin::pin!(export_audit(config.open_database()?, filter, format));
    let mut out = std::io::stdout().lock();
    while let Some(part) = parts.try_next().await? {
        out.write_all(part.as_bytes())?;
    }
    Ok(())
}

async fn erase(config: &Config, person: UserId) -> anyhow::Result<()> {
    let pool = config.open_database()?;
    let mut tx = pool.begin().await.map_err(StoreError::from)?;
    let lines = audit::erase_details(&mut tx, person).await?;
    let line = Entry {
        at: Clock::real().now(),
        actor: Actor::Cli,
        action: "audit.details_erased".into(),
        outcome: Outcome::Done,
        target: Target { kind: "user".into(), id: Some(person.to_string()) },
        occurrences: 1,
        request_id: None,
        trace_id: current_trace_id(),
        details: Some(Details::new(Entropy::real().bytes(), &json!({ "lines": lines }))),
    };
    audit::append(&mut tx, &line).await?;
    tx.commit().await.map_err(StoreError::from)?;
    println!("erased the details of {lines} lines");
    Ok(())
}
