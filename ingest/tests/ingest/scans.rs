//! Scans: what gets into SCANS, and what becomes of the answer. The attendance worker is played by the test.

use crate::world::*;
use futures::StreamExt;
use http::{HeaderName, Method};
use rollcall_bus::{Bus, Message, TailStart};
use rollcall_ingest::IngestConfig;
use rollcall_schemas::{
    code::Code,
    fact::{AttendanceStatus, Evidence},
    id::{AttendanceId, ClassId, DeviceId, RequestId, ScanId, SessionId, UserId},
    outcome::{Answer, AttendanceAnswer, Outcome, OutcomeResult, Refusal},
    role::Role,
    scan::{Position, QrToken, Scan},
    subject::{self, Stream},
};
use rollcall_test_support::{Client, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

const MARK: &str = "/api/v1/attendance/mark";
const TOKEN: Uuid = Uuid::from_u128(0x70ce);

fn keyed(client: &Client, key: &str) -> Client {
    client.with_header(HeaderName::from_static("idempotency-key"), key)
}

async fn scans(bus: &Bus) -> Vec<Scan> {
    let last = bus.stream(Stream::Scans).await.unwrap().last_sequence;
    let mut scans = Vec::new();
    for sequence in 1..=last {
        let stored = bus.get(Stream::Scans, sequence).await.unwrap().unwrap();
        scans.push(serde_json::from_slice(&stored.payload).unwrap());
    }
    scans
}

fn recorded(scan: &Scan) -> OutcomeResult {
    let answer = Answer::Attendance(AttendanceAnswer {
        attendance_id: AttendanceId(Uuid::from_u128(1)),
        session_id: SessionId(Uuid::from_u128(2)),
        class_id: ClassId(Uuid::from_u128(3)),
        student_id: scan.student_id,
        status: AttendanceStatus::Present,
        marked_at: scan.scanned_at,
        evidence: Evidence::Qr,
    });
    OutcomeResult::Succeeded { answer }
}

async fn answer(bus: &Bus, scan: &Scan, result: OutcomeResult) {
    let outcome =
        Outcome { request_id: scan.request_id, caller: scan.student_id, decided_at: scan.scanned_at, result };
    let message = Message::json(subject::outcome(scan.request_id), scan.request_id, &outcome).unwrap();
    bus.publish(message).await.unwrap();
}

/// Answers every scan with what `decide` says.
async fn worker(bus: &Bus, decide: impl Fn(&Scan) -> OutcomeResult + Send + Sync + 'static) {
    let mut incoming = bus.tail(Stream::Scans, TailStart::New, None).await.unwrap();
    let bus = bus.clone();
    tokio::spawn(async move {
        while let Some(delivery) = incoming.next().await {
            let scan: Scan = serde_json::from_slice(&delivery.payload).unwrap();
            answer(&bus, &scan, decide(&scan)).await;
        }
    });
}

#[tokio::test]
async fn a_scan_is_stored_with_what_is_known_and_answered_with_its_record() {
    let world = World::start().await;
    worker(&world.bus, recorded).await;
    let student = world
        .user(Role::Student)
        .with_header(http::header::USER_AGENT, &"phone ".repeat(100))
        // A phone whose clock is years off scans like any other.
        .with_header(http::header::DATE, "Thu, 01 Jan 1970 00:00:00 GMT")
        // From nobody we trust.
        .with_header(HeaderName::from_static("x-forwarded-for"), "203.0.113.9");
    let position = json!({ "latitude": 51.5, "longitude": -0.1, "accuracyM": 8.0 });
    let marked = student.post(MARK, &json!({ "qrToken": TOKEN, "position": position })).await;
    assert_eq!((marked.status.as_u16(), marked.code()), (200, "OK"), "{}", marked.body);
    assert_eq!(marked.data()["attendance"]["status"], "present");
    assert_eq!(marked.data()["attendance"]["studentId"], json!(STUDENT));
    assert!(marked.data()["message"].is_string());

    let [scan] = scans(&world.bus).await.try_into().unwrap();
    assert_eq!(scan.scan_id, ScanId::of(scan.request_id));
    assert_eq!((scan.student_id, scan.token), (STUDENT, QrToken(TOKEN)));
    assert_eq!(scan.scanned_at, world.clock.now());
    assert_eq!(scan.ip, Some("127.0.0.1".parse().unwrap()));
    assert_eq!(scan.user_agent.map(|agent| agent.len()), Some(256));
    let expected = Position { latitude: 51.5, longitude: -0.1, accuracy_m: Some(8.0) };
    assert_eq!(scan.position, Some(expected));
}

#[tokio::test]
async fn a_device_is_known_by_what_it_says_or_by_the_cookie_of_its_first_scan() {
    let world = World::start().await;
    worker(&world.bus, recorded).await;
    let student = world.user(Role::Student);
    let scan = json!({ "qrToken": TOKEN });
    let first = student.post(MARK, &scan).await;
    let cookie = first.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let again = student.with_header(http::header::COOKIE, &cookie).post(MARK, &scan).await;
    assert!(!again.headers.contains_key("set-cookie"), "it has one");
    let named = student.post(MARK, &json!({ "qrToken": TOKEN, "deviceId": "phone 7" })).await;
    assert!(!named.headers.contains_key("set-cookie"), "it needs none");
    let [first, again, named] = scans(&world.bus).await.try_into().unwrap();
    assert_eq!(first.device_id, again.device_id);
    assert_eq!(named.device_id, Some(DeviceId::of("phone 7")));
    assert_ne!(first.device_id, named.device_id);
    let nameless = student.post(MARK, &json!({ "qrToken": TOKEN, "deviceId": "" })).await;
    assert_eq!(nameless.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], "deviceId");
}

