use crate::testing::{SOON, TestApi};
use rollcall_schemas::{
    process::{LogLevel, ModelReport, ProcessQuestion},
    subject,
};
use rollcall_service::{clock::Entropy, process::Process, telemetry::RecentLines};
use rollcall_test_support::eventually;
use serde_json::{Value, json};

/// Another process of the deployment, that logs to `lines`.
fn join(test: &TestApi, name: &str, lines: RecentLines) -> Process {
    let process = Process::new(name, lines, &test.clock, &Entropy::seeded(name.len() as u64));
    let (bus, answers) = (test.bus.clone(), process.clone());
    test.lifecycle.spawn("processes", async move {
        let answer = |question: ProcessQuestion| answers.answer(&question);
        bus.answer_everybody(&subject::processes(), answer).await
    });
    process
}

fn log(lines: &RecentLines, at: &str, message: &str) {
    let line =
        json!({ "timestamp": at, "level": "INFO", "target": "rollcall", "message": message, "route": "/a" });
    lines.keep(LogLevel::Info, &line.to_string());
}

async fn data(test: &TestApi, path: &str) -> Value {
    test.operator().get(&format!("/api/v1{path}")).await.data().clone()
}

#[tokio::test]
async fn the_log_is_that_of_every_process() {
    let test = TestApi::start().await;
    let (own, others) = (RecentLines::default(), RecentLines::default());
    join(&test, "face-worker", own.clone());
    join(&test, "ingest", others.clone());
    log(&own, "2026-11-02T08:00:00Z", "model pack opened");
    log(&others, "2026-11-02T08:00:01Z", "listening");
    let logs = eventually("both answer", SOON, || async {
        let logs = data(&test, "/system/logs").await["logs"].clone();
        (logs.as_array().unwrap().len() == 2).then_some(logs)
    })
    .await;
    assert_eq!((&logs[0]["service"], &logs[0]["message"]), (&json!("ingest"), &json!("listening")));
    assert_eq!((&logs[1]["service"], &logs[1]["level"]), (&json!("face-worker"), &json!("info")));
    assert_eq!((&logs[0]["fields"], &logs[0]["traceId"]), (&json!({ "route": "/a" }), &Value::Null));
    let messages = async |query: &str| {
        let logs = data(&test, &format!("/system/logs?{query}")).await["logs"].clone();
        logs.as_array()
            .unwrap()
            .iter()
            .map(|line| line["message"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(messages("text=PACK").await, ["model pack opened"]);
    assert_eq!(messages("since=2026-11-02T08:00:01Z").await, ["listening"]);
    assert_eq!(messages("limit=1").await, ["listening"]);
    assert!(messages("level=warn").await.is_empty());
    for (query, field) in [("level=loud", "level"), ("limit=0", "limit"), ("text=", "text")] {
        let refused = test.operator().get(&format!("/api/v1/system/logs?{query}")).await;
        assert_eq!(refused.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], field);
    }
}

#[tokio::test]
async fn who_runs_models_says_which_and_where() {
    let test = TestApi::start().await;
    assert_eq!(data(&test, "/models/status").await["status"], "absent");
    let worker = join(&test, "face-worker", RecentLines::default());
    let report = ModelReport {
        pack: "mtcnn-dlib".into(),
        summary: "A pack".into(),
        licence: "MIT".into(),
        dimension: 128,
        asked: "cuda".into(),
        used: "cpu".into(),
        failures: vec![],
        nodes: vec![],
        engines: 2,
        index: "exact".into(),
        people: 3,
        is_ready: true,
    };
    let told = report.clone();
    worker.describe_models(move || told.clone());
    let models = eventually("the worker answers", SOON, || async {
        let models = data(&test, "/models/status").await;
        (models["workers"].as_array().unwrap().len() == 1).then_some(models)
    })
    .await;
    assert_eq!((&models["status"], &models["activePacks"]), (&json!("degraded"), &json!(["mtcnn-dlib"])));
    let said = &models["workers"][0];
    assert_eq!(
        (&said["service"], &said["used"], &said["people"]),
        (&json!("face-worker"), &json!("cpu"), &json!(3))
    );

    worker.describe_models(move || ModelReport { used: "cuda".into(), ..report.clone() });
    assert_eq!(data(&test, "/models/status").await["status"], "ok");
}

#[tokio::test]
async fn every_area_is_measured() {
    let test = TestApi::start().await;
    let stats = data(&test, "/system/stats").await;
    assert_eq!(stats["people"], json!({ "admins": 1, "operators": 1, "teachers": 2, "students": 2 }));
    assert_eq!((&stats["classes"], &stats["processes"]), (&json!(2), &json!(1)));
    test.operator().get("/api/v1/classes/nonsense").await.refused(422, "VALIDATION_FAILED");

    let api = data(&test, "/system/metrics/api").await;
    let routes = api["routes"].as_array().unwrap();
    let class = routes.iter().find(|route| route["route"] == "/api/v1/classes/{id}").unwrap();
    assert!(class["clientErrors"].as_u64() >= Some(1) && class["meanMs"].as_f64() > Some(0.0), "{class}");
    assert!(api["p50Ms"].as_f64() <= api["p99Ms"].as_f64() && api["p50Ms"].is_number(), "{api}");
    assert_eq!(api["area"], "api");

    let database = data(&test, "/system/metrics/database").await;
    assert!(database["connections"].as_u64() >= Some(1) && database["sizeBytes"].as_u64() > Some(1_000_000));
    let streams = data(&test, "/system/metrics/streams").await;
    let auth = streams["streams"]
        .as_array()
        .unwrap()
        .iter()
        .find(|stream| stream["name"] == "AUTH")
        .unwrap()
        .clone();
    assert!(auth["taken"].as_u64() >= Some(1), "the signing key is told: {auth}");
    let alerts = data(&test, "/system/metrics/alerts").await;
    assert_eq!((&alerts["deadLetters"], &alerts["openReviews"]), (&json!(0), &json!(0)));
    let uptime = data(&test, "/system/metrics/uptime").await;
    assert_eq!(
        (&uptime["processes"][0]["service"], uptime["processes"][0]["memoryBytes"].is_u64()),
        (&json!("test-api"), true)
    );
    assert!(data(&test, "/system/metrics/models").await["stages"].is_array());
    test.operator().get("/api/v1/system/metrics/weather").await.refused(422, "VALIDATION_FAILED");
}
