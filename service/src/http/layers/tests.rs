use super::*;
use crate::http::{
    Bytes, Json, Multipart, Path, Query, Success,
    testing::{Edge, get, post},
};
use axum::{body::Body, routing};
use http::StatusCode;
use rollcall_schemas::code::Code;
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Student {
    name: String,
    age: Option<u8>,
    address: Option<Address>,
}

#[derive(Deserialize)]
struct Address {
    city: String,
}

#[derive(Deserialize)]
struct Filter {
    #[serde(default)]
    kind: Vec<String>,
    page: Option<u32>,
}

async fn student(Json(student): Json<Student>) -> Success<Value> {
    let city = student.address.map(|address| address.city);
    Success::created("STUDENT_CREATED", json!([student.name, student.age, city]))
        .with_meta(json!({ "page": 1 }))
}

async fn multipart(Multipart(mut form): Multipart) -> Result<Success<usize>, Problem> {
    let mut size = 0;
    while let Some(field) = form.next_field().await? {
        size += field.bytes().await?.len();
    }
    Ok(Success::ok(size))
}

fn edge() -> Edge {
    let router = Router::new()
        .route("/students", routing::post(student))
        .route("/students/{id}", routing::get(|Path(id): Path<uuid::Uuid>| async move { Success::ok(id) }))
        .route(
            "/search",
            routing::get(
                |Query(filter): Query<Filter>| async move { Success::ok((filter.kind, filter.page)) },
            ),
        )
        .route("/bytes", routing::post(|Bytes(bytes): Bytes| async move { Success::ok(bytes.len()) }))
        .route(
            "/large",
            routing::post(|Bytes(bytes): Bytes| async move { Success::ok(bytes.len()) })
                .layer(DefaultBodyLimit::max(4096)),
        )
        .route("/form", routing::post(multipart))
        .route("/panic", routing::get(panics))
        .route("/slow", routing::get(std::future::pending::<()>))
        .route("/bare", routing::get(|| async { StatusCode::BAD_GATEWAY }))
        .route("/fault", routing::get(|| async { Problem::internal("the password is hunter2") }))
        .route("/limited", routing::get(|| async { Problem::rate_limited(Duration::from_millis(1_500)) }))
        .route(
            "/teapot",
            routing::get(|| async { (StatusCode::IM_A_TEAPOT, axum::Json(json!({ "own": true }))) }),
        );
    Edge::with(
        router,
        &HttpConfig { body_limit_bytes: 1024, request_timeout_ms: 50, ..HttpConfig::default() },
    )
}

async fn panics() {
    panic!("out of range");
}

