//! Attacks on the whole surface, as tables: what is injected, smuggled, repeated or disguised changes nothing and is
//! answered in the envelope, on every route. Who may call what is tested beside the access table, tokens beside
//! sign-in.

use crate::{
    access::RULES,
    testing::{PASSWORD, TestApi},
};
use http::Method;
use rollcall_schemas::access::{Rule, Who};
use rollcall_test_support::{Answer, Client};
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use uuid::Uuid;

/// Texts that mean something to a database, a shell, a template, a log, a terminal or a header.
const INJECTIONS: [&str; 10] = [
    "' OR '1'='1",
    "'; DROP TABLE users; --",
    "\" OR \"\"=\"",
    "$(touch /tmp/owned)",
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "a\r\nSet-Cookie: owned=1",
    "\u{1b}[2J\u{202e}gnp.exe",
    "../../../../etc/passwd",
];

/// The document, with its references followed one step.
struct Document(Value);

/// One operation that takes JSON.
struct Operation {
    rule: &'static Rule,
    path: String,
    /// The example that the document gives.
    example: Map<String, Value>,
}

impl Document {
    fn read() -> Self {
        let mut collected = crate::collected();
        collected.merge(rollcall_ingest::openapi());
        let rules = [RULES, rollcall_ingest::RULES].concat();
        Self(serde_json::to_value(crate::complete(collected, &rules)).unwrap())
    }

    fn follow<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let named = schema["$ref"].as_str();
        named.map_or(schema, |path| self.0.pointer(path.trim_start_matches('#')).unwrap())
    }

    /// The schema of the JSON that a route takes, if it takes any.
    fn body(&self, rule: &Rule) -> Option<&Value> {
        let operation = &self.0["paths"][rule.path][rule.method.to_lowercase()];
        let schema = operation.pointer("/requestBody/content/application~1json/schema")?;
        // A body that may be absent is null or something.
        let something =
            schema["oneOf"].as_array().and_then(|choices| choices.iter().find(|it| it["$ref"].is_string()));
        Some(self.follow(something.unwrap_or(schema)))
    }

    fn operations(&self) -> Vec<Operation> {
        let taking = |rule: &'static Rule| {
            let example = self.body(rule)?["example"].as_object();
            let example = example.unwrap_or_else(|| panic!("{} {} has no example", rule.method, rule.path));
            let parts = rule.path.split('/').map(|part| if part.starts_with('{') { NOBODY } else { part });
            let path = parts.collect::<Vec<_>>().join("/");
            Some(Operation { rule, path, example: example.clone() })
        };
        let operations: Vec<_> = RULES.iter().chain(rollcall_ingest::RULES).filter_map(taking).collect();
        assert!(operations.len() > 10, "the document has bodies");
        operations
    }

    /// Every object that a schema is made of.
    fn objects<'a>(&'a self, schema: &'a Value, found: &mut Vec<&'a Value>) {
        let schema = self.follow(schema);
        if schema["properties"].is_object() {
            found.push(schema);
        }
        let parts = schema["properties"].as_object().into_iter().flat_map(Map::values);
        let parts = parts.chain([&schema["items"]]);
        let choices = ["oneOf", "allOf", "anyOf"].iter().filter_map(|key| schema[*key].as_array()).flatten();
        for part in parts.chain(choices).filter(|part| part.is_object()) {
            self.objects(part, found);
        }
    }
}

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

impl Operation {
    /// Somebody whom the route lets in.
    fn caller(&self, test: &TestApi) -> Client {
        use rollcall_schemas::role::Role::{Admin, Student, Teacher};
        match self.rule.who {
            Who::Anyone => test.edge.client(),
            Who::Users(roles) | Who::UsersAndCameras(roles) if roles.contains(&Admin) => test.admin(),
            Who::Users([Teacher]) => test.teacher(),
            Who::Users([Student]) => test.student(),
            who => panic!("nobody for {who:?}"),
        }
    }

    async fn send(&self, client: &Client, body: &[u8]) -> Answer {
        let method: Method = self.rule.method.parse().unwrap();
        client.send(method, &self.path, Some(("application/json", body.to_vec()))).await
    }

