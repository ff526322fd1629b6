//! `rollcall bench` runs and says what it measured. How fast this machine is, is no test.
#![cfg(feature = "face")]

use serde_json::Value;
use std::process::Command;

#[test]
fn searching_is_measured_without_servers_or_models() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("figures.json");
    let bench = Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .args(["bench", "search", "--quick", "--json"])
        .arg(&file)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(bench.status.success(), "{}", String::from_utf8_lossy(&bench.stderr));

    let report: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert!(report["machine"]["cores"].as_u64().unwrap() >= 1);
    let figures = report["figures"].as_array().unwrap();
    let names: Vec<_> = figures.iter().map(|figure| figure["name"].as_str().unwrap()).collect();
    let wanted = ["128, exact", "128, fp16", "128, sq8", "512, exact", "512, fp16", "512, sq8"];
    assert_eq!(names, wanted.map(|name| format!("10000 x {name}")));
    for figure in figures {
        assert!(
            figure["value"].as_f64().unwrap() > 0.0 && figure["against"]["ratio"].as_f64().unwrap() > 0.0
        );
    }
    let shown = String::from_utf8(bench.stdout).unwrap();
    assert!(shown.contains(report["machine"]["cpu"].as_str().unwrap()), "the machine is named: {shown}");
}