#[tokio::test]
async fn refusals_keep_their_names_and_their_status() {
    let refusals = [
        (Code::AlreadyMarkedAttendance, 409),
        (Code::NotEnrolled, 403),
        (Code::QrTokenExpired, 410),
        (Code::QrTokenInvalid, 404),
        (Code::SessionNotActive, 409),
    ];
    let world = World::start().await;
    worker(&world.bus, move |scan| {
        let (code, _) = refusals[scan.token.0.as_u128() as usize];
        OutcomeResult::Failed(Refusal {
            code,
            message: "because".into(),
            details: json!({ "why": "because" }),
        })
    })
    .await;
    let student = world.user(Role::Student);
    for (number, (code, status)) in refusals.into_iter().enumerate() {
        let token = Uuid::from_u128(number as u128);
        let refused = student.post(MARK, &json!({ "qrToken": token })).await;
        assert_eq!(refused.refused(status, code.as_str())["why"], "because");
    }
}

#[tokio::test]
async fn a_retry_with_its_key_is_the_same_scan_with_the_same_answer() {
    let world = World::start().await;
    worker(&world.bus, recorded).await;
    let student = keyed(&world.user(Role::Student), "tap-1");
    let first = student.post(MARK, &json!({ "qrToken": TOKEN })).await;
    let again = student.post(MARK, &json!({ "qrToken": TOKEN })).await;
    assert_eq!(first.data(), again.data());
    let [scan] = scans(&world.bus).await.try_into().unwrap();
    assert_eq!(scan.request_id, RequestId::of_scan(STUDENT, "tap-1", QrToken(TOKEN)));

    keyed(&world.user(Role::Student), "tap-2").post(MARK, &json!({ "qrToken": TOKEN })).await.data();
    world.user(Role::Student).post(MARK, &json!({ "qrToken": TOKEN })).await.data();
    assert_eq!(scans(&world.bus).await.len(), 3);
    let long = keyed(&world.user(Role::Student), &"x".repeat(256));
    long.post(MARK, &json!({ "qrToken": TOKEN })).await.refused(422, "VALIDATION_FAILED");
}

