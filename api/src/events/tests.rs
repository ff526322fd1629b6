use super::{live_event::Filter, watcher::Watcher};
use crate::{
    ApiConfig,
    extract::Caller,
    testing::{SOON, TestApi},
};
use bytes::Bytes;
use chrono::TimeDelta;
use futures::{Stream, StreamExt, future::join_all};
use http::{HeaderMap, HeaderValue};
use rollcall_schemas::{
    fact::{AttendanceStatus, Evidence, Fact, FactEvent, Resolution, Scope},
    id::{AttendanceId, CameraId, ClassId, FactId, ReviewId, SessionId, SightingId, UserId},
    role::Role,
    subject::Stream as LogStream,
};
use rollcall_service::auth::User;
use rollcall_test_support::Events;
use std::{convert::Infallible, num::NonZeroU32};
use uuid::Uuid;

const PATH: &str = "/api/v1/events";

fn fact(test: &TestApi, number: u128, scope: Scope, event: FactEvent) -> Fact {
    Fact { fact_id: FactId(Uuid::from_u128(number)), at: test.clock.now(), scope, event }
}

fn of_class(class: ClassId, session: SessionId) -> Scope {
    Scope { session_id: Some(session), class_id: Some(class), camera_id: None }
}

fn recorded(test: &TestApi, number: u128, student: UserId) -> Fact {
    let session = test.school.session;
    let event = FactEvent::AttendanceRecorded {
        attendance_id: AttendanceId::of(session, student),
        student_id: student,
        status: AttendanceStatus::Present,
        marked_at: test.clock.now(),
        evidence: Evidence::Qr,
        similarity: None,
    };
    fact(test, number, of_class(test.school.class, session), event)
}

fn started(test: &TestApi, number: u128, class: ClassId) -> Fact {
    let session = SessionId(Uuid::from_u128(number));
    fact(test, number, of_class(class, session), FactEvent::SessionStarted { started_at: test.clock.now() })
}

fn seen(test: &TestApi, number: u128, camera: CameraId) -> Fact {
    let scope = Scope { camera_id: Some(camera), ..Scope::default() };
    let sighting_id = SightingId(Uuid::from_u128(number));
    fact(test, number, scope, FactEvent::StrangerSeen { sighting_id, face_index: 0 })
}

fn answered(test: &TestApi, number: u128, class: ClassId) -> Fact {
    let event = FactEvent::ReviewResolved {
        review_id: ReviewId(Uuid::from_u128(number)),
        student_id: test.school.student,
        resolution: Resolution::Rejected,
        resolved_by: test.school.teacher,
        reassigned_to: None,
    };
    fact(test, number, of_class(class, test.school.session), event)
}

/// The ids of the next `count` events.
async fn ids(events: &mut Events, count: usize) -> Vec<u64> {
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        let event = events.next(SOON).await.expect("the stream goes on");
        ids.push(event.id.expect("every event has its cursor").parse().unwrap());
    }
    ids
}

#[tokio::test]
async fn an_event_is_the_fact_as_it_is_in_the_log() {
    let test = TestApi::start().await;
    let mut events = test.admin().events(PATH, None).await;
    let fact = started(&test, 1, test.school.class);
    let sequence = test.tell(&fact).await;
    let event = events.next(SOON).await.unwrap();
    assert_eq!(event.event.as_deref(), Some("session.started"));
    assert_eq!(event.id, Some(sequence.to_string()));
    assert_eq!(event.json(), serde_json::to_value(&fact).unwrap());
}

#[tokio::test]
async fn everybody_sees_what_is_theirs() {
    let test = TestApi::start().await;
    let school = &test.school;
    let facts = [
        recorded(&test, 1, school.student),
        recorded(&test, 2, school.other_student),
        started(&test, 3, school.class),
        started(&test, 4, school.other_class),
        seen(&test, 5, CameraId(Uuid::nil())),
        answered(&test, 6, school.class),
    ];
    let mut sequences = Vec::new();
    for fact in &facts {
        sequences.push(test.tell(fact).await);
    }
    // Each reads up to a fact that is theirs to see, so that what they must not see has had its chance.
    let watch = async |user, role, last: Fact, expected: &[usize]| {
        let mut events = test.client_of(user, role).events(PATH, Some(&(sequences[0] - 1).to_string())).await;
        let end = test.tell(&last).await;
        let mut got = ids(&mut events, 1).await;
        while got.last() != Some(&end) {
            got.extend(ids(&mut events, 1).await);
        }
        got.retain(|id| sequences.contains(id));
        let expected: Vec<u64> = expected.iter().map(|index| sequences[*index]).collect();
        assert_eq!(got, expected, "{role} {user}");
    };
    let (student, other_student) = (school.student, school.other_student);
    watch(student, Role::Student, recorded(&test, 11, student), &[0, 2]).await;
    watch(other_student, Role::Student, recorded(&test, 12, other_student), &[1, 3]).await;
    watch(school.teacher, Role::Teacher, started(&test, 13, school.class), &[0, 1, 2, 5]).await;
    watch(school.other_teacher, Role::Teacher, started(&test, 14, school.other_class), &[3]).await;
    watch(school.operator, Role::Operator, started(&test, 15, school.class), &[0, 1, 2, 3, 4, 5]).await;
}

