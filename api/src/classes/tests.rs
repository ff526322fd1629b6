use crate::testing::TestApi;
use chrono::TimeDelta;
use rollcall_schemas::{id::UserId, role::Role};
use rollcall_store::classes::{self, ClassSettings};
use serde_json::json;

#[tokio::test]
async fn a_teacher_adds_changes_and_deletes_a_class() {
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
    assert_eq!(teacher.delete(&path).await.code(), "CLASS_DELETED");
    teacher.get(&path).await.refused(404, "NOT_FOUND");
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

    // Of many who come at once for the last place, one gets it.
    test.teacher().put(&path, &json!({ "capacity": 2 })).await.data();
    let add = json!({ "studentId": test.school.other_student });
    let (operator, students) = (test.operator(), format!("{path}/students"));
    let rush = (0..6).map(|_| operator.post(&students, &add));
    let codes: Vec<_> =
        futures::future::join_all(rush).await.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(codes.iter().filter(|code| **code == 201).count(), 1, "{codes:?}");
    assert_eq!(test.teacher().get(&students).await.body["meta"]["total"], 2);
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
        ClassSettings::default()
    );
    let now = classes::settings(&mut db, test.school.class, test.clock.now()).await.unwrap();
    assert_eq!((now.late_after_seconds, now.votes_wanted, now.certain_is_enough), (60, 2, false));
    test.teacher().put(&path, &json!({ "qrTtlSeconds": 0 })).await.refused(422, "VALIDATION_FAILED");
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
