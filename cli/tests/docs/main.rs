//! What the documents name exists: routes, codes, commands, files, metrics.
#![allow(clippy::unwrap_used, reason = "the lint knows tests by their attribute, and not their helpers")]

mod tables;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

const CRATES: [&str; 9] =
    ["api", "attendance-worker", "bus", "cli", "face-worker", "ingest", "schemas", "service", "store"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files with this ending below a folder.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found
}

/// Every document with its name.
fn documents() -> Vec<(String, String)> {
    let paths = files(&root().join("docs"), "md").into_iter().chain([root().join("README.md")]);
    paths.map(|path| (path.strip_prefix(root()).unwrap().display().to_string(), read(&path))).collect()
}

/// What stands between backticks on one line.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

fn rollcall(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_rollcall")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The document of the whole address.
fn document() -> serde_json::Value {
    serde_json::from_slice(&rollcall(&["openapi"])).unwrap()
}

/// Every route of it: `GET /api/v1/status`.
fn served() -> BTreeSet<String> {
    let document = document();
    let of_path = |(path, item): (&String, &serde_json::Value)| {
        let methods = item.as_object().unwrap().keys();
        methods.map(|method| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
    };
    document["paths"].as_object().unwrap().iter().flat_map(of_path).collect()
}

#[test]
fn the_commands_exist() {
    let mut checked = 0;
    for (name, text) in documents() {
        for command in quoted(&text).filter_map(|quoted| quoted.strip_prefix("rollcall ")) {
            let words: Vec<&str> = command
                .split_whitespace()
                .take_while(|word| {
                    word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
                })
                .collect();
            assert!(!words.is_empty(), "{name}: rollcall {command}");
            rollcall(&[words.as_slice(), &["--help"]].concat());
            checked += 1;
        }
    }
    assert!(checked > 10, "the documents show commands");
}

#[test]
fn the_files_exist() {
    let mut checked = 0;
    for (name, text) in documents() {
        let folder = root().join(&name).parent().unwrap().to_owned();
        let tops = ["deploy", "docs", "models", "scripts", "test-support"].into_iter().chain(CRATES);
        let tops: BTreeSet<&str> = tops.collect();
        for path in
            quoted(&text).filter(|path| path.split_once('/').is_some_and(|(top, _)| tops.contains(top)))
        {
            assert!(root().join(path).exists(), "{name}: {path}");
            checked += 1;
        }
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            assert!(link.starts_with("https://") || folder.join(link).exists(), "{name}: {link}");
        }
    }
    assert!(checked > 40, "the walkthroughs name files");
}

#[test]
fn the_metrics_are_those_of_the_code() {
    let mut measured = BTreeSet::new();
    for source in CRATES.iter().flat_map(|name| files(&root().join(name).join("src"), "rs")) {
        let text = read(&source);
        for kind in ["counter!(", "gauge!(", "histogram!("] {
            let names = text
                .split(kind)
                .skip(1)
                .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
            measured.extend(names.filter(|name| !name.contains("test")).map(str::to_owned));
        }
    }
    let logging = read(&root().join("docs/LOGGING.md"));
    let rows = logging.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let documented: BTreeSet<String> = rows
        .map(|(name, _)| name.to_owned())
        .filter(|name| !["error", "warn", "info", "debug"].contains(&name.as_str()))
        .collect();
    assert_eq!(documented, measured);
}
