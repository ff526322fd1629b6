//! Against the real attendance worker, which writes what is asked for here.

use crate::testing::{JPEG, TestApi};
use chrono::TimeDelta;
use http::{HeaderName, Method, header::CACHE_CONTROL};
use rollcall_schemas::id::UserId;
use rollcall_test_support::{Answer, Client};
use serde_json::{Value, json};
use uuid::Uuid;

/// A school whose first session is under way.
async fn lesson() -> TestApi {
    let test = TestApi::start().await;
    test.start_attendance_worker();
    let start = format!("/api/v1/sessions/{}/start", test.school.session);
    test.teacher().put(&start, &json!({})).await.data();
    test
}

/// Lets the other student join the first class.
async fn join(test: &TestApi) {
    test.clock.advance(TimeDelta::seconds(1));
    let students = format!("/api/v1/classes/{}/students", test.school.class);
    let other = json!({ "studentId": test.school.other_student });
    test.teacher().post(&students, &other).await.data();
}

async fn mark(test: &TestApi, by: &Client, records: Value) -> Answer {
    let marks = json!({ "sessionId": test.school.session, "records": records });
    by.post("/api/v1/attendance/manual", &marks).await
}

async fn records(test: &TestApi) -> Vec<Value> {
    let listed = test.teacher().get(&format!("/api/v1/attendance/session/{}", test.school.session)).await;
    listed.data()["attendanceRecords"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_list_is_marked_as_a_whole_or_not_at_all() {
    let test = lesson().await;
    join(&test).await;
    let (student, other) = (test.school.student, test.school.other_student);
    let stranger = Uuid::from_u128(1);
    let bad = json!([
        { "studentId": student, "status": "present" },
        { "rollNumber": "R-Sara", "status": "late" },
        { "studentId": stranger, "status": "present" },
        { "studentId": other, "status": "excused" },
        { "rollNumber": "R-Nobody", "status": "absent" },
    ]);
    let refused = mark(&test, &test.teacher(), bad).await;
    let report = refused.refused(422, "VALIDATION_FAILED");
    let fields: Vec<_> = report["fields"].as_array().unwrap().iter().map(|line| &line["field"]).collect();
    assert_eq!(
        fields,
        ["records[1].rollNumber", "records[2].studentId", "records[3].reason", "records[4].rollNumber"]
    );
    assert_eq!(records(&test).await, Vec::<Value>::new(), "nothing is half done");

    test.clock.advance(TimeDelta::minutes(1));
    let good = json!([
        { "studentId": student, "status": "late", "markedAt": "2026-03-02T09:00:30Z", "reason": "at the door" },
        { "rollNumber": "R-Sven", "status": "excused", "reason": "ill" },
    ]);
    let marked = mark(&test, &test.teacher(), good).await;
    assert_eq!(marked.code(), "ATTENDANCE_MARKED");
    let statuses: Vec<_> = marked.data()["attendanceRecords"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| &record["status"])
        .collect();
    assert_eq!(statuses, ["late", "excused"]);
    let listed = records(&test).await;
    let sara = listed.iter().find(|record| record["studentId"] == json!(student)).unwrap();
    assert_eq!((&sara["evidence"], &sara["reason"]), (&json!("manual"), &json!("at the door")));
    assert_eq!(sara["decidedBy"], json!({ "id": test.school.teacher, "name": "Tom teacher" }));
    assert_eq!(sara["markedAt"], "2026-03-02T09:00:30Z");
}

#[tokio::test]
async fn a_list_must_be_readable() {
    let test = TestApi::start().await;
    let fields = async |records: Value| {
        let answer = mark(&test, &test.teacher(), records).await;
        answer.refused(422, "VALIDATION_FAILED")["fields"][0]["field"].clone()
    };
    let student = test.school.student;
    assert_eq!(fields(json!([])).await, "records");
    assert_eq!(fields(json!([{ "status": "present" }])).await, "records[0].studentId");
    let both = json!([{ "studentId": student, "rollNumber": "R-Sara", "status": "present" }]);
    assert_eq!(fields(both).await, "records[0].studentId");
    let wordy = json!([{ "studentId": student, "status": "present", "reason": "x".repeat(501) }]);
    assert_eq!(fields(wordy).await, "records[0].reason");
}

#[tokio::test]
async fn a_repeated_call_is_one_word() {
    let test = lesson().await;
    let teacher = test.teacher().with_header(HeaderName::from_static("idempotency-key"), "once");
    let present = || json!([{ "studentId": test.school.student, "status": "present" }]);
    let first = mark(&test, &teacher, present()).await;
    test.clock.advance(TimeDelta::minutes(1));
    let again = mark(&test, &teacher, present()).await;
    assert_eq!(first.data(), again.data());
    assert_eq!(versions(&test, &first).await.len(), 1);
}

fn record_of(answer: &Answer) -> String {
    let id = &answer.data()["attendanceRecords"][0]["attendanceId"];
    format!("/api/v1/attendance/{}", id.as_str().unwrap())
}

async fn versions(test: &TestApi, marked: &Answer) -> Vec<Value> {
    let history = test.teacher().get(&format!("{}/history", record_of(marked))).await;
    history.data()["versions"].as_array().unwrap().clone()
}

#[tokio::test]
async fn every_word_is_a_version_and_can_be_taken_back() {
    let test = lesson().await;
    let marked = mark(&test, &test.teacher(), json!([{ "rollNumber": "R-Sara", "status": "present" }])).await;
    let record = record_of(&marked);
    test.clock.advance(TimeDelta::minutes(1));
    let by_operator = json!({ "status": "late", "reason": "seen on the stairs" });
    let changed = test.operator().put(&record, &by_operator).await;
    assert_eq!(
        (changed.code(), &changed.data()["attendance"]["status"]),
        ("ATTENDANCE_CHANGED", &json!("late"))
    );
    test.clock.advance(TimeDelta::minutes(1));
    let excused = test.teacher().post(&format!("{record}/excuse"), &json!({ "reason": "sick bay" })).await;
    assert_eq!(
        (excused.code(), &excused.data()["attendance"]["status"]),
        ("ATTENDANCE_EXCUSED", &json!("excused"))
    );
    test.clock.advance(TimeDelta::minutes(1));
    test.teacher().put(&format!("/api/v1/sessions/{}/end", test.school.session), &json!({})).await.data();
    let back =
        test.teacher().post(&format!("{record}/withdraw"), &json!({ "reason": "wrong student" })).await;
    let says = &back.data()["attendance"];
    assert_eq!(
        (back.code(), &says["status"], &says["evidence"]),
        ("ATTENDANCE_WITHDRAWN", &json!("absent"), &json!("none"))
    );
    test.teacher().post(&format!("{record}/withdraw"), &json!({})).await.refused(409, "CONFLICT");

    let versions = versions(&test, &marked).await;
    let said: Vec<_> = versions
        .iter()
        .map(|version| (&version["status"], &version["decidedBy"]["name"], &version["reason"]))
        .map(|(status, by, why)| (status.as_str().unwrap(), by.as_str().unwrap(), why.as_str()))
        .collect();
    let expected = [
        ("present", "Tom teacher", None),
        ("late", "Olga operator", Some("seen on the stairs")),
        ("excused", "Tom teacher", Some("sick bay")),
        ("absent", "Tom teacher", Some("wrong student")),
    ];
    assert_eq!(said, expected);
    for (earlier, later) in versions.iter().zip(&versions[1..]) {
        assert_eq!(earlier["changedAt"], later["recordedAt"]);
    }
    assert_eq!(versions.last().unwrap()["changedAt"], Value::Null);

    let own = test.student().get("/api/v1/user/attendance").await;
    assert_eq!(own.data()["attendanceHistory"][0]["reason"], "wrong student");
    test.student().get(&format!("{record}/history")).await.data();
    let strange = test.client_of(test.school.other_student, rollcall_schemas::role::Role::Student);
    strange.get(&format!("{record}/history")).await.refused(403, "AUTH_UNAUTHORIZED");
    assert_eq!(strange.get("/api/v1/user/attendance").await.body["meta"]["total"], 0);
}

#[tokio::test]
async fn a_bad_word_about_one_record_names_its_field() {
    let test = lesson().await;
    let marked = mark(&test, &test.teacher(), json!([{ "rollNumber": "R-Sara", "status": "present" }])).await;
    let early = json!({ "status": "late", "markedAt": "2026-03-02T08:59:59Z" });
    let refused = test.teacher().put(&record_of(&marked), &early).await;
    assert_eq!(refused.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], "markedAt");
    let unexcused = test.teacher().put(&record_of(&marked), &json!({ "status": "excused" })).await;
    assert_eq!(unexcused.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], "reason");
}

