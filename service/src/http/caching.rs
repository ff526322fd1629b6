//! Answers that callers may keep for a while, and ask whether they are still good (RFC 9110, section 13; RFC 9111).
//!
//! Nothing is kept here: the answer is made each time, and a caller who has it already is told so without its bytes.

use super::envelope::Answer;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH, VARY},
};
use std::time::Duration;

/// A layer for routes whose `GET` the caller may keep for `State`: it sets `ETag` and `Cache-Control: private`, and answers
/// `304` to whoever has the same already. The tag is weak, because the envelope tells the time.
pub async fn cached_for(State(max_age): State<Duration>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let known = request.headers().get_all(IF_NONE_MATCH).iter().cloned().collect::<Vec<_>>();
    let mut response = next.run(request).await;
    let tag = match Answer::of(&response) {
        Some(answer) if reads && response.status() == StatusCode::OK => tag(answer),
        _ => return response,
    };
    if known.iter().any(|value| names(value, &tag)) {
        response = StatusCode::NOT_MODIFIED.into_response();
    }
    mark(response.headers_mut(), &tag, max_age);
    response
}

fn tag(answer: &Answer) -> String {
    // Half of the hash is more than enough to tell the versions of one list apart.
    format!("W/\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&answer.sha256()[..16]))
}

/// Whether a list of tags names this one, or any. Weakly: `W/` does not count (RFC 9110, section 8.8.3.2).
fn names(list: &HeaderValue, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    list.to_str()
        .is_ok_and(|list| list.split(',').any(|known| known.trim() == "*" || opaque(known) == opaque(tag)))
}

fn mark(headers: &mut HeaderMap, tag: &str, max_age: Duration) {
    let keep = format!("private, max-age={}", max_age.as_secs());
    headers.insert(ETAG, HeaderValue::from_str(tag).expect("base64url is a header value"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_str(&keep).expect("digits are a header value"));
    // Two people may share a browser, and what one may see is not the other's.
    headers.append(VARY, HeaderValue::from_static("authorization, x-api-key, cookie"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{Clock, Entropy},
        http::{HttpConfig, Problem, Success, finish},
    };
    use axum::{Router, body::Body, middleware::from_fn_with_state, routing};
    use chrono::{DateTime, TimeDelta};
    use tower::ServiceExt;

    fn router(clock: &Clock) -> Router {
        let list = routing::get(|| async { Success::ok(["A1"]) }).post(|| async { Success::ok(["A1"]) });
        let refusal = routing::get(|| async { Problem::not_found("class") });
        let cached = Router::new().route("/list", list).route("/refusal", refusal);
        let cached = cached.layer(from_fn_with_state(Duration::from_secs(300), cached_for));
        let other = Router::new().route("/other", routing::get(|| async { Success::ok(["A1"]) }));
        finish(cached.merge(other), &HttpConfig::default(), clock.clone(), Entropy::seeded(1))
    }

    async fn call(clock: &Clock, method: &str, path: &str, known: &str) -> Response {
        let mut request = http::Request::builder().method(method).uri(path);
        if !known.is_empty() {
            request = request.header(IF_NONE_MATCH, known);
        }
        router(clock).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn who_has_it_already_is_told_so() {
        let clock = Clock::manual(DateTime::from_timestamp(1_700_000_000, 0).unwrap());
        let first = call(&clock, "GET", "/list", "").await;
        let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
        assert_eq!(
            (first.status(), &first.headers()[CACHE_CONTROL]),
            (StatusCode::OK, &"private, max-age=300".parse().unwrap())
        );
        assert!(
            first.headers().get_all(VARY).iter().any(|vary| vary.to_str().unwrap().contains("authorization"))
        );
        // Later, which the envelope says and the tag does not.
        clock.advance(TimeDelta::minutes(1));
        for known in [tag.clone(), format!("\"other\", {tag}"), tag.replace("W/", ""), "*".into()] {
            let again = call(&clock, "GET", "/list", &known).await;
            assert_eq!(
                (again.status(), &again.headers()[ETAG]),
                (StatusCode::NOT_MODIFIED, &tag.parse().unwrap())
            );
        }
        for known in ["W/\"other\"", "nonsense"] {
            assert_eq!(call(&clock, "GET", "/list", known).await.status(), StatusCode::OK, "{known}");
        }
    }

    #[tokio::test]
    async fn only_what_was_read_and_found_is_kept() {
        let clock = Clock::manual(DateTime::from_timestamp(1_700_000_000, 0).unwrap());
        for (method, path) in [("POST", "/list"), ("GET", "/refusal"), ("GET", "/other")] {
            let answer = call(&clock, method, path, "*").await;
            assert_ne!(answer.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(
                (answer.headers().get(ETAG), &answer.headers()[CACHE_CONTROL]),
                (None, &"no-store".parse().unwrap())
            );
        }
    }
}
