use crate::testing::TestApi;
use chrono::TimeDelta;
use futures::future::join_all;
use rollcall_schemas::{id::UserId, role::Role};
use rollcall_store::classes::{self, ClassSettings};
use rollcall_test_support::Client;
use serde_json::json;

#[tokio::test]
async fn a_teacher_adds_and_changes_a_class() {
    let test = TestApi::start().await;
    let teacher = test.teacher();
    let new = json!({ "name": "Physics", "code": "PH1", "description": "Forces", "capacity": 30 });
    let created = teacher.post("/api/v1/classes", &new).await;
    insta::assert_json_snapshot!(created.body);
    teacher.post("/api/v1/classes", &new).await.refused(409, "CONFLICT");
    let path = format!("/api/v1/classes/{}", created.data()["class"]["id"].as_str().unwrap());
    let changed = teacher.put(&path, &json!({ "isActive": false })).await;
    assert_eq!(changed.data()["class"]["isActive"], false);
    test.student().post(&format!("{path}/enroll"), &json!({})).await.refused(409, "CONFLICT");
    insta::assert_json_snapshot!(teacher.get(&path).await.data());
    // What is null is lifted, what is absent stays.
    let changed = teacher.put(&path, &json!({ "capacity": null, "room": " B 12 " })).await;
    let class = &changed.data()["class"];
    assert_eq!(
        (&class["capacity"], &class["room"], &class["name"]),
        (&json!(null), &json!("B 12"), &json!("Physics"))
    );
    let changed = teacher.put(&path, &json!({ "room": " " })).await;
    assert_eq!(changed.data()["class"]["room"], json!(null));
}

