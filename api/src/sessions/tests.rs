//! Against the real attendance worker, which writes what is shown here.

use crate::{
    ApiConfig,
    testing::{SOON, TestApi},
};
use chrono::TimeDelta;
use rollcall_bus::Message;
use rollcall_schemas::{
    code::Code,
    id::{RequestId, ScanId},
    outcome::{self, OutcomeResult},
    role::Role,
    scan::{QrToken, Scan},
    subject,
};
use rollcall_service::clock::Entropy;
use rollcall_test_support::{Answer, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

/// A scan as ingest would publish it.
async fn scan(test: &TestApi, token: &Value) -> OutcomeResult {
    let request_id = RequestId(Entropy::real().uuid_v4());
    let scan = Scan {
        scan_id: ScanId::of(request_id),
        request_id,
        student_id: test.school.student,
        token: QrToken(token.as_str().unwrap().parse().unwrap()),
        scanned_at: test.clock.now(),
        ip: None,
        user_agent: None,
        position: None,
        device_id: None,
    };
    let question = Message::json(subject::scan_captured(), scan.scan_id, &scan).unwrap();
    test.bus.ask(question, request_id, SOON).await.unwrap().result
}

#[tokio::test]
async fn a_session_from_plan_to_records() {
    let test = TestApi::start().await;
    test.start_attendance_worker();
    let teacher = test.teacher();
    let new = json!({
        "classId": test.school.class,
        "startTime": "2026-03-02T09:30:00Z",
        "endTime": "2026-03-02T10:00:00Z",
        "allowOverlap": true,
    });
    let created = teacher.post("/api/v1/sessions", &new).await;
    assert_eq!((created.status.as_u16(), created.code()), (201, "SESSION_CREATED"));
    let session = &created.data()["session"];
    assert_eq!(
        (&session["status"], &session["startTime"]),
        (&json!("scheduled"), &json!("2026-03-02T09:30:00Z"))
    );
    let path = format!("/api/v1/sessions/{}", session["id"].as_str().unwrap());

    teacher.get(&format!("{path}/qr")).await.refused(409, "SESSION_NOT_ACTIVE");
    teacher.post(&format!("{path}/qr"), &json!({})).await.refused(409, "CONFLICT");
    let started = teacher.put(&format!("{path}/start"), &json!({})).await;
    assert_eq!((started.code(), &started.data()["session"]["status"]), ("SESSION_STARTED", &json!("active")));
    let code = &started.data()["qrCode"];
    assert!(code["image"].as_str().unwrap().starts_with("data:image/png;base64,"));
    let shown = test.operator().get(&format!("{path}/qr")).await;
    assert_eq!(shown.data()["qrCode"]["token"], code["token"]);
    teacher.put(&format!("{path}/start"), &json!({})).await.refused(409, "CONFLICT");

    test.clock.advance(TimeDelta::minutes(1));
    let rotated = teacher.post(&format!("{path}/qr"), &json!({})).await;
    assert_ne!(rotated.data()["qrCode"]["token"], code["token"]);
    let result = scan(&test, &rotated.data()["qrCode"]["token"]).await;
    assert!(matches!(result, OutcomeResult::Succeeded { .. }), "{result:?}");

    let id = path.rsplit('/').next().unwrap();
    let records = teacher.get(&format!("/api/v1/attendance/session/{id}")).await;
    let record = &records.data()["attendanceRecords"][0];
    assert_eq!((&record["status"], &record["evidence"]), (&json!("present"), &json!("qr")));
    assert_eq!(
        (&record["studentName"], &record["markedAt"]),
        (&json!("Sara student"), &json!("2026-03-02T09:01:00Z"))
    );

    let student = test.school.student;
    let own = test.student().get(&format!("/api/v1/attendance/student/{student}")).await;
    assert_eq!(own.data()["attendanceHistory"], records.data()["attendanceRecords"]);
    assert_eq!(test.student().get(&path).await.data()["session"]["attendanceCount"], 1);

    test.clock.advance(TimeDelta::seconds(1));
    let ended = teacher.put(&format!("{path}/end"), &json!({})).await;
    assert_eq!((ended.code(), &ended.data()["attendanceCount"]), ("SESSION_ENDED", &json!(1)));
    let listed = teacher.get(&format!("/api/v1/sessions/class/{}", test.school.class)).await;
    let states: Vec<_> =
        listed.data()["sessions"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert!(states.contains(&&json!("completed")), "{states:?}");
    assert_eq!(teacher.get("/api/v1/reviews").await.data()["reviews"], json!([]));
}

#[tokio::test]
async fn the_same_key_is_the_same_session() {
    let test = TestApi::start().await;
    test.start_attendance_worker();
    let teacher = test.teacher().with_header(http::HeaderName::from_static("idempotency-key"), "once");
    let new = json!({
        "classId": test.school.class,
        "startTime": "2026-03-03T09:00:00Z",
        "endTime": "2026-03-03T10:00:00Z",
    });
    let first = teacher.post("/api/v1/sessions", &new).await.data()["session"]["id"].clone();
    assert_eq!(teacher.post("/api/v1/sessions", &new).await.data()["session"]["id"], first);
}

#[tokio::test]
async fn the_same_key_on_another_call_is_another_request() {
    let test = TestApi::start().await;
    test.start_attendance_worker();
    let teacher = test.teacher().with_header(http::HeaderName::from_static("idempotency-key"), "once");
    let plan = async |number: u8| {
        let new = json!({
            "classId": test.school.class,
            "startTime": format!("2026-03-02T09:{number}0:00Z"),
            "endTime": format!("2026-03-02T10:{number}0:00Z"),
            "allowOverlap": true,
        });
        let created = teacher.post("/api/v1/sessions", &new).await;
        format!("/api/v1/sessions/{}", created.data()["session"]["id"].as_str().unwrap())
    };
    let (one, other) = (plan(3).await, plan(4).await);
    assert_ne!(one, other, "another content");
    let change = async |path: &str, verb: &str| {
        let answer = teacher.put(&format!("{path}/{verb}"), &json!({})).await;
        answer.data()["session"].clone()
    };
    // Another route, and then another session.
    for path in [&one, &other] {
        assert_eq!(change(path, "start").await["status"], "active");
        assert_eq!(change(path, "end").await["status"], "completed");
    }
    let states = async |path: &str| teacher.get(path).await.data()["session"]["status"].clone();
    assert_eq!((states(&one).await, states(&other).await), (json!("completed"), json!("completed")));
    // The same call is still the same request: ending again is not refused, it is answered as before.
    assert_eq!(change(&one, "end").await["status"], "completed");
}

#[tokio::test]
async fn a_session_is_near_and_no_longer_than_a_day() {
    let test = TestApi::start().await;
    let plan = async |start: &str, end: &str| {
        let new = json!({ "classId": test.school.class, "startTime": start, "endTime": end });
        let answer = test.teacher().post("/api/v1/sessions", &new).await;
        answer.refused(422, "VALIDATION_FAILED")["fields"][0]["field"].clone()
    };
    assert_eq!(plan("2026-03-03T09:00:00Z", "2026-03-04T09:00:01Z").await, "endTime");
    assert_eq!(plan("2027-03-04T09:00:00Z", "2027-03-04T10:00:00Z").await, "startTime");
    assert_eq!(plan("2025-03-01T09:00:00Z", "2025-03-01T10:00:00Z").await, "startTime");
    assert_eq!(plan("+200000-03-01T09:00:00Z", "+200000-03-01T10:00:00Z").await, "startTime");
}

#[tokio::test]
async fn a_session_needs_an_own_class_and_a_span() {
    let test = TestApi::start().await;
    let new = |class: Uuid, end: &str| json!({ "classId": class, "startTime": "2026-03-03T09:00:00Z", "endTime": end });
    let (own, other) = (test.school.class.0, test.school.other_class.0);
    let teacher = test.teacher();
    let answer = teacher.post("/api/v1/sessions", &new(own, "2026-03-03T09:00:00Z")).await;
    assert_eq!(answer.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], "endTime");
    let end = "2026-03-03T10:00:00Z";
    teacher.post("/api/v1/sessions", &new(other, end)).await.refused(403, "AUTH_UNAUTHORIZED");
    teacher.post("/api/v1/sessions", &new(Uuid::nil(), end)).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn without_a_worker_the_session_starts_later() {
    let test = TestApi::start_with(ApiConfig { ask_deadline_ms: 200, ..ApiConfig::default() }).await;
    let path = format!("/api/v1/sessions/{}", test.school.session);
    let asked = test.teacher().put(&format!("{path}/start"), &json!({})).await;
    assert_eq!((asked.status.as_u16(), asked.code()), (202, "REQUEST_ACCEPTED"));
    let status_url = asked.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(asked.data()["statusUrl"], status_url);
    test.start_attendance_worker();
    let done = eventually("the session starts", SOON, || async {
        let answer = test.teacher().get(&status_url).await;
        (answer.code() == "OK").then_some(answer)
    })
    .await;
    assert_eq!(done.data()["status"], "succeeded");
    assert!(!done.body.to_string().contains("token\":\""), "an outcome holds no code");
    let strange = test.client_of(test.school.other_teacher, Role::Teacher);
    strange.get(&status_url).await.refused(403, "AUTH_UNAUTHORIZED");
    assert_eq!(test.teacher().get(&path).await.data()["session"]["status"], "active");
}

/// Plans a session of a class; what is told stands in `more`.
async fn plan(test: &TestApi, (start, end): (&str, &str), more: Value) -> Answer {
    let mut new = json!({
        "classId": test.school.class,
        "startTime": format!("2026-03-03T{start}:00Z"),
        "endTime": format!("2026-03-03T{end}:00Z"),
    });
    new.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    test.admin().post("/api/v1/sessions", &new).await
}

#[tokio::test]
async fn a_class_and_a_room_take_one_session_at_a_time() {
    let test = TestApi::start().await;
    test.start_attendance_worker();
    let (own, other) = (test.school.class, test.school.other_class);
    test.teacher().put(&format!("/api/v1/classes/{own}"), &json!({ "room": "B 12" })).await.data();
    let first = plan(&test, ("09:00", "10:00"), json!({})).await.data()["session"].clone();
    assert_eq!((&first["room"], &first["allowOverlap"]), (&json!("B 12"), &json!(false)), "as its class");
    // Another class in the same room, however it is written; the same class in another room.
    for more in [json!({ "classId": other, "room": "b 12 " }), json!({ "room": "C 1" })] {
        let refused = plan(&test, ("09:59", "10:30"), more).await;
        let details = refused.refused(409, "CONFLICT");
        assert_eq!((&details["sessionId"], &details["startTime"]), (&first["id"], &first["startTime"]));
    }
    // One after the other, somewhere else, or where it is allowed.
    for (times, more) in [
        (("10:00", "11:00"), json!({})),
        (("09:00", "10:00"), json!({ "classId": other, "room": "C 1" })),
        (("08:00", "18:00"), json!({ "allowOverlap": true })),
    ] {
        assert_eq!(plan(&test, times, more).await.code(), "SESSION_CREATED");
    }
}

#[tokio::test]
async fn a_session_is_changed_and_cancelled_before_it_begins() {
    let test = TestApi::start().await;
    test.start_attendance_worker();
    let teacher = test.teacher();
    let path = async |times| {
        let session = plan(&test, times, json!({})).await.data()["session"]["id"].clone();
        format!("/api/v1/sessions/{}", session.as_str().unwrap())
    };
    let (one, other) = (path(("09:00", "10:00")).await, path(("11:00", "12:00")).await);
    let change = json!({ "startTime": "2026-03-03T09:30:00Z", "endTime": "2026-03-03T10:30:00Z", "room": "C 1", "qrTtlSeconds": 15 });
    let changed = teacher.put(&one, &change).await;
    let session = &changed.data()["session"];
    assert_eq!((changed.code(), &session["startTime"]), ("SESSION_CHANGED", &change["startTime"]));
    assert_eq!((&session["room"], &session["qrTtlSeconds"]), (&json!("C 1"), &json!(15)));
    let before_it_begins = json!({ "endTime": "2026-03-03T09:30:00Z" });
    let refused = teacher.put(&one, &before_it_begins).await;
    assert_eq!(refused.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], "endTime");
    let into_the_other = json!({ "endTime": "2026-03-03T11:01:00Z" });
    let refused = teacher.put(&one, &into_the_other).await;
    assert!(other.ends_with(refused.refused(409, "CONFLICT")["sessionId"].as_str().unwrap()));

    let cancelled = teacher.delete(&other).await;
    assert_eq!(
        (cancelled.code(), &cancelled.data()["session"]["status"]),
        ("SESSION_CANCELLED", &json!("cancelled"))
    );
    assert_eq!(
        teacher.put(&one, &into_the_other).await.code(),
        "SESSION_CHANGED",
        "it takes no time any more"
    );
    for (path, verb) in [(&other, "/start"), (&other, "")] {
        teacher.put(&format!("{path}{verb}"), &json!({})).await.refused(409, "CONFLICT");
    }
    teacher.delete(&other).await.refused(409, "CONFLICT");
    // Whoever opens what is a day away has taken it for something else.
    let early = teacher.put(&format!("{one}/start"), &json!({})).await;
    assert!(early.refused(409, "CONFLICT")["sessionId"].is_string());
    test.clock.advance(TimeDelta::days(1));
    let teacher = test.teacher();
    teacher.put(&format!("{one}/start"), &json!({})).await.data();
    teacher.put(&one, &json!({ "room": "D" })).await.refused(409, "CONFLICT");
    teacher.delete(&one).await.refused(409, "CONFLICT");
}

#[tokio::test]
async fn a_session_that_was_closed_is_opened_again() {
    let test = TestApi::start().await;
    test.start_attendance_worker();
    let teacher = test.teacher();
    let path = format!("/api/v1/sessions/{}", test.school.session);
    let records = format!("/api/v1/attendance/session/{}", test.school.session);
    let why = json!({ "reason": "closed by mistake" });
    teacher.put(&format!("{path}/reopen"), &why).await.refused(409, "CONFLICT");
    teacher.put(&format!("{path}/start"), &json!({})).await.data();
    test.clock.advance(TimeDelta::minutes(20));
    teacher.put(&format!("{path}/end"), &json!({})).await.data();
    assert_eq!(teacher.get(&records).await.data()["attendanceRecords"][0]["status"], "absent");
    test.clock.advance(TimeDelta::minutes(5));
    teacher.put(&format!("{path}/reopen"), &json!({})).await.refused(400, "MISSING_REQUIRED_FIELD");
    let stranger = test.client_of(test.school.other_teacher, Role::Teacher);
    stranger.put(&format!("{path}/reopen"), &why).await.refused(403, "AUTH_UNAUTHORIZED");
    let reopened = teacher.put(&format!("{path}/reopen"), &why).await;
    let session = &reopened.data()["session"];
    assert_eq!((reopened.code(), &session["status"]), ("SESSION_REOPENED", &json!("active")));
    assert_eq!(session["reopenedAt"], "2026-03-02T09:25:00Z");
    assert_eq!(teacher.get(&records).await.body["meta"]["total"], 0, "nobody is absent yet");
    let result = scan(&test, &reopened.data()["qrCode"]["token"]).await;
    assert!(matches!(result, OutcomeResult::Succeeded { .. }), "{result:?}");
    test.clock.advance(TimeDelta::minutes(1));
    teacher.put(&format!("{path}/end"), &json!({})).await.data();
    assert_eq!(teacher.get(&records).await.data()["attendanceRecords"][0]["status"], "late");

    test.clock.advance(TimeDelta::hours(1));
    let refused = teacher.put(&format!("{path}/reopen"), &why).await;
    assert_eq!(refused.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], "endTime");
}

