//! The table against the routes, and every route against every kind of caller.

use super::*;
use crate::{
    ApiConfig,
    testing::{SOON, TestApi},
};
use rollcall_schemas::{
    access::Principal,
    id::{AttendanceId, CameraId, ReviewId},
    scope::Scope,
};
use rollcall_test_support::{Client, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Every rule of the address: ingest is beside the api.
fn rules() -> impl Iterator<Item = &'static Rule> {
    RULES.iter().chain(rollcall_ingest::RULES)
}

fn routes_of(document: utoipa::openapi::OpenApi) -> BTreeSet<(String, String)> {
    let document = serde_json::to_value(document).unwrap();
    let of_path = |(path, item): (&String, &Value)| {
        let is_method = |key: &&String| ["get", "post", "put", "patch", "delete"].contains(&key.as_str());
        let methods = item.as_object().unwrap().keys().filter(is_method);
        methods.map(|method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
    };
    document["paths"].as_object().unwrap().iter().flat_map(of_path).collect()
}

/// No worker answers here.
fn impatient() -> ApiConfig {
    ApiConfig { ask_deadline_ms: 50, ..ApiConfig::default() }
}

#[test]
fn every_route_has_exactly_one_rule_and_every_rule_a_route() {
    for (rules, document) in [(RULES, crate::openapi()), (rollcall_ingest::RULES, rollcall_ingest::openapi())]
    {
        let ruled: BTreeSet<_> =
            rules.iter().map(|rule| (rule.method.to_owned(), rule.path.to_owned())).collect();
        assert_eq!(ruled.len(), rules.len(), "a route has two rules");
        assert_eq!(ruled, routes_of(document));
    }
}

/// One column of the matrix: a kind of caller, of whom it may matter what is theirs.
struct Caller {
    name: &'static str,
    principal: Principal<'static>,
    /// Whether what the paths of the matrix name is theirs.
    is_owner: bool,
    client: Client,
}

/// What keys of integrations may be made with.
const INTEGRATION: [Scope; 6] = [
    Scope::AttendanceRead,
    Scope::ClassesRead,
    Scope::CodesRead,
    Scope::EventsRead,
    Scope::PeopleRead,
    Scope::PeopleWrite,
];

/// Another program, with a key that is known.
async fn integration(test: &TestApi, name: &'static str, scopes: &'static [Scope]) -> Caller {
    let issued = test.admin().post("/api/v1/api-keys", &json!({ "name": name, "scopes": scopes })).await;
    let client = test.edge.client().with_api_key(issued.data()["apiKey"].as_str().unwrap());
    let known = || async {
        let by_api = client.get("/api/v1/auth/me").await;
        let by_ingest = client.post("/api/v1/images", &json!({})).await;
        ((by_api.status.as_u16(), by_ingest.status.as_u16()) == (403, 403)).then_some(())
    };
    eventually("the key is known", SOON, known).await;
    Caller { name, principal: Principal::Integration(scopes), is_owner: false, client }
}

/// Everybody, and what the paths name: the first class, its student and session with a record and a review, the first
/// camera.
struct Matrix {
    test: TestApi,
    camera: CameraId,
    record: AttendanceId,
    review: ReviewId,
    callers: Vec<Caller>,
}

impl Matrix {
    async fn set_up() -> Self {
        let test = TestApi::start_with(impatient()).await;
        let (camera, own_camera) = test.camera("Door").await;
        let (_, other_camera) = test.camera("Yard").await;
        let school = &test.school;
        let user = |name, id, role, is_owner| Caller {
            name,
            principal: Principal::User(role),
            is_owner,
            client: test.client_of(id, role),
        };
        let camera_called =
            |name, client, is_owner| Caller { name, principal: Principal::Camera, is_owner, client };
        let nobody = test.edge.client();
        let callers = vec![
            Caller { name: "nobody", principal: Principal::Nobody, is_owner: false, client: nobody },
            user("an administrator", school.admin, Admin, false),
            user("an operator", school.operator, Operator, false),
            user("its teacher", school.teacher, Teacher, true),
            user("another teacher", school.other_teacher, Teacher, false),
            user("its student", school.student, Student, true),
            user("another student", school.other_student, Student, false),
            camera_called("the camera", own_camera, true),
            camera_called("another camera", other_camera, false),
            integration(&test, "a key of every scope", &INTEGRATION).await,
            integration(&test, "a key of one scope", &INTEGRATION[..1]).await,
        ];
        let (review, record) =
            (test.review(test.school.student).await, test.absence(test.school.student).await);
        Self { test, camera, record, review, callers }
    }

    /// The path with an id for each parameter. Only what is somebody's own must exist: the rules look at nothing else, and
    /// nothing is lost to a call.
    async fn path(&self, rule: &Rule) -> String {
        let mut path = String::new();
        for part in rule.path.split('/').skip(1) {
            path.push('/');
            match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                Some(parameter) => path.push_str(&self.id(rule, parameter).await.to_string()),
                None => path.push_str(part),
            }
        }
        path
    }

    async fn id(&self, rule: &Rule, parameter: &str) -> Uuid {
        let school = &self.test.school;
        let deletes_it = rule.method == "DELETE" && rule.path.ends_with("{id}");
        match rule.ownership {
            Ownership::Class(name) if name == parameter && deletes_it => self.class_to_delete().await,
            Ownership::Class(name) if name == parameter => school.class.0,
            Ownership::Session(name) if name == parameter => school.session.0,
            Ownership::Record(name) if name == parameter => self.record.0,
            Ownership::Review(name) if name == parameter => self.review.0,
            Ownership::Person(name) if name == parameter => school.student.0,
            Ownership::Camera(name) if name == parameter => self.camera.0,
            _ => Uuid::nil(),
        }
    }

    /// A class like the first one: of the same teacher, with the same student.
    async fn class_to_delete(&self) -> Uuid {
        let code = self.test.api.entropy().uuid_v4().to_string();
        let class =
            self.test.teacher().post("/api/v1/classes", &json!({ "name": "Short", "code": code })).await;
        let class: Uuid = class.data()["class"]["id"].as_str().unwrap().parse().unwrap();
        self.test.student().post(&format!("/api/v1/classes/{class}/enroll"), &json!({})).await.data();
        class
    }
}

