use crate::testing::{PASSWORD, SOON, TestApi};
use chrono::{TimeDelta, Timelike};
use rollcall_bus::Message;
use rollcall_schemas::{
    id::ApiKeyId,
    request::{KeyUse, KeyUses},
    subject::{self, RequestKind},
};
use rollcall_service::auth::ApiKey;
use rollcall_store::identities;
use rollcall_test_support::{Answer, Client, eventually};
use serde_json::{Value, json};

const KEYS: &str = "/api/v1/api-keys";

/// A client with the key of an answer, once the key is known or is no longer.
async fn client(test: &TestApi, issued: &Answer, expected: u16) -> Client {
    let client = test.edge.client().with_api_key(issued.data()["apiKey"].as_str().unwrap());
    eventually("the key is told", SOON, || async {
        (client.get("/api/v1/users").await.status.as_u16() == expected).then_some(())
    })
    .await;
    client
}

fn id(issued: &Answer) -> &str {
    issued.data()["keyId"].as_str().unwrap()
}

async fn listed(test: &TestApi) -> Vec<Value> {
    test.admin().get(KEYS).await.data()["apiKeys"].as_array().unwrap().clone()
}

#[tokio::test]
async fn an_integration_does_what_its_scopes_say_and_no_more() {
    let test = TestApi::start().await;
    let new = json!({ "name": "Timetable", "scopes": ["people:write", "people:read", "people:read"] });
    let issued = test.admin().post(KEYS, &new).await;
    assert_eq!((issued.status.as_u16(), issued.code()), (201, "API_KEY_CREATED"));
    assert_eq!(issued.data()["scopes"], json!(["people:read", "people:write"]));
    let timetable = client(&test, &issued, 200).await;

    let person =
        |role: &str| json!({ "email": format!("{role}9@school.example"), "fullName": "New", "role": role });
    let teacher = timetable.post("/api/v1/users", &person("teacher")).await.data()["user"]["id"].clone();
    // With the password of a teacher it would be one.
    let path = format!("/api/v1/users/{}", teacher.as_str().unwrap());
    let password = json!({ "password": PASSWORD });
    timetable.put(&path, &password).await.refused(403, "AUTH_UNAUTHORIZED");
    let student =
        json!({ "email": "s8@school.example", "fullName": "New", "role": "student", "password": PASSWORD });
    let student = timetable.post("/api/v1/users", &student).await.data()["user"]["id"].clone();
    let path = format!("/api/v1/users/{}", student.as_str().unwrap());
    timetable.put(&path, &json!({ "role": "teacher" })).await.refused(403, "AUTH_UNAUTHORIZED");
    let mut other = person("teacher");
    other["email"] = json!("t10@school.example");
    other["password"] = json!(PASSWORD);
    timetable.post("/api/v1/users", &other).await.refused(403, "AUTH_UNAUTHORIZED");
    // An address that a program sends is not known to be the person's: nobody signs in by it alone.
    let is_confirmed = async |email: &str| {
        let found = identities::addressee(&mut test.api.connection().await.unwrap(), email).await;
        found.unwrap().expect("somebody has the address").email_confirmed
    };
    timetable.put(&path, &json!({ "email": "s8b@school.example" })).await.data();
    assert!(!is_confirmed("s8b@school.example").await);
    test.admin().put(&path, &json!({ "email": "s8c@school.example" })).await.data();
    assert!(is_confirmed("s8c@school.example").await);
    let student = json!({ "email": "s9@school.example", "fullName": "New" });
    let student = timetable.post("/api/v1/students", &student).await.data()["student"]["id"].clone();
    let path = format!("/api/v1/students/{}", student.as_str().unwrap());
    timetable.put(&path, &json!({ "email": "s9b@school.example" })).await.data();
    assert!(!is_confirmed("s9b@school.example").await);
    timetable.post("/api/v1/users", &person("admin")).await.refused(403, "AUTH_UNAUTHORIZED");
    let message = timetable.get("/api/v1/classes").await;
    message.refused(403, "AUTH_UNAUTHORIZED");
    assert!(message.body["error"]["message"].as_str().unwrap().contains("classes:read"));
    timetable.get(KEYS).await.refused(403, "AUTH_UNAUTHORIZED");
    timetable.get("/api/v1/auth/me").await.refused(403, "AUTH_UNAUTHORIZED");
}

