//! `rollcall demo`: the whole product in one run, on real photographs, and a verdict.
//!
//! It starts what `rollcall up` starts, then does over HTTP what an administrator, a teacher, students and a camera do.
//! It asserts nothing in the dark: the table it prints is read back through the API, and the exit status says whether
//! it is what it must be. People and photographs are kept in the data folder, so a second run begins where the first
//! one ended, with a new session.

mod cast;
mod check;
mod scene;
mod stage;

use crate::{config::Config, up};
use anyhow::Context;
use std::time::Instant;

/// Runs the demo.
///
/// # Errors
/// When a step fails, or the table is not what it must be.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let begun = Instant::now();
    let photographs =
        stage::step("Fetching the model pack and the photographs", stage::models(&config)).await?;
    let system =
        stage::step("Starting the log, the database and the services", up::start(config.clone())).await?;
    let played = play(&config, &system, &photographs).await;
    let stopped = stage::step("Stopping", system.stop()).await;
    played?;
    stopped?;
    println!(
        "\nThe demo took {:.0} s. The records are kept; to look further:",
        begun.elapsed().as_secs_f64()
    );
    let program = std::env::args().next().unwrap_or_else(|| "rollcall".to_owned());
    println!("  {program} up               then http://{}/docs in a browser", config.listen);
    println!("  {program} ledger           every frame ever accepted, and what became of it, while it is up");
    println!("  {program} identify FILE    what the active model pack sees in a photograph");
    println!("  {program} watch --help     live events in the terminal");
    println!("Accounts and their password are in {}", config.data_dir.join(cast::SECRETS).display());
    Ok(())
}

async fn play(config: &Config, system: &up::System, photographs: &stage::Photographs) -> anyhow::Result<()> {
    let cast = cast::assemble(config, system, photographs).await.context("assembling the cast")?;
    let report = scene::play(&cast, system, photographs).await?;
    check::print(&report);
    check::verify(&report)
}
