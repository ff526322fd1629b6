//! `compose.yaml` says only what the binary accepts: every command, port and environment variable is held against it.
//!
//! Whether the images build and the servers agree is for a machine with a container engine to find out.
#![allow(clippy::unwrap_used, reason = "the lint knows tests by their attribute, and not their helpers")]

use serde_yaml_ng::{Mapping, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};
use tokio::io::{AsyncBufReadExt, BufReader};

/// The services that run our binary for good, by their commands.
const SERVICES: [&str; 4] = ["api", "attendance-worker", "face-worker", "ingest"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn file(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The composition, with anchors and merges resolved.
fn compose() -> Value {
    let mut compose: Value = serde_yaml_ng::from_str(&file("compose.yaml")).unwrap();
    // What is merged in may merge something in itself.
    loop {
        let before = compose.clone();
        compose.apply_merge().unwrap();
        if compose == before {
            return compose;
        }
    }
}

fn services(compose: &Value) -> BTreeMap<String, &Mapping> {
    let services = compose["services"].as_mapping().unwrap();
    services.iter().map(|(name, service)| (text(name), service.as_mapping().unwrap())).collect()
}

/// The services that run our image.
fn ours(compose: &Value) -> BTreeMap<String, &Mapping> {
    services(compose).into_iter().filter(|(_, service)| service.contains_key("build")).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not text: {value:?}")).to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_sequence().unwrap().iter().map(text).collect()
}

/// The environment of a service, with what `.env` would fill in.
fn environment(service: &Mapping) -> BTreeMap<String, String> {
    let Some(environment) = service.get("environment") else { return BTreeMap::new() };
    let environment = environment.as_mapping().unwrap();
    environment.iter().map(|(name, value)| (text(name), filled_in(&text(value)))).collect()
}

/// Replaces `${NAME:?why}` by a password.
fn filled_in(value: &str) -> String {
    match value.split_once("${") {
        None => value.to_owned(),
        Some((before, rest)) => {
            let (variable, after) = rest.split_once('}').unwrap();
            let (name, _) = variable.split_once(":?").expect("a variable without which nothing may start");
            assert!(file("deploy/example.env").contains(&format!("{name}=")), "{name} is not in example.env");
            format!("{before}secret{}", filled_in(after))
        }
    }
}

/// Runs the binary in an empty folder with nothing but this environment.
fn rollcall(arguments: &[String], environment: &BTreeMap<String, String>) -> Output {
    let folder = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .args(arguments)
        .env_clear()
        .envs(environment)
        .current_dir(folder.path())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `ENV` lines of the Dockerfile, all stages together.
fn image_environment() -> BTreeMap<String, String> {
    let dockerfile = file("Dockerfile").replace("\\\n", " ");
    let lines = dockerfile.lines().filter_map(|line| line.strip_prefix("ENV "));
    let pairs = lines.flat_map(str::split_whitespace).map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_four_services_are_there_and_every_command_exists() {
    let compose = compose();
    let mut found = BTreeSet::new();
    for (name, service) in ours(&compose) {
        let command = texts(&service["command"]);
        found.insert(command.join(" "));
        let help = [command.as_slice(), &["--help".to_owned()]].concat();
        let output = rollcall(&help, &BTreeMap::new());
        assert!(output.status.success(), "{name}: {}", said(&output));
    }
    for service in SERVICES {
        assert!(found.contains(service), "{service} is not run; found {found:?}");
    }
    assert!(file("Dockerfile").contains(r#"ENTRYPOINT ["rollcall"]"#));
}

#[test]
fn every_variable_is_a_setting_with_a_value_it_takes() {
    let compose = compose();
    let mut environments = ours(&compose)
        .into_iter()
        .map(|(name, service)| (name, environment(service)))
        .collect::<BTreeMap<_, _>>();
    environments.insert("Dockerfile".into(), image_environment());
    // A command that reads every setting and needs neither server.
    let list = ["models".to_owned(), "list".to_owned()];
    for (name, environment) in &environments {
        let output = rollcall(&list, environment);
        assert!(output.status.success(), "{name}: {}", said(&output));
    }
    // The command does notice what is wrong.
    for wrong in [("ROLLCALL_LISTENN", "x"), ("ROLLCALL_LISTEN", "x"), ("ROLLCALL_INGEST__FOLDER", "x")] {
        let environment = BTreeMap::from([(wrong.0.to_owned(), wrong.1.to_owned())]);
        assert!(!rollcall(&list, &environment).status.success(), "{wrong:?} is taken");
    }
}

#[test]
fn who_knows_the_database_is_as_designed() {
    let compose = compose();
    for (name, service) in ours(&compose) {
        let knows = environment(service).contains_key("DATABASE_URL");
        let should = ["api", "attendance-worker", "migrate"].contains(&name.as_str());
        assert_eq!(knows, should, "{name}");
    }
}

#[test]
fn ports_agree() {
    let compose = compose();
    let nats_conf = file("deploy/nats.conf");
    let caddyfile = file("deploy/Caddyfile");
    for (name, service) in ours(&compose) {
        let environment = environment(service);
        let Some(listen) = environment.get("ROLLCALL_LISTEN") else {
            assert_eq!(name, "models", "{name} talks to the log");
            continue;
        };
        let listen: std::net::SocketAddr = listen.parse().unwrap();
        let alive = &service["healthcheck"];
        if alive.get("disable").is_none() {
            let url = texts(&alive["test"]).pop().unwrap();
            assert_eq!(url, format!("http://127.0.0.1:{}/health", listen.port()), "{name}");
        }
        for upstream in ["ingest", "api"] {
            assert!(caddyfile.contains(&format!("dynamic a {upstream} {}", listen.port())));
        }
        if let Some(url) = environment.get("NATS_URL") {
            let port = url.strip_prefix("nats://nats:").expect("the broker's name in the composition");
            assert!(nats_conf.contains(&format!("port: {port}\n")), "{name}: {url}");
        }
        if let Some(url) = environment.get("DATABASE_URL") {
            let database = &services(&compose)["postgres"]["environment"];
            let (user, name) = (text(&database["POSTGRES_USER"]), text(&database["POSTGRES_DB"]));
            assert_eq!(*url, format!("postgres://{user}:secret@postgres:5432/{name}"));
        }
    }
    assert_eq!(texts(&services(&compose)["proxy"]["ports"]), ["8080:8080"]);
    assert!(caddyfile.contains("\n:8080 {"));
}

#[test]
fn the_broker_takes_messages_as_large_as_ours() {
    let conf = file("deploy/nats.conf");
    assert!(conf.contains("max_payload: 8MB") && conf.contains("jetstream {"), "{conf}");
    let nats = services(&compose())["nats"].clone();
    assert_eq!(texts(&nats["command"]), ["--config", "/etc/nats/nats.conf"]);
    assert!(texts(&nats["volumes"]).contains(&"./deploy/nats.conf:/etc/nats/nats.conf:ro".to_owned()));
    let environment = environment(&nats);
    for (_, service) in ours(&compose()) {
        let theirs = self::environment(service);
        if let Some(password) = theirs.get("ROLLCALL_NATS__PASSWORD") {
            assert_eq!(password, &environment["NATS_PASSWORD"]);
            assert!(conf.contains(&format!("user: {}", theirs["ROLLCALL_NATS__USER"])));
        }
    }
}

#[test]
fn the_proxy_sends_to_ingest_what_ingest_serves() {
    let caddyfile = file("deploy/Caddyfile");
    let matcher = caddyfile.lines().find_map(|line| line.trim().strip_prefix("@ingest path ")).unwrap();
    let sent: BTreeSet<String> = matcher.split_whitespace().map(str::to_owned).collect();
    let document = serde_json::to_value(rollcall_ingest::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap().keys();
    let served: BTreeSet<String> = paths.map(|path| path.replace("{id}", "*")).collect();
    assert_eq!(sent, served);
}

/// What they say of a deployment is not for whoever can reach it.
#[test]
fn the_proxy_keeps_readiness_and_metrics_inside() {
    let caddyfile = file("deploy/Caddyfile");
    assert!(caddyfile.contains("@inside path /ready /metrics\n"));
    let (before, inside) = caddyfile.split_once("handle @inside {").unwrap();
    let (inside, after) = inside.split_once("\n\t}\n").unwrap();
    assert_eq!(inside.trim(), "respond 404");
    // The first matching handle is taken: the one for everything else comes last.
    assert!(!before.contains("handle {") && after.contains("handle {"));
}

/// The requests of a polling client belong to one process of the api.
#[test]
fn the_proxy_sends_a_polling_client_to_one_process() {
    let caddyfile = file("deploy/Caddyfile");
    let (_, live) = caddyfile.split_once("handle @live {").unwrap();
    let (live, _) = live.split_once("\n\t}\n").unwrap();
    assert!(caddyfile.contains("@live path /socket.io /socket.io/*\n"));
    assert!(live.contains("dynamic a api ") && live.contains("lb_policy cookie "), "{live}");
}

#[test]
fn whose_word_the_services_take_is_the_proxys() {
    let compose = compose();
    let subnet = text(&compose["networks"]["inside"]["ipam"]["config"][0]["subnet"]);
    for name in ["ingest", "api"] {
        let environment = environment(ours(&compose)[name]);
        assert_eq!(environment["ROLLCALL_HTTP__TRUSTED_PROXIES"], format!("[\"{subnet}\"]"), "{name}");
    }
}

#[test]
fn what_a_service_names_exists() {
    let compose = compose();
    let services = services(&compose);
    let names = |section: &str| -> BTreeSet<String> {
        compose[section].as_mapping().unwrap().keys().map(text).collect()
    };
    let (volumes, networks) = (names("volumes"), names("networks"));
    for (name, service) in &services {
        for volume in service.get("volumes").map(texts).unwrap_or_default() {
            let source = volume.split(':').next().unwrap();
            match source.strip_prefix("./") {
                Some(path) => assert!(root().join(path).is_file(), "{name}: {path}"),
                None => assert!(volumes.contains(source), "{name}: {source}"),
            }
        }
        for network in texts(&service["networks"]) {
            assert!(networks.contains(&network), "{name}: {network}");
        }
        if let Some(needs) = service.get("depends_on") {
            for need in needs.as_mapping().unwrap().keys().map(text) {
                assert!(services.contains_key(&need), "{name} needs {need}");
            }
        }
        if let Some(build) = service.get("build") {
            let target = text(&build["target"]);
            assert!(file("Dockerfile").contains(&format!(" AS {target}\n")), "{name}: {target}");
        }
    }
}

#[tokio::test]
async fn ingest_starts_with_the_log_alone() {
    let broker = rollcall_test_support::own_broker().await;
    let mut environment = environment(ours(&compose())["ingest"]);
    environment.retain(|name, _| !name.starts_with("ROLLCALL_NATS__"));
    environment.insert("NATS_URL".into(), broker.url());
    environment.insert("ROLLCALL_LISTEN".into(), "127.0.0.1:0".into());
    let folder = tempfile::tempdir().unwrap();
    environment.insert("ROLLCALL_INGEST__SNAPSHOT_FOLDER".into(), folder.path().display().to_string());
    let mut service = tokio::process::Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .arg("ingest")
        .env_clear()
        .envs(&environment)
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(service.stderr.take().unwrap()).lines();
    let mut said = String::new();
    let listens = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("listening") {
                return true;
            }
            said = format!("{said}\n{line}");
        }
        false
    };
    let listens = tokio::time::timeout(Duration::from_secs(60), listens).await;
    assert_eq!(listens, Ok(true), "it said:{said}");
}