    fn name(&self) -> String {
        format!("{} {}", self.rule.method, self.rule.path)
    }
}

/// Sends bytes as they are, and gives the head of the answer.
async fn send_raw(test: &TestApi, request: &str) -> String {
    let address = test.edge.base().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn injected_text_is_only_text() {
    let test = TestApi::start().await;
    for operation in Document::read().operations() {
        let client = operation.caller(&test);
        for (field, value) in &operation.example {
            if !value.is_string() {
                continue;
            }
            for text in INJECTIONS {
                let mut body = operation.example.clone();
                body.insert(field.clone(), json!(text));
                let answer = operation.send(&client, json!(body).to_string().as_bytes()).await;
                let line = format!("{} {field} {text:?}: {}", operation.name(), answer.body);
                assert!(answer.status.as_u16() < 500 || answer.status.as_u16() == 503, "{line}");
                assert!(
                    answer.headers.values().all(|value| !value.as_bytes().ends_with(b"owned=1")),
                    "{line}"
                );
            }
        }
    }
    // What was taken is there as it was sent, and what was there before still is.
    let name = INJECTIONS[1];
    let code = json!({ "name": name, "code": "INJECTED" });
    let class = test.teacher().post("/api/v1/classes", &code).await;
    assert_eq!(class.data()["class"]["name"], name);
    assert_eq!(
        test.admin().get("/api/v1/users?role=teacher").await.data()["users"].as_array().unwrap().len(),
        2
    );
}

#[tokio::test]
async fn injected_queries_and_paths_are_only_text() {
    let test = TestApi::start().await;
    let admin = test.admin();
    for text in [
        "%27%20OR%201%3D1--",
        "%00",
        "%0d%0aSet-Cookie:%20owned=1",
        "%ff%fe",
        "..%2f..%2fetc",
        "1;SELECT",
        "-1",
    ] {
        for path in [
            format!("/api/v1/users?role={text}"),
            format!("/api/v1/users?page={text}"),
            format!("/api/v1/users?{text}=1"),
            format!("/api/v1/users/{text}"),
            format!("/api/v1/classes/{text}/students"),
            format!("/api/v1/reviews?sessionId={text}"),
            format!("/api/v1/events?type={text}"),
        ] {
            let answer = admin.get(&path).await;
            assert!(
                [400, 404, 422].contains(&answer.status.as_u16()),
                "{path}: {} {}",
                answer.status,
                answer.body
            );
            assert!(!answer.headers.contains_key("set-cookie"), "{path}");
        }
    }
}

#[tokio::test]
async fn injected_headers_are_not_answered_with() {
    let test = TestApi::start().await;
    for value in ["a\u{7f}b", "a\tb", "\u{ff}", &"x".repeat(1_000), "${jndi:ldap://x}", "<b>"] {
        let request = format!(
            "GET /api/v1/status HTTP/1.1\r\nHost: x\r\nX-Request-Id: {value}\r\nConnection: close\r\n\r\n"
        );
        let answer = send_raw(&test, &request).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 400"),
            "{value:?}: {answer}"
        );
        let heads: Vec<&str> = answer.split("\r\n\r\n").next().unwrap().lines().collect();
        assert!(!heads.iter().any(|line| line.to_ascii_lowercase().starts_with("set-cookie")), "{answer}");
    }
    // A request that two readers could read as two is refused or read as one.
    for smuggled in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/v1/users HTTP/1.1\r\nHost: x\r\n\r\n",
        "Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}abc",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ] {
        let request = format!(
            "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n{smuggled}"
        );
        let answer = send_raw(&test, &request).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{smuggled:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{smuggled:?}: {answer}");
    }
}

/// Whatever a body may hold, it may hold nothing else.
#[test]
fn every_body_is_closed() {
    let document = Document::read();
    let mut closed = 0;
    for rule in RULES.iter().chain(rollcall_ingest::RULES) {
        let Some(body) = document.body(rule) else { continue };
        let mut objects = vec![];
        document.objects(body, &mut objects);
        for object in objects {
            assert_eq!(object["additionalProperties"], false, "{} {}: {object}", rule.method, rule.path);
            closed += 1;
        }
    }
    assert!(closed > 10, "{closed} objects were looked at");
}