#[tokio::test]
async fn a_teacher_sees_what_was_found_of_scans() {
    let test = TestApi::start().await;
    test.start_attendance_worker();
    let teacher = test.teacher();
    let settings = format!("/api/v1/classes/{}/settings", test.school.class);
    let networks = json!({ "protections": { "allowedNetworks": ["10.20.0.0/16"] } });
    teacher.put(&settings, &networks).await.data();
    let path = format!("/api/v1/sessions/{}", test.school.session);
    let started = teacher.put(&format!("{path}/start"), &json!({})).await;
    test.clock.advance(TimeDelta::seconds(3));
    let result = scan(&test, &started.data()["qrCode"]["token"]).await;
    assert!(
        matches!(&result, OutcomeResult::Failed(refusal) if refusal.code == Code::NetworkNotAllowed),
        "{result:?}"
    );
    let found = teacher.get(&format!("{path}/scan-checks")).await;
    let check = &found.data()["scanChecks"][0];
    assert_eq!((&check["studentName"], &check["counts"]), (&json!("Sara student"), &json!(false)));
    let expected = json!({ "codeAgeMs": 3_000, "codeLifeMs": 300_000, "networkAllowed": false });
    assert_eq!((&found.body["meta"]["total"], &check["found"]), (&json!(1), &expected));
    test.student().get(&format!("{path}/scan-checks")).await.refused(403, "AUTH_UNAUTHORIZED");
}

