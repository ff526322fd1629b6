use crate::testing::TestApi;
use chrono::TimeDelta;
use http::HeaderName;
use rollcall_test_support::{Answer, Client};
use serde_json::{Value, json};

const CAMERAS: &str = "/api/v1/cameras";

fn keyed(client: &Client, key: &str) -> Client {
    client.with_header(HeaderName::from_static("idempotency-key"), key)
}

fn is_replayed(answer: &Answer) -> bool {
    answer.headers.contains_key("idempotency-replayed")
}

async fn count(client: &Client) -> Value {
    client.get(CAMERAS).await.body["meta"]["total"].clone()
}

#[tokio::test]
async fn a_repeated_call_has_its_effect_once_and_the_same_answer() {
    let test = TestApi::start().await;
    let operator = keyed(&test.operator(), "door");
    let door = json!({ "name": "Door" });
    let first = operator.post(CAMERAS, &door).await;
    test.clock.advance(TimeDelta::hours(23));
    let operator = keyed(&test.operator(), "door");
    let again = operator.post(CAMERAS, &door).await;
    assert_eq!((again.status.as_u16(), again.code()), (201, "CAMERA_CREATED"));
    assert_eq!((again.data(), &again.body["meta"]), (first.data(), &first.body["meta"]));
    assert!(is_replayed(&again) && !is_replayed(&first));
    assert_eq!(count(&operator).await, 1);

    // Another caller's key of the same name is another key; without a key it is another call.
    keyed(&test.admin(), "door").post(CAMERAS, &door).await.refused(409, "CONFLICT");
    test.operator().post(CAMERAS, &door).await.refused(409, "CONFLICT");
    // On another route, too.
    let teacher = json!({ "email": "t9@school.example", "fullName": "T", "role": "teacher" });
    assert!(!is_replayed(&operator.post("/api/v1/users", &teacher).await));

    test.clock.advance(TimeDelta::hours(1) + TimeDelta::seconds(1));
    assert_eq!(super::purge(&test.api).await.unwrap(), 1, "kept for a day");
    keyed(&test.operator(), "door").post(CAMERAS, &door).await.refused(409, "CONFLICT");
}

#[tokio::test]
async fn a_key_stands_for_one_content() {
    let test = TestApi::start().await;
    let operator = keyed(&test.operator(), "key");
    operator.post(CAMERAS, &json!({ "name": "Door" })).await.data();
    operator.post(CAMERAS, &json!({ "name": "Yard" })).await.refused(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(count(&operator).await, 1);
    let empty = test.operator().with_header(HeaderName::from_static("idempotency-key"), "");
    empty.post(CAMERAS, &json!({ "name": "Yard" })).await.refused(400, "INVALID_INPUT");
}

#[tokio::test]
async fn what_was_refused_may_be_tried_again() {
    let test = TestApi::start().await;
    let operator = keyed(&test.operator(), "key");
    let class = json!({ "studentId": test.school.other_student });
    let path = format!("/api/v1/classes/{}/students", test.school.class);
    let close = |is_active: bool| json!({ "isActive": is_active });
    let class_path = format!("/api/v1/classes/{}", test.school.class);
    test.admin().put(&class_path, &close(false)).await.data();
    operator.post(&path, &class).await.refused(409, "CONFLICT");
    test.admin().put(&class_path, &close(true)).await.data();
    let answer = operator.post(&path, &class).await;
    assert_eq!((answer.code(), is_replayed(&answer)), ("STUDENT_ENROLLED", false));
}

#[tokio::test]
async fn of_many_at_once_one_is_carried_out() {
    let test = TestApi::start().await;
    let operator = keyed(&test.operator(), "key");
    let door = json!({ "name": "Door" });
    let answers = futures::future::join_all((0..10).map(|_| operator.post(CAMERAS, &door))).await;
    let carried_out =
        answers.iter().filter(|answer| answer.status.is_success() && !is_replayed(answer)).count();
    assert_eq!(carried_out, 1);
    for answer in answers.iter().filter(|answer| !answer.status.is_success()) {
        answer.refused(409, "CONFLICT");
        assert!(answer.headers.contains_key("retry-after"), "it is told when to come back");
    }
    assert!(is_replayed(&operator.post(CAMERAS, &door).await));
}

#[tokio::test]
async fn a_secret_is_not_kept_and_not_shown_again() {
    let test = TestApi::start().await;
    let admin = keyed(&test.admin(), "key");
    let new = json!({ "name": "Reports", "scopes": ["people:read"] });
    let issued = admin.post("/api/v1/api-keys", &new).await;
    let again = admin.post("/api/v1/api-keys", &new).await;
    again.refused(409, "CONFLICT");
    let secret = issued.data()["apiKey"].as_str().unwrap().rsplit('_').next().unwrap();
    assert!(!again.body.to_string().contains(secret));
    assert_eq!(admin.get("/api/v1/api-keys").await.body["meta"]["total"], 1);
}
