//! Every route of the OpenAPI document, called wrongly in every way that applies to it: each answer is a refusal in the
//! one envelope, with the status that says what was wrong.

use crate::harness::{Camera, Deployment, People, Service, output, send_spaces};
use reqwest::{Method, StatusCode};
use rollcall_schemas::{
    code::Code,
    id::{ClassId, UserId},
    role::Role,
};
use rollcall_service::clock::Entropy;
use rollcall_test_support::Client;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// What may be called by anybody.
const PUBLIC: [&str; 14] = [
    "/api/v1/auth/login",
    "/api/v1/auth/logout",
    "/api/v1/auth/oidc",
    "/api/v1/auth/oidc/{provider}/callback",
    "/api/v1/auth/oidc/{provider}/start",
    "/api/v1/auth/refresh",
    "/api/v1/auth/register",
    "/api/v1/notifications/unsubscribe",
    "/api/v1/status",
    "/api/v1/timetable.ics",
    "/.well-known/jwks.json",
    "/health",
    "/ready",
    "/metrics",
];
const FRAMES: &str = "/api/v1/cameras/{id}/frames";
/// What ingest serves; the api serves the rest.
const AT_INGEST: [&str; 3] = [FRAMES, "/api/v1/images", "/api/v1/attendance/mark"];
/// What students have no business with, by the beginnings of paths.
const NOT_FOR_STUDENTS: [&str; 6] = [
    "/api/v1/cameras",
    "/api/v1/images",
    "/api/v1/reviews",
    "/api/v1/users/{id}",
    "/api/v1/attendance/session",
    "/api/v1/classes/{id}/cameras",
];
/// Limits that somebody who tries everything would meet.
const ANY_NUMBER: [&str; 5] = [
    "ROLLCALL_LIMITS__SIGN_IN_ADDRESS",
    "ROLLCALL_LIMITS__READ_ADDRESS",
    "ROLLCALL_LIMITS__WRITE_ADDRESS",
    "ROLLCALL_LIMITS__SCAN_ADDRESS",
    "ROLLCALL_LIMITS__FRAME_ADDRESS",
];
/// More than any route takes.
const TOO_LARGE: usize = 64 * 1024 * 1024;

/// One method of one path, as the document describes it.
struct Operation {
    method: Method,
    template: String,
    path: String,
    content_types: Vec<String>,
    /// Whether a call without a body is as good.
    body_may_be_absent: bool,
    /// The JSON body's properties, if it has any.
    properties: Map<String, Value>,
    /// A number that may stand in the query.
    number_in_query: Option<String>,
}

impl Operation {
    fn is_public(&self) -> bool {
        PUBLIC.contains(&self.template.as_str())
    }

    fn service(&self) -> Service {
        if AT_INGEST.contains(&self.template.as_str()) { Service::Ingest } else { Service::Api }
    }

    fn takes(&self, content_type: &str) -> bool {
        self.content_types.iter().any(|taken| taken == content_type)
    }
}

/// Everybody who may call something.
struct Callers {
    deployment: Deployment,
    camera: Camera,
}

impl Callers {
    fn visitor(&self, operation: &Operation) -> Client {
        self.deployment.visitor(operation.service())
    }

    fn with_role(&self, operation: &Operation, role: Role) -> Client {
        self.visitor(operation).with_token(&self.token(role))
    }

    /// A token of somebody new, who has not used up what one person may do in a second.
    fn token(&self, role: Role) -> String {
        let user = UserId(Entropy::real().uuid_v4());
        self.deployment.signer.issue(user, &format!("{role}@routes.example"), role).0
    }

    fn camera(&self, operation: &Operation) -> Client {
        self.visitor(operation).with_api_key(&self.camera.key)
    }