#[tokio::test]
async fn a_scan_in_doubt_waits_in_the_queue_with_what_was_found() {
    let test = TestApi::start().await;
    test.start_attendance_worker();
    let teacher = test.teacher();
    let settings = format!("/api/v1/classes/{}/settings", test.school.class);
    let networks =
        json!({ "protections": { "allowedNetworks": ["10.20.0.0/16"], "outsideNetworks": "review" } });
    teacher.put(&settings, &networks).await.data();
    let path = format!("/api/v1/sessions/{}", test.school.session);
    let started = teacher.put(&format!("{path}/start"), &json!({})).await;
    test.clock.advance(TimeDelta::seconds(3));
    let result = scan(&test, &started.data()["qrCode"]["token"]).await;
    assert!(
        matches!(&result, OutcomeResult::Succeeded { answer: outcome::Answer::ScanKept(kept) } if kept.in_review)
    );
    let open = teacher.get("/api/v1/reviews").await;
    let review = &open.data()["reviews"][0];
    assert_eq!((&review["kind"], &review["reason"]), (&json!("scan"), &json!("outside_networks")));
    assert_eq!(review["found"]["networkAllowed"], false);
    let accept = format!("/api/v1/reviews/{}/accept", review["id"].as_str().unwrap());
    let accepted = teacher.post(&accept, &json!({ "reason": "she sits here" })).await;
    assert_eq!(accepted.data()["attendance"]["status"], "present");
}

