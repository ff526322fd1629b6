//! The demo's table, and whether it is what it must be.

use super::scene::Report;
use anyhow::{Context, ensure};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde_json::Value;

/// Prints the session, the refusals, the live events and the ledger.
pub fn print(report: &Report) {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header([
        "student",
        "status",
        "evidence",
        "when",
        "similarity",
    ]);
    for record in &report.records {
        let similarity =
            record["similarity"].as_f64().map_or_else(String::new, |value| format!("{value:.3}"));
        table.add_row([
            name(report, record).unwrap_or("?"),
            word(record, "status"),
            word(record, "evidence"),
            word(record, "markedAt"),
            &similarity,
        ]);
    }
    println!("\nThe session\n{table}");

    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(["scan", "answer"]);
    for (title, code) in &report.scans {
        table.add_row([title, code.as_str()]);
    }
    println!("\nThe scans\n{table}");
    println!("\nThe live events\n  {}", report.live.join(", "));
    println!("\nThe ledger\n{}", crate::ledger::table(&report.ledger));
}

/// Whether everything is what it must be.
///
/// # Errors
/// The first thing that is not.
pub fn verify(report: &Report) -> anyhow::Result<()> {
    let wanted = [
        ("Kim Known", "present", "face"),
        ("Sam Scanner", "present", "qr"),
        ("Mia Missing", "absent", "none"),
    ];
    for (student, status, evidence) in wanted {
        let record = report.records.iter().find(|record| name(report, record) == Some(student));
        let record = record.with_context(|| format!("{student} has no record"))?;
        let found = (word(record, "status"), word(record, "evidence"));
        ensure!(found == (status, evidence), "{student} should be {status} by {evidence}, is {found:?}");
    }
    ensure!(report.records.len() == wanted.len(), "nobody else has a record, found {}", report.records.len());
    let known = report.records.iter().find(|record| record["evidence"] == "face");
    let similarity =
        known.and_then(|record| record["similarity"].as_f64()).context("the face has no similarity")?;
    ensure!((0.0..=1.0001).contains(&similarity), "similarity {similarity} is none");

    let codes: Vec<&str> = report.scans.iter().map(|(_, code)| code.as_str()).collect();
    let wanted = ["OK", "ALREADY_MARKED_ATTENDANCE", "NOT_ENROLLED", "QR_TOKEN_EXPIRED", "QR_TOKEN_INVALID"];
    ensure!(codes == wanted, "the scans should be answered {wanted:?}, were {codes:?}");

    let told = |kind: &str| report.live.iter().filter(|told| *told == kind).count();
    let records = told("attendance.recorded");
    ensure!(records == report.records.len(), "each record is told live once, told were {:?}", report.live);
    ensure!(told("session.started") == 1 && told("session.ended") == 1, "told were {:?}", report.live);
    for camera in report.ledger.values() {
        ensure!(camera.balances(), "the ledger does not balance: {camera:?}");
        ensure!(camera.processed >= report.frames_pushed, "frames are missing from the ledger: {camera:?}");
    }
    ensure!(!report.ledger.is_empty(), "the ledger is empty");
    Ok(())
}

fn name(report: &Report, record: &Value) -> Option<&'static str> {
    report.names.iter().find(|(id, _)| record["studentId"] == id.as_str()).map(|(_, name)| *name)
}

fn word<'a>(record: &'a Value, field: &str) -> &'a str {
    record[field].as_str().unwrap_or_default()
}