/// Checks the envelope of a refusal and gives its details.
async fn refused(request: http::Request<Body>, status: StatusCode, code: Code) -> Value {
    let (answered, body) = edge().call(request).await;
    assert_eq!((answered, &body["error"]["code"]), (status, &code.as_str().into()), "{body}");
    assert_eq!(body["success"], false);
    assert_eq!(body["timestamp"], "2023-11-14T22:13:20Z");
    assert!(body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    body["error"]["details"].clone()
}

fn field(details: &Value) -> &str {
    details["fields"][0]["field"].as_str().unwrap()
}

#[tokio::test]
async fn success_is_enveloped_with_the_time_of_the_clock() {
    let (status, body) =
        edge().call(post("/students", r#"{"name":"Ada","address":{"city":"London"}}"#)).await;
    assert_eq!(status, StatusCode::CREATED);
    let expected = json!({
        "success": true,
        "code": "STUDENT_CREATED",
        "data": ["Ada", null, "London"],
        "meta": { "page": 1 },
        "timestamp": "2023-11-14T22:13:20Z",
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn json_refusals_name_the_field() {
    let invalid = (StatusCode::UNPROCESSABLE_ENTITY, Code::ValidationFailed);
    let missing = (StatusCode::BAD_REQUEST, Code::MissingRequiredField);
    for (body, (status, code), expected) in [
        (r#"{"name":7}"#, invalid, "name"),
        (r#"{"name":"Ada","age":300}"#, invalid, "age"),
        (r#"{"name":"Ada","address":{"city":1}}"#, invalid, "address.city"),
        (r#"{"name":"Ada","nom":"Ada"}"#, invalid, "nom"),
        (r#"[1]"#, invalid, "body"),
        (r#" ["Ada",36]"#, invalid, "body"),
        (r#""text""#, invalid, "body"),
        (r"{}", missing, "name"),
        (r#"{"name":"Ada","address":{}}"#, missing, "address.city"),
    ] {
        assert_eq!(field(&refused(post("/students", body), status, code).await), expected, "{body}");
    }
}

#[tokio::test]
async fn what_is_not_json_is_refused() {
    for body in ["", "{", "{'name':1}", r#"{"name":"Ada"} more"#, "\u{0}"] {
        refused(post("/students", body), StatusCode::BAD_REQUEST, Code::InvalidInput).await;
    }
    let mut text = post("/students", r#"{"name":"Ada"}"#);
    text.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    refused(text, StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::UnsupportedMediaType).await;
}

#[tokio::test]
async fn bodies_are_limited_and_a_route_may_take_more() {
    for path in ["/students", "/bytes"] {
        let large = post(path, vec![b' '; 2048]);
        refused(large, StatusCode::PAYLOAD_TOO_LARGE, Code::PayloadTooLarge).await;
    }
    assert_eq!(edge().call(post("/large", vec![b' '; 2048])).await.1["data"], 2048);
    refused(post("/large", vec![b' '; 8192]), StatusCode::PAYLOAD_TOO_LARGE, Code::PayloadTooLarge).await;
}

#[tokio::test]
async fn multipart_is_read_or_refused() {
    let form = |boundary: &str, size: usize| {
        let body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n{}\r\n--b--\r\n",
            "y".repeat(size)
        );
        let mut request = post("/form", body);
        let value = format!("multipart/form-data; boundary={boundary}");
        request.headers_mut().insert(header::CONTENT_TYPE, value.parse().unwrap());
        request
    };
    assert_eq!(edge().call(form("b", 10)).await.1["data"], 10);
    refused(form("other", 10), StatusCode::BAD_REQUEST, Code::InvalidInput).await;
    refused(form("b", 4096), StatusCode::PAYLOAD_TOO_LARGE, Code::PayloadTooLarge).await;
    refused(post("/form", "{}"), StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::UnsupportedMediaType).await;
}

#[tokio::test]
async fn paths_and_queries_name_what_they_refuse() {
    let invalid = (StatusCode::UNPROCESSABLE_ENTITY, Code::ValidationFailed);
    assert_eq!(field(&refused(get("/students/seven"), invalid.0, invalid.1).await), "id");
    assert_eq!(field(&refused(get("/search?page=x"), invalid.0, invalid.1).await), "page");
    let (_, body) = edge().call(get("/search?kind=a&kind=b&page=2")).await;
    assert_eq!(body["data"], json!([["a", "b"], 2]));
}

#[tokio::test]
async fn what_no_handler_answers_is_enveloped() {
    refused(get("/nowhere"), StatusCode::NOT_FOUND, Code::NotFound).await;
    refused(get("/panic"), StatusCode::INTERNAL_SERVER_ERROR, Code::InternalServerError).await;
    refused(get("/slow"), StatusCode::SERVICE_UNAVAILABLE, Code::ServiceUnavailable).await;
    refused(get("/bare"), StatusCode::BAD_GATEWAY, Code::InternalServerError).await;
    refused(get("/bytes"), StatusCode::METHOD_NOT_ALLOWED, Code::MethodNotAllowed).await;
    assert_eq!(edge().response(get("/bytes")).await.headers()[header::ALLOW], "POST");
    assert_eq!(edge().call(get("/teapot")).await.1, json!({ "own": true }));
}

#[tokio::test]
async fn a_fault_of_ours_is_not_told() {
    assert!(!edge().text(get("/fault")).await.contains("hunter2"));
}

#[tokio::test]
async fn refusals_say_when_to_come_back_and_how_to_sign_in() {
    let response = edge().response(get("/limited")).await;
    assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    let router = Router::new().route("/", routing::get(|| async { Problem::unauthenticated("sign in") }));
    let response = Edge::new(router).response(get("/")).await;
    assert_eq!(
        (response.status(), &response.headers()[header::WWW_AUTHENTICATE]),
        (StatusCode::UNAUTHORIZED, &HeaderValue::from_static("Bearer"))
    );
}

#[tokio::test]
async fn a_request_id_is_kept_or_given() {
    let id = |given: Option<String>| async move {
        let mut request = get("/nowhere");
        if let Some(given) = given {
            request.headers_mut().insert(REQUEST_ID, given.parse().unwrap());
        }
        edge().response(request).await.headers()[REQUEST_ID].to_str().unwrap().to_owned()
    };
    assert_eq!(id(Some("abc-1".into())).await, "abc-1");
    assert_eq!(id(None).await.len(), 36);
    assert_eq!(id(Some("x".repeat(500))).await.len(), 36);
}

#[tokio::test]
async fn every_answer_has_security_headers_and_a_route_may_set_its_own() {
    let router = Router::new()
        .route("/page", routing::get(|| async { ([(header::CACHE_CONTROL, "max-age=60")], "hi") }));
    let edge = Edge::new(router);
    for path in ["/page", "/nowhere"] {
        let response = edge.response(get(path)).await;
        for (name, _) in &SECURITY_HEADERS {
            assert!(response.headers().contains_key(name), "{path}: {name}");
        }
    }
    assert_eq!(edge.response(get("/page")).await.headers()[header::CACHE_CONTROL], "max-age=60");
}

#[tokio::test]
async fn only_named_origins_may_call() {
    let router = || Router::new().route("/page", routing::get(|| async { "hi" }));
    let config =
        HttpConfig { cors_origins: vec!["https://school.example".parse().unwrap()], ..HttpConfig::default() };
    let allowed = |edge: Edge, origin: &'static str| async move {
        let mut request = get("/page");
        request.headers_mut().insert(header::ORIGIN, HeaderValue::from_static(origin));
        edge.response(request).await.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN).cloned()
    };
    let school = HeaderValue::from_static("https://school.example");
    assert_eq!(allowed(Edge::with(router(), &config), "https://school.example").await, Some(school));
    assert_eq!(allowed(Edge::with(router(), &config), "https://other.example").await, None);
    assert_eq!(allowed(Edge::new(router()), "https://school.example").await, None);
}

#[tokio::test]
async fn json_is_read_to_a_depth_and_no_further() {
    let router = Router::new()
        .route("/", routing::post(|Json(value): Json<Value>| async move { Success::ok(value.is_object()) }));
    let edge = Edge::new(router);
    let nested = |depth: usize| post("/", r#"{"a":"#.repeat(depth) + "1" + &"}".repeat(depth));
    assert_eq!(edge.call(nested(127)).await.0, StatusCode::OK);
    for depth in [128, 100_000] {
        let (status, body) = edge.call(nested(depth)).await;
        assert_eq!((status, &body["error"]["code"]), (StatusCode::BAD_REQUEST, &json!("INVALID_INPUT")));
    }
}

#[tokio::test]
async fn answers_are_compressed_for_whoever_asks_and_streams_are_not() {
    let text = "attendance ".repeat(100);
    let events = || async { ([(header::CONTENT_TYPE, "text/event-stream")], "data: hi\n\n".repeat(100)) };
    let router = Router::new()
        .route("/text", routing::get(move || async move { Success::ok(text) }))
        .route("/events", routing::get(events));
    let edge = Edge::new(router);
    let encoding = async |path: &str, accepted: &'static str| {
        let mut request = get(path);
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted));
        let response = edge.response(request).await;
        let encoding = response.headers().get(header::CONTENT_ENCODING).cloned();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (encoding, body.len())
    };
    let (gzipped, size) = encoding("/text", "gzip").await;
    assert_eq!(gzipped, Some(HeaderValue::from_static("gzip")));
    assert!(size < 400, "{size}");
    assert_eq!(encoding("/text", "identity").await.0, None);
    assert_eq!(encoding("/events", "gzip").await.0, None);
}

#[tokio::test]
async fn a_browser_that_asks_first_is_told_what_it_may_send() {
    let origin = "https://school.example";
    let config = HttpConfig { cors_origins: vec![origin.parse().unwrap()], ..HttpConfig::default() };
    let edge = Edge::with(Router::new().route("/page", routing::put(|| async { "hi" })), &config);
    let mut request = http::Request::options("/page").body(Body::empty()).unwrap();
    for (name, value) in [
        (header::ORIGIN, origin),
        (header::ACCESS_CONTROL_REQUEST_METHOD, "PUT"),
        (header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,idempotency-key"),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let answer = edge.response(request).await;
    let header = |name: HeaderName| answer.headers()[name].to_str().unwrap();
    assert_eq!(header(header::ACCESS_CONTROL_ALLOW_ORIGIN), origin);
    assert_eq!(header(header::ACCESS_CONTROL_ALLOW_CREDENTIALS), "true");
    assert!(header(header::ACCESS_CONTROL_ALLOW_METHODS).contains("PUT"));
    assert!(header(header::ACCESS_CONTROL_ALLOW_HEADERS).contains("idempotency-key"));
}

#[test]
fn settings_refuse_any_origin_and_say_what_to_write() {
    let refused = serde_json::from_value::<HttpConfig>(json!({ "cors_origins": ["*"] })).unwrap_err();
    assert!(refused.to_string().contains("name each origin"), "{refused}");
}

#[tokio::test]
async fn only_a_server_with_tls_of_its_own_asks_browsers_to_stay_with_it() {
    let header = async |tls| {
        let edge = Edge::with(Router::new(), &HttpConfig { tls, ..HttpConfig::default() });
        edge.response(get("/")).await.headers().get(header::STRICT_TRANSPORT_SECURITY).cloned()
    };
    assert_eq!(header(TlsConfig::default()).await, None);
    let own = TlsConfig { certificate: Some("certificate.pem".into()), key: Some("key.pem".into()) };
    assert_eq!(header(own).await, Some(HeaderValue::from_static("max-age=31536000")));
}