#[tokio::test]
async fn filters_select_and_unknown_types_are_named() {
    let test = TestApi::start().await;
    let (class, camera) = (test.school.class, CameraId(Uuid::from_u128(77)));
    let admin = test.admin();
    let mut by_session = admin.events(&format!("{PATH}?session={}", test.school.session), None).await;
    let mut by_class = admin.events(&format!("{PATH}?class={class}"), None).await;
    let mut by_camera = admin.events(&format!("{PATH}?camera={camera}"), None).await;
    let mut by_type = admin.events(&format!("{PATH}?type=session.started&type=stranger.seen"), None).await;
    let other = test.tell(&started(&test, 2, test.school.other_class)).await;
    let record = test.tell(&recorded(&test, 1, test.school.student)).await;
    let session = test.tell(&started(&test, 3, class)).await;
    let stranger = test.tell(&seen(&test, 4, camera)).await;
    let began = FactEvent::SessionStarted { started_at: test.clock.now() };
    let own = test.tell(&fact(&test, 5, of_class(class, test.school.session), began)).await;
    assert_eq!(ids(&mut by_session, 2).await, [record, own]);
    assert_eq!(ids(&mut by_class, 3).await, [record, session, own]);
    assert_eq!(ids(&mut by_camera, 1).await, [stranger]);
    assert_eq!(ids(&mut by_type, 4).await, [other, session, stranger, own]);
    // A stream of what is not there, or not theirs, would be silent for ever.
    admin.get(&format!("{PATH}?session={}", Uuid::nil())).await.refused(404, "NOT_FOUND");
    let foreign = format!("{PATH}?class={}", test.school.other_class);
    for client in [test.teacher(), test.student()] {
        client.get(&foreign).await.refused(403, "AUTH_UNAUTHORIZED");
    }
    let answer = admin.get(&format!("{PATH}?type=nonsense")).await;
    let message = answer.refused(422, "VALIDATION_FAILED")["fields"][0]["message"].to_string();
    assert!(message.contains("nonsense") && message.contains("attendance.recorded"), "{message}");
    let bad = admin.with_header(http::HeaderName::from_static("last-event-id"), "x").get(PATH).await;
    bad.refused(422, "VALIDATION_FAILED");
}

/// Watchers that come at any time, with any cursor, while facts are being told: each gets every fact after its cursor,
/// once, in order.
#[tokio::test]
async fn resuming_loses_and_repeats_nothing() {
    const FACTS: u64 = 600;
    let test = TestApi::start().await;
    let before = test.bus.stream(LogStream::Facts).await.unwrap().last_sequence;
    let telling = async {
        for number in 0..FACTS {
            test.tell(&seen(&test, u128::from(number), CameraId(Uuid::nil()))).await;
        }
    };
    let watching = (0..20u64).map(|watcher| {
        let client = test.admin();
        async move {
            // Two at the beginning of the log, the others further on, in front of the head or behind it.
            let cursor = before + watcher / 2 * 20;
            let mut got = Vec::new();
            let mut last = cursor;
            // Each comes back several times with the last id it saw.
            while last < before + FACTS {
                let query = format!("{PATH}?lastEventId={last}");
                let mut events = client.events(&query, None).await;
                for _ in 0..(40 + watcher * 7) {
                    if last == before + FACTS {
                        break;
                    }
                    let event = events.next(SOON).await.expect("the stream goes on");
                    if event.event.as_deref() == Some("reset") {
                        // Its cursor was in front of the log: it is told so, and begins anew.
                        got.clear();
                        last = event.id.unwrap().parse().unwrap();
                        continue;
                    }
                    last = event.id.unwrap().parse().unwrap();
                    got.push(last);
                }
            }
            let first = got[0];
            assert!(first == cursor + 1 || first == before + 1, "watcher {watcher} began with {first}");
            assert_eq!(got, (first..=before + FACTS).collect::<Vec<_>>(), "watcher {watcher}");
        }
    });
    tokio::join!(telling, join_all(watching));
}

