//! `Idempotency-Key`: a call that is repeated has its effect once, and is answered as it was the first time.
//!
//! One layer for every route whose row says so; nothing in a handler. What a call was answered is kept for a day, under
//! the hash of caller, route and key. A call is carried out to its end even when its caller goes away, because that is when
//! it is repeated. What was refused changed nothing: it is not kept, and may be tried again under the same key.
//!
//! That a call has had its effect is committed together with the effect ([`Api::commit`]). So a process that dies at any
//! point leaves either a call that had no effect, which may be carried out again after a while, or one that had it, which
//! never is.
//!
//! A secret is shown once and never kept: a repeated call that would show one again is told that it was done.

use crate::{access, ask::IdempotencyKey, error::ApiError, extract::Caller, state::Api};
use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderName, HeaderValue, StatusCode, request::Parts};
use rollcall_schemas::{access::Retry, code::Code};
use rollcall_service::http::{Answer, Bytes, Problem};
use rollcall_store::{
    PgConnection, StoreError,
    keyed_calls::{self, Begun, CallHash, KeptAnswer},
};
use sha2::{Digest, Sha256};
use std::time::Duration;
use tracing::Instrument;

/// How long an answer is kept.
const KEPT: TimeDelta = TimeDelta::hours(24);
/// A call that was not answered for so long was in the hands of a process that died. Longer than any call may take.
const ABANDONED_AFTER: TimeDelta = TimeDelta::minutes(5);
/// When to come back while the first call is under way.
const UNDER_WAY: Duration = Duration::from_secs(1);
/// Says that an answer is the one of an earlier call.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const PURGE_AT_MOST: i64 = 500;

tokio::task_local! {
    /// The keyed call that is being carried out.
    static CALL: KeyedCall;
}

/// A call that was begun under a key.
#[derive(Clone, Copy)]
struct KeyedCall {
    hash: CallHash,
    begun_at: DateTime<Utc>,
}

/// Says in the transaction of an effect whose it is, where that is a call with a key.
///
/// # Errors
/// `409` when the call counted as abandoned meanwhile, and somebody else carries it out.
pub(crate) async fn carry_out(tx: &mut PgConnection) -> Result<(), ApiError> {
    let Ok(KeyedCall { hash, begun_at }) = CALL.try_with(|call| *call) else { return Ok(()) };
    if keyed_calls::carry_out(tx, &hash, begun_at).await? {
        return Ok(());
    }
    Err(Problem::conflict("the call took so long that it was begun again under its Idempotency-Key").into())
}

/// Carries a call out once, if it has a key and its row wants it.
pub(crate) async fn once(
    State(api): State<Api>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let retry = access::find(request.method(), path.as_str()).map_or(Retry::Harmless, |rule| rule.retry);
    if !matches!(retry, Retry::Kept | Retry::Secret) {
        return Ok(next.run(request).await);
    }
    let (mut parts, body) = request.into_parts();
    let key = IdempotencyKey::from_request_parts(&mut parts, &api).await?;
    let (Some(key), Some(caller)) = (key.as_str(), parts.extensions.get::<Caller>()) else {
        return Ok(next.run(Request::from_parts(parts, body)).await);
    };
    let call = call_hash(caller, &parts, key);
    let Bytes(content) = Bytes::from_request(Request::from_parts(parts.clone(), body), &api).await?;
    let content_hash = content_hash(&parts, key, &content);
    let now = api.clock().now();
    let mut db = api.connection().await?;
    let begun = keyed_calls::begin(&mut db, &call, &content_hash, now, now - ABANDONED_AFTER).await?;
    drop(db);
    match begun {
        Begun::First => {
            let request = Request::from_parts(parts, Body::from(content));
            let carried_out = async move {
                let response = next.run(request).await;
                let answer = Answer::of(&response).filter(|_| retry != Retry::Secret).cloned();
                keep(&api, &call, response.status(), answer).await;
                response
            };
            let carried_out = CALL.scope(KeyedCall { hash: call, begun_at: now }, carried_out);
            // Not dropped with the connection of the caller.
            let carried_out = tokio::spawn(carried_out.in_current_span());
            carried_out.await.map_err(|error| Problem::internal(error).into())
        }
        Begun::UnderWay => {
            Err(Problem::conflict("the first call with this Idempotency-Key is still under way")
                .with_retry_after(UNDER_WAY)
                .into())
        }
        Begun::Answered(kept) => Ok(replay(kept)?),
        Begun::Unanswered => Err(Problem::conflict(
            "this call was carried out before, and its answer was lost: look at what it made, and take a new key for \
             another",
        )
        .into()),
        Begun::OtherContent => Err(Problem::new(
            Code::IdempotencyKeyReused,
            "this Idempotency-Key was used for the same route with another content: take a new key",
        )
        .into()),
    }
}

/// Forgets what was kept long enough.
pub(crate) async fn purge(api: &Api) -> Result<u64, StoreError> {
    let before = api.clock().now() - KEPT;
    keyed_calls::purge(&mut *api.connection().await?, before, PURGE_AT_MOST).await
}

fn call_hash(caller: &Caller, parts: &Parts, key: &str) -> CallHash {
    hash([
        caller.id().0.as_bytes(),
        parts.method.as_str().as_bytes(),
        parts.uri.path().as_bytes(),
        key.as_bytes(),
    ])
}

fn content_hash(parts: &Parts, key: &str, content: &[u8]) -> [u8; 32] {
    hash([key.as_bytes(), parts.uri.query().unwrap_or_default().as_bytes(), content])
}

/// SHA-256 over length-prefixed parts, so that no two different lists of parts are one.
fn hash<const N: usize>(parts: [&[u8]; N]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Keeps the answer of a success; anything else may be tried again. When the database is away the call counts as under
/// way until it counts as abandoned, or as one whose answer was lost.
async fn keep(api: &Api, call: &CallHash, status: StatusCode, answer: Option<Answer>) {
    let kept = async {
        let mut db = api.connection().await?;
        if !status.is_success() {
            return keyed_calls::give_up(&mut db, call).await;
        }
        let answer = answer.map(|answer| serde_json::to_string(&answer).expect("an answer is JSON already"));
        let status = i16::try_from(status.as_u16()).expect("a status has three digits");
        keyed_calls::answer(&mut db, call, &KeptAnswer { status, answer }).await
    };
    if let Err(error) = kept.await {
        tracing::warn!(%error, "the answer to a call with an Idempotency-Key is not kept");
    }
}

fn replay(kept: KeptAnswer) -> Result<Response, Problem> {
    let Some(answer) = kept.answer else {
        return Err(Problem::conflict(
            "this call was carried out before, and the secret it made was shown then and is not kept: revoke or rotate \
             what it made",
        ));
    };
    let answer: Answer = serde_json::from_str(&answer).map_err(Problem::internal)?;
    let status = u16::try_from(kept.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let mut response = answer.into_response(status.unwrap_or(StatusCode::OK));
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

#[cfg(test)]
mod tests;