/// Fields that exist in rows but not in the body of the route.
#[tokio::test]
async fn nobody_assigns_what_is_not_theirs() {
    let test = TestApi::start().await;
    let student = test.student();
    let school = &test.school;
    let smuggled =
        ["role", "id", "organisationId", "rollNumber", "passwordHash", "isActive", "createdAt", "verified"];
    for field in smuggled {
        let body = json!({ "fullName": "Sara", field: "admin" });
        let details = student.put("/api/v1/users/profile", &body).await;
        details.refused(422, "VALIDATION_FAILED");
    }
    let me = student.get("/api/v1/users/profile").await;
    assert_eq!(
        (&me.data()["user"]["role"], &me.data()["user"]["fullName"]),
        (&json!("student"), &json!("Sara student"))
    );
    // A role in the token's own words, in a header, in the query.
    for path in ["/api/v1/users?role=admin", "/api/v1/users"] {
        let asked = student.with_header("x-role".parse().unwrap(), "admin").get(path).await;
        asked.refused(403, "AUTH_UNAUTHORIZED");
    }
    let operator = test.operator();
    let admin =
        json!({ "email": "x@school.example", "fullName": "X", "role": "admin", "password": PASSWORD });
    operator.post("/api/v1/users", &admin).await.refused(403, "AUTH_UNAUTHORIZED");
    let promoted =
        operator.put(&format!("/api/v1/users/{}", school.teacher), &json!({ "role": "admin" })).await;
    promoted.refused(403, "AUTH_UNAUTHORIZED");
    // An administrator who is none any more could leave nobody to make another.
    let stepped_down =
        test.admin().put(&format!("/api/v1/users/{}", school.admin), &json!({ "role": "teacher" })).await;
    stepped_down.refused(409, "CONFLICT");
    let given_away = json!({ "teacherId": school.other_teacher });
    let given_away = test.teacher().put(&format!("/api/v1/classes/{}", school.class), &given_away).await;
    given_away.refused(403, "AUTH_UNAUTHORIZED");
}

/// Nothing of an answer tells a thing that exists from one that does not, to whom it does not belong.
#[tokio::test]
async fn what_is_refused_does_not_say_what_exists() {
    let test = TestApi::start().await;
    let (student, school) = (test.student(), &test.school);
    for path in ["students", "attendance/student"] {
        let others = student.get(&format!("/api/v1/{path}/{}", school.other_student)).await;
        let nobodys = student.get(&format!("/api/v1/{path}/{}", Uuid::nil())).await;
        assert_eq!(others.body["error"], nobodys.body["error"], "{path}");
        assert_eq!(others.status, nobodys.status, "{path}");
    }
    for path in ["users", "cameras"] {
        let existing = student.get(&format!("/api/v1/{path}/{}", school.teacher)).await;
        let missing = student.get(&format!("/api/v1/{path}/{}", Uuid::nil())).await;
        assert_eq!(existing.body["error"], missing.body["error"], "{path}");
    }
}

#[tokio::test]
async fn deep_repeated_and_null_json_is_refused_on_every_route() {
    let test = TestApi::start().await;
    for operation in Document::read().operations() {
        let client = operation.caller(&test);
        let field = operation.example.keys().next().unwrap();
        let deep = |open: &str, close: &str| {
            format!("{{\"{field}\":{}{}}}", open.repeat(20_000), close.repeat(20_000))
        };
        let bodies = [
            deep("[", "]"),
            deep("{\"a\":", "}"),
            format!("{{\"{field}\":{0},\"{field}\":{0}}}", operation.example[field]),
            "null".to_owned(),
            "[null,null]".to_owned(),
            json!(operation.example.values().collect::<Vec<_>>()).to_string(),
            "{\"__proto__\":{\"role\":\"admin\"}}".to_owned(),
            format!("{{\"{field}\":1e999}}"),
            format!("\u{feff}{}", json!(operation.example)),
        ];
        for body in bodies {
            let answer = operation.send(&client, body.as_bytes()).await;
            let shown: String = body.chars().take(60).collect();
            assert!(
                [400, 404, 422].contains(&answer.status.as_u16()),
                "{} {shown}: {}",
                operation.name(),
                answer.body
            );
        }
        for (field, value) in operation.example.iter().filter(|(_, value)| value.is_string()) {
            let mut body = operation.example.clone();
            body.insert(field.clone(), json!(format!("{}\0", value.as_str().unwrap())));
            let answer = operation.send(&client, json!(body).to_string().as_bytes()).await;
            let status = answer.status.as_u16();
            assert!(
                status < 500 || status == 503,
                "{} {field} with a null: {}",
                operation.name(),
                answer.body
            );
        }
    }
}