    /// Calls as whoever may: whoever may not is told so before anything else is looked at.
    async fn call(&self, operation: &Operation, path: &str, body: Option<(&str, &[u8])>) -> Refusal {
        let mut callers: Vec<Client> =
            Role::ALL.into_iter().map(|role| self.with_role(operation, role)).collect();
        callers.push(self.camera(operation));
        let mut refusal = None;
        for caller in callers {
            let answer = call(&caller, &operation.method, path, body).await;
            let is_forbidden = answer.status == StatusCode::FORBIDDEN;
            refusal = Some(answer);
            if !is_forbidden {
                break;
            }
        }
        refusal.expect("somebody has called")
    }
}

/// An answer that has been found to be a refusal in the envelope.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: String,
}

impl Refusal {
    fn read(status: StatusCode, content_type: &str, body: &[u8], what: &str) -> Self {
        let text = String::from_utf8_lossy(body);
        assert!(status.is_client_error(), "{what}: {status} {text}");
        assert_eq!(content_type, "application/json", "{what}: {status} {text}");
        let body: Value = serde_json::from_slice(body).unwrap_or_else(|_| panic!("{what}: {status} {text}"));
        let fields: Vec<_> = body.as_object().expect("an envelope is an object").keys().collect();
        assert_eq!(fields, ["error", "success", "timestamp"], "{what}: {body}");
        assert_eq!(body["success"], false, "{what}: {body}");
        let code = body["error"]["code"].as_str().unwrap_or_default().to_owned();
        assert!(Code::ALL.iter().any(|known| known.as_str() == code), "{what}: {body}");
        assert!(
            body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()),
            "{what}: {body}"
        );
        assert!(body["error"]["details"].is_object(), "{what}: {body}");
        Self { status, code }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_refuses_what_is_wrong_in_the_envelope() {
    let callers = callers().await;
    let operations = operations(&callers).await;
    assert!(operations.len() > 40, "the document has {} operations", operations.len());
    for operation in &operations {
        if !operation.is_public() {
            refuses_strangers(&callers, operation).await;
            refuses_the_wrong_role(&callers, operation).await;
        }
        refuses_bad_places(&callers, operation).await;
        if !operation.content_types.is_empty() {
            refuses_bad_bodies(&callers, operation).await;
            refuses_too_much(&callers, operation).await;
        }
        refuses_other_methods(&callers, operation).await;
    }
    for service in [Service::Api, Service::Ingest] {
        for path in
            ["/", "/api", "/api/v1/nothing", "/api/v2/users", "/api/v1/users/a/b/c", "/%00", "/../etc/passwd"]
        {
            let refusal = call(&callers.deployment.visitor(service), &Method::GET, path, None).await;
            assert_eq!(
                (refusal.status, refusal.code.as_str()),
                (StatusCode::NOT_FOUND, "NOT_FOUND"),
                "{path}"
            );
        }
    }
}

async fn refuses_strangers(callers: &Callers, operation: &Operation) {
    let visitor = callers.visitor(operation);
    let unknown_key = format!("rck_{}_{}", Uuid::from_u128(1).simple(), "A".repeat(43));
    // A token whose header says that it needs no signature.
    let unsigned = "eyJhbGciOiJub25lIn0.eyJyb2xlIjoiYWRtaW4ifQ.";
    let strangers = [
        visitor.clone(),
        visitor.with_token("garbage"),
        visitor.with_token(unsigned),
        visitor.with_header(reqwest::header::AUTHORIZATION, "Basic YWRtaW46YWRtaW4="),
        visitor.with_api_key("garbage"),
        visitor.with_api_key(&unknown_key),
    ];
    for stranger in strangers {
        let refusal = call(&stranger, &operation.method, &operation.path, None).await;
        assert_eq!(refusal.status, StatusCode::UNAUTHORIZED, "{} {}", operation.method, operation.template);
    }
}

async fn refuses_the_wrong_role(callers: &Callers, operation: &Operation) {
    let mut wrong = vec![];
    if operation.template == FRAMES {
        wrong.push(callers.with_role(operation, Role::Student));
        wrong.push(callers.with_role(operation, Role::Teacher));
    } else {
        wrong.push(callers.camera(operation));
    }
    if NOT_FOR_STUDENTS.iter().any(|path| operation.template.starts_with(path)) {
        wrong.push(callers.with_role(operation, Role::Student));
    }
    if operation.template == "/api/v1/attendance/mark" {
        wrong.extend(
            [Role::Admin, Role::Operator, Role::Teacher].map(|role| callers.with_role(operation, role)),
        );
    }
    for caller in wrong {
        let refusal = call(&caller, &operation.method, &operation.path, None).await;
        let expected = (StatusCode::FORBIDDEN, "AUTH_UNAUTHORIZED");
        assert_eq!(
            (refusal.status, refusal.code.as_str()),
            expected,
            "{} {}",
            operation.method,
            operation.template
        );
    }
}

/// Parameters in the path and in the query that are not what they should be.
async fn refuses_bad_places(callers: &Callers, operation: &Operation) {
    let mut places = vec![];
    if operation.template.contains('{') {
        places.push(fill(&operation.template, "not-an-id"));
        places.push(fill(&operation.template, "%FF%00"));
    }
    if let Some(name) = &operation.number_in_query {
        places.push(format!("{}?{name}=many", operation.path));
        places.push(format!("{}?{name}=-1", operation.path));
    }
    for place in places {
        let refusal = callers.call(operation, &place, None).await;
        let expected = [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY];
        assert!(expected.contains(&refusal.status), "{} {place}: {refusal:?}", operation.method);
    }
}

async fn refuses_bad_bodies(callers: &Callers, operation: &Operation) {
    let (method, path) = (&operation.method, operation.path.as_str());
    let refusal = callers.call(operation, path, Some(("text/plain", b"hello"))).await;
    assert_eq!(refusal.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{method} {path}: {refusal:?}");
    if operation.takes("multipart/form-data") {
        let refusal = callers.call(operation, path, Some(("multipart/form-data", b"no boundary"))).await;
        assert_eq!(refusal.status, StatusCode::BAD_REQUEST, "{method} {path}: {refusal:?}");
    }
    if !operation.takes("application/json") {
        return;
    }
    let mut unreadable: Vec<&[u8]> = vec![b"{", b"{}}", b"\xff\xfe", b"nonsense"];
    let mut mistyped = vec![json!([]), json!(7), json!("text"), json!({ "nobodyKnowsThis": 1 })];
    if !operation.body_may_be_absent {
        unreadable.push(b"");
        mistyped.push(json!(null));
    }
    for body in unreadable {
        let refusal = callers.call(operation, path, Some(("application/json", body))).await;
        let text = String::from_utf8_lossy(body);
        assert_eq!(refusal.status, StatusCode::BAD_REQUEST, "{method} {path} {text:?}: {refusal:?}");
    }
    mistyped.extend(operation.properties.keys().map(|name| json!({ name: { "not": ["this"] } })));
    for body in mistyped {
        let refusal =
            callers.call(operation, path, Some(("application/json", body.to_string().as_bytes()))).await;
        let expected = [StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY];
        assert!(expected.contains(&refusal.status), "{method} {path} {body}: {refusal:?}");
    }
}

/// A body that is too large is refused as soon as it is known to be.
async fn refuses_too_much(callers: &Callers, operation: &Operation) {
    let json = "application/json";
    let content_type = if operation.takes(json) { json } else { &operation.content_types[0] };
    let bearers = Role::ALL.map(|role| format!("Authorization: Bearer {}", callers.token(role)));
    let camera = [format!("X-API-Key: {}", callers.camera.key)];
    let what = format!("{} {}", operation.method, operation.template);
    for credentials in bearers.into_iter().chain(camera) {
        let head = format!(
            "{} {} HTTP/1.1\r\nHost: rollcall\r\n{credentials}\r\nContent-Type: {content_type}",
            operation.method, operation.path,
        );
        let address = callers.deployment.address(operation.service());
        let answer = send_spaces(address, &head, TOO_LARGE).await;
        let refusal = Refusal::read(answer.status, &answer.content_type, &answer.body, &what);
        if refusal.status != StatusCode::FORBIDDEN {
            let expected = (StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE");
            assert_eq!((refusal.status, refusal.code.as_str()), expected, "{what}");
            return;
        }
    }
    panic!("nobody may call {what}");
}

async fn refuses_other_methods(callers: &Callers, operation: &Operation) {
    let admin = callers.with_role(operation, Role::Admin);
    let refusal = call(&admin, &Method::TRACE, &operation.path, None).await;
    assert_eq!(refusal.status, StatusCode::METHOD_NOT_ALLOWED, "TRACE {}: {refusal:?}", operation.template);
}

async fn call(caller: &Client, method: &Method, path: &str, body: Option<(&str, &[u8])>) -> Refusal {
    let mut request = caller.request(method.clone(), path);
    if let Some((content_type, bytes)) = body {
        request = request.header("content-type", content_type).body(bytes.to_vec());
    }
    let response = request.send().await.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    let status = response.status();
    let content_type = response
        .headers()
        .get("content-type")
        .map(|value| value.to_str().expect("a media type is text").to_owned());
    let body = response.bytes().await.expect("the body arrives");
    Refusal::read(status, content_type.as_deref().unwrap_or_default(), &body, &format!("{method} {path}"))
}

async fn callers() -> Callers {
    let settings = ANY_NUMBER.map(|name| (name, "60000/min burst 60000"));
    let deployment = Deployment::with(&[Service::Api, Service::Ingest], &settings).await;
    let people = People::hire(&deployment).await;
    let class = json!({ "name": "Routes", "code": "ROUTES", "teacherId": people.teacher_id });
    let class = people.admin.post("/api/v1/classes", &class).await;
    let class: ClassId =
        class.data()["class"]["id"].as_str().expect("a class has an id").parse().expect("an id is a UUID");
    let camera = people.camera(&deployment, class, "Routes").await;
    Callers { deployment, camera }
}

/// The operations of `rollcall openapi`, each with ids in its path that are well-formed and belong to nobody, but for
/// the camera's own.
async fn operations(callers: &Callers) -> Vec<Operation> {
    let document = output(&mut callers.deployment.tool(&["openapi"])).await;
    let document: Value = serde_json::from_slice(&document.stdout).expect("the document is JSON");
    let mut operations = Vec::new();
    for (template, item) in document["paths"].as_object().expect("a document has paths") {
        for (method, operation) in item.as_object().expect("a path has methods") {
            let Ok(method) = Method::from_bytes(method.to_ascii_uppercase().as_bytes()) else { continue };
            let content = operation
                .pointer("/requestBody/content")
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default();
            let id = if template == FRAMES { callers.camera.id.0 } else { Uuid::from_u128(2) };
            operations.push(Operation {
                method,
                path: fill(template, &id.to_string()),
                template: template.clone(),
                properties: content
                    .get("application/json")
                    .map(|json| properties(&document, &json["schema"]))
                    .unwrap_or_default(),
                content_types: content.keys().cloned().collect(),
                body_may_be_absent: operation["requestBody"]["required"] != true,
                number_in_query: number_in_query(operation),
            });
        }
    }
    operations
}

fn properties(document: &Value, schema: &Value) -> Map<String, Value> {
    let named = schema["$ref"].as_str().and_then(|path| document.pointer(path.trim_start_matches('#')));
    named.unwrap_or(schema)["properties"].as_object().cloned().unwrap_or_default()
}

fn number_in_query(operation: &Value) -> Option<String> {
    let parameters = operation.get("parameters")?.as_array()?;
    let found = parameters.iter().find(|parameter| {
        parameter["in"] == "query" && parameter["schema"].to_string().contains("\"integer\"")
    })?;
    found["name"].as_str().map(str::to_owned)
}

/// The template with every parameter replaced.
fn fill(template: &str, value: &str) -> String {
    let parts = template.split('/').map(|part| if part.starts_with('{') { value } else { part });
    parts.collect::<Vec<_>>().join("/")
}
