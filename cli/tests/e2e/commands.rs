//! The commands that are run beside a deployment, and what they say when something is wrong.

use crate::harness::{
    Deployment, Pictures, Service, create_admin, models_dir, output, rollcall, sign_in, wait_until,
};
use rollcall_schemas::{id::UserId, role::Role};
use rollcall_service::{
    auth::{TokenConfig, TokenSigner},
    clock::{Clock, Entropy},
    config::Secret,
};
use serde_json::{Value, json};
use std::path::Path;
use uuid::Uuid;

async fn stdout(arguments: &[&str]) -> String {
    let output = output(rollcall().args(arguments)).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("output is text")
}

#[tokio::test]
async fn help_names_every_command() {
    let help = stdout(&["--help"]).await;
    for command in [
        "up",
        "ingest",
        "face-worker",
        "attendance-worker",
        "api",
        "migrate",
        "doctor",
        "models",
        "watch",
        "replay",
        "ledger",
        "admin",
        "audit",
        "openapi",
        "asyncapi",
        "identify",
    ] {
        let is_listed = |line: &str| line.split_whitespace().next() == Some(command);
        assert!(help.lines().any(is_listed), "{command} is not in\n{help}");
        stdout(&[command, "--help"]).await;
    }
}

#[tokio::test]
async fn the_contract_printed_is_the_contract_committed() {
    let printed: Value = serde_json::from_str(&stdout(&["asyncapi"]).await).unwrap();
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/contract/asyncapi.json");
    let committed: Value = serde_json::from_slice(&std::fs::read(committed).unwrap()).unwrap();
    for part in ["/channels", "/components/messages"] {
        let (printed, committed) = (printed.pointer(part).unwrap(), committed.pointer(part).unwrap());
        for (name, described) in committed.as_object().unwrap() {
            assert_eq!(&printed[name], described, "{part} {name}");
        }
    }
    assert_eq!(printed["info"], committed["info"]);
    assert_eq!(printed["channels"]["socket.io"]["address"], "/socket.io");
    assert!(printed["operations"]["join-session"]["reply"].is_object());
    let openapi: Value = serde_json::from_str(&stdout(&["openapi"]).await).unwrap();
    for path in ["/api/v1/auth/login", "/api/v1/cameras/{id}/frames", "/api/v1/attendance/mark"] {
        assert!(openapi["paths"][path].is_object(), "{path} is not documented");
    }
}