/// Calls with a body that breaks the rules of every route: whoever is let in is told so, and nothing changes.
async fn call(client: &Client, rule: &Rule, path: &str) -> (u16, Value) {
    // An endless stream cannot be read to its end; a refused one is.
    let query = if rule.path.ends_with("/events") { "?type=unknown" } else { "" };
    let mut request = client.request(rule.method.parse().unwrap(), &format!("{path}{query}"));
    if !matches!(rule.method, "GET" | "DELETE") {
        request = request.header("content-type", "application/json").body(r#"{"unknownField":true}"#);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}

#[tokio::test]
async fn every_route_answers_every_kind_of_caller_as_the_table_says() {
    let matrix = Matrix::set_up().await;
    let mut cells = 0;
    for rule in rules() {
        let mut of_nobody = None;
        for caller in &matrix.callers {
            let path = matrix.path(rule).await;
            let (status, body) = call(&caller.client, rule, &path).await;
            let cell = format!("{} {} by {}: {status} {body}", rule.method, rule.path, caller.name);
            let is_let_in = match rule.grant(caller.principal) {
                Grant::Refused => false,
                Grant::Own => caller.is_owner,
                Grant::Narrowed | Grant::Full => true,
            };
            match (is_let_in, caller.principal) {
                // What the handler wants, such as a cookie, it wants of everybody alike.
                (true, _) if rule.who == Who::Anyone => {
                    assert!(status < 500 && *of_nobody.get_or_insert(status) == status, "{cell}");
                }
                // No worker is here, which is not the caller's fault.
                (true, _) => {
                    assert!(![401, 403].contains(&status) && (status < 500 || status == 503), "{cell}");
                }
                (false, Principal::Nobody) => assert_eq!(status, 401, "{cell}"),
                (false, _) => assert_eq!(status, 403, "{cell}"),
            }
            if !is_let_in {
                assert_eq!(body["error"]["code"], "AUTH_UNAUTHORIZED", "{cell}");
            }
            cells += 1;
        }
    }
    assert_eq!(cells, (RULES.len() + rollcall_ingest::RULES.len()) * matrix.callers.len());
}

#[tokio::test]
async fn credentials_that_are_none_of_ours_open_nothing() {
    let test = TestApi::start_with(impatient()).await;
    let visitor = test.edge.client();
    let forged = [
        visitor.with_token("not.a.token"),
        visitor.with_header(http::header::AUTHORIZATION, "Basic YWRtaW46YWRtaW4="),
        visitor.with_api_key("rck_nothing"),
    ];
    for rule in rules().filter(|rule| rule.who != Who::Anyone) {
        for client in &forged {
            let path = filled(rule.path, &Uuid::nil().to_string());
            let (status, body) = call(client, rule, &path).await;
            assert_eq!(status, 401, "{} {}: {body}", rule.method, rule.path);
        }
    }
}

/// Malformed, oversized, wrongly typed and unknown: each in the envelope, on every route. The client checks the
/// envelope of every answer.
#[tokio::test]
async fn every_route_refuses_bad_calls_in_the_envelope() {
    let test = TestApi::start_with(impatient()).await;
    for rule in RULES.iter().filter(|rule| rule.who != Who::Anyone || rule.path.ends_with("/login")) {
        let client = match rule.who {
            Who::Users(roles) if !roles.contains(&Role::Admin) => match roles {
                [Role::Teacher] => test.teacher(),
                _ => test.student(),
            },
            _ => test.admin(),
        };
        let good = filled(rule.path, &Uuid::nil().to_string());
        let line = format!("{} {}", rule.method, rule.path);
        let method: Method = rule.method.parse().unwrap();
        if rule.path.contains('{') {
            let bad = filled(rule.path, "not-an-id");
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
        answer.refused(405, "METHOD_NOT_ALLOWED");
        assert!(answer.headers["allow"].to_str().unwrap().contains(rule.method), "{line}");
    }
    test.admin().get("/api/v1/no-such-route").await.refused(404, "NOT_FOUND");
}

/// The path with the same text for every parameter.
fn filled(path: &str, text: &str) -> String {
    let parts: Vec<&str> =
        path.split('/').map(|part| if part.starts_with('{') { text } else { part }).collect();
    parts.join("/")
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
    eventually("the token is revoked", SOON, revoked).await;
}
