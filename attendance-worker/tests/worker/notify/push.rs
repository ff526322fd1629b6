//! What a relay of push notifications gets.

use super::receiver::Receiver;
use crate::harness::{SOON, School, at};
use anyhow::Result;
use axum::http::StatusCode;
use rollcall_attendance_worker::{NotifyConfig, PushConfig};
use rollcall_schemas::{
    fact::AttendanceStatus,
    notification::{Channel, Preferences, QuietHours, Topic},
    request::{AttendanceCommand, StudentRef, Word},
};
use rollcall_service::config::Secret;
use serde_json::json;

fn push_to(relay: &Receiver) -> NotifyConfig {
    let push = PushConfig {
        url: format!("http://{}/hook", relay.address),
        token: Secret::new("a-token-of-the-test"),
        ..PushConfig::default()
    };
    NotifyConfig { push, ..NotifyConfig::default() }
}

#[tokio::test]
async fn what_failed_is_not_tried_again_in_quiet_hours() -> Result<()> {
    let school = School::open(1).await?;
    let relay = Receiver::start([StatusCode::INTERNAL_SERVER_ERROR]).await?;
    let channels = [(Topic::Absent, [Channel::Push].into())].into();
    let quiet = QuietHours { from: "11:00".parse()?, to: "16:00".parse()? };
    school.wish(&Preferences { channels, quiet_hours: Some(quiet), ..Preferences::default() }).await?;
    school.clock.set(at(2 * 3_600 - 1));
    let worker = school.notify(push_to(&relay));
    school.missed_lesson_from(6_000).await?;
    let delivery = school.told(school.students[0], "waiting", 1).await;
    assert_eq!(delivery.due_at, at(7 * 3_600), "not five seconds later");
    school.clock.set(at(7 * 3_600));
    school.told(school.students[0], "delivered", 2).await;
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn an_old_record_that_a_person_changes_is_news() -> Result<()> {
    let school = School::open(1).await?;
    let relay = Receiver::start([]).await?;
    let channels = [Topic::Absent, Topic::Corrected].map(|topic| (topic, [Channel::Push].into()));
    school.wish(&Preferences { channels: channels.into(), ..Preferences::default() }).await?;
    let worker = school.notify(push_to(&relay));
    let session_id = school.lesson().await?;
    let token = school.token(session_id, 10).await?;
    school.scan(school.students[0], token, 10).await?.expect("a good code");
    school.end(session_id, 3_600).await?;

    // Six days later it comes out that somebody else scanned, and on the day after, why the student was away.
    let say = async |days: i64, status| -> Result<()> {
        let student = StudentRef::Id(school.students[0]);
        let word = Word { student, status, marked_at: None, reason: Some("her sister".into()) };
        school.clock.set(at(days * 86_400));
        school.say(days * 86_400, AttendanceCommand::Mark { session_id, words: vec![word] }).await?;
        Ok(())
    };
    say(6, AttendanceStatus::Absent).await?;
    relay.after(1).await;
    say(7, AttendanceStatus::Excused).await?;
    let arrived = relay.after(2).await;
    let titles: Vec<_> = arrived.iter().map(|one| one.json()["title"].clone()).collect();
    assert_eq!(titles, ["Corrected: your attendance, Mathematics"; 2]);
    let at_all: Vec<_> =
        school.facts().await?.into_iter().filter(|it| it.event.name() == "attendance.corrected").collect();
    assert_eq!(at_all.iter().map(|fact| fact.at).collect::<Vec<_>>(), [at(6 * 86_400), at(7 * 86_400)]);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_relay_gets_what_somebody_wishes_on_their_devices() -> Result<()> {
    let school = School::open(1).await?;
    let relay = Receiver::start([]).await?;
    let channels = [(Topic::Absent, [Channel::Push, Channel::Email].into())].into();
    school.wish(&Preferences { channels, ..Preferences::default() }).await?;
    let worker = school.notify(push_to(&relay));
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