/// The examples of the document are understood: what is said against them is only that their ids are nobody's.
#[tokio::test]
async fn every_example_is_understood() {
    let test = TestApi::start().await;
    for operation in Document::read().operations() {
        let answer =
            operation.send(&operation.caller(&test), json!(operation.example).to_string().as_bytes()).await;
        let line = format!("{}: {} {}", operation.name(), answer.status, answer.body);
        // Nobody may register where registration is closed.
        let is_closed = operation.rule.who == Who::Anyone && answer.status == 403;
        assert!(is_closed || ![400, 403, 413, 415].contains(&answer.status.as_u16()), "{line}");
        if answer.code() == "VALIDATION_FAILED" {
            let fields = answer.body["error"]["details"]["fields"].as_array().cloned().unwrap_or_default();
            let in_time = ["startTime", "expiresAt"];
            let of_the_moment = |field: &str| field.ends_with("Id") || in_time.contains(&field);
            assert!(fields.iter().all(|field| of_the_moment(field["field"].as_str().unwrap())), "{line}");
        }
    }
}

/// Disguised paths lead nowhere, with the rights of an administrator as without any.
#[tokio::test]
async fn disguised_paths_lead_nowhere() {
    let test = TestApi::start().await;
    let (token, _) =
        test.api.signer().issue(test.school.admin, "x@school.example", rollcall_schemas::role::Role::Admin);
    let disguised = [
        "/api/v1/status/../users",
        "/api/v1/status/..%2fusers",
        "/api/v1/%2e%2e/v1/users",
        "/api/v1//users",
        "//api/v1/users",
        "/api/v1/users/",
        "/api/v1/users%2f",
        "/api/v1/users;role=admin",
        "/api/v1/users%00",
        "/api/v1/users.json",
        "/API/v1/users",
        "/api/V1/Users",
        "/api/v1/u%73ers/",
        "/api%2fv1%2fusers",
        "/api\\v1\\users",
        "/./api/v1/users",
        "/docs/../api/v1/users",
        "/docs/..%2f..%2fetc%2fpasswd",
        "/docs//etc/passwd",
    ];
    for path in disguised {
        for credentials in ["", &format!("Authorization: Bearer {token}\r\n")] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{credentials}\r\n");
            let answer = send_raw(&test, &request).await;
            assert!(
                answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 400"),
                "{path}: {answer}"
            );
        }
    }
}

/// Headers and fields that other servers take for the method or the path are not looked at.
#[tokio::test]
async fn nothing_overrides_the_method_or_the_path() {
    let test = TestApi::start().await;
    let (student, victim) = (test.student(), test.school.other_student);
    for (name, value) in [
        ("x-http-method-override", "DELETE"),
        ("x-http-method", "DELETE"),
        ("x-method-override", "DELETE"),
        ("x-original-url", "/api/v1/users"),
        ("x-rewrite-url", "/api/v1/users"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "for=127.0.0.1;host=evil.example"),
    ] {
        let disguised = test.admin().with_header(name.parse().unwrap(), value);
        let read = disguised.get(&format!("/api/v1/users/{victim}")).await;
        assert_eq!(read.data()["user"]["role"], "student", "{name}");
        assert!(!read.body.to_string().contains("evil.example"), "{name}");
        let own = student.with_header(name.parse().unwrap(), value).get("/api/v1/users/profile").await;
        assert_eq!(own.data()["user"]["role"], "student", "{name}");
    }
    test.admin().get(&format!("/api/v1/users/{victim}?_method=DELETE")).await.data();
    assert_eq!(test.admin().get(&format!("/api/v1/users/{victim}")).await.status, 200);
}
