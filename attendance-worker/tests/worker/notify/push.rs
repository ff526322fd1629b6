//! What a relay of push notifications gets.

use super::receiver::Receiver;
use crate::harness::{SOON, School};
use anyhow::Result;
use rollcall_attendance_worker::{NotifyConfig, PushConfig};
use rollcall_schemas::notification::{Channel, Preferences, Topic};
use rollcall_service::config::Secret;
use serde_json::json;

#[tokio::test]
async fn a_relay_gets_what_somebody_wishes_on_their_devices() -> Result<()> {
    let school = School::open(1).await?;
    let relay = Receiver::start([]).await?;
    let channels = [(Topic::Absent, [Channel::Push, Channel::Email].into())].into();
    school.wish(&Preferences { channels, ..Preferences::default() }).await?;
    let push = PushConfig {
        url: format!("http://{}/hook", relay.address),
        token: Secret::new("a-token-of-the-test"),
        ..PushConfig::default()
    };
    let worker = school.notify(NotifyConfig { push, ..NotifyConfig::default() });
    school.missed_lesson().await?;
    let arrived = relay.after(1).await.remove(0);
    assert_eq!(arrived.header("authorization"), "Bearer a-token-of-the-test");
    let body = arrived.json();
    assert_eq!(
        (&body["to"], &body["title"]),
        (&json!(school.students[0]), &json!("Absent: you, Mathematics"))
    );
    assert!(body["message"].as_str().unwrap().starts_with("You were recorded as absent"), "{body}");
    Ok(worker.stop(SOON).await?)
}
