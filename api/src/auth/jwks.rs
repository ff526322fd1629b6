//! `GET /.well-known/jwks.json`.

use crate::state::Api;
use axum::{Json, extract::State};
use rollcall_schemas::feed::AuthFact;
use serde_json::Value;

/// The public keys that access tokens are verified with, as a JSON Web Key Set (RFC 7517).
///
/// Not in an envelope: other programs read it.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    tag = "auth",
    responses((status = 200, description = "The key set", body = Object))
)]
pub(crate) async fn list_signing_keys(State(api): State<Api>) -> Json<Value> {
    let now = api.clock().now();
    let entries = api.keys().snapshot();
    let keys = entries.iter().filter_map(|entry| match &entry.fact {
        AuthFact::SigningKey { kid, public_key, retires_at, .. }
            if retires_at.is_none_or(|end| now < end) =>
        {
            Some((kid.as_str(), public_key.as_str()))
        }
        _ => None,
    });
    Json(rollcall_service::auth::jwks(keys))
}
