use crate::testing::{PASSWORD, SOON, TestApi};
use chrono::TimeDelta;
use http::{Method, header::IF_MATCH};
use rollcall_schemas::{feed::ConfigurationEntry, subject};
use rollcall_test_support::{TestBroker, eventually};
use serde_json::{Value, json};
use std::collections::BTreeMap;

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

fn rooms(names: &[&str], latitude: f64) -> Value {
    let position = json!({ "latitude": latitude, "longitude": 16.3738, "radiusM": 30 });
    json!({ "roomPositions": names.iter().map(|name| (*name, position.clone())).collect::<BTreeMap<_, _>>() })
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
        (ORGANISATION, json!({ "reopenWithinHours": -1 }), "reopenWithinHours"),
        (ORGANISATION, json!({ "evidenceRule": "neither" }), "evidenceRule"),
        (ORGANISATION, rooms(&["B 12", "b 12"], 48.2), "roomPositions"),
        (ORGANISATION, rooms(&["B 12"], 91.0), "roomPositions.B 12.latitude"),
        (SYSTEM, json!({ "lockAfterFailures": 0 }), "lockAfterFailures"),
        (SYSTEM, json!({ "askDeadlineMs": 60_001 }), "askDeadlineMs"),
        (SYSTEM, json!({ "lockSeconds": 1.5 }), "lockSeconds"),
        (SYSTEM, json!({ "accessTokenSeconds": 86_401 }), "accessTokenSeconds"),
        (SYSTEM, json!({ "accessTokenSeconds": 0 }), "accessTokenSeconds"),
        (SYSTEM, json!({ "registration": "sometimes" }), "registration"),
        (SYSTEM, json!({ "readUserLimit": "0/min burst 1" }), "readUserLimit"),
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

#[tokio::test]
async fn tokens_live_as_long_as_was_set() {
    let test = TestApi::start().await;
    let sign_in = async || {
        let body = json!({ "email": "admin@school.example", "password": PASSWORD, "refreshIn": "body" });
        test.edge.client().post("/api/v1/auth/login", &body).await
    };
    let before = sign_in().await;
    test.admin().send_json(Method::PATCH, SYSTEM, &json!({ "accessTokenSeconds": 600 })).await.data();
    let after = sign_in().await;
    assert_eq!((&before.data()["expiresIn"], &after.data()["expiresIn"]), (&json!(86_400), &json!(600)));
    test.clock.advance(TimeDelta::seconds(600));
    let me = async |signed_in: &rollcall_test_support::Answer| {
        let token = signed_in.data()["token"].as_str().unwrap().to_owned();
        test.edge.client().with_token(&token).get("/api/v1/auth/me").await
    };
    me(&after).await.refused(401, "AUTH_TOKEN_EXPIRED");
    me(&before).await.data();
    // A longer life than the one that was set is remembered of it when its sign-in ends.
    let refresh = before.data()["refreshToken"].clone();
    test.edge.client().post("/api/v1/auth/logout", &json!({ "refreshToken": refresh })).await.data();
    test.clock.advance(TimeDelta::hours(23));
    me(&before).await.refused(401, "AUTH_TOKEN_EXPIRED");
}

#[tokio::test]
async fn registration_opens_and_closes_at_once() {
    let test = TestApi::start().await;
    let register = async |name: &str| {
        let body = json!({ "email": format!("{name}@school.example"), "fullName": name, "password": "Staple-battery-7" });
        test.edge.client().post("/api/v1/auth/register", &body).await
    };
    let set = async |policy: &str| {
        test.admin().send_json(Method::PATCH, SYSTEM, &json!({ "registration": policy })).await.data();
    };
    register("nora").await.refused(403, "AUTH_UNAUTHORIZED");
    set("open").await;
    assert_eq!(register("nora").await.data()["user"]["role"], "student");
    set("invited").await;
    register("nils").await.refused(403, "AUTH_UNAUTHORIZED");
    let invited = json!({ "role": "student", "email": "nils@school.example" });
    test.admin().post("/api/v1/auth/invitations", &invited).await.data();
    set("closed").await;
    test.admin().post("/api/v1/auth/invitations", &invited).await.refused(409, "CONFLICT");
}

#[tokio::test]
async fn limits_that_were_set_hold_in_every_process_and_at_the_front_door() {
    let test = TestApi::start().await;
    let set = async |limit: Value| {
        let change = json!({ "readUserLimit": limit, "scanUserLimit": limit });
        test.admin().send_json(Method::PATCH, SYSTEM, &change).await.data();
    };
    let of = async |path: &str, method: Method| {
        let answer = test.student().send_json(method, path, &json!({})).await;
        answer.headers["ratelimit-limit"].to_str().unwrap().to_owned()
    };
    set(json!("600/min burst 77")).await;
    assert_eq!(of("/api/v1/auth/me", Method::GET).await, "77", "here at once");
    eventually("ingest hears of it over the log", SOON, || async {
        (of("/api/v1/attendance/mark", Method::POST).await == "77").then_some(())
    })
    .await;
    set(Value::Null).await;
    assert_eq!(of("/api/v1/auth/me", Method::GET).await, "60000");
    eventually("ingest takes it back", SOON, || async {
        (of("/api/v1/attendance/mark", Method::POST).await == "60000").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_log_that_was_lost_is_told_again() {
    let one = TestApi::start().await;
    let change = json!({ "readKeyLimit": "5/min burst 5" });
    one.admin().send_json(Method::PATCH, SYSTEM, &change).await.data();
    let other = TestBroker::start().await.bus().await;
    let api = one.start_another(other.clone()).await;
    let told =
        other.feed::<ConfigurationEntry>(Some(subject::configuration()), None, one.lifecycle.soft_stop());
    eventually("the other log has it", SOON, || async {
        let entry = told.get("configuration")?;
        (entry.revision == 1 && entry.limits["read_key"] == "5/min burst 5".parse().unwrap()).then_some(())
    })
    .await;
    assert_eq!(api.settings().now(), one.api.settings().now());
}

/// Every limit of the configuration file can be set at run time, under a name of the same words.
#[test]
fn every_limit_can_be_set() {
    let config = serde_json::to_value(rollcall_service::limits::LimitsConfig::default()).unwrap();
    let names =
        config.as_object().unwrap().keys().map(|name| format!("{}Limit", crate::extract::camel_case(name)));
    let schema = serde_json::to_value(crate::openapi()).unwrap();
    let settings = &schema["components"]["schemas"]["SystemConfig"]["properties"];
    for name in names {
        assert!(settings[&name].is_object(), "{name}");
    }
}
