use crate::testing::TestApi;
use http::Method;
use rollcall_test_support::{Answer, Client};
use serde_json::{Value, json};

const IMPORT: &str = "/api/v1/users/import";

async fn import(client: &Client, query: &str, csv: &str) -> Answer {
    let path = format!("{IMPORT}{query}");
    client.send(Method::POST, &path, Some(("text/csv; charset=utf-8", csv.as_bytes().to_vec()))).await
}

async fn total(client: &Client) -> Value {
    client.get("/api/v1/users").await.body["meta"]["total"].clone()
}

/// Lines and fields of what is wrong.
fn wrong(details: &Value) -> Vec<(u64, &str)> {
    let errors = details["errors"].as_array().unwrap().iter();
    errors.map(|error| (error["line"].as_u64().unwrap(), error["field"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_file_of_people_is_imported_and_enrolled() {
    let test = TestApi::start().await;
    let operator = test.operator();
    let csv = "email;fullName;role;rollNumber;classCodes\n\
               ada@school.example;Ada;student;R-1;A1|B2\n\
               ben@school.example;Ben;;R-2;A1\n\
               cy@school.example;Cy;teacher;;\n";
    let checked = import(&operator, "?dryRun=true", csv).await;
    assert_eq!(
        (checked.code(), &checked.data()["created"], &checked.data()["enrolled"]),
        ("IMPORT_CHECKED", &json!(3), &json!(3))
    );
    assert_eq!((total(&operator).await, &checked.data()["lines"][0]["id"]), (json!(6), &Value::Null));

    let imported = import(&operator, "", csv).await;
    assert_eq!((imported.status.as_u16(), imported.code()), (200, "USERS_IMPORTED"));
    assert_eq!(total(&operator).await, 9);
    let ada = format!("/api/v1/users/{}", imported.data()["lines"][0]["id"].as_str().unwrap());
    let ada = operator.get(&ada).await.data()["user"].clone();
    assert_eq!(
        (&ada["fullName"], &ada["role"], &ada["rollNumber"]),
        (&json!("Ada"), &json!("student"), &json!("R-1"))
    );
    let class = format!("/api/v1/classes/{}/students", test.school.class);
    assert_eq!(operator.get(&class).await.body["meta"]["total"], 3);
}

#[tokio::test]
async fn one_wrong_line_and_nothing_is_done() {
    let test = TestApi::start().await;
    let csv = "email,fullName,role,rollNumber,classCodes\n\
               ada@school.example,Ada,student,R-1,\n\
               SARA@school.example,Sara,student,,\n\
               new@school.example,New,student,R-Sven,\n\
               ada@school.example,Ada,student,R-1,\n\
               oz@school.example,Oz,operator,,\n\
               cy@school.example,Cy,teacher,,A1\n\
               di@school.example,Di,student,,Z9\n";
    let refused = import(&test.operator(), "", csv).await;
    let details = refused.refused(422, "VALIDATION_FAILED");
    let expected = [
        (3, "email"),
        (4, "rollNumber"),
        (5, "email"),
        (5, "rollNumber"),
        (6, "role"),
        (7, "classCodes"),
        (8, "classCodes"),
    ];
    assert_eq!(wrong(details), expected);
    assert_eq!((&details["errorCount"], total(&test.operator()).await), (&json!(7), json!(6)));
    // Whoever checks only is told the same, as an answer.
    let checked = import(&test.operator(), "?dryRun=true", csv).await;
    assert_eq!(wrong(checked.data()), expected);
    // An administrator may add operators.
    let operators = "email,fullName,role\noz@school.example,Oz,operator\n";
    assert_eq!(import(&test.admin(), "", operators).await.data()["created"], 1);
}

#[tokio::test]
async fn who_is_there_already_is_changed_where_that_is_wanted() {
    let test = TestApi::start().await;
    let csv = "email,fullName,rollNumber,classCodes\n\
               sara@school.example,Sara Changed,,A1|B2\n\
               sven@school.example,Sven student,R-Sven,\n\
               ada@school.example,Ada,,\n";
    let imported = import(&test.operator(), "?mode=upsert", csv).await;
    let data = imported.data();
    let counts = ["created", "updated", "unchanged", "enrolled"].map(|name| data[name].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 1, 1], "Sara was in A1 already");
    let sara = test.operator().get(&format!("/api/v1/users/{}", test.school.student)).await;
    assert_eq!(
        (&sara.data()["user"]["fullName"], &sara.data()["user"]["rollNumber"]),
        (&json!("Sara Changed"), &json!("R-Sara"))
    );
    let teacher = "email,fullName,role\ntom@school.example,Tom,student\n";
    let refused = import(&test.operator(), "?mode=upsert", teacher).await;
    assert_eq!(wrong(refused.refused(422, "VALIDATION_FAILED")), [(2, "role")]);
}

#[tokio::test]
async fn a_class_takes_no_more_than_it_has_places() {
    let test = TestApi::start().await;
    let class = format!("/api/v1/classes/{}", test.school.class);
    test.teacher().put(&class, &json!({ "capacity": 2 })).await.data();
    let csv = "email,fullName,classCodes\na1@school.example,A,A1\na2@school.example,B,A1\n";
    let refused = import(&test.operator(), "", csv).await;
    assert_eq!(wrong(refused.refused(422, "VALIDATION_FAILED")), [(3, "classCodes")]);
    test.teacher().put(&class, &json!({ "isActive": false })).await.data();
    let refused = import(&test.operator(), "", "email,fullName,classCodes\na1@school.example,A,A1\n").await;
    assert_eq!(wrong(refused.refused(422, "VALIDATION_FAILED")), [(2, "classCodes")]);
}

#[tokio::test]
async fn a_form_with_the_file_does_as_well_and_other_bodies_are_refused() {
    let test = TestApi::start().await;
    let operator = test.operator();
    let csv = "email,fullName\nada@school.example,Ada\n";
    let boundary = |name: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a.csv\"\r\n\r\n{csv}\r\n--b--\r\n"
        )
    };
    let send = async |content_type: &str, body: Vec<u8>| {
        operator.send(Method::POST, IMPORT, Some((content_type, body))).await
    };
    let form = "multipart/form-data; boundary=b";
    send(form, boundary("other").into_bytes()).await.refused(400, "MISSING_REQUIRED_FIELD");
    assert_eq!(send(form, boundary("file").into_bytes()).await.data()["created"], 1);
    send("application/json", b"{}".to_vec()).await.refused(415, "UNSUPPORTED_MEDIA_TYPE");
    send("text/csv", vec![b'a'; 2 << 20]).await.refused(413, "PAYLOAD_TOO_LARGE");
    import(&operator, "?mode=replace", csv).await.refused(422, "VALIDATION_FAILED");
}
