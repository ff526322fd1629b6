//! A client that checks the envelope of every answer.

use crate::sse::Events;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use rollcall_service::http::use_ring;
use serde_json::Value;

/// Calls one server, with or without credentials.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    headers: HeaderMap,
}

impl Client {
    /// A client without credentials. `base` is `http://host:port`.
    pub fn new(base: &str) -> Self {
        use_ring();
        Self { http: reqwest::Client::new(), base: base.to_owned(), headers: HeaderMap::new() }
    }

    /// The same client with an access token.
    pub fn with_token(&self, token: &str) -> Self {
        self.with_header(header::AUTHORIZATION, &format!("Bearer {token}"))
    }

    /// The same client with a camera's API key.
    pub fn with_api_key(&self, key: &str) -> Self {
        self.with_header(HeaderName::from_static("x-api-key"), key)
    }

    /// The same client as a browser that got this answer: with its cookies, and the header that our own pages send.
    pub fn with_cookies(&self, answer: &Answer) -> Self {
        let cookies = answer.headers.get_all(header::SET_COOKIE).iter();
        let pairs = cookies.filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
        let pairs: Vec<&str> = pairs.filter(|pair| !pair.ends_with('=')).collect();
        self.with_header(header::COOKIE, &pairs.join("; "))
            .with_header(HeaderName::from_static("x-requested-with"), "test")
    }

    /// The same client with one more header on every call.
    pub fn with_header(&self, name: HeaderName, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.insert(name, HeaderValue::from_str(value).expect("a printable value"));
        client
    }

    /// `GET path`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// `POST path` with JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send_json(Method::POST, path, body).await
    }

    /// `PUT path` with JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send_json(Method::PUT, path, body).await
    }

    /// `DELETE path`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// Any method with JSON.
    pub async fn send_json(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.send(method, path, Some(("application/json", body.to_string().into_bytes()))).await
    }

    /// Any method with a body of any content type, or none.
    pub async fn send(&self, method: Method, path: &str, body: Option<(&str, Vec<u8>)>) -> Answer {
        let mut request = self.request(method, path);
        if let Some((content_type, bytes)) = body {
            request = request.header(header::CONTENT_TYPE, content_type).body(bytes);
        }
        Answer::read(request).await
    }

    /// `POST path` with a form of files.
    pub async fn post_form(&self, path: &str, form: reqwest::multipart::Form) -> Answer {
        Answer::read(self.request(Method::POST, path).multipart(form)).await
    }

    /// Opens a stream of server-sent events, from after `last_event_id` if given.
    pub async fn events(&self, path: &str, last_event_id: Option<&str>) -> Events {
        let mut request = self.request(Method::GET, path).header(header::ACCEPT, "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.expect("the server answers");
        assert_eq!(response.status(), StatusCode::OK, "no stream of events at {path}");
        Events::new(response)
    }

    /// A request with this client's credentials, for what the other functions do not cover.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).headers(self.headers.clone())
    }
}

/// An answer whose envelope has been checked.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole envelope.
    pub body: Value,
}

impl Answer {
    async fn read(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("the body arrives");
        let body: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{status}: {error}: {text}"));
        assert_eq!(body["success"], status.is_success(), "{status}: {body}");
        assert!(body["timestamp"].is_string(), "no timestamp: {body}");
        if !status.is_success() {
            assert!(body["error"]["code"].is_string() && body["error"]["message"].is_string(), "{body}");
        }
        Self { status, headers, body }
    }

    /// The data of a success.
    ///
    /// # Panics
    /// When it was refused.
    #[track_caller]
    pub fn data(&self) -> &Value {
        assert!(self.status.is_success(), "refused: {} {}", self.status, self.body);
        &self.body["data"]
    }

    /// The code: of the error when refused, of the success otherwise.
    pub fn code(&self) -> &str {
        let code = if self.status.is_success() { &self.body["code"] } else { &self.body["error"]["code"] };
        code.as_str().unwrap_or_default()
    }

    /// Asserts that it was refused like this, and gives the details.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> &Value {
        assert_eq!((self.status.as_u16(), self.code()), (status, code), "{}", self.body);
        &self.body["error"]["details"]
    }
}
