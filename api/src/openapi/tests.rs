//! The document as clients and their generators read it.

use super::*;
use crate::testing::TestApi;
use serde_json::Value;
use std::{collections::BTreeSet, env, path::PathBuf, time::Duration};

/// Far longer than a browser takes; reaching it is a failure.
const BROWSER_PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn the_document_is_pinned() {
    insta::assert_json_snapshot!(openapi());
}

#[tokio::test]
async fn the_document_and_its_pages_are_served() {
    let test = TestApi::start().await;
    let client = test.edge.client();
    let get =
        async |path| client.request(http::Method::GET, path).send().await.unwrap().text().await.unwrap();
    let served: Value = serde_json::from_str(&get("/openapi.json").await).unwrap();
    assert_eq!(served["paths"]["/api/v1/events"]["get"]["tags"][0], "events");
    assert!(get("/docs/").await.contains("swagger-ui"));
}

/// Programs that a page can be looked at with.
const BROWSERS: [&str; 4] = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];

fn browser() -> PathBuf {
    let folders: Vec<_> = env::split_paths(&env::var_os("PATH").unwrap()).collect();
    let programs = BROWSERS.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    programs.into_iter().find(|program| program.is_file()).expect("scripts/setup test installs a browser")
}

/// The pages as people see them: every operation is there, and nothing is asked of anybody else.
#[tokio::test]
async fn a_browser_shows_every_operation_and_calls_nobody_else() {
    let test = TestApi::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (profile, log) = (folder.path().join("profile"), folder.path().join("calls.json"));
    let mut browser = tokio::process::Command::new(browser());
    browser
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--disable-background-networking", "--virtual-time-budget=30000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--log-net-log={}", log.display()))
        .arg(format!("{}/docs/", test.edge.base()))
        .kill_on_drop(true);
    let shown = tokio::time::timeout(BROWSER_PATIENCE, browser.output()).await.expect("the browser ends");
    let page = String::from_utf8(shown.unwrap().stdout).unwrap();
    for (name, operation) in operations() {
        let (tag, id) = (operation["tags"][0].as_str().unwrap(), operation["operationId"].as_str().unwrap());
        assert!(page.contains(&format!(r#"id="operations-{tag}-{id}""#)), "{name} is not shown");
    }
    let log = std::fs::read_to_string(log).unwrap();
    let called: BTreeSet<_> =
        log.split(r#""url":""#).skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(called.contains(format!("{}/openapi.json", test.edge.base()).as_str()), "{called:?}");
    for url in called {
        assert!(url.starts_with(test.edge.base()), "{url} is foreign");
    }
}

/// Every operation of the document with its name.
fn operations() -> Vec<(String, Value)> {
    let document = serde_json::to_value(openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap().clone();
    let of_path = |(path, item): (String, Value)| {
        let methods = item.as_object().unwrap().clone().into_iter();
        methods.map(move |(method, operation)| (format!("{} {path}", method.to_uppercase()), operation))
    };
    paths.into_iter().flat_map(of_path).collect()
}

#[test]
fn every_operation_has_what_a_client_is_made_from() {
    let document = serde_json::to_value(openapi()).unwrap();
    let tags: BTreeSet<&str> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeSet::new();
    for (name, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{name} has no id"));
        assert!(id.chars().all(|c| c.is_ascii_alphanumeric()), "{name}: {id} is no name of a function");
        assert!(ids.insert(id.to_owned()), "{name}: {id} is another's");
        assert!(operation["summary"].is_string(), "{name} says nothing of itself");
        assert!(tags.contains(operation["tags"][0].as_str().unwrap()), "{name} is in no group");
        assert!(operation["security"].is_array(), "{name} does not say what it takes");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with(['2', '3'])), "{name} cannot succeed");
        assert!(!responses.contains_key("default"), "{name} says nothing exact");
        for (status, response) in responses.iter().filter(|(status, _)| status.starts_with(['4', '5'])) {
            let shared =
                response["$ref"].as_str().and_then(|name| document.pointer(name.trim_start_matches('#')));
            let response = shared.unwrap_or(response);
            let content = &response["content"]["application/json"];
            assert_eq!(content["schema"]["$ref"], "#/components/schemas/ErrorEnvelope", "{name} {status}");
            assert!(
                content["examples"].as_object().is_some_and(|examples| !examples.is_empty()),
                "{name} {status}"
            );
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = serde_json::to_value(openapi()).unwrap();
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(document.pointer(reference).is_some(), "{reference} leads nowhere");
    }
}
