use crate::testing::{PASSWORD, TestApi};
use serde_json::json;

#[tokio::test]
async fn a_person_is_added_read_changed_and_deleted() {
    let test = TestApi::start().await;
    let admin = test.admin();
    let new = json!({ "email": "new@school.example", "fullName": "Nora New", "role": "teacher", "password": PASSWORD });
    let created = admin.post("/api/v1/users", &new).await;
    insta::assert_json_snapshot!(created.body);
    let id = created.data()["user"]["id"].as_str().unwrap().to_owned();

    let login = json!({ "email": "new@school.example", "password": PASSWORD });
    let token = test.edge.client().post("/api/v1/auth/login", &login).await.data()["token"].clone();
    let nora = test.edge.client().with_token(token.as_str().unwrap());
    assert_eq!(nora.get("/api/v1/users/profile").await.data()["user"]["fullName"], "Nora New");
    let changed = nora.put("/api/v1/users/profile", &json!({ "fullName": "Nora Newer" })).await;
    assert_eq!(changed.data()["user"]["fullName"], "Nora Newer");

    assert_eq!(admin.delete(&format!("/api/v1/users/{id}")).await.code(), "USER_DELETED");
    admin.get(&format!("/api/v1/users/{id}")).await.refused(404, "NOT_FOUND");
    test.edge.client().post("/api/v1/auth/login", &login).await.refused(401, "AUTH_INVALID_CREDENTIALS");
    // The address is free again.
    admin.post("/api/v1/users", &new).await.data();
}

#[tokio::test]
async fn pages_say_where_they_are() {
    let test = TestApi::start().await;
    let page = test.admin().get("/api/v1/users?limit=2&page=2").await;
    let names: Vec<_> =
        page.data()["users"].as_array().unwrap().iter().map(|user| user["fullName"].clone()).collect();
    assert_eq!(names, [json!("Sara student"), json!("Sven student")]);
    insta::assert_json_snapshot!(page.body["meta"]);
    let students = test.admin().get("/api/v1/users?role=student").await;
    assert_eq!(students.body["meta"]["total"], 2);
}

#[tokio::test]
async fn operators_manage_teachers_and_students_only() {
    let test = TestApi::start().await;
    let operator = test.operator();
    let person =
        |role: &str| json!({ "email": format!("{role}2@school.example"), "fullName": "P", "role": role });
    operator.post("/api/v1/users", &person("teacher")).await.data();
    operator.post("/api/v1/users", &person("operator")).await.refused(403, "AUTH_UNAUTHORIZED");
    let admin = format!("/api/v1/users/{}", test.school.admin);
    operator.put(&admin, &json!({ "password": PASSWORD })).await.refused(403, "AUTH_UNAUTHORIZED");
    operator.delete(&admin).await.refused(403, "AUTH_UNAUTHORIZED");
    let student = format!("/api/v1/users/{}", test.school.student);
    operator.put(&student, &json!({ "role": "admin" })).await.refused(403, "AUTH_UNAUTHORIZED");
}

#[tokio::test]
async fn each_bad_field_is_named() {
    let test = TestApi::start().await;
    let bad = json!({ "email": "nobody", "fullName": "", "role": "teacher", "password": "short" });
    let answer = test.admin().post("/api/v1/users", &bad).await;
    insta::assert_json_snapshot!(answer.refused(422, "VALIDATION_FAILED"));
    let taken = json!({ "email": "Tom@School.example", "fullName": "T", "role": "teacher" });
    test.admin().post("/api/v1/users", &taken).await.refused(409, "CONFLICT");
    let unknown_role = json!({ "email": "a@school.example", "fullName": "T", "role": "king" });
    let answer = test.admin().post("/api/v1/users", &unknown_role).await;
    assert_eq!(answer.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], "role");
    let absent = test.admin().post("/api/v1/users", &json!({ "fullName": "T", "role": "teacher" })).await;
    assert_eq!(absent.refused(400, "MISSING_REQUIRED_FIELD")["fields"][0]["field"], "email");
}

