//! `rollcall up`: everything in one process, and nothing of it left when the process is gone.

use crate::harness::{
    Pictures, Process, descendants, free_address, is_running, models_dir, rollcall, run_create_admin,
    sign_in, take_turn, wait_until,
};
use serde_json::json;
use std::{os::unix::fs::PermissionsExt, path::Path};
use tempfile::TempDir;
use tokio::process::Command;

const ADMIN: &str = "admin@up.example";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_starts_stops_and_starts_again_with_what_it_had() {
    let _turn = take_turn().await;
    let folder = data_folder();
    let address = free_address();

    let mut up = start(folder.path(), address).await;
    run_create_admin(with_data(rollcall(), folder.path()), ADMIN).await;
    let admin = sign_in(&up.visitor, ADMIN).await;
    admin.post("/api/v1/cameras", &json!({ "name": "Front" })).await.data();
    let servers = descendants(up.pid());
    assert!(servers.len() >= 2, "a broker and a database are expected, there is {servers:?}");
    up.interrupt();
    assert!(up.ended().await.success(), "an orderly stop is a success");
    assert_eq!(running(&servers), [0; 0], "nothing is left");
    let said = std::fs::read_to_string(folder.path().join("up.log")).unwrap();
    assert!(!said.contains("did not end softly"), "every task ends when it is asked: {said}");
    let log = std::fs::read_to_string(folder.path().join("postgres/server.log")).unwrap();
    assert!(log.contains("database system is shut down"), "the database was stopped in order: {log}");

    let mut up = start(folder.path(), address).await;
    let cameras = admin_again(&up).await.get("/api/v1/cameras").await;
    assert_eq!(cameras.data()["cameras"][0]["name"], "Front", "{}", cameras.body);
    // The token of the first run, too: the signing key is kept.
    admin.get("/api/v1/auth/me").await.data();
    let servers = descendants(up.pid());
    assert!(servers.len() >= 2, "a broker and a database are expected, there is {servers:?}");
    up.kill().await;
    wait_until("the servers notice that they are alone", async || running(&servers).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_killed_are_started_again() {
    let _turn = take_turn().await;
    let folder = data_folder();
    let mut up = start(folder.path(), free_address()).await;
    run_create_admin(with_data(rollcall(), folder.path()), ADMIN).await;
    let admin = sign_in(&up.visitor, ADMIN).await;

    let servers = descendants(up.pid());
    let pids = servers.iter().map(u32::to_string);
    let killed = Command::new("kill").arg("-9").args(pids).status().await.expect("kill is installed");
    assert!(killed.success() || running(&servers).is_empty(), "every process was there: {servers:?}");
    wait_until("the servers are dead", async || running(&servers).is_empty()).await;
    up.ready().await;
    admin.post("/api/v1/cameras", &json!({ "name": "Front" })).await.data();
    up.kill().await;
}

async fn admin_again(up: &Process) -> rollcall_test_support::Client {
    sign_in(&up.visitor, ADMIN).await
}

async fn start(data: &Path, address: std::net::SocketAddr) -> Process {
    let mut command = with_data(rollcall(), data);
    command.arg("up");
    let mut up = Process::spawn(command, address, &data.join("up.log"));
    up.ready().await;
    up
}

fn with_data(mut command: Command, data: &Path) -> Command {
    // Fetches on first use.
    Pictures::get();
    command.env("ROLLCALL_DATA_DIR", data).env("ROLLCALL_FACE__MODELS_DIR", models_dir()).current_dir(data);
    command
}

/// The account that runs PostgreSQL must be able to pass through it.
fn data_folder() -> TempDir {
    let open = std::fs::Permissions::from_mode(0o711);
    tempfile::Builder::new().permissions(open).tempdir().expect("the temporary folder is writable")
}

fn running(processes: &[u32]) -> Vec<u32> {
    processes.iter().copied().filter(|pid| is_running(*pid)).collect()
}