/// The classes of a list, by their short names.
async fn codes(client: &Client, path: &str) -> Vec<String> {
    let list = client.get(path).await;
    let classes = list.data()["classes"].as_array().unwrap().clone();
    classes.iter().map(|class| class["code"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_archived_class_is_out_of_the_way_and_its_history_stays() {
    let test = TestApi::start().await;
    test.start_attendance_worker();
    let (teacher, student, id) = (test.teacher(), test.student(), test.school.class);
    let path = format!("/api/v1/classes/{id}");
    let session = format!("/api/v1/sessions/{}", test.school.session);
    teacher.put(&format!("{session}/start"), &json!({})).await.data();
    teacher.put(&format!("{session}/end"), &json!({})).await.data();
    teacher.post(&format!("{path}/restore"), &json!({})).await.refused(409, "CONFLICT");

    test.clock.advance(TimeDelta::hours(2));
    let archived = teacher.delete(&path).await;
    assert_eq!(archived.code(), "CLASS_ARCHIVED");
    assert_eq!(archived.data()["class"]["archivedAt"], "2026-03-02T11:00:00Z");
    assert!(archived.data()["message"].as_str().unwrap().contains("restore"));
    teacher.delete(&path).await.refused(409, "CONFLICT");
    for client in [&teacher, &student, &test.admin()] {
        assert!(!codes(client, "/api/v1/classes").await.contains(&"A1".to_owned()));
        assert_eq!(codes(client, "/api/v1/classes?archived=true").await, ["A1"]);
    }
    assert_eq!(codes(&teacher, "/api/v1/users/classes").await, Vec::<String>::new());

    // Nothing is begun in it.
    let newcomer = test.client_of(test.school.other_student, Role::Student);
    newcomer.post(&format!("{path}/enroll"), &json!({})).await.refused(409, "CONFLICT");
    teacher.put(&path, &json!({ "name": "Other" })).await.refused(409, "CONFLICT");
    teacher.put(&format!("{path}/settings"), &json!({ "qrTtlSeconds": 20 })).await.refused(409, "CONFLICT");
    let new =
        json!({ "classId": id, "startTime": "2026-03-03T09:00:00Z", "endTime": "2026-03-03T10:00:00Z" });
    teacher.post("/api/v1/sessions", &new).await.refused(409, "CONFLICT");

    // What happened in it is read as before.
    assert_eq!(student.get(&path).await.data()["class"]["code"], "A1");
    assert_eq!(teacher.get(&session).await.data()["session"]["status"], "completed");
    let sessions = teacher.get(&format!("/api/v1/sessions/class/{id}")).await;
    assert_eq!(sessions.body["meta"]["total"], 1);
    let records = teacher.get(&format!("/api/v1/attendance/session/{}", test.school.session)).await;
    assert_eq!(records.data()["attendanceRecords"][0]["status"], "absent");

    // Its short name may be given to another class, and then it comes back only under a new one.
    let other = json!({ "name": "New", "code": "A1" });
    let other = teacher.post("/api/v1/classes", &other).await.data()["class"]["id"].clone();
    teacher.post(&format!("{path}/restore"), &json!({})).await.refused(409, "CONFLICT");
    let other = format!("/api/v1/classes/{}", other.as_str().unwrap());
    teacher.put(&other, &json!({ "code": "A2" })).await.data();
    let restored = teacher.post(&format!("{path}/restore"), &json!({})).await;
    assert_eq!((restored.code(), &restored.data()["class"]["studentCount"]), ("CLASS_RESTORED", &json!(1)));
    assert_eq!(teacher.post("/api/v1/sessions", &new).await.code(), "SESSION_CREATED");
}

#[tokio::test]
async fn only_an_administrator_says_who_teaches() {
    let test = TestApi::start().await;
    let class = |teacher: UserId| json!({ "name": "N", "code": "N1", "teacherId": teacher });
    let other = test.school.other_teacher;
    test.teacher().post("/api/v1/classes", &class(other)).await.refused(403, "AUTH_UNAUTHORIZED");
    test.admin().post("/api/v1/classes", &class(test.school.student)).await.refused(422, "VALIDATION_FAILED");
    test.admin()
        .post("/api/v1/classes", &json!({ "name": "N", "code": "N1" }))
        .await
        .refused(422, "VALIDATION_FAILED");
    test.admin().post("/api/v1/classes", &class(other)).await.data();
    let own = format!("/api/v1/classes/{}", test.school.class);
    test.teacher().put(&own, &json!({ "teacherId": other })).await.refused(403, "AUTH_UNAUTHORIZED");
    test.admin().put(&own, &json!({ "teacherId": other })).await.data();
    test.teacher().get(&own).await.refused(403, "AUTH_UNAUTHORIZED");
}

#[tokio::test]
async fn lists_show_what_one_may_see() {
    let test = TestApi::start().await;
    assert_eq!(test.teacher().get("/api/v1/classes").await.body["meta"]["total"], 1);
    for client in [test.student(), test.operator(), test.admin()] {
        assert_eq!(client.get("/api/v1/classes").await.body["meta"]["total"], 2);
    }
}

#[tokio::test]
async fn a_full_class_takes_nobody() {
    let test = TestApi::start().await;
    let path = format!("/api/v1/classes/{}", test.school.class);
    let newcomer = test.client_of(test.school.other_student, Role::Student);
    test.teacher().put(&path, &json!({ "capacity": 1 })).await.data();
    let full = newcomer.post(&format!("{path}/enroll"), &json!({})).await;
    assert_eq!(full.refused(409, "CLASS_FULL")["capacity"], 1);
    test.student().post(&format!("{path}/enroll"), &json!({})).await.refused(409, "CONFLICT");

    // Somebody who is enrolled by many at once is enrolled once.
    test.teacher().put(&path, &json!({ "capacity": 2 })).await.data();
    let add = json!({ "studentId": test.school.other_student });
    let (operator, students) = (test.operator(), format!("{path}/students"));
    let rush = (0..6).map(|_| operator.post(&students, &add));
    let codes: Vec<_> = join_all(rush).await.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(codes.iter().filter(|code| **code == 201).count(), 1, "{codes:?}");
    assert_eq!(test.teacher().get(&students).await.body["meta"]["total"], 2);
}

#[tokio::test]
async fn of_many_who_come_at_once_as_many_get_in_as_there_are_places() {
    let test = TestApi::start().await;
    let path = format!("/api/v1/classes/{}", test.school.class);
    test.teacher().put(&path, &json!({ "capacity": 4 })).await.data();
    let operator = test.operator();
    let mut newcomers = Vec::new();
    for number in 0..10 {
        let new =
            json!({ "email": format!("new{number}@school.example"), "fullName": format!("New {number}") });
        let student = operator.post("/api/v1/students", &new).await.data()["student"]["id"].clone();
        newcomers.push(test.client_of(student.as_str().unwrap().parse().unwrap(), Role::Student));
    }
    let (enrol, nothing) = (format!("{path}/enroll"), json!({}));
    let answers = join_all(newcomers.iter().map(|student| student.post(&enrol, &nothing))).await;
    let (inside, outside): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((inside.len(), outside.len()), (3, 7));
    for answer in outside {
        assert_eq!(answer.refused(409, "CLASS_FULL")["capacity"], 4);
    }
    assert_eq!(test.teacher().get(&path).await.data()["class"]["studentCount"], 4);
}

#[tokio::test]
async fn students_come_and_go() {
    let test = TestApi::start().await;
    let students = format!("/api/v1/classes/{}/students", test.school.class);
    let teacher = test.teacher();
    let added = teacher.post(&students, &json!({ "studentId": test.school.other_student })).await;
    assert_eq!((added.status.as_u16(), added.code()), (201, "STUDENT_ENROLLED"));
    insta::assert_json_snapshot!(teacher.get(&students).await.data());
    let one = format!("{students}/{}", test.school.other_student);
    test.clock.advance(TimeDelta::minutes(1));
    assert_eq!(teacher.delete(&one).await.code(), "STUDENT_REMOVED");
    teacher.delete(&one).await.refused(404, "NOT_FOUND");
    let nobody = json!({ "studentId": test.school.teacher });
    teacher.post(&students, &nobody).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn rules_hold_from_when_they_were_set() {
    let test = TestApi::start().await;
    let path = format!("/api/v1/classes/{}/settings", test.school.class);
    let before = test.clock.now();
    test.clock.advance(TimeDelta::minutes(1));
    let changed =
        test.teacher().put(&path, &json!({ "lateAfterSeconds": 60, "certainIsEnough": false })).await;
    insta::assert_json_snapshot!(changed.data());
    // Twice in the same instant: the later one holds.
    test.teacher().put(&path, &json!({ "votesWanted": 2 })).await.data();
    let mut db = test.api.connection().await.unwrap();
    assert_eq!(
        classes::settings(&mut db, test.school.class, before).await.unwrap(),
        ClassSettings { inherits_evidence_rule: true, ..ClassSettings::default() }
    );
    let now = classes::settings(&mut db, test.school.class, test.clock.now()).await.unwrap();
    assert_eq!((now.late_after_seconds, now.votes_wanted, now.certain_is_enough), (60, 2, false));
    for nothing in
        [json!({ "qrTtlSeconds": 0 }), json!({ "qrTtlSeconds": null }), json!({ "protections": null })]
    {
        test.teacher().put(&path, &nothing).await.refused(422, "VALIDATION_FAILED");
    }
}

#[tokio::test]
async fn a_class_that_says_nothing_goes_by_the_evidence_rule_of_the_organisation() {
    let test = TestApi::start().await;
    let path = format!("/api/v1/classes/{}/settings", test.school.class);
    let teacher = test.teacher();
    let rule = |settings: &serde_json::Value| {
        let settings = &settings["settings"];
        (
            settings["evidenceRule"].as_str().unwrap().to_owned(),
            settings["inheritsEvidenceRule"].as_bool().unwrap(),
        )
    };
    assert_eq!(rule(teacher.get(&path).await.data()), ("either".into(), true));
    let organisation = json!({ "evidenceRule": "both" });
    test.admin().send_json(http::Method::PATCH, "/api/v1/admin/config-org", &organisation).await.data();
    assert_eq!(rule(teacher.get(&path).await.data()), ("both".into(), true));
    let changes = [
        (json!({ "votesWanted": 2 }), ("both", true)),
        (json!({ "evidenceRule": "face_proposes" }), ("face_proposes", false)),
        (json!({ "votesWanted": 3 }), ("face_proposes", false)),
        (json!({ "evidenceRule": null }), ("both", true)),
    ];
    for (change, (wanted, inherits)) in changes {
        test.clock.advance(TimeDelta::minutes(1));
        assert_eq!(rule(teacher.put(&path, &change).await.data()), (wanted.into(), inherits), "{change}");
    }
}

#[tokio::test]
async fn what_a_class_does_against_codes_that_are_passed_on() {
    let test = TestApi::start().await;
    let path = format!("/api/v1/classes/{}/settings", test.school.class);
    let teacher = test.teacher();
    let off = json!({
        "allowedNetworks": [], "outsideNetworks": "refuse", "roomPosition": null, "tooFar": "refuse",
        "withoutPosition": "accept", "sharedDevice": "accept",
    });
    assert_eq!(teacher.get(&path).await.data()["protections"], off);
    let room = json!({ "latitude": 48.2082, "longitude": 16.3738, "radiusM": 30 });
    let change = json!({ "protections": {
        "allowedNetworks": ["10.20.30.40/16", " 2001:db8::1 "], "roomPosition": room, "sharedDevice": "refuse",
        "outsideNetworks": "accept", "tooFar": "review",
    } });
    let on = json!({
        "allowedNetworks": ["10.20.0.0/16", "2001:db8::1/128"], "roomPosition": room, "withoutPosition": "accept",
        "sharedDevice": "refuse", "outsideNetworks": "accept", "tooFar": "review",
    });
    assert_eq!(teacher.put(&path, &change).await.data()["protections"], on);
    test.clock.advance(TimeDelta::minutes(1));
    // What is absent stays, what is null is lifted, and other rules leave it as it is.
    let without_room = json!({ "protections": { "roomPosition": null } });
    assert_eq!(teacher.put(&path, &without_room).await.data()["protections"]["sharedDevice"], "refuse");
    teacher.put(&path, &json!({ "qrTtlSeconds": 15 })).await.data();
    let now = teacher.get(&path).await;
    assert_eq!(now.data()["protections"]["roomPosition"], json!(null));
    assert_eq!(
        (&now.data()["protections"]["allowedNetworks"], &now.data()["settings"]["qrTtlSeconds"]),
        (&on["allowedNetworks"], &json!(15))
    );
    for (wrong, field) in [
        (json!({ "allowedNetworks": ["10.0.0.0/8", "10.0.0.0/33"] }), "protections.allowedNetworks[1]"),
        (
            json!({ "roomPosition": { "latitude": 91.0, "longitude": 0.0, "radiusM": 30 } }),
            "protections.roomPosition.latitude",
        ),
        (
            json!({ "roomPosition": { "latitude": 9.0, "longitude": 0.0, "radiusM": 0 } }),
            "protections.roomPosition.radiusM",
        ),
        (json!({ "sharedDevice": "forbid" }), "protections.sharedDevice"),
    ] {
        let refused = teacher.put(&path, &json!({ "protections": wrong })).await;
        assert_eq!(refused.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], field);
    }
}

#[tokio::test]
async fn cameras_look_at_a_class_and_away_again() {
    let test = TestApi::start().await;
    let (camera, _) = test.camera("Door").await;
    let class = format!("/api/v1/classes/{}", test.school.class);
    let path = format!("{class}/cameras/{camera}");
    for _ in 0..2 {
        let answer = test.operator().put(&path, &json!({})).await;
        assert_eq!(answer.data()["cameraIds"], json!([camera]));
    }
    assert_eq!(test.teacher().get(&class).await.data()["cameraIds"], json!([camera]));
    assert_eq!(test.operator().delete(&path).await.data()["cameraIds"], json!([]));
    test.operator().delete(&path).await.refused(404, "NOT_FOUND");
}
