//! What is left, and how it is read.

mod routes;

use crate::testing::{PASSWORD, SOON, TestApi};
use http::Method;
use rollcall_test_support::eventually;
use serde_json::{Value, json};
use uuid::Uuid;

/// How many lines there are.
async fn lines(test: &TestApi) -> u64 {
    test.admin().get("/api/v1/audit/logs?limit=1").await.body["meta"]["total"].as_u64().unwrap()
}

/// The newest line.
async fn newest(test: &TestApi) -> Value {
    test.admin().get("/api/v1/audit/logs?limit=1").await.data()["logs"][0].clone()
}

#[tokio::test]
async fn a_line_says_who_did_what_and_no_secret() {
    let test = TestApi::start().await;
    let operator = test.operator();
    let path = format!("/api/v1/students/{}", test.school.student);
    let change = json!({ "fullName": "Sara S", "password": "Another-horse-2" });
    let answer = operator
        .request(Method::PUT, &path)
        .header("x-request-id", "from-the-caller")
        .json(&change)
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success());
    let line = newest(&test).await;
    assert_eq!(line["actorId"], json!(test.school.operator));
    assert_eq!((&line["action"], &line["targetId"]), (&json!("user.updated"), &json!(test.school.student)));
    assert_eq!(line["requestId"], "from-the-caller");
    assert_eq!(line["details"]["before"], json!({ "fullName": "Sara student" }));
    assert_eq!(line["details"]["after"], json!({ "fullName": "Sara S", "passwordChanged": true }));
    let all = test.admin().get("/api/v1/audit/logs?limit=100").await.body.to_string();
    assert!(!all.contains("Another-horse") && !all.contains("$2"), "no password and no hash: {all}");
}

#[tokio::test]
async fn refusals_are_on_record_and_a_flood_is_one_line() {
    let test = TestApi::start().await;
    let (_, camera) = test.camera("Hall").await;
    let foreign = format!("/api/v1/classes/{}", test.school.other_class);
    let before = lines(&test).await;
    for _ in 0..20 {
        test.student().get("/api/v1/users").await.refused(403, "AUTH_UNAUTHORIZED");
    }
    assert_eq!(lines(&test).await, before + 1);
    let line = newest(&test).await;
    assert_eq!((&line["action"], &line["outcome"]), (&json!("access.refused"), &json!("refused")));
    assert_eq!(
        (&line["actorId"], &line["targetId"]),
        (&json!(test.school.student), &json!("GET /api/v1/users"))
    );
    assert_eq!(line["details"]["reason"], "your role may not do this");

    test.teacher().get(&foreign).await.refused(403, "AUTH_UNAUTHORIZED");
    let line = newest(&test).await;
    assert_eq!(line["details"]["path"], foreign);
    assert_eq!(line["details"]["reason"], "this class is not yours");

    camera.get("/api/v1/classes").await.refused(403, "AUTH_UNAUTHORIZED");
    assert_eq!(newest(&test).await["actorKind"], "api_key");

    test.clock.advance(chrono::TimeDelta::minutes(1));
    test.student().get("/api/v1/users").await.refused(403, "AUTH_UNAUTHORIZED");
    let of_student = format!("/api/v1/audit/logs?actor={}&outcome=refused", test.school.student);
    let listed = test.admin().get(&of_student).await;
    let counts: Vec<_> =
        listed.data()["logs"].as_array().unwrap().iter().map(|l| &l["occurrences"]).collect();
    assert_eq!(listed.body["meta"]["total"], 3);
    assert!(counts.contains(&&json!(19)), "{counts:?}");
}

#[tokio::test]
async fn what_the_front_door_refuses_is_on_record_too() {
    let test = TestApi::start().await;
    let (camera, client) = test.camera("Hall").await;
    let foreign = format!("/api/v1/cameras/{}/frames", Uuid::nil());
    for _ in 0..3 {
        client.post(&foreign, &json!({})).await.refused(403, "AUTH_UNAUTHORIZED");
    }
    test.teacher().post("/api/v1/attendance/mark", &json!({})).await.refused(403, "AUTH_UNAUTHORIZED");
    let refused = async |target: &str| {
        eventually("it is recorded", SOON, || async {
            let listed = test.admin().get("/api/v1/audit/logs?action=access.refused").await;
            let logs = listed.data()["logs"].as_array().unwrap().clone();
            logs.into_iter().find(|line| line["targetId"] == target)
        })
        .await
    };
    let frames = refused("POST /api/v1/cameras/{id}/frames").await;
    assert_eq!((&frames["actorKind"], &frames["occurrences"]), (&json!("api_key"), &json!(1)));
    assert_eq!(frames["details"]["path"], foreign, "the first at once, the others as a count");
    assert!(frames["details"]["reason"].as_str().unwrap().contains("its own frames"), "{frames} {camera}");
    let scan = refused("POST /api/v1/attendance/mark").await;
    assert_eq!((&scan["actorId"], &scan["outcome"]), (&json!(test.school.teacher), &json!("refused")));
    assert!(scan["details"]["address"].is_string() && scan["requestId"].is_string(), "{scan}");
}

