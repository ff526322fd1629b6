//! What an administrator sees of processes that the api does not link: each says it itself.

use crate::harness::{Deployment, Service, create_admin, sign_in, wait_until};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_says_what_it_is_what_it_logs_and_what_it_runs() {
    let mut deployment = Deployment::start().await;
    create_admin(&deployment, "admin@e2e.example").await;
    let admin = sign_in(&deployment.visitor(Service::Api), "admin@e2e.example").await;
    let get = async |path: &str| admin.get(&format!("/api/v1{path}")).await.data().clone();

    let uptime = get("/system/metrics/uptime").await;
    let names: Vec<_> =
        uptime["processes"].as_array().unwrap().iter().map(|process| &process["service"]).collect();
    assert_eq!(
        json!(names),
        json!(["rollcall-api", "rollcall-attendance-worker", "rollcall-face-worker", "rollcall-ingest"])
    );

    let models = get("/models/status").await;
    let worker = &models["workers"][0];
    assert_eq!(
        (&models["status"], &models["activePacks"]),
        (&json!("ok"), &json!(["mtcnn-dlib"])),
        "{models}"
    );
    assert_eq!(
        (&worker["asked"], &worker["used"], &worker["dimension"]),
        (&json!("cpu"), &json!("cpu"), &json!(128))
    );
    let nodes: u64 = worker["nodes"].as_array().unwrap().iter().map(|it| it["nodes"].as_u64().unwrap()).sum();
    assert!(nodes > 0 && worker["nodes"][0]["provider"] == "CPUExecutionProvider", "{worker}");

    let opened = get("/system/logs?text=model%20pack%20opened").await;
    let line = &opened["logs"][0];
    assert_eq!(
        (&line["service"], &line["fields"]["pack"]),
        (&json!("rollcall-face-worker"), &json!("mtcnn-dlib"))
    );

    // Who is gone says nothing any more.
    deployment.kill(Service::FaceWorker).await;
    wait_until("the worker is missed", async || get("/models/status").await["status"] == "absent").await;
    assert_eq!(get("/models/status").await["workers"], Value::Array(vec![]));
}
