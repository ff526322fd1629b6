use crate::testing::{PASSWORD, SOON, TestApi};
use chrono::TimeDelta;
use http::{Method, header::IF_MATCH};
use rollcall_test_support::eventually;
use serde_json::{Value, json};

const ORGANISATION: &str = "/api/v1/admin/config-org";
const SYSTEM: &str = "/api/v1/admin/system-config";

#[tokio::test]
async fn a_change_leaves_the_rest_and_a_null_takes_it_back() {
    let test = TestApi::start().await;
    let admin = test.admin();
    let patch = async |body: Value| admin.send_json(Method::PATCH, ORGANISATION, &body).await;
    let read = admin.get(ORGANISATION).await;
    assert_eq!(
        (&read.data()["config"]["name"], &read.data()["revision"]),
        (&json!("Test School"), &json!(0))
    );
    assert_eq!(read.headers["etag"], "\"0\"");

    patch(json!({ "timeZone": "Europe/Vienna", "lateAfterSeconds": 300 })).await.data();
    let changed = patch(json!({ "lateAfterSeconds": null, "name": "New School" })).await;
    let data = changed.data();
    assert_eq!(
        (&data["config"]["timeZone"], &data["config"]["lateAfterSeconds"]),
        (&json!("Europe/Vienna"), &json!(600))
    );
    assert_eq!((&data["set"], &data["revision"]), (&json!(["name", "timeZone"]), &json!(2)));
    assert_eq!(
        data["history"][1]["settings"],
        json!({ "timeZone": "Europe/Vienna", "lateAfterSeconds": 300 })
    );
    assert_eq!(data["history"][0]["changedBy"], json!(test.school.admin));

    let set = admin.post(ORGANISATION, &json!({ "locale": "de-AT" })).await;
    assert_eq!(
        (&set.data()["config"]["timeZone"], &set.data()["config"]["locale"]),
        (&json!("UTC"), &json!("de-AT"))
    );
    assert_eq!(set.data()["config"]["name"], "New School");
}

#[tokio::test]
async fn each_bad_setting_is_named() {
    let test = TestApi::start().await;
    for (path, body, field) in [
        (ORGANISATION, json!({ "timeZone": "Middle/Earth" }), "timeZone"),
        (ORGANISATION, json!({ "locale": "german please" }), "locale"),
        (ORGANISATION, json!({ "name": "" }), "name"),
        (ORGANISATION, json!({ "qrTtlSeconds": 1 }), "qrTtlSeconds"),
        (ORGANISATION, json!({ "votesWanted": "many" }), "votesWanted"),
        (SYSTEM, json!({ "lockAfterFailures": 0 }), "lockAfterFailures"),
        (SYSTEM, json!({ "askDeadlineMs": 60_001 }), "askDeadlineMs"),
        (SYSTEM, json!({ "lockSeconds": 1.5 }), "lockSeconds"),
    ] {
        let refused = test.admin().send_json(Method::PATCH, path, &body).await;
        let details = refused.refused(422, "VALIDATION_FAILED");
        assert_eq!(details["fields"][0]["field"], field, "{body}");
    }
    assert_eq!(test.admin().get(SYSTEM).await.data()["revision"], 0);
}

#[tokio::test]
async fn of_two_changes_from_one_version_the_second_is_refused() {
    let test = TestApi::start().await;
    let from = |tag: &str| test.admin().with_header(IF_MATCH, tag);
    let body = json!({ "lockSeconds": 60 });
    let first = from("\"0\"").send_json(Method::PATCH, SYSTEM, &body).await;
    assert_eq!(first.headers["etag"], "\"1\"");
    let second = from("\"0\"").send_json(Method::PATCH, SYSTEM, &json!({ "lockSeconds": 70 })).await;
    assert_eq!(second.refused(412, "CONFLICT")["revision"], 1);
    from("\"1\"").send_json(Method::PATCH, SYSTEM, &json!({ "lockSeconds": 70 })).await.data();
    from("yes").send_json(Method::PATCH, SYSTEM, &body).await.refused(400, "INVALID_INPUT");
}

#[tokio::test]
async fn classes_begin_with_the_organisations_rules_and_keep_them() {
    let test = TestApi::start().await;
    let rules_of = async |code: &str| {
        let new = json!({ "code": code, "name": "Class" });
        let class = test.teacher().post("/api/v1/classes", &new).await;
        let id = class.data()["class"]["id"].as_str().unwrap().to_owned();
        (
            id.clone(),
            test.teacher().get(&format!("/api/v1/classes/{id}/settings")).await.data()["settings"].clone(),
        )
    };
    let (before, rules) = rules_of("C1").await;
    assert_eq!(rules["lateAfterSeconds"], 600);
    test.clock.advance(TimeDelta::seconds(1));
    let change = json!({ "lateAfterSeconds": 120, "qrTtlSeconds": 30 });
    test.admin().send_json(Method::PATCH, ORGANISATION, &change).await.data();
    let (_, rules) = rules_of("C2").await;
    assert_eq!((&rules["lateAfterSeconds"], &rules["qrTtlSeconds"]), (&json!(120), &json!(30)));
    let kept = test.teacher().get(&format!("/api/v1/classes/{before}/settings")).await;
    assert_eq!(kept.data()["settings"]["lateAfterSeconds"], 600);
}

#[tokio::test]
async fn every_process_follows_a_change() {
    let one = TestApi::start().await;
    let other = one.start_another(one.bus.clone()).await;
    one.admin().send_json(Method::PATCH, SYSTEM, &json!({ "lockAfterFailures": 2 })).await.data();
    assert_eq!(one.api.settings().now().lock_after_failures, 2);
    eventually("the other process follows", SOON, || async {
        (other.settings().now().lock_after_failures == 2).then_some(())
    })
    .await;
    let wrong = json!({ "email": "admin@school.example", "password": "Wrong-horse-1" });
    for _ in 0..2 {
        one.edge.client().post("/api/v1/auth/login", &wrong).await.refused(401, "AUTH_INVALID_CREDENTIALS");
    }
    let right = json!({ "email": "admin@school.example", "password": PASSWORD });
    one.edge.client().post("/api/v1/auth/login", &right).await.refused(423, "AUTH_ACCOUNT_LOCKED");
}
