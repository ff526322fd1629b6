//! The table against the routes, and every route against every kind of caller.

use super::*;
use crate::{ApiConfig, testing::TestApi};
use rollcall_schemas::id::CameraId;
use rollcall_test_support::Client;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

/// What a call with good credentials may not end in.
const REFUSED: [u16; 2] = [401, 403];

fn routes_of_the_document() -> BTreeSet<(String, String)> {
    let document = serde_json::to_value(crate::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let methods = |(path, item): (&String, &Value)| {
        let methods = item
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| ["get", "post", "put", "patch", "delete"].contains(&key.as_str()));
        methods.map(|method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(methods).collect()
}

/// No worker answers here.
fn impatient() -> ApiConfig {
    ApiConfig { ask_deadline_ms: 50, ..ApiConfig::default() }
}

#[test]
fn every_route_has_exactly_one_rule_and_every_rule_a_route() {
    let rules: BTreeSet<_> =
        RULES.iter().map(|rule| (rule.method.to_owned(), rule.path.to_owned())).collect();
    assert_eq!(rules.len(), RULES.len(), "a route has two rules");
    assert_eq!(rules, routes_of_the_document());
}

/// The path with ids in place of its parameters: those of the first class, its student and its session.
fn path(test: &TestApi, rule: &Rule, camera: CameraId) -> String {
    let school = &test.school;
    let id = match rule.ownership {
        Ownership::Class(_) => school.class.0,
        Ownership::Session(_) => school.session.0,
        Ownership::Person(_) => school.student.0,
        Ownership::Any | Ownership::Narrowed => {
            if rule.path.contains("/cameras/{id}") {
                camera.0
            } else if rule.path.contains("/classes/{id}") {
                school.class.0
            } else {
                school.student.0
            }
        }
    };
    rule.path
        .replace("{id}", &id.to_string())
        .replace("{classId}", &school.class.to_string())
        .replace("{studentId}", &school.other_student.to_string())
        .replace("{cameraId}", &camera.to_string())
        .replace("{keyId}", &Uuid::nil().to_string())
}

/// Calls the way a browser would, with a body that breaks the rules of every route: whoever is let in is told so, and
/// nothing changes.
async fn call(client: &Client, rule: &Rule, path: &str) -> u16 {
    if rule.path.ends_with("/events") {
        // An endless stream cannot be read to its end; a refused one is.
        return client.get(&format!("{path}?type=unknown")).await.status.as_u16();
    }
    match rule.method {
        "GET" => {
            // Not JSON in an envelope: read by other programs.
            if rule.path.starts_with("/.well-known") {
                let response = client.request(Method::GET, path).send().await.unwrap();
                return response.status().as_u16();
            }
            client.get(path).await.status.as_u16()
        }
        "DELETE" => client.delete(path).await.status.as_u16(),
        method => {
            let body = json!({ "unknownField": true });
            client.send_json(method.parse().unwrap(), path, &body).await.status.as_u16()
        }
    }
}

/// Two integrations that the api knows: one that may do all that integrations may, and one that reads attendance only.
async fn integrations(test: &TestApi) -> (Client, Client) {
    let all: Vec<_> = Scope::ALL.into_iter().filter(|scope| *scope != Scope::FramesPush).collect();
    let mut clients = Vec::new();
    for scopes in [json!(all), json!([Scope::AttendanceRead])] {
        let new = json!({ "name": "Integration", "scopes": scopes });
        let issued = test.admin().post("/api/v1/api-keys", &new).await;
        let client = test.edge.client().with_api_key(issued.data()["apiKey"].as_str().unwrap());
        let known = || async { (client.get("/api/v1/auth/me").await.status.as_u16() == 403).then_some(()) };
        rollcall_test_support::eventually("the key is known", crate::testing::SOON, known).await;
        clients.push(client);
    }
    let [able, unable] = clients.try_into().unwrap();
    (able, unable)
}

/// Deleting is tried on what does not exist, so that the order of the rules does not matter.
fn harmless(rule: &Rule, path: &str) -> String {
    let is_own_class = matches!(rule.ownership, Ownership::Class(_)) && rule.path.ends_with("{id}");
    if rule.method != "DELETE" || is_own_class {
        return path.to_owned();
    }
    let nobody = Uuid::nil().to_string();
    let mut tokens: Vec<&str> = path.split('/').collect();
    let last_id = tokens.iter().rposition(|token| token.parse::<Uuid>().is_ok());
    tokens[last_id.expect("what is deleted is named by an id")] = &nobody;
    tokens.join("/")
}

#[tokio::test]
async fn every_route_lets_in_its_roles_and_nobody_else() {
    let test = TestApi::start_with(impatient()).await;
    let (camera, camera_client) = test.camera().await;
    let (able, unable) = integrations(&test).await;
    let anonymous = test.edge.client();
    let malformed = anonymous.with_token("not.a.token");
    // Deleting the class comes last: everything else refers to it.
    let (last, first): (Vec<_>, Vec<_>) =
        RULES.iter().partition(|rule| rule.method == "DELETE" && rule.path == "/api/v1/classes/{id}");
    for rule in first.into_iter().chain(last) {
        let path = harmless(rule, &path(&test, rule, camera));
        let line = format!("{} {}", rule.method, rule.path);
        let Who::Users(roles) = rule.who else {
            let status = call(&anonymous, rule, &path).await;
            assert!(!REFUSED.contains(&status), "{line} by anybody: {status}");
            continue;
        };
        assert_eq!(call(&anonymous, rule, &path).await, 401, "{line} without credentials");
        assert_eq!(call(&malformed, rule, &path).await, 401, "{line} with a malformed token");
        assert_eq!(call(&camera_client, rule, &path).await, 403, "{line} by a camera");
        match rule.scope {
            Some(scope) => {
                let status = call(&able, rule, &path).await;
                assert!(
                    !REFUSED.contains(&status) && status < 500,
                    "{line} by a key of scope {scope}: {status}"
                );
            }
            None => assert_eq!(call(&able, rule, &path).await, 403, "{line} by a key of every scope"),
        }
        if rule.scope != Some(Scope::AttendanceRead) {
            assert_eq!(call(&unable, rule, &path).await, 403, "{line} by a key of another scope");
        }
        for role in [Role::Student, Role::Teacher, Role::Operator, Role::Admin] {
            let user = match role {
                Role::Admin => test.school.admin,
                Role::Operator => test.school.operator,
                Role::Teacher => test.school.teacher,
                Role::Student => test.school.student,
            };
            let status = call(&test.client_of(user, role), rule, &path).await;
            if roles.contains(&role) {
                assert!(
                    (!REFUSED.contains(&status) && status < 500) || status == 503,
                    "{line} by {role}: {status}"
                );
            } else {
                assert_eq!(status, 403, "{line} by {role}");
            }
        }
    }
}

#[tokio::test]
async fn what_belongs_to_somebody_else_is_refused() {
    let test = TestApi::start_with(impatient()).await;
    let (camera, _) = test.camera().await;
    let strangers = [(Role::Teacher, test.school.other_teacher), (Role::Student, test.school.other_student)];
    let mut checked = 0;
    for rule in RULES.iter().filter(|rule| !matches!(rule.ownership, Ownership::Any | Ownership::Narrowed)) {
        let Who::Users(roles) = rule.who else { continue };
        for (role, user) in strangers.iter().filter(|(role, _)| roles.contains(role)) {
            let path = path(&test, rule, camera);
            let status = call(&test.client_of(*user, *role), rule, &path).await;
            assert_eq!(status, 403, "{} {} by a strange {role}", rule.method, rule.path);
            checked += 1;
        }
    }
    assert!(checked > 15, "only {checked} calls were checked");
}

/// Malformed, oversized, wrongly typed and unknown: each in the envelope, on every route. The client checks the
/// envelope of every answer.
#[tokio::test]
async fn every_route_refuses_bad_calls_in_the_envelope() {
    let test = TestApi::start_with(impatient()).await;
    let (camera, _) = test.camera().await;
    for rule in RULES.iter().filter(|rule| rule.who != Who::Anyone || rule.path.ends_with("/login")) {
        let client = match rule.who {
            Who::Users(roles) if !roles.contains(&Role::Admin) => match roles {
                [Role::Teacher] => test.teacher(),
                _ => test.student(),
            },
            _ => test.admin(),
        };
        let good = path(&test, rule, camera);
        let line = format!("{} {}", rule.method, rule.path);
        let method: Method = rule.method.parse().unwrap();
        if rule.path.contains('{') {
            let bad = path_with_bad_ids(rule.path);
            let answer = client.send_json(method.clone(), &bad, &json!({})).await;
            assert!([403, 422].contains(&answer.status.as_u16()), "{line}: {}", answer.body);
        }
        if takes_a_body(rule) {
            let send = async |content_type: &str, body: Vec<u8>| {
                client.send(method.clone(), &good, Some((content_type, body))).await
            };
            send("application/json", b"{".to_vec()).await.refused(400, "INVALID_INPUT");
            send("application/json", b"[]".to_vec()).await.refused(422, "VALIDATION_FAILED");
            send("application/json", br#"{"unknownField":1}"#.to_vec())
                .await
                .refused(422, "VALIDATION_FAILED");
            send("text/plain", b"hello".to_vec()).await.refused(415, "UNSUPPORTED_MEDIA_TYPE");
            let huge = vec![b' '; if rule.path.ends_with("/faces") { 40 << 20 } else { 2 << 20 }];
            send("application/json", huge).await.refused(413, "PAYLOAD_TOO_LARGE");
        }
        if rule.method == "GET" && takes_a_query(rule) {
            client.get(&format!("{good}?unknown=1")).await.refused(422, "VALIDATION_FAILED");
        }
        // No route takes both.
        let is_patched = RULES.iter().any(|other| other.path == rule.path && other.method == "PATCH");
        let other = if is_patched { Method::DELETE } else { Method::PATCH };
        let answer = client.send_json(other, &good, &json!({})).await;
        answer.refused(405, "INVALID_INPUT");
        assert!(answer.headers["allow"].to_str().unwrap().contains(rule.method), "{line}");
    }
    test.admin().get("/api/v1/no-such-route").await.refused(404, "NOT_FOUND");
}

fn path_with_bad_ids(path: &str) -> String {
    let tokens: Vec<&str> =
        path.split('/').map(|token| if token.starts_with('{') { "not-an-id" } else { token }).collect();
    tokens.join("/")
}

/// Whether the document says that a route reads a body of JSON.
fn takes_a_body(rule: &Rule) -> bool {
    !operation(rule)["requestBody"]["content"]["application/json"].is_null()
}

fn takes_a_query(rule: &Rule) -> bool {
    operation(rule)["parameters"]
        .as_array()
        .is_some_and(|list| list.iter().any(|parameter| parameter["in"] == "query"))
}

fn operation(rule: &Rule) -> Value {
    let document = serde_json::to_value(crate::openapi()).unwrap();
    document["paths"][rule.path][rule.method.to_lowercase()].clone()
}

/// A token that was good is told apart from one that never was.
#[tokio::test]
async fn expired_and_revoked_tokens_are_refused() {
    let test = TestApi::start().await;
    let early = test.teacher();
    test.clock.advance(chrono::TimeDelta::hours(25));
    early.get("/api/v1/auth/me").await.refused(401, "AUTH_TOKEN_EXPIRED");
    let student = test.student();
    student.get("/api/v1/auth/me").await.data();
    let id = test.school.student;
    test.operator().delete(&format!("/api/v1/students/{id}")).await.data();
    let revoked = || async {
        let answer = student.get("/api/v1/users/enrollments").await;
        (answer.code() == "AUTH_TOKEN_EXPIRED").then_some(())
    };
    rollcall_test_support::eventually("the token is revoked", crate::testing::SOON, revoked).await;
}