#[tokio::test]
async fn keys_are_listed_without_their_secrets_until_they_are_revoked() {
    let test = TestApi::start().await;
    let new = json!({ "name": "Reports", "scopes": ["people:read"], "expiresAt": "2027-01-01T00:00:00Z" });
    let issued = test.admin().post(KEYS, &new).await;
    let reports = client(&test, &issued, 200).await;
    let list = test.admin().get(KEYS).await;
    let secret = issued.data()["apiKey"].as_str().unwrap();
    assert!(!list.body.to_string().contains(secret.rsplit('_').next().unwrap()), "the secret is shown again");
    assert_eq!(list.body["meta"]["total"], 1);
    let [key] = listed(&test).await.try_into().unwrap();
    assert_eq!(
        (&key["id"], &key["name"], &key["replacedBy"]),
        (&json!(id(&issued)), &json!("Reports"), &Value::Null)
    );

    let one = format!("{KEYS}/{}", id(&issued));
    assert_eq!(test.admin().delete(&one).await.code(), "API_KEY_REVOKED");
    client(&test, &issued, 401).await;
    reports.get("/api/v1/users").await.refused(401, "AUTH_TOKEN_INVALID");
    assert_eq!(listed(&test).await, [] as [Value; 0]);
    test.admin().delete(&one).await.refused(404, "NOT_FOUND");
    test.admin().post(&format!("{one}/rotate"), &json!({})).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn what_is_no_good_key_is_not_made() {
    let test = TestApi::start().await;
    for (bad, field) in [
        (json!({ "name": "", "scopes": ["people:read"] }), "name"),
        (json!({ "name": "A", "scopes": [] }), "scopes"),
        (json!({ "name": "A", "scopes": ["frames:push"] }), "scopes"),
        (json!({ "name": "A", "scopes": ["people:*"] }), "scopes[0]"),
        (json!({ "name": "A", "scopes": ["people:read"], "expiresAt": "2020-01-01T00:00:00Z" }), "expiresAt"),
    ] {
        let answer = test.admin().post(KEYS, &bad).await;
        assert_eq!(answer.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], field, "{bad}");
    }
    assert_eq!(listed(&test).await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_rotated_key_and_its_successor_are_both_taken_for_a_while() {
    let test = TestApi::start().await;
    let expires_at = test.clock.now() + TimeDelta::days(30);
    let new = json!({ "name": "Reports", "scopes": ["people:read"], "expiresAt": expires_at });
    let old = test.admin().post(KEYS, &new).await;
    client(&test, &old, 200).await;
    test.clock.advance(TimeDelta::days(1));
    let rotate = format!("{KEYS}/{}/rotate", id(&old));
    let new = test.admin().post(&rotate, &json!({ "overlapSeconds": 600 })).await;
    assert_eq!((new.status.as_u16(), new.code()), (201, "API_KEY_ROTATED"));
    assert_eq!(new.data()["replaces"], json!(id(&old)));
    assert_eq!(new.data()["replacedExpiresAt"], json!(test.clock.now() + TimeDelta::minutes(10)));
    assert_eq!(new.data()["expiresAt"], json!(test.clock.now() + TimeDelta::days(30)), "it lives as long");
    test.admin().post(&rotate, &json!({})).await.refused(409, "CONFLICT");

    let (old_client, new_client) = (client(&test, &old, 200).await, client(&test, &new, 200).await);
    test.clock.advance(TimeDelta::minutes(10));
    old_client.get("/api/v1/users").await.refused(401, "AUTH_TOKEN_INVALID");
    new_client.get("/api/v1/users").await.data();
    let [first, _] = listed(&test).await.try_into().unwrap();
    assert_eq!(first["replacedBy"], json!(id(&new)));
}

#[tokio::test]
async fn a_cameras_key_is_rotated_under_its_camera_only() {
    let test = TestApi::start().await;
    let admin = test.admin();
    let camera = admin.post("/api/v1/cameras", &json!({ "name": "Door" })).await;
    let keys = format!("/api/v1/cameras/{}/keys", camera.data()["camera"]["id"].as_str().unwrap());
    let old = admin.post(&keys, &json!({})).await;
    assert_eq!(old.data()["scopes"], json!(["frames:push"]));
    admin.post(&format!("{KEYS}/{}/rotate", id(&old)), &json!({})).await.refused(404, "NOT_FOUND");
    admin.delete(&format!("{KEYS}/{}", id(&old))).await.refused(404, "NOT_FOUND");
    let at_once = json!({ "overlapSeconds": 0 });
    test.clock.advance(TimeDelta::seconds(1));
    let new = admin.post(&format!("{keys}/{}/rotate", id(&old)), &at_once).await;
    client(&test, &new, 403).await;
    client(&test, &old, 401).await;
    let list = admin.get(&keys).await;
    assert_eq!(
        (&list.body["meta"]["total"], &list.data()["apiKeys"][1]["id"]),
        (&json!(2), &json!(id(&new)))
    );
    assert_eq!(listed(&test).await, [] as [Value; 0], "an integration it is not");
}

#[tokio::test]
async fn the_last_use_is_kept_to_the_minute_wherever_it_was() {
    let test = TestApi::start().await;
    let last_used = async || listed(&test).await[0]["lastUsedAt"].clone();
    let issued = test.admin().post(KEYS, &json!({ "name": "Reports", "scopes": ["people:read"] })).await;
    assert_eq!(last_used().await, Value::Null);
    test.clock.advance(TimeDelta::seconds(90));
    client(&test, &issued, 200).await;
    super::note_own_uses(&test.api).await.unwrap();
    let minute = test.clock.now().with_second(0).unwrap();
    assert_eq!(last_used().await, json!(minute));

    // As `ingest` tells it: what is later counts, what is earlier does not, and an unknown key harms nobody.
    let key_id: ApiKeyId = id(&issued).parse().unwrap();
    let unknown = ApiKey::generate(test.api.entropy()).key_id;
    let told = async |used_at| {
        let uses = vec![KeyUse { key_id, used_at }, KeyUse { key_id: unknown, used_at }];
        let id = test.api.entropy().uuid_v4();
        let message = Message::json(subject::request(RequestKind::KeyUses), id, &KeyUses { uses }).unwrap();
        test.bus.publish(message).await.unwrap();
    };
    told(minute - TimeDelta::minutes(5)).await;
    told(minute + TimeDelta::minutes(5)).await;
    eventually("the later use is written", SOON, || async {
        (last_used().await == json!(minute + TimeDelta::minutes(5))).then_some(())
    })
    .await;
}