#[tokio::test]
async fn an_expected_absence_is_excused_ahead() {
    let test = TestApi::start().await;
    test.start_attendance_worker();
    let ahead = |status| json!([{ "rollNumber": "R-Sara", "status": status, "reason": "at the dentist" }]);
    let early = mark(&test, &test.teacher(), ahead("present")).await;
    assert_eq!(early.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], "records[0].status");
    mark(&test, &test.teacher(), ahead("excused")).await.data();
    let session = format!("/api/v1/sessions/{}", test.school.session);
    test.teacher().put(&format!("{session}/start"), &json!({})).await.data();
    test.clock.advance(TimeDelta::minutes(30));
    test.teacher().put(&format!("{session}/end"), &json!({})).await.data();
    let listed = records(&test).await;
    assert_eq!((&listed[0]["status"], &listed[0]["reason"]), (&json!("excused"), &json!("at the dentist")));
}

#[tokio::test]
async fn only_the_teacher_of_the_class_marks_it() {
    let test = lesson().await;
    let present = || json!([{ "rollNumber": "R-Sara", "status": "present" }]);
    let other = test.client_of(test.school.other_teacher, rollcall_schemas::role::Role::Teacher);
    mark(&test, &other, present()).await.refused(403, "AUTH_UNAUTHORIZED");
    mark(&test, &test.student(), present()).await.refused(403, "AUTH_UNAUTHORIZED");
    mark(&test, &test.operator(), present()).await.data();
    mark(&test, &test.admin(), present()).await.data();
    let nowhere = json!({ "sessionId": Uuid::nil(), "records": present() });
    test.teacher().post("/api/v1/attendance/manual", &nowhere).await.refused(404, "NOT_FOUND");
}

