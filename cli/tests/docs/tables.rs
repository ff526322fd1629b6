//! The generated parts of `docs/API.md`: who may call what, and the codes. To accept a change:
//! `UPDATE_DOCS=1 cargo test -p rollcall-cli --test docs`.

use crate::{document, read, root, served};
use rollcall_api::access;
use rollcall_schemas::{
    access::{Grant, Principal, Rule},
    code::Code,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Every rule of the address, by method and path.
fn rules() -> BTreeMap<(&'static str, &'static str), &'static Rule> {
    let rules = access::RULES.iter().chain(rollcall_ingest::RULES);
    rules.map(|rule| ((rule.path, rule.method), rule)).collect()
}

/// Who may call what: a table for each group of the document.
fn matrix() -> String {
    let document = document();
    let rules = rules();
    let columns = Principal::ALL.map(|principal| principal.to_string()).join(" | ");
    let head = format!("| route | what | {columns} |\n|---|---|{}\n", "---|".repeat(Principal::ALL.len()));
    let mut text = String::new();
    for tag in document["tags"].as_array().unwrap() {
        let rows: Vec<_> = rules.values().filter_map(|rule| row(&document, tag, rule)).collect();
        assert!(!rows.is_empty(), "no route in the group {tag}");
        text.push_str(&format!("\n### {}\n{head}{}", tag["description"].as_str().unwrap(), rows.concat()));
    }
    text
}

fn row(document: &Value, tag: &Value, rule: &Rule) -> Option<String> {
    let operation = &document["paths"][rule.path][rule.method.to_lowercase()];
    if operation["tags"][0] != tag["name"] {
        return None;
    }
    let cells = Principal::ALL.map(|principal| match (rule.grant(principal), principal, rule.scope) {
        (Grant::Refused, ..) => "-".to_owned(),
        (_, Principal::Integration(_), Some(scope)) => format!("`{scope}`"),
        (Grant::Own, ..) => "own".to_owned(),
        (Grant::Narrowed, ..) => "part".to_owned(),
        (Grant::Full, ..) => "all".to_owned(),
    });
    let what = operation["summary"].as_str().unwrap_or_else(|| panic!("{} says nothing", rule.path));
    // A summary may be broken into lines, a row of a table may not.
    let what = what.trim_end_matches('.').replace('\n', " ");
    Some(format!("| `{} {}` | {what} | {} |\n", rule.method, rule.path, cells.join(" | ")))
}

fn codes() -> String {
    let row = |code: &Code| {
        let meaning = code.meaning().trim_end_matches('.');
        format!("| `{}` | {} | {meaning} |\n", code.as_str(), code.http_status())
    };
    let rows: String = Code::ALL.iter().map(row).collect();
    format!("\n| code | status | means |\n|---|---|---|\n{rows}")
}

#[test]
fn the_tables_are_the_generated_ones() {
    let path = root().join("docs/API.md");
    let mut api = read(&path);
    for (name, generated) in [("codes", codes()), ("routes", matrix())] {
        let (begin, end) = (format!("<!-- generated: {name} -->\n"), format!("<!-- end: {name} -->"));
        let from = api.find(&begin).unwrap_or_else(|| panic!("no place for {name}")) + begin.len();
        let to = from + api[from..].find(&end).unwrap_or_else(|| panic!("no end of {name}"));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            api.replace_range(from..to, &generated);
            std::fs::write(&path, &api).unwrap();
            continue;
        }
        assert_eq!(api[from..to], generated, "{name}: run this test with UPDATE_DOCS=1");
    }
}

#[test]
fn every_route_has_a_rule_and_every_rule_a_route() {
    let ruled: Vec<String> = rules().keys().map(|(path, method)| format!("{method} {path}")).collect();
    let mut served: Vec<String> = served().into_iter().collect();
    served.sort_by_key(|route| {
        route.split_once(' ').map(|(method, path)| (path.to_owned(), method.to_owned()))
    });
    assert_eq!(ruled, served);
}

/// Every capability that was asked for names what serves it, or says that it is still to come.
#[test]
fn what_was_asked_for_is_served_where_it_says() {
    let api = read(&root().join("docs/API.md"));
    let (_, asked) = api.split_once("## What was asked for\n").expect("the table is there");
    let served = served();
    let (mut rows, mut routes) = (0, 0);
    for line in asked.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| asked |")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        assert_eq!(cells.len(), 2, "{line}");
        let mut is_placed = cells[1].split(|c: char| !c.is_alphanumeric()).any(|word| word == "later");
        for place in crate::quoted(cells[1]) {
            is_placed = true;
            if let Some((method, path)) = place.split_once(" /") {
                let path = if path.starts_with("api/") || path.starts_with('.') {
                    format!("/{path}")
                } else {
                    format!("/api/v1/{path}")
                };
                let route = format!("{method} {path}");
                assert!(served.contains(&route), "no route {route}: {line}");
                routes += 1;
            }
        }
        assert!(is_placed, "neither served nor later: {line}");
        rows += 1;
    }
    assert!(rows > 60 && routes > 30, "{rows} rows name {routes} routes");
}
