use crate::testing::{SOON, TestApi};
use chrono::TimeDelta;
use rollcall_store::webhooks;
use rollcall_test_support::eventually;
use serde_json::{Value, json};

const WEBHOOKS: &str = "/api/v1/webhooks";

fn new() -> Value {
    json!({
        "url": "https://register.example/rollcall",
        "description": "Student register",
        "events": ["session.ended", "attendance.recorded", "session.ended"],
    })
}

async fn made(test: &TestApi) -> (String, Value) {
    let made = test.admin().post(WEBHOOKS, &new()).await;
    assert_eq!((made.status.as_u16(), made.code()), (201, "WEBHOOK_CREATED"));
    let id = made.data()["webhook"]["id"].as_str().unwrap().to_owned();
    (format!("{WEBHOOKS}/{id}"), made.data().clone())
}

#[tokio::test]
async fn a_secret_is_shown_once_and_a_webhook_lives_its_life() {
    let test = TestApi::start().await;
    let (one, made) = made(&test).await;
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_"), "{secret}");
    assert_eq!(made["webhook"]["events"], json!(["attendance.recorded", "session.ended"]));
    for answer in [test.admin().get(WEBHOOKS).await, test.admin().get(&one).await] {
        answer.data();
        assert!(!answer.body.to_string().contains(&secret[6..]), "the secret is shown again");
    }
    assert_eq!(test.admin().get(WEBHOOKS).await.body["meta"]["total"], 1);

    let off = test.admin().put(&one, &json!({ "enabled": false, "events": [] })).await;
    assert_eq!(
        (&off.data()["webhook"]["enabled"], &off.data()["webhook"]["events"]),
        (&json!(false), &json!([]))
    );
    let on = test.admin().put(&one, &json!({ "enabled": true })).await;
    assert_eq!(on.data()["webhook"]["enabled"], true);
    assert_eq!(on.data()["webhook"]["description"], "Student register");

    assert_eq!(test.admin().delete(&one).await.code(), "WEBHOOK_DELETED");
    test.admin().get(&one).await.refused(404, "NOT_FOUND");
    test.admin().put(&one, &json!({})).await.refused(404, "NOT_FOUND");
    test.admin().delete(&one).await.refused(404, "NOT_FOUND");
    test.admin().get(&format!("{one}/deliveries")).await.refused(404, "NOT_FOUND");
    assert_eq!(test.admin().get(WEBHOOKS).await.body["meta"]["total"], 0);
}

#[tokio::test]
async fn what_could_never_be_sent_to_is_refused_by_name() {
    let test = TestApi::start().await;
    let with = |field: &str, value: Value| {
        let mut new = new();
        new[field] = value;
        new
    };
    for (bad, field) in [
        (with("url", json!("register.example")), "url"),
        (with("url", json!("ftp://register.example/")), "url"),
        (with("url", json!("https://")), "url"),
        (with("url", json!("https://user:password@register.example/")), "url"),
        (with("url", json!(format!("https://register.example/{}", "x".repeat(2_000)))), "url"),
        (with("description", json!("")), "description"),
        (with("events", json!(["session.ended", "weather.changed"])), "events"),
    ] {
        let answer = test.admin().post(WEBHOOKS, &bad).await;
        assert_eq!(answer.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], field, "{bad}");
    }
    assert_eq!(test.admin().get(WEBHOOKS).await.body["meta"]["total"], 0);
}

#[tokio::test]
async fn a_rotated_secret_leaves_the_old_one_for_a_while() {
    let test = TestApi::start().await;
    let (one, made) = made(&test).await;
    let rotated = test.admin().post(&format!("{one}/rotate"), &json!({ "overlapSeconds": 600 })).await;
    assert_eq!((rotated.status.as_u16(), rotated.code()), (201, "WEBHOOK_SECRET_ROTATED"));
    assert_ne!(rotated.data()["secret"], made["secret"]);
    let until = test.clock.now() + TimeDelta::minutes(10);
    assert_eq!(rotated.data()["webhook"]["previousSecretUntil"], json!(until));
    let id = made["webhook"]["id"].as_str().unwrap().parse().unwrap();
    let kept = webhooks::find(&mut test.api.connection().await.unwrap(), id).await.unwrap().unwrap();
    assert_ne!(kept.secret, kept.previous.unwrap().0);
}

#[tokio::test]
async fn a_ping_is_tried_and_its_attempt_is_in_the_log() {
    let test = TestApi::start().await;
    test.start_attendance_worker();
    // Nothing is sent to this machine: that it was tried is what is wanted.
    let new = json!({ "url": "https://127.0.0.1/", "description": "This machine" });
    let made = test.admin().post(WEBHOOKS, &new).await;
    let one = format!("{WEBHOOKS}/{}", made.data()["webhook"]["id"].as_str().unwrap());
    let ping = test.admin().post(&format!("{one}/ping"), &json!({})).await;
    // Whether the worker was quick enough to say so or not.
    assert_eq!(ping.status.as_u16(), 202);
    let attempt = eventually("the attempt is on record", SOON, || async {
        let log = test.admin().get(&format!("{one}/deliveries")).await;
        let delivery = log.data()["deliveries"][0].clone();
        delivery["attempts"][0].is_object().then_some(delivery)
    })
    .await;
    assert_eq!(attempt["event"], "webhook.ping");
    assert_eq!(attempt["attempts"][0]["failure"], "the address is in a network that may not be sent to");
    assert_eq!(attempt["state"], "waiting");
    let failing = test.admin().get(&one).await;
    assert_eq!(failing.data()["webhook"]["failingSince"], json!(test.clock.now()));

    let replay = test.admin().post(&format!("{one}/replay"), &json!({ "since": 0 })).await;
    assert_eq!(replay.status.as_u16(), 202);
    test.admin().put(&one, &json!({ "enabled": false })).await.data();
    test.admin().post(&format!("{one}/ping"), &json!({})).await.refused(409, "CONFLICT");
}