#[tokio::test]
async fn a_session_of_an_archived_class_is_read_only() {
    let test = TestApi::start().await;
    test.start_attendance_worker();
    let teacher = test.teacher();
    let ended = format!("/api/v1/sessions/{}", test.school.session);
    teacher.put(&format!("{ended}/start"), &json!({})).await.data();
    let plan = json!({
        "classId": test.school.class, "startTime": "2026-03-05T09:00:00Z", "endTime": "2026-03-05T10:00:00Z",
    });
    let created = teacher.post("/api/v1/sessions", &plan).await;
    let planned = format!("/api/v1/sessions/{}", created.data()["session"]["id"].as_str().unwrap());
    test.clock.advance(TimeDelta::minutes(5));
    teacher.put(&format!("{ended}/end"), &json!({})).await.data();
    teacher.delete(&format!("/api/v1/classes/{}", test.school.class)).await.data();

    teacher.put(&format!("{ended}/reopen"), &json!({ "reason": "too early" })).await.refused(409, "CONFLICT");
    let later = json!({ "startTime": "2026-03-05T11:00:00Z", "endTime": "2026-03-05T12:00:00Z" });
    teacher.put(&planned, &later).await.refused(409, "CONFLICT");
    assert_eq!(teacher.get(&ended).await.data()["session"]["status"], "completed");
}
