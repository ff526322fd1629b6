//! Nothing secret leaves the processes: not in logs at the most talkative level, not in metrics, not in refusals, not in
//! the command lines that everybody on the machine can read.

use crate::harness::{Deployment, People, Service, create_admin, rollcall};
use reqwest::Method;
use rollcall_schemas::role::Role;
use rollcall_test_support::Client;
use serde_json::json;
use std::fs;

const PASSWORD: &str = "Planted-password-9471";
const QR_TOKEN: &str = "5ec4e7ed-0000-4000-8000-00000c0de947";

/// What was said by everybody, and where.
struct Said(Vec<(String, String)>);

impl Said {
    fn assert_silent_about(&self, secrets: &[(&str, String)]) {
        for (place, text) in &self.0 {
            for (name, secret) in secrets {
                assert!(secret.len() >= 8, "{name} is planted");
                let told = text.lines().find(|line| line.contains(secret.as_str()));
                assert_eq!(told, None, "{place} tells {name}");
            }
        }
    }

    /// Calls, and remembers the whole answer.
    async fn hear(&mut self, client: &Client, method: Method, path: &str, body: &str) {
        let request = client.request(method.clone(), path).header("content-type", "application/json");
        let answer = request.body(body.to_owned()).send().await.expect("the server answers");
        let text = format!("{:?}\n{}", answer.headers().clone(), answer.text().await.expect("a body comes"));
        self.0.push((format!("{method} {path}"), text));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_leaves_the_processes() {
    let services = [Service::Api, Service::Ingest, Service::AttendanceWorker];
    let settings = [("ROLLCALL_TELEMETRY__FILTER", "debug"), ("RUST_BACKTRACE", "1")];
    let deployment = Deployment::with(&services, &settings).await;
    let people = People::hire(&deployment).await;
    let class = json!({ "name": "Secrets", "code": "SECRETS", "teacherId": people.teacher_id });
    let class = people.admin.post("/api/v1/classes", &class).await;
    let class = class.data()["class"]["id"].as_str().expect("a class has an id").parse().expect("a UUID");
    let camera = people.camera(&deployment, class, "Secrets").await;
    let (api, door) = (deployment.visitor(Service::Api), deployment.visitor(Service::Ingest));
    let student = people.teacher_id;
    let (token, _) = deployment.signer.issue(student, "student@e2e.example", Role::Student);

    let mut said = Said(vec![]);
    let sign_in = json!({ "email": "admin@e2e.example", "password": PASSWORD }).to_string();
    let scan = json!({ "qrToken": QR_TOKEN }).to_string();
    let bad_key = camera.key.replace("rck_", "rck-");
    for (client, method, path, body) in [
        (&api, Method::POST, "/api/v1/auth/login", sign_in.as_str()),
        (&api, Method::POST, "/api/v1/auth/login", &sign_in.replace(':', ": [")),
        (&api.with_token(&format!("{token}x")), Method::GET, "/api/v1/auth/me", ""),
        (&api.with_api_key(&bad_key), Method::GET, &format!("/api/v1/users?token={PASSWORD}"), ""),
        (&people.admin, Method::POST, "/api/v1/users", &json!({ "password": PASSWORD }).to_string()),
        (&door.with_token(&token), Method::POST, "/api/v1/attendance/mark", &scan),
        (
            &door.with_token(&token),
            Method::POST,
            "/api/v1/attendance/mark",
            &scan.replace("qrToken", "token"),
        ),
        (&camera.client, Method::POST, &format!("/api/v1/cameras/{}/frames", camera.id), "no picture"),
        (&api, Method::GET, "/metrics", ""),
        (&door, Method::GET, "/metrics", ""),
        (&api, Method::GET, "/ready", ""),
    ] {
        said.hear(client, method, path, body).await;
    }
    create_admin(&deployment, "second@e2e.example").await;
    for process in fs::read_dir("/proc").expect("/proc is mounted").flatten() {
        // A process may be gone by now.
        let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
        said.0.push((format!("{:?}", process.path()), String::from_utf8_lossy(&command).into_owned()));
    }
    for service in ["api", "ingest", "attendance-worker"] {
        let log =
            fs::read_to_string(deployment.folder().join(format!("{service}.log"))).expect("it has a log");
        assert!(log.contains("DEBUG"), "{service} is not talkative");
        said.0.push((format!("the log of {service}"), log));
    }

    let password_of = |url: &str| {
        let user = url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).expect("user:password@");
        user.0.split_once(':').expect("user:password").1.to_owned()
    };
    let key_file = fs::read_to_string(deployment.folder().join("signing-key.pem")).expect("it was written");
    let key_secret = camera.key.splitn(3, '_').nth(2).expect("rck_<id>_<secret>");
    said.assert_silent_about(&[
        ("a password", PASSWORD.to_owned()),
        ("the password of the administrator", crate::harness::PASSWORD.to_owned()),
        ("an access token", token.rsplit_once('.').expect("a JWT has a signature").1.to_owned()),
        ("a camera's key", key_secret.to_owned()),
        ("a QR token", QR_TOKEN.to_owned()),
        ("the password of the database", password_of(&deployment.postgres.url())),
        ("the password of the broker", password_of(&deployment.nats.url())),
        ("the signing key", key_file.lines().nth(1).expect("PEM has a body").to_owned()),
    ]);
}

#[tokio::test]
async fn a_weak_secret_is_refused_at_the_start_by_the_name_of_its_setting() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let file = folder.path().join("database-url");
    fs::write(&file, "postgres://rollcall:hunter2@db.example/rollcall\n").expect("an own folder is writable");
    let mut command = rollcall();
    command.arg("api").env("DATABASE_URL_FILE", &file).current_dir(folder.path());
    let output = crate::harness::output(&mut command).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("setting `database.url`") && said.contains("shorter than 16"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}