#[tokio::test]
async fn printed_settings_are_accepted_and_unknown_ones_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rollcall.toml");
    std::fs::write(&file, stdout(&["settings"]).await).unwrap();
    let file = file.to_str().unwrap();
    let photograph = Pictures::get().unseen.to_str().unwrap();
    let identify = ["--config", file, "identify", "--json", photograph];
    let accepted = output(rollcall().args(identify).env("ROLLCALL_FACE__MODELS_DIR", models_dir())).await;
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));

    let refused = output(rollcall().arg("ledger").env("ROLLCALL_INGEST__MAX_IMAGE_BITES", "1")).await;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    for part in ["ingest.max_image_bites", "ROLLCALL_INGEST__MAX_IMAGE_BITES", "max_image_bytes"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[tokio::test]
async fn identify_finds_the_face_in_a_photograph() {
    let photograph = Pictures::get().unseen.clone();
    let mut identify = rollcall();
    identify.args(["identify", "--json"]).arg(&photograph).env("ROLLCALL_FACE__MODELS_DIR", models_dir());
    let output = output(identify.current_dir(std::env::temp_dir())).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    let faces = seen["seen"]["faces"].as_array().unwrap_or_else(|| panic!("no faces in {seen}"));
    assert_eq!(faces.len(), 1, "{seen}");
    assert!(faces[0]["quality"]["refusal"].is_null(), "{seen}");
}

#[tokio::test]
async fn a_file_that_is_no_image_is_named() {
    let mut identify = rollcall();
    identify.args(["identify", env!("CARGO_MANIFEST_PATH")]).env("ROLLCALL_FACE__MODELS_DIR", models_dir());
    Pictures::get();
    let output = output(&mut identify).await;
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Cargo.toml"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_ledger_and_accounts_work_beside_a_deployment() {
    Pictures::get();
    let deployment = Deployment::with(&[Service::Api], &[]).await;
    let doctor = output(&mut deployment.tool(&["doctor"])).await;
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(doctor.status.success(), "{said}");
    for part in ["processor", "log", "database", "ONNX Runtime", "model pack", "Cpu"] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }

    create_admin(&deployment, "root@e2e.example").await;
    sign_in(&deployment.visitor(Service::Api), "root@e2e.example").await.get("/api/v1/auth/me").await.data();
    let again =
        output(&mut deployment.tool(&["admin", "create-user", "--email", "x@e2e.example", "--name", "X"]))
            .await;
    assert!(!again.status.success(), "an account without a password is refused");

    let ledger = output(&mut deployment.tool(&["ledger", "--json"])).await;
    assert!(ledger.status.success(), "{}", String::from_utf8_lossy(&ledger.stderr));
    let ledger: Value = serde_json::from_slice(&ledger.stdout).unwrap();
    assert_eq!(ledger, json!({ "cameras": [], "numbered": 0, "unlisted": 0 }));

    let nowhere =
        output(deployment.tool(&["doctor"]).env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")).await;
    let said = String::from_utf8_lossy(&nowhere.stdout);
    assert!(!nowhere.status.success() && said.contains("BAD   database"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_keys_rotate_while_everything_runs_and_nobody_is_signed_out() {
    // Strangers read the keys until there is a new one.
    let limits = [("ROLLCALL_LIMITS__READ_ADDRESS", "60000/min burst 60000")];
    let deployment = Deployment::with(&[Service::Api, Service::Ingest], &limits).await;
    create_admin(&deployment, "keys@e2e.example").await;
    let visitor = deployment.visitor(Service::Api);
    let admin = sign_in(&visitor, "keys@e2e.example").await;
    let kids = async || {
        let set = visitor.request(reqwest::Method::GET, "/.well-known/jwks.json").send().await.unwrap();
        let set: Value = serde_json::from_str(&set.text().await.unwrap()).unwrap();
        set["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect::<Vec<_>>()
    };
    let before = kids().await;
    assert_eq!(before, [json!(deployment.signer.kid())]);

    let rotated = output(&mut deployment.tool(&["admin", "rotate-keys"])).await;
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    wait_until("the new key is published beside the old one", async || kids().await.len() == 2).await;
    assert!(kids().await.contains(&before[0]));

    admin.get("/api/v1/auth/me").await.data();
    // The newest key is the last of the file. What it signs is taken from now on, at the front door too.
    let file = std::fs::read_to_string(deployment.folder().join("signing-key.pem")).unwrap();
    let newest =
        Secret::new(file.rsplit_once("-----BEGIN").map(|(_, key)| format!("-----BEGIN{key}")).unwrap());
    let signer =
        TokenSigner::new(&newest, TokenConfig::default(), Clock::real(), Entropy::seeded(5)).unwrap();
    let (token, _) = signer.issue(UserId(Uuid::from_u128(1)), "new@e2e.example", Role::Student);
    visitor.with_token(&token).get("/api/v1/classes").await.data();
    let scan = json!({ "qrToken": "no code" });
    let door = deployment.visitor(Service::Ingest).with_token(&token);
    wait_until("the front door takes it", async || {
        door.post("/api/v1/attendance/mark", &scan).await.status.as_u16() == 404
    })
    .await;
    let (old, _) = deployment.signer.issue(UserId(Uuid::from_u128(2)), "old@e2e.example", Role::Student);
    let door = deployment.visitor(Service::Ingest).with_token(&old);
    door.post("/api/v1/attendance/mark", &scan).await.refused(404, "QR_TOKEN_INVALID");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_verify_follows_what_was_done_on_the_command_line_and_by_http() {
    let deployment = Deployment::with(&[Service::Api], &[]).await;
    create_admin(&deployment, "audited@e2e.example").await;
    let visitor = deployment.visitor(Service::Api);
    sign_in(&visitor, "audited@e2e.example").await;
    wait_until("both lines are chained", async || {
        let verified = output(&mut deployment.tool(&["audit", "verify"])).await;
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
        let said = String::from_utf8(verified.stdout).expect("output is text");
        said.starts_with("2 lines hold; 0 wait")
    })
    .await;
}