async fn listed(test: &TestApi, status: &str) -> Vec<Value> {
    let page = test.teacher().get(&format!("/api/v1/reviews?status={status}")).await;
    page.data()["reviews"].as_array().unwrap().clone()
}

#[tokio::test]
async fn an_accepted_review_makes_the_record_by_its_evidence() {
    let test = lesson().await;
    test.clock.advance(TimeDelta::minutes(2));
    let review = format!("/api/v1/reviews/{}", test.review(test.school.student).await);
    test.clock.advance(TimeDelta::minutes(20));
    let shown = test.teacher().get(&review).await;
    assert_eq!(
        (&shown.data()["review"]["kind"], &shown.data()["attendance"]),
        (&json!("face"), &Value::Null)
    );
    let candidate = &shown.data()["review"]["candidates"][0];
    assert_eq!(
        (&candidate["name"], &candidate["userId"]),
        (&json!("Sara student"), &json!(test.school.student))
    );

    // Who is in none of the teacher's classes is named to those only who may know everybody.
    let second =
        async |client: Client| client.get(&review).await.data()["review"]["candidates"][1]["name"].clone();
    assert_eq!(
        (second(test.teacher()).await, second(test.operator()).await),
        (Value::Null, json!("Sven student"))
    );

    let face = shown.data()["faceUrl"].as_str().unwrap();
    let picture = test.teacher().request(Method::GET, face).send().await.unwrap();
    assert_eq!(picture.headers()[CACHE_CONTROL], "no-store");
    assert_eq!(picture.headers()["content-type"], "image/jpeg");
    assert_eq!(picture.bytes().await.unwrap(), JPEG.as_slice());

    let accepted = test.teacher().post(&format!("{review}/accept"), &json!({ "reason": "it is her" })).await;
    let record = &accepted.data()["attendance"];
    assert_eq!((accepted.code(), &record["status"]), ("REVIEW_ACCEPTED", &json!("present")));
    assert_eq!(record["markedAt"], "2026-03-02T09:02:00Z", "the time of the evidence");
    let answer = &accepted.data()["review"]["answer"];
    assert_eq!(
        (&answer["resolution"], &answer["resolvedBy"]["name"]),
        (&json!("accepted"), &json!("Tom teacher"))
    );
    assert_eq!((listed(&test, "open").await.len(), listed(&test, "resolved").await.len()), (0, 1));
    let again = test.operator().post(&format!("{review}/reject"), &json!({})).await;
    assert_eq!(again.refused(409, "CONFLICT")["resolution"], "accepted");

    // Taken back, the question is open again.
    let record = format!("/api/v1/attendance/{}", record["attendanceId"].as_str().unwrap());
    test.teacher().post(&format!("{record}/withdraw"), &json!({})).await.data();
    assert_eq!((listed(&test, "open").await.len(), listed(&test, "resolved").await.len()), (1, 0));
}

