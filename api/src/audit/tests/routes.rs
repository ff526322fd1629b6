//! Every route, called so that it succeeds, and the lines that it leaves.

use super::{lines, newest};
use crate::{
    ApiConfig, Registration,
    access::RULES,
    testing::{PASSWORD, TestApi},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{Method, StatusCode};
use rollcall_schemas::{
    access::{Audited, Rule},
    id::{AttendanceId, CameraId, PhotoId},
    notification::{Reader, Topic},
    outcome::{Answer, OutcomeResult, PhotoAnswer},
    request::PhotoMeta,
    subject::RequestKind,
};
use rollcall_test_support::Client;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

/// A call that succeeds.
struct Example {
    rule: (&'static str, &'static str),
    client: Client,
    path: String,
    body: Value,
}

/// A call for every route that must leave a line, in an order in which each succeeds.
async fn examples(test: &TestApi) -> Vec<Example> {
    let school = &test.school;
    let (class, student, other) = (school.class, school.student, school.other_student);
    let (admin, teacher, nobody) = (test.admin(), test.teacher(), test.edge.client());
    let (camera, key) = camera_with_key(test).await;
    let photo = |mark| {
        format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode([0xff, 0xd8, 0xff, mark, 0xff, 0xd9]))
    };
    let new_class = json!({ "code": "C3", "name": "Class C3", "teacherId": school.teacher });
    let new_session = json!({
        "classId": class, "startTime": "2026-03-02T10:00:00Z", "endTime": "2026-03-02T11:00:00Z",
    });
    let cancelled = json!({
        "classId": class, "startTime": "2026-03-02T12:00:00Z", "endTime": "2026-03-02T13:00:00Z",
    });
    let cancelled = teacher.post("/api/v1/sessions", &cancelled).await;
    let cancelled = cancelled.data()["session"]["id"].as_str().unwrap().to_owned();
    let new_key = json!({ "name": "Timetable", "scopes": ["people:read"] });
    let made = admin.post("/api/v1/api-keys", &new_key).await;
    let integration = made.data()["keyId"].as_str().unwrap().to_owned();
    let made = admin
        .post("/api/v1/admin/operators", &json!({ "email": "one@school.example", "fullName": "One" }))
        .await;
    let operator = made.data()["operator"]["id"].as_str().unwrap().to_owned();
    let guardian = |name: &str| json!({ "fullName": name, "email": format!("{name}@home.example") });
    let guardians = format!("/api/v1/students/{student}/guardians");
    let made = admin.post(&guardians, &guardian("Gus")).await;
    let known_guardian = made.data()["guardian"]["id"].as_str().unwrap().to_owned();
    let new_webhook = json!({ "url": "https://register.example/rollcall", "description": "Register" });
    let made = admin.post("/api/v1/webhooks", &new_webhook).await;
    let webhook = made.data()["webhook"]["id"].as_str().unwrap().to_owned();
    let new_holiday = |day: &str| json!({ "name": "Holiday", "dateFrom": day });
    let made = admin.post("/api/v1/settings/holidays", &new_holiday("2026-05-01")).await;
    let holiday = made.data()["holiday"]["id"].as_str().unwrap().to_owned();
    let lessons = json!({
        "entries": [{ "weekday": "monday", "startTime": "20:00", "endTime": "20:45", "from": "2026-03-09" }],
    });
    let calendar = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//school//EN\r\nBEGIN:VEVENT\r\nUID:1@school\r\n\
         DTSTAMP:20260301T000000Z\r\nDTSTART:20260310T190000\r\nDTEND:20260310T194500\r\n\
         RRULE:FREQ=WEEKLY;BYDAY=TU\r\nSUMMARY:Class A\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    let settings = json!({ "settings": { "defaultRoom": "Lab 2" }, "schedule": [] });
    let mut reviews = Vec::new();
    for of in [student, other, school.operator] {
        reviews.push(test.review(of).await);
    }
    let record = AttendanceId::of(school.session, student);
    let present = json!({ "studentId": student, "status": "present" });
    let sign_in = json!({ "email": "admin@school.example", "password": PASSWORD });
    let tokens = async || {
        let body = json!({ "email": "admin@school.example", "password": PASSWORD, "refreshIn": "body" });
        let signed_in = nobody.post("/api/v1/auth/login", &body).await;
        json!({ "refreshToken": signed_in.data()["refreshToken"] })
    };
    let (used, ended) = (tokens().await, tokens().await);
    let new_user = |email: &str| json!({ "email": email, "fullName": "Neo", "role": "teacher" });
    let new_student = json!({ "email": "stu@school.example", "fullName": "Stu" });
    let unsubscribe = test.ticket(Reader::User(student), &[Topic::Late]);
    let example = |rule: (&'static str, &'static str), client: &Client, ids: &[&dyn ToString], body| {
        let mut ids = ids.iter();
        let tokens = rule.1.split('/').map(|token| {
            if token.starts_with('{') { ids.next().unwrap().to_string() } else { token.to_owned() }
        });
        Example { rule, client: client.clone(), path: tokens.collect::<Vec<_>>().join("/"), body }
    };
    vec![
        example(("POST", "/api/v1/auth/login"), &nobody, &[], sign_in),
        example(
            ("POST", "/api/v1/auth/register"),
            &nobody,
            &[],
            json!({ "email": "reg@school.example", "fullName": "Reg", "password": PASSWORD }),
        ),
        example(("POST", "/api/v1/auth/refresh"), &nobody, &[], used),
        example(("POST", "/api/v1/auth/logout"), &nobody, &[], ended),
        example(("POST", "/api/v1/auth/invitations"), &admin, &[], json!({ "role": "teacher" })),
        example(
            ("PUT", "/api/v1/auth/password"),
            &admin,
            &[],
            json!({ "currentPassword": PASSWORD, "newPassword": "Another-horse-2" }),
        ),
        Example {
            path: unsubscribe,
            ..example(("POST", "/api/v1/notifications/unsubscribe"), &nobody, &[], json!({}))
        },
        example(("POST", "/api/v1/users"), &admin, &[], new_user("neo@school.example")),
        example(("PUT", "/api/v1/users/profile"), &teacher, &[], json!({ "fullName": "Tom T" })),
        example(("PUT", "/api/v1/users/{id}"), &admin, &[&school.operator], json!({ "fullName": "O" })),
        example(
            ("POST", "/api/v1/users/import"),
            &admin,
            &[],
            json!("email,fullName,role\nimp@school.example,Imp,teacher\n"),
        ),
        example(
            ("POST", "/api/v1/admin/operators"),
            &admin,
            &[],
            json!({ "email": "op@school.example", "fullName": "Op" }),
        ),
        example(("PUT", "/api/v1/admin/operators/{id}"), &admin, &[&operator], json!({ "fullName": "Opus" })),
        example(("DELETE", "/api/v1/admin/operators/{id}"), &admin, &[&operator], json!({})),
        example(("POST", "/api/v1/students"), &admin, &[], new_student),
        example(("PUT", "/api/v1/students/{id}"), &admin, &[&other], json!({ "fullName": "Sven S" })),
        example(
            ("POST", "/api/v1/students/{id}/faces"),
            &admin,
            &[&student],
            json!({ "images": [photo(2), photo(3), photo(4)] }),
        ),
        example(("DELETE", "/api/v1/students/{id}/faces"), &admin, &[&student], json!({})),
        example(("POST", "/api/v1/classes"), &admin, &[], new_class),
        example(("PUT", "/api/v1/classes/{id}"), &teacher, &[&class], json!({ "name": "Class A" })),
        example(("PUT", "/api/v1/classes/{id}/settings"), &teacher, &[&class], json!({ "qrTtlSeconds": 20 })),
        example(("POST", "/api/v1/classes/{id}/enroll"), &test.student(), &[&school.other_class], json!({})),
        example(
            ("POST", "/api/v1/classes/{id}/students"),
            &teacher,
            &[&class],
            json!({ "studentId": other }),
        ),
        example(
            ("DELETE", "/api/v1/classes/{id}/students/{studentId}"),
            &teacher,
            &[&class, &other],
            json!({}),
        ),
        example(("PUT", "/api/v1/classes/{id}/cameras/{cameraId}"), &admin, &[&class, &camera], json!({})),
        example(("DELETE", "/api/v1/classes/{id}/cameras/{cameraId}"), &admin, &[&class, &camera], json!({})),
        example(("POST", "/api/v1/cameras"), &admin, &[], json!({ "name": "Gate" })),
        example(("PUT", "/api/v1/cameras/{id}"), &admin, &[&camera], json!({ "enabled": false })),
        example(("POST", "/api/v1/cameras/{id}/keys"), &admin, &[&camera], json!({})),
        example(("POST", "/api/v1/cameras/{id}/keys/{keyId}/rotate"), &admin, &[&camera, &key], json!({})),
        example(("DELETE", "/api/v1/cameras/{id}/keys/{keyId}"), &admin, &[&camera, &key], json!({})),
        example(("POST", "/api/v1/api-keys"), &admin, &[], new_key.clone()),
        example(("POST", "/api/v1/api-keys/{keyId}/rotate"), &admin, &[&integration], json!({})),
        example(("DELETE", "/api/v1/api-keys/{keyId}"), &admin, &[&integration], json!({})),
        example(("DELETE", "/api/v1/cameras/{id}"), &admin, &[&camera], json!({})),
        example(("POST", "/api/v1/sessions"), &teacher, &[], new_session),
        example(("PUT", "/api/v1/sessions/{id}"), &teacher, &[&school.session], json!({ "room": "B 12" })),
        example(("DELETE", "/api/v1/sessions/{id}"), &teacher, &[&cancelled], json!({})),
        example(("PUT", "/api/v1/sessions/{id}/start"), &teacher, &[&school.session], json!({})),
        example(("POST", "/api/v1/sessions/{id}/qr"), &teacher, &[&school.session], json!({})),
        example(("GET", "/api/v1/reviews"), &teacher, &[], Value::Null),
        example(("GET", "/api/v1/reviews/{id}"), &teacher, &[&reviews[0]], Value::Null),
        example(("GET", "/api/v1/reviews/{id}/face"), &teacher, &[&reviews[0]], Value::Null),
        example(("POST", "/api/v1/reviews/{id}/accept"), &teacher, &[&reviews[0]], json!({})),
        example(
            ("POST", "/api/v1/reviews/{id}/reassign"),
            &teacher,
            &[&reviews[1]],
            json!({ "studentId": student }),
        ),
        example(("POST", "/api/v1/reviews/{id}/reject"), &teacher, &[&reviews[2]], json!({})),
        example(
            ("POST", "/api/v1/attendance/manual"),
            &teacher,
            &[],
            json!({ "sessionId": school.session, "records": [present] }),
        ),
        example(("PUT", "/api/v1/attendance/{id}"), &teacher, &[&record], json!({ "status": "absent" })),
        example(("POST", "/api/v1/attendance/{id}/excuse"), &teacher, &[&record], json!({ "reason": "ill" })),
        example(("POST", "/api/v1/attendance/{id}/withdraw"), &teacher, &[&record], json!({})),
        example(("PUT", "/api/v1/sessions/{id}/end"), &teacher, &[&school.session], json!({})),
        example(
            ("PUT", "/api/v1/sessions/{id}/reopen"),
            &teacher,
            &[&school.session],
            json!({ "reason": "closed by mistake" }),
        ),
        example(("POST", "/api/v1/admin/config-org"), &admin, &[], json!({ "locale": "de-AT" })),
        example(("PATCH", "/api/v1/admin/config-org"), &admin, &[], json!({ "timeZone": "Europe/Vienna" })),
        example(("POST", "/api/v1/admin/system-config"), &admin, &[], json!({ "lockSeconds": 60 })),
        example(("PATCH", "/api/v1/admin/system-config"), &admin, &[], json!({ "lockSeconds": null })),
        example(
            ("PUT", "/api/v1/users/profile/notifications"),
            &teacher,
            &[],
            json!({ "language": "de", "channels": {} }),
        ),
        example(("POST", "/api/v1/students/{id}/guardians"), &admin, &[&student], guardian("Gia")),
        example(
            ("PUT", "/api/v1/students/{id}/guardians/{guardianId}"),
            &admin,
            &[&student, &known_guardian],
            guardian("Gil"),
        ),
        example(
            ("DELETE", "/api/v1/students/{id}/guardians/{guardianId}"),
            &admin,
            &[&student, &known_guardian],
            json!({}),
        ),
        example(("POST", "/api/v1/webhooks"), &admin, &[], new_webhook.clone()),
        example(("PUT", "/api/v1/webhooks/{id}"), &admin, &[&webhook], json!({ "description": "Other" })),
        example(("POST", "/api/v1/webhooks/{id}/rotate"), &admin, &[&webhook], json!({})),
        example(("POST", "/api/v1/webhooks/{id}/ping"), &admin, &[&webhook], json!({})),
        example(("POST", "/api/v1/webhooks/{id}/replay"), &admin, &[&webhook], json!({ "since": 0 })),
        example(("DELETE", "/api/v1/webhooks/{id}"), &admin, &[&webhook], json!({})),
        example(("POST", "/api/v1/settings/holidays"), &admin, &[], new_holiday("2026-06-04")),
        example(("DELETE", "/api/v1/settings/holidays/{id}"), &admin, &[&holiday], json!({})),
        example(("PUT", "/api/v1/classes/{id}/timetable"), &teacher, &[&class], lessons),
        example(("POST", "/api/v1/classes/{id}/timetable/import"), &teacher, &[&class], json!(calendar)),
        example(("PUT", "/api/v1/settings/schedule"), &teacher, &[], json!({ "schedule": [] })),
        example(("PUT", "/api/v1/settings"), &teacher, &[], settings),
        example(
            ("PATCH", "/api/v1/settings"),
            &teacher,
            &[],
            json!({ "settings": { "defaultRoom": "Lab 3" } }),
        ),
        example(("POST", "/api/v1/timetable/address"), &teacher, &[], json!({})),
        example(("DELETE", "/api/v1/timetable/address"), &teacher, &[], json!({})),
        example(("DELETE", "/api/v1/students/{id}"), &admin, &[&other], json!({})),
        example(("POST", "/api/v1/users/{id}/restore"), &admin, &[&other], json!({})),
        example(("DELETE", "/api/v1/users/{id}"), &admin, &[&school.operator], json!({})),
        example(("DELETE", "/api/v1/classes/{id}"), &teacher, &[&class], json!({})),
        example(("POST", "/api/v1/classes/{id}/restore"), &teacher, &[&class], json!({})),
    ]
}

