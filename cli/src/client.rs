//! A client of Rollcall's own HTTP interface, as a camera, a browser or a script would be one. What answers mean is the
//! caller's business; here is only the envelope.

use anyhow::{Context, bail};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use std::time::Duration;

/// A caller of one deployment, signed in or not.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    credential: Option<Credential>,
}

#[derive(Clone)]
enum Credential {
    Token(String),
    ApiKey(String),
}

/// An answer in the envelope.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The whole envelope.
    pub body: Value,
}

impl Answer {
    /// `data` of a success.
    ///
    /// # Errors
    /// When it is none; the message has the code and the sentence.
    pub fn data(self) -> anyhow::Result<Value> {
        if !self.status.is_success() {
            let error = &self.body["error"];
            bail!("{} {}: {}", self.status.as_u16(), error["code"], error["message"]);
        }
        Ok(self.body["data"].clone())
    }

    /// The code, of a success or a refusal.
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().or(self.body["code"].as_str()).unwrap_or_default()
    }
}

impl Client {
    /// A caller without credentials. `base` is the address, such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn new(base: &str) -> anyhow::Result<Self> {
        // Longer than the server waits for an answer from the log.
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), credential: None })
    }

    /// The same, with an access token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { credential: Some(Credential::Token(token.to_owned())), ..self.clone() }
    }

    /// The same, with an API key.
    pub fn with_api_key(&self, key: &str) -> Self {
        Self { credential: Some(Credential::ApiKey(key.to_owned())), ..self.clone() }
    }

    /// Signs in.
    ///
    /// # Errors
    /// When the server does not answer or refuses.
    pub async fn sign_in(&self, email: &str, password: &str) -> anyhow::Result<Self> {
        let body = serde_json::json!({ "email": email, "password": password });
        let data = self.post("/api/v1/auth/login", &body).await?.data().context("signing in")?;
        Ok(self.with_token(data["token"].as_str().context("the sign-in answer has no token")?))
    }

    /// A request to a path, with this caller's credentials.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.credential {
            Some(Credential::Token(token)) => request.bearer_auth(token),
            Some(Credential::ApiKey(key)) => request.header("X-API-Key", key),
            None => request,
        }
    }

    /// GET.
    ///
    /// # Errors
    /// When the server does not answer in the envelope.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        send(self.request(Method::GET, path)).await
    }

    /// POST with JSON.
    ///
    /// # Errors
    /// When the server does not answer in the envelope.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        send(self.request(Method::POST, path).json(body)).await
    }

    /// PUT with JSON.
    ///
    /// # Errors
    /// When the server does not answer in the envelope.
    pub async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        send(self.request(Method::PUT, path).json(body)).await
    }
}

/// Sends a request and reads the envelope.
///
/// # Errors
/// When the server does not answer in the envelope.
pub async fn send(request: RequestBuilder) -> anyhow::Result<Answer> {
    let response = request.send().await.context("the server does not answer")?;
    let status = response.status();
    let body = response.json().await.with_context(|| format!("status {status} without the envelope"))?;
    Ok(Answer { status, body })
}
