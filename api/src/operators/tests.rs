use crate::testing::{PASSWORD, TestApi};
use serde_json::json;

const OPERATORS: &str = "/api/v1/admin/operators";

#[tokio::test]
async fn an_operator_is_added_changed_found_and_deleted() {
    let test = TestApi::start().await;
    let admin = test.admin();
    let new = json!({ "email": "oz@school.example", "fullName": "Oz Ozawa", "password": PASSWORD });
    let created = admin.post(OPERATORS, &new).await;
    assert_eq!((created.status.as_u16(), created.code()), (201, "OPERATOR_CREATED"));
    assert_eq!(created.data()["operator"]["role"], "operator");
    let one = format!("{OPERATORS}/{}", created.data()["operator"]["id"].as_str().unwrap());
    admin.put(&one, &json!({ "fullName": "Oz Ozu" })).await.data();
    assert_eq!(admin.get(&one).await.data()["operator"]["fullName"], "Oz Ozu");

    let found = admin.get(&format!("{OPERATORS}?search=OZU")).await;
    assert_eq!(found.body["meta"]["total"], 1);
    assert_eq!(admin.get(OPERATORS).await.body["meta"]["total"], 2);
    assert_eq!(admin.delete(&one).await.code(), "OPERATOR_DELETED");
    admin.get(&one).await.refused(404, "NOT_FOUND");
    let login = json!({ "email": "oz@school.example", "password": PASSWORD });
    test.edge.client().post("/api/v1/auth/login", &login).await.refused(401, "AUTH_INVALID_CREDENTIALS");
}

#[tokio::test]
async fn only_operators_are_here_and_a_role_cannot_be_sent() {
    let test = TestApi::start().await;
    let admin = test.admin();
    for id in [test.school.admin, test.school.teacher] {
        admin.get(&format!("{OPERATORS}/{id}")).await.refused(404, "NOT_FOUND");
        admin.delete(&format!("{OPERATORS}/{id}")).await.refused(404, "NOT_FOUND");
    }
    let promoted = json!({ "email": "oz@school.example", "fullName": "Oz", "role": "admin" });
    admin.post(OPERATORS, &promoted).await.refused(422, "VALIDATION_FAILED");
    let olga = format!("{OPERATORS}/{}", test.school.operator);
    admin.put(&olga, &json!({ "role": "admin" })).await.refused(422, "VALIDATION_FAILED");
}