async fn camera_with_key(test: &TestApi) -> (CameraId, String) {
    let (camera, _) = test.camera("Hall").await;
    let read = test.admin().get(&format!("/api/v1/cameras/{camera}")).await;
    (camera, read.data()["keys"][0]["id"].as_str().unwrap().to_owned())
}

fn accept_photos(test: &TestApi) {
    test.answer_with(RequestKind::EnrolPhoto, |delivery| {
        let user_id = PhotoMeta::from_headers(delivery).unwrap().user_id.unwrap();
        let photo_id = Some(PhotoId(Uuid::from_u128(u128::from(delivery.payload[3]))));
        let answer = PhotoAnswer { user_id, photo_id, refusal: None, quality: None, photos: 3 };
        OutcomeResult::Succeeded { answer: Answer::Photo(answer) }
    });
}

#[tokio::test]
async fn every_route_leaves_what_its_row_says() {
    let open = ApiConfig { registration: Registration::Open, ..ApiConfig::default() };
    let test = TestApi::start_with(open).await;
    test.start_attendance_worker();
    accept_photos(&test);
    let mut called = BTreeSet::new();
    for Example { rule, client, path, body } in examples(&test).await {
        let before = lines(&test).await;
        let method: Method = rule.0.parse().unwrap();
        if rule.1.ends_with("/face") {
            let picture = client.request(method, &path).send().await.unwrap();
            assert_eq!(picture.status(), StatusCode::OK);
        } else {
            let answer = match (rule.0, body.as_str()) {
                ("GET" | "DELETE", _) => client.send(method, &path, None).await,
                (_, Some(file)) => {
                    let kind = if file.starts_with("BEGIN:") { "text/calendar" } else { "text/csv" };
                    client.send(method, &path, Some((kind, file.into()))).await
                }
                (_, None) => client.send_json(method, &path, &body).await,
            };
            answer.data();
        }
        let left = lines(&test).await - before;
        // A whole schedule leaves one for each class.
        let is_schedule = ["/api/v1/settings", "/api/v1/settings/schedule"].contains(&rule.1);
        assert!(left == 1 || is_schedule && left > 1, "{rule:?} leaves {left} lines");
        let line = newest(&test).await;
        assert_eq!((&line["outcome"], &line["occurrences"]), (&json!("done"), &json!(1)), "{rule:?}");
        assert_eq!(line["actorKind"], "user", "{rule:?}");
        assert!(line["requestId"].is_string() && line["details"]["address"].is_string(), "{rule:?}: {line}");
        called.insert(rule);
    }
    let wanted: BTreeSet<_> = RULES
        .iter()
        .filter(|rule| rule.audited != Audited::No)
        .map(|rule| (rule.method, rule.path))
        .collect();
    assert_eq!(called, wanted);
}

