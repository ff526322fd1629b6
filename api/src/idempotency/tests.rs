use crate::{extract::Caller, testing::TestApi};
use chrono::TimeDelta;
use http::HeaderName;
use rollcall_schemas::{id::SignInId, role::Role};
use rollcall_service::auth::User;
use rollcall_store::keyed_calls::{self, Begun};
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

/// What a process leaves that dies, before its effect is committed and after it.
#[tokio::test]
async fn a_process_that_dies_leaves_no_effect_to_be_repeated() {
    let test = TestApi::start().await;
    let operator = test.operator();
    let begin = async |key: &str, name: &str, is_carried_out: bool| {
        let body = json!({ "name": name }).to_string();
        let (parts, ()) = http::Request::post(CAMERAS).body(()).unwrap().into_parts();
        let user = User {
            user_id: test.school.operator,
            role: Role::Operator,
            email: String::new(),
            sign_in_id: SignInId(test.api.entropy().uuid_v4()),
        };
        let call = super::call_hash(&Caller::User(user), &parts, key);
        let content = super::content_hash(&parts, key, body.as_bytes());
        let now = test.clock.now();
        let mut db = test.api.connection().await.unwrap();
        let begun = keyed_calls::begin(&mut db, &call, &content, now, now).await.unwrap();
        assert_eq!(begun, Begun::First);
        assert!(!is_carried_out || keyed_calls::carry_out(&mut db, &call, now).await.unwrap());
    };
    begin("before", "Door", false).await;
    begin("after", "Yard", true).await;
    let again =
        async |key: &str, name: &str| keyed(&operator, key).post(CAMERAS, &json!({ "name": name })).await;
    for (key, name) in [("before", "Door"), ("after", "Yard")] {
        let answer = again(key, name).await;
        answer.refused(409, "CONFLICT");
        assert!(answer.headers.contains_key("retry-after"), "for all that is known it is under way");
    }
    test.clock.advance(TimeDelta::minutes(5) + TimeDelta::seconds(1));
    assert_eq!(again("before", "Door").await.code(), "CAMERA_CREATED");
    let lost = again("after", "Yard").await;
    lost.refused(409, "CONFLICT");
    assert!(!lost.headers.contains_key("retry-after"));
    assert_eq!(count(&operator).await, 1);
}

#[tokio::test]
async fn an_effect_is_committed_with_its_call_and_not_after_another_has_begun_it() {
    let test = TestApi::start().await;
    let (hash, begun_at) = ([7; 32], test.clock.now());
    let mut db = test.api.connection().await.unwrap();
    keyed_calls::begin(&mut db, &hash, &[1; 32], begun_at, begun_at).await.unwrap();
    let later = begun_at + TimeDelta::minutes(6);
    let commit = async |begun_at| {
        let tx = test.api.begin().await.unwrap();
        super::CALL.scope(super::KeyedCall { hash, begun_at }, test.api.commit(tx, vec![])).await
    };
    let begun = keyed_calls::begin(&mut db, &hash, &[1; 32], later, later).await.unwrap();
    assert_eq!(begun, Begun::First, "it counted as abandoned");
    assert!(commit(begun_at).await.is_err());
    assert!(commit(later).await.is_ok());
    let end = later + TimeDelta::minutes(6);
    let begun = keyed_calls::begin(&mut db, &hash, &[1; 32], end, end).await.unwrap();
    assert_eq!(begun, Begun::Unanswered);
    keyed_calls::give_up(&mut db, &hash).await.unwrap();
    let begun = keyed_calls::begin(&mut db, &hash, &[1; 32], end, end).await.unwrap();
    assert_eq!(begun, Begun::Unanswered, "what has had an effect is not given up");
}