#[tokio::test]
async fn whose_sign_in_went_on_and_ended_is_on_record() {
    let test = TestApi::start().await;
    let nobody = test.edge.client();
    let body = json!({ "email": "admin@school.example", "password": PASSWORD, "refreshIn": "body" });
    let first = nobody.post("/api/v1/auth/login", &body).await.data()["refreshToken"].clone();
    let refresh =
        async |token: &Value| nobody.post("/api/v1/auth/refresh", &json!({ "refreshToken": token })).await;
    let second = refresh(&first).await.data()["refreshToken"].clone();
    let line = newest(&test).await;
    assert_eq!((&line["action"], &line["actorId"]), (&json!("sign_in.refreshed"), &json!(test.school.admin)));
    let sign_in = line["targetId"].clone();

    test.clock.advance(chrono::TimeDelta::minutes(1));
    refresh(&first).await.refused(401, "AUTH_TOKEN_EXPIRED");
    let line = newest(&test).await;
    assert_eq!((&line["action"], &line["targetId"]), (&json!("sign_in.ended"), &sign_in));
    assert_eq!(
        (&line["actorKind"], &line["details"]["after"]["reason"]),
        (&json!("anonymous"), &json!("a used refresh token came back"))
    );

    // What has ended does not end again, and leaves no line.
    let before = lines(&test).await;
    nobody.post("/api/v1/auth/logout", &json!({ "refreshToken": second })).await.data();
    nobody.post("/api/v1/auth/logout", &json!({ "refreshToken": "unknown" })).await.data();
    assert_eq!(lines(&test).await, before);
}

#[tokio::test]
async fn pages_go_on_where_they_ended_while_lines_are_added() {
    let test = TestApi::start().await;
    let admin = test.admin();
    for name in ["a", "b", "c"] {
        admin.post("/api/v1/cameras", &json!({ "name": name })).await.data();
        test.clock.advance(chrono::TimeDelta::seconds(1));
    }
    let names = |page: &rollcall_test_support::Answer| -> Vec<String> {
        let lines = page.data()["logs"].as_array().unwrap().clone();
        lines.iter().map(|line| line["details"]["after"]["name"].as_str().unwrap().to_owned()).collect()
    };
    let first = admin.get("/api/v1/audit/logs?target=camera&limit=2").await;
    assert_eq!((names(&first), &first.body["meta"]["total"]), (vec!["c".into(), "b".into()], &json!(3)));
    admin.post("/api/v1/cameras", &json!({ "name": "d" })).await.data();
    let next = admin.get(first.body["meta"]["links"]["next"].as_str().unwrap()).await;
    assert_eq!((names(&next), &next.body["meta"]["next"]), (vec!["a".into()], &Value::Null));
    let within = "/api/v1/audit/logs?action=camera.created&from=2026-03-02T09:00:01Z&to=2026-03-02T09:00:02Z";
    assert_eq!(names(&admin.get(within).await), ["b"]);

    for (query, field) in [
        ("actor=nobody", "actor"),
        ("outcome=maybe", "outcome"),
        ("limit=0", "limit"),
        ("cursor=x", "cursor"),
        ("format=xml", "format"),
    ] {
        let refused = admin.get(&format!("/api/v1/audit/logs?{query}")).await;
        assert_eq!(refused.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], field);
    }
}

#[tokio::test]
async fn an_export_has_every_line_and_no_formula() {
    let test = TestApi::start().await;
    let admin = test.admin();
    let refused = admin.request(Method::POST, "/api/v1/cameras").header("x-request-id", "=1+1");
    assert!(refused.json(&json!({ "name": "Door" })).send().await.unwrap().status().is_success());
    let total = lines(&test).await;
    let export = async |format: &str| {
        let path = format!("/api/v1/audit/logs?format={format}");
        let answer = admin.request(Method::GET, &path).send().await.unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        (kind, answer.text().await.unwrap())
    };
    let (kind, text) = export("csv").await;
    assert!(kind.starts_with("text/csv"));
    let rows: Vec<_> = csv::Reader::from_reader(text.as_bytes()).into_records().map(Result::unwrap).collect();
    // The export is a line itself.
    assert_eq!(rows.len() as u64, total + 1);
    assert!(rows.iter().any(|row| row.iter().any(|cell| cell == "'=1+1")), "{text}");
    let (kind, text) = export("json").await;
    assert_eq!(kind, "application/json");
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(all.len() as u64, total + 2);
    assert_eq!(all[0]["action"], "audit.exported");
}

#[tokio::test]
async fn lines_are_chained_and_the_log_knows_the_end() {
    let test = TestApi::start().await;
    let feed = test.bus.feed::<rollcall_schemas::feed::AuditHead>(
        Some(rollcall_schemas::subject::audit_head()),
        None,
        test.lifecycle.soft_stop(),
    );
    test.admin().post("/api/v1/cameras", &json!({ "name": "Door" })).await.data();
    let line = eventually("the line has its place", SOON, || async {
        let line = newest(&test).await;
        line["position"].is_i64().then_some(line)
    })
    .await;
    let told = eventually("the log knows", SOON, || async {
        feed.get("audit").filter(|head| json!(head.position) == line["position"])
    })
    .await;
    assert_eq!(json!(told.sha256), line["sha256"]);
}