#[tokio::test]
async fn a_word_taken_back_while_the_session_runs_leaves_no_record() {
    let test = lesson().await;
    let marked = mark(&test, &test.teacher(), json!([{ "rollNumber": "R-Sara", "status": "present" }])).await;
    let withdraw = format!("{}/withdraw", record_of(&marked));
    let back = test.teacher().post(&withdraw, &json!({ "reason": "wrong student" })).await;
    assert_eq!((back.code(), &back.data()["attendance"]), ("ATTENDANCE_WITHDRAWN", &Value::Null));
    assert_eq!(records(&test).await, Vec::<Value>::new());
    test.teacher().post(&withdraw, &json!({})).await.refused(409, "CONFLICT");
    let history = format!("{}/history", record_of(&marked));
    let gone = test.student().get(&history).await;
    assert_eq!(
        (&gone.data()["attendance"], &gone.data()["studentId"]),
        (&Value::Null, &json!(test.school.student))
    );
    assert_eq!(gone.data()["versions"][0]["status"], "present", "and nothing stands");
    assert_eq!(gone.data()["versions"].as_array().unwrap().len(), 1);
    let strange = test.client_of(test.school.other_student, rollcall_schemas::role::Role::Student);
    strange.get(&history).await.refused(403, "AUTH_UNAUTHORIZED");
    let again = mark(&test, &test.teacher(), json!([{ "rollNumber": "R-Sara", "status": "late" }])).await;
    let said: Vec<_> = versions(&test, &again).await.iter().map(|it| it["status"].clone()).collect();
    assert_eq!(said, ["present", "late"], "what it said stays in its history");
}

#[tokio::test]
async fn a_rejected_review_changes_no_record() {
    let test = lesson().await;
    let review = format!("/api/v1/reviews/{}", test.review(test.school.student).await);
    let rejected = test.teacher().post(&format!("{review}/reject"), &json!({})).await;
    assert_eq!((rejected.code(), &rejected.data()["attendance"]), ("REVIEW_REJECTED", &Value::Null));
    assert_eq!(records(&test).await, Vec::<Value>::new());
    assert_eq!(listed(&test, "resolved").await[0]["answer"]["resolution"], "rejected");
}

#[tokio::test]
async fn a_face_can_be_another_student_s() {
    let test = lesson().await;
    let reassign = async |review: &str, to: UserId| {
        test.teacher().post(&format!("{review}/reassign"), &json!({ "studentId": to })).await
    };
    let review = format!("/api/v1/reviews/{}", test.review(test.school.student).await);
    let other = test.school.other_student;
    reassign(&review, other).await.refused(403, "NOT_ENROLLED");
    assert_eq!(listed(&test, "open").await.len(), 1, "a refused answer leaves it open");
    join(&test).await;
    reassign(&review, other).await.refused(403, "NOT_ENROLLED");
    let since = format!("/api/v1/reviews/{}", test.review(test.school.operator).await);
    let reassigned = reassign(&since, other).await;
    assert_eq!(reassigned.data()["attendance"]["studentId"], json!(other));
    assert_eq!(reassigned.data()["review"]["answer"]["reassignedTo"], json!(other));
}