#[tokio::test]
async fn what_is_only_read_leaves_nothing() {
    let test = TestApi::start_with(ApiConfig { ask_deadline_ms: 50, ..ApiConfig::default() }).await;
    let (camera, _) = test.camera("Hall").await;
    let before = lines(&test).await;
    // The stream of events has no end to wait for.
    let reads = |rule: &&Rule| rule.audited == Audited::No && !rule.path.ends_with("/events");
    for rule in RULES.iter().filter(reads).filter(|rule| rule.path.starts_with("/api")) {
        let id = if rule.path.contains("/cameras/") {
            camera.to_string()
        } else if rule.path.contains("/classes/") {
            test.school.class.to_string()
        } else if rule.path.contains("/sessions/") || rule.path.contains("/session/") {
            test.school.session.to_string()
        } else {
            test.school.student.to_string()
        };
        let path = rule.path.replace("{id}", &id).replace("{classId}", &test.school.class.to_string());
        let client = match rule.path {
            "/api/v1/users/enrollments" | "/api/v1/user/attendance" => test.student(),
            "/api/v1/settings" | "/api/v1/settings/schedule" => test.teacher(),
            _ => test.admin(),
        };
        client.request(Method::GET, &path).send().await.unwrap();
    }
    let refused_to_the_admin = 1;
    assert_eq!(lines(&test).await, before + refused_to_the_admin, "{}", newest(&test).await);
}