#[tokio::test]
async fn a_null_character_is_the_callers_mistake() {
    let test = TestApi::start().await;
    let new = json!({ "email": "a@school.example", "fullName": "Null\u{0}", "role": "teacher" });
    test.admin().post("/api/v1/users", &new).await.refused(400, "INVALID_INPUT");
    let class = json!({ "name": "Null\u{0}", "code": "N0" });
    test.teacher().post("/api/v1/classes", &class).await.refused(400, "INVALID_INPUT");
}

#[tokio::test]
async fn a_teacher_of_classes_is_not_taken_away_from_them() {
    let test = TestApi::start().await;
    let teacher = format!("/api/v1/users/{}", test.school.teacher);
    test.admin().delete(&teacher).await.refused(409, "CONFLICT");
    test.admin().put(&teacher, &json!({ "role": "operator" })).await.refused(409, "CONFLICT");
    test.admin().delete(&format!("/api/v1/classes/{}", test.school.class)).await.data();
    test.admin().delete(&teacher).await.data();
    test.admin().delete(&format!("/api/v1/users/{}", test.school.admin)).await.refused(409, "CONFLICT");
}

#[tokio::test]
async fn everybody_sees_their_own_classes() {
    let test = TestApi::start().await;
    let classes = test.teacher().get("/api/v1/users/classes").await;
    assert_eq!(classes.data()["classes"][0]["code"], "A1");
    assert_eq!(classes.body["meta"]["total"], 1);
    let enrolments = test.student().get("/api/v1/users/enrollments").await;
    assert_eq!(enrolments.data()["enrollments"][0]["classId"], json!(test.school.class));
}

#[tokio::test]
async fn people_are_found_by_a_part_of_their_name_address_or_number() {
    let test = TestApi::start().await;
    let found = async |query: &str| {
        let page = test.admin().get(&format!("/api/v1/users?{query}")).await;
        let names = page.data()["users"].as_array().unwrap().iter().map(|user| user["fullName"].clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(found("search=sara").await, [json!("Sara student")]);
    assert_eq!(found("search=TOM%40school").await, [json!("Tom teacher")]);
    assert_eq!(found("search=r-sven&role=student").await, [json!("Sven student")]);
    for nothing in ["search=sara&role=teacher", "search=%25", "search=s_ra", "search=%5C"] {
        assert_eq!(found(nothing).await, [] as [serde_json::Value; 0], "{nothing}");
    }
    let long = format!("/api/v1/users?search={}", "x".repeat(201));
    test.admin().get(&long).await.refused(422, "VALIDATION_FAILED");
}

#[tokio::test]
async fn who_was_deleted_is_restored_unless_somebody_has_their_address() {
    let test = TestApi::start().await;
    let admin = test.admin();
    let one = format!("/api/v1/users/{}", test.school.student);
    let restore = format!("{one}/restore");
    admin.post(&restore, &json!({})).await.refused(404, "NOT_FOUND");
    admin.delete(&one).await.data();
    let deleted = admin.get("/api/v1/users?deleted=true").await;
    assert_eq!(deleted.data()["users"][0]["id"], json!(test.school.student));
    assert!(deleted.data()["users"][0]["deletedAt"].is_string());

    let successor = json!({ "email": "SARA@school.example", "fullName": "Sara Second", "role": "student" });
    let id = admin.post("/api/v1/users", &successor).await.data()["user"]["id"].as_str().unwrap().to_owned();
    let taken = admin.post(&restore, &json!({})).await;
    taken.refused(409, "CONFLICT");
    assert_eq!(taken.body["error"]["message"], "the e-mail address is already taken");
    admin.delete(&format!("/api/v1/users/{id}")).await.data();
    let restored = admin.post(&restore, &json!({})).await;
    assert_eq!(
        (restored.code(), &restored.data()["user"]["deletedAt"]),
        ("USER_RESTORED", &serde_json::Value::Null)
    );
    admin.get(&one).await.data();

    let operator = format!("/api/v1/users/{}", test.school.operator);
    admin.delete(&operator).await.data();
    let other = json!({ "email": "oz@school.example", "fullName": "Oz", "role": "operator" });
    let other =
        admin.post("/api/v1/users", &other).await.data()["user"]["id"].as_str().unwrap().parse().unwrap();
    let other = test.client_of(other, rollcall_schemas::role::Role::Operator);
    other.post(&format!("{operator}/restore"), &json!({})).await.refused(403, "AUTH_UNAUTHORIZED");
}