#[tokio::test]
async fn a_cursor_that_the_log_has_forgotten_is_told_so() {
    let test = TestApi::start().await;
    for number in 0..5 {
        test.tell(&seen(&test, number, CameraId(Uuid::nil()))).await;
    }
    let last = test.bus.stream(LogStream::Facts).await.unwrap().last_sequence;
    test.bus.purge(LogStream::Facts, &LogStream::Facts.subjects()).await.unwrap();
    let mut events = test.admin().events(PATH, Some("1")).await;
    let reset = events.next(SOON).await.unwrap();
    assert_eq!((reset.event.as_deref(), reset.id), (Some("reset"), Some(last.to_string())));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&reset.data).unwrap()["reason"], "expired");
    let next = test.tell(&seen(&test, 100, CameraId(Uuid::nil()))).await;
    assert_eq!(ids(&mut events, 1).await, [next]);
}

async fn watch(test: &TestApi, after: Option<u64>) -> impl Stream<Item = Result<Bytes, Infallible>> + Unpin {
    let (user_id, role) = (test.school.admin, Role::Admin);
    let (token, claims) = test.api.signer().issue(user_id, "admin@school.example", role);
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
    let caller = Caller::User(User { user_id, role, email: String::new(), sign_in_id: claims.sid });
    let watcher = Watcher::open(&test.api, caller, headers, Filter::default(), after).await.unwrap();
    Box::pin(watcher.into_stream())
}

fn id_of(bytes: &Bytes) -> Option<u64> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.contains("\ndata: ")
        .then(|| text.strip_prefix("id: ").unwrap().split('\n').next().unwrap().parse().unwrap())
}

/// More happens than is kept for slow watchers; one that reads nothing meanwhile still gets all of it.
#[tokio::test]
async fn a_slow_watcher_falls_back_to_the_log() {
    const FACTS: u64 = 5_000;
    let test = TestApi::start().await;
    let mut slow = watch(&test, None).await;
    let mut quick = watch(&test, None).await;
    let telling = futures::stream::iter(0..FACTS)
        .map(|number| {
            let fact = seen(&test, u128::from(number), CameraId(Uuid::nil()));
            let test = &test;
            async move { test.tell(&fact).await }
        })
        .buffer_unordered(64)
        .count();
    let reading = read(&mut quick, FACTS);
    let (_, quick) = tokio::join!(telling, reading);
    let slow = read(&mut slow, FACTS).await;
    assert_eq!(slow.len() as u64, FACTS);
    assert!(slow.windows(2).all(|pair| pair[0] < pair[1]), "in order, none twice");
    assert_eq!(slow, quick);
}

async fn read(stream: &mut (impl Stream<Item = Result<Bytes, Infallible>> + Unpin), count: u64) -> Vec<u64> {
    let mut ids = Vec::new();
    while (ids.len() as u64) < count {
        let next = tokio::time::timeout(SOON, stream.next()).await.expect("an event in time");
        let Ok(bytes) = next.expect("the stream goes on");
        ids.extend(id_of(&bytes));
    }
    ids
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let test = TestApi::start_with(ApiConfig { keep_alive_s: 1, ..ApiConfig::default() }).await;
    let mut events = test.admin().events(PATH, None).await;
    let sequence = test.tell(&seen(&test, 1, CameraId(Uuid::nil()))).await;
    assert_eq!(ids(&mut events, 1).await, [sequence]);
    test.clock.advance(TimeDelta::hours(25));
    assert_eq!(events.next(SOON).await, None);
}

#[tokio::test]
async fn streams_end_when_the_process_does() {
    let test = TestApi::start().await;
    let mut events = test.admin().events(PATH, None).await;
    test.lifecycle.stop(SOON).await.unwrap();
    assert_eq!(events.next(SOON).await, None);
}

#[tokio::test]
async fn many_watchers_share_one_reader() {
    let watchers_per_user = NonZeroU32::new(200).unwrap();
    let test = TestApi::start_with(ApiConfig { watchers_per_user, ..ApiConfig::default() }).await;
    let client = test.admin();
    let mut watchers = join_all((0..200).map(|_| client.events(PATH, None))).await;
    let sequence = test.tell(&seen(&test, 1, CameraId(Uuid::nil()))).await;
    for events in &mut watchers {
        assert_eq!(ids(events, 1).await, [sequence]);
    }
}