#[tokio::test]
async fn the_same_key_with_a_fresh_code_is_decided_anew() {
    let world = World::start().await;
    let fresh = Uuid::from_u128(0xf5e5);
    worker(&world.bus, move |scan| {
        if scan.token.0 == fresh {
            return recorded(scan);
        }
        let (code, message) = (Code::QrTokenExpired, "it was replaced".into());
        OutcomeResult::Failed(Refusal { code, message, details: Value::Null })
    })
    .await;
    let student = keyed(&world.user(Role::Student), "tap");
    student.post(MARK, &json!({ "qrToken": TOKEN })).await.refused(410, "QR_TOKEN_EXPIRED");
    let marked = student.post(MARK, &json!({ "qrToken": fresh })).await;
    assert_eq!(marked.status, 200, "{}", marked.body);
    assert_eq!(scans(&world.bus).await.len(), 2);
    // Where the phone is now makes it no other scan.
    let moved = json!({ "qrToken": fresh, "position": { "latitude": 1.0, "longitude": 1.0 } });
    assert_eq!(student.post(MARK, &moved).await.data(), marked.data());
    assert_eq!(scans(&world.bus).await.len(), 2);
}

#[tokio::test]
async fn a_student_who_scans_too_often_is_told_when_to_come_back() {
    /// Far more than a student could scan before the test gives up.
    const MANY: u128 = 100;
    let world = World::start().await;
    worker(&world.bus, recorded).await;
    let student = world.user(Role::Student);
    let mut accepted = 0;
    let mut limited = None;
    for number in 0..MANY {
        let answer = student.post(MARK, &json!({ "qrToken": Uuid::from_u128(number) })).await;
        match answer.status.as_u16() {
            200 => accepted += 1,
            _ => {
                limited = Some(answer);
                break;
            }
        }
    }
    let limited = limited.expect("the limit is met");
    limited.refused(429, "RATE_LIMITED");
    let header = |name: &str| limited.headers[name].to_str().unwrap().parse::<u64>().unwrap();
    assert_eq!((header("ratelimit-limit"), header("ratelimit-remaining")), (SCAN_BURST, 0));
    assert!(header("retry-after") >= 1 && header("ratelimit-reset") >= 1);
    assert_eq!(world.last_sequence(Stream::Scans).await, accepted);

    let other = world.user_of(UserId(Uuid::from_u128(0x52)), Role::Student);
    let answer = other.post(MARK, &json!({ "qrToken": TOKEN })).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["ratelimit-remaining"]),
        (200, &(SCAN_BURST - 1).to_string().parse().unwrap())
    );
}

#[tokio::test]
async fn a_scan_nobody_decides_yet_is_kept_and_the_caller_told_where_to_look() {
    let config = IngestConfig { scan_deadline_ms: 20, ..IngestConfig::default() };
    let world = World::with(config).await;
    let student = world.user(Role::Student);
    let pending = keyed(&student, "tap").post(MARK, &json!({ "qrToken": TOKEN })).await;
    assert_eq!((pending.status.as_u16(), pending.code()), (202, "SCAN_ACCEPTED"));
    let request_id = RequestId::of_scan(STUDENT, "tap", QrToken(TOKEN));
    assert_eq!(pending.data()["requestId"], json!(request_id));
    let status_url = format!("/api/v1/requests/{request_id}");
    assert_eq!(pending.data()["statusUrl"], json!(status_url));
    assert_eq!(pending.headers["location"], status_url);

    // It is decided later, and the retry reads the stored outcome.
    let [scan] = scans(&world.bus).await.try_into().unwrap();
    answer(&world.bus, &scan, recorded(&scan)).await;
    let marked = keyed(&student, "tap").post(MARK, &json!({ "qrToken": TOKEN })).await;
    assert_eq!(marked.status, 200, "{}", marked.body);
    assert_eq!(scans(&world.bus).await.len(), 1);
}

