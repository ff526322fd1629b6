use crate::testing::{SOON, TestApi};
use rollcall_schemas::feed::{AuthEntry, AuthFact, CameraEntry};
use rollcall_service::auth::ApiKey;
use rollcall_test_support::eventually;
use serde_json::json;

#[tokio::test]
async fn what_changes_about_a_camera_is_told() {
    let test = TestApi::start().await;
    let feed = test.bus.feed::<CameraEntry>(None, None, test.lifecycle.soft_stop());
    let told = async |id: &str, what: &str, is: fn(&CameraEntry) -> bool| {
        eventually(what, SOON, || async { feed.get(id).filter(|entry| is(entry)).map(drop) }).await;
    };
    let operator = test.operator();
    let created = operator.post("/api/v1/cameras", &json!({ "name": "Door", "maxFramesPerSecond": 5 })).await;
    insta::assert_json_snapshot!(created.body);
    let id = created.data()["camera"]["id"].as_str().unwrap().to_owned();
    told(&id, "a new camera", |entry| entry.enabled && entry.max_frames_per_second == 5 && !entry.deleted)
        .await;

    let path = format!("/api/v1/cameras/{id}");
    operator.put(&path, &json!({ "enabled": false })).await.data();
    told(&id, "a disabled camera", |entry| !entry.enabled && entry.revision == 2).await;
    operator.post("/api/v1/cameras", &json!({ "name": "Door" })).await.refused(409, "CONFLICT");

    assert_eq!(operator.delete(&path).await.code(), "CAMERA_DELETED");
    told(&id, "a deleted camera", |entry| entry.deleted).await;
    operator.get(&path).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_key_is_shown_once_and_told_as_its_hash() {
    let test = TestApi::start().await;
    let feed = test.bus.feed::<AuthEntry>(None, None, test.lifecycle.soft_stop());
    let admin = test.admin();
    let camera = admin.post("/api/v1/cameras", &json!({ "name": "Door" })).await;
    let path = format!("/api/v1/cameras/{}", camera.data()["camera"]["id"].as_str().unwrap());
    let created = admin.post(&format!("{path}/keys"), &json!({ "expiresAt": "2027-01-01T00:00:00Z" })).await;
    assert_eq!((created.status.as_u16(), created.code()), (201, "API_KEY_CREATED"));
    let key = ApiKey::parse(created.data()["apiKey"].as_str().unwrap()).expect("a key as cameras send it");
    let name = format!("api-key/{}", key.key_id);
    let told = async |wanted: bool| {
        eventually("the key in the feed", SOON, || async {
            match &feed.get(&name)?.fact {
                AuthFact::ApiKey { secret_sha256, revoked, .. } if *revoked == wanted => {
                    Some(secret_sha256.clone())
                }
                _ => None,
            }
        })
        .await
    };
    assert!(key.matches(&told(false).await));

    let read = admin.get(&path).await;
    assert_eq!(read.data()["keys"][0]["id"], json!(key.key_id));
    let secret = created.data()["apiKey"].as_str().unwrap();
    assert!(!read.body.to_string().contains(secret.rsplit('_').next().unwrap()), "the secret is shown again");
    let one = format!("{path}/keys/{}", key.key_id);
    assert_eq!(admin.delete(&one).await.code(), "API_KEY_REVOKED");
    told(true).await;
    admin.delete(&one).await.refused(404, "NOT_FOUND");
    let past = json!({ "expiresAt": "2020-01-01T00:00:00Z" });
    admin.post(&format!("{path}/keys"), &past).await.refused(422, "VALIDATION_FAILED");
}

#[tokio::test]
async fn deleting_a_camera_revokes_its_keys() {
    let test = TestApi::start().await;
    let (id, camera) = test.camera("Door").await;
    test.operator().delete(&format!("/api/v1/cameras/{id}")).await.data();
    eventually("the key is refused", SOON, || async {
        (camera.get("/api/v1/auth/me").await.status.as_u16() == 401).then_some(())
    })
    .await;
}