#[tokio::test]
async fn with_nobody_deciding_for_a_while_scans_are_kept_and_nobody_waits() {
    /// More silent scans than the circuit needs to open.
    const SILENT: usize = 10;
    let metrics = rollcall_service::telemetry::metrics();
    let config = IngestConfig { scan_deadline_ms: 20, ..IngestConfig::default() };
    let world = World::with(config).await;
    let student = world.user(Role::Student);
    for _ in 0..SILENT {
        assert_eq!(student.post(MARK, &json!({ "qrToken": TOKEN })).await.status, 202);
    }
    assert!(metrics.render().contains(r#"result="circuit_open""#), "the last of them did not wait");
    assert_eq!(scans(&world.bus).await.len(), SILENT);
    worker(&world.bus, recorded).await;
    eventually("answers again", SOON, async || {
        (student.post(MARK, &json!({ "qrToken": TOKEN })).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn bad_scans_are_refused_and_not_stored() {
    let world = World::start().await;
    let student = world.user(Role::Student);
    let at = |latitude: f64, longitude: f64, accuracy: f64| {
        let position = json!({ "latitude": latitude, "longitude": longitude, "accuracyM": accuracy });
        json!({ "qrToken": TOKEN, "position": position })
    };
    let cases: [(Value, u16, &str, &str); 10] = [
        (json!({}), 400, "MISSING_REQUIRED_FIELD", "qrToken"),
        (json!({ "qrToken": 7 }), 422, "VALIDATION_FAILED", "qrToken"),
        (json!({ "qrToken": "https://example.org" }), 404, "QR_TOKEN_INVALID", "qrToken"),
        (json!({ "qrToken": "" }), 404, "QR_TOKEN_INVALID", "qrToken"),
        (json!({ "qrToken": TOKEN, "studentId": STUDENT }), 422, "VALIDATION_FAILED", "studentId"),
        (json!({ "qrToken": TOKEN, "position": {} }), 400, "MISSING_REQUIRED_FIELD", "position.latitude"),
        (json!({ "qrToken": TOKEN, "position": "here" }), 422, "VALIDATION_FAILED", "position"),
        (at(90.1, 0.0, 1.0), 422, "VALIDATION_FAILED", "position.latitude"),
        (at(0.0, -180.1, 1.0), 422, "VALIDATION_FAILED", "position.longitude"),
        (at(0.0, 0.0, -1.0), 422, "VALIDATION_FAILED", "position.accuracyM"),
    ];
    for (body, status, code, field) in cases {
        let answer = student.post(MARK, &body).await;
        assert_eq!(answer.refused(status, code)["fields"][0]["field"], field, "{body}");
    }
    let text = student.send(Method::POST, MARK, Some(("text/plain", b"{}".to_vec()))).await;
    text.refused(415, "UNSUPPORTED_MEDIA_TYPE");
    let garbled = student.send(Method::POST, MARK, Some(("application/json", b"{".to_vec()))).await;
    garbled.refused(400, "INVALID_INPUT");
    let large = json!({ "qrToken": "x".repeat(2_000_000) });
    student.post(MARK, &large).await.refused(413, "PAYLOAD_TOO_LARGE");

    let scan = json!({ "qrToken": TOKEN });
    world.client().post(MARK, &scan).await.refused(401, "AUTH_UNAUTHORIZED");
    world.client().with_token("x").post(MARK, &scan).await.refused(401, "AUTH_TOKEN_INVALID");
    world.camera().post(MARK, &scan).await.refused(403, "AUTH_UNAUTHORIZED");
    for role in [Role::Teacher, Role::Operator, Role::Admin] {
        world.user(role).post(MARK, &scan).await.refused(403, "AUTH_UNAUTHORIZED");
    }
    // Who may not scan does not learn what is wrong with the scan either.
    world.client().post(MARK, &json!({})).await.refused(401, "AUTH_UNAUTHORIZED");
    assert_eq!(world.last_sequence(Stream::Scans).await, 0);
}
