//! `POST /api-keys`.

use super::{Holder, IssuedKey, check_expiry, issue};
use crate::{audit::Audit, extract::Body, reply::Reply, state::Api};
use axum::extract::State;
use chrono::{DateTime, Utc};
use garde::Validate;
use rollcall_schemas::scope::Scope;
use rollcall_service::http::{Success, SuccessEnvelope};
use serde::Deserialize;
use utoipa::ToSchema;

/// A key of an integration, to be made.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "name": "Timetable", "scopes": ["classes:read"] }))]
pub(crate) struct NewApiKey {
    /// What people call the integration.
    #[garde(length(chars, min = 1, max = 200))]
    name: String,
    /// What it may do, at least one of `attendance:read`, `classes:read`, `codes:read`, `events:read`, `people:read`, `people:write`.
    #[garde(custom(are_for_integrations))]
    scopes: Vec<Scope>,
    /// After this it is no longer taken; without it, it is taken until revoked.
    #[garde(skip)]
    expires_at: Option<DateTime<Utc>>,
}

fn are_for_integrations(scopes: &[Scope], _: &()) -> garde::Result {
    if scopes.is_empty() {
        return Err(garde::Error::new("name at least one: without any, the key could do nothing"));
    }
    if scopes.contains(&Scope::FramesPush) {
        return Err(garde::Error::new(
            "frames:push belongs to a camera: make its key under /cameras/{id}/keys",
        ));
    }
    Ok(())
}

/// Make an API key for an integration. The answer is the only one that ever holds it.
#[utoipa::path(
    post,
    path = "/api/v1/api-keys",
    tag = "api-keys",
    request_body = NewApiKey,
    responses((status = 201, description = "Made", body = SuccessEnvelope<IssuedKey>))
)]
pub(crate) async fn create_api_key(
    State(api): State<Api>,
    audit: Audit,
    Body(mut new): Body<NewApiKey>,
) -> Reply<IssuedKey> {
    check_expiry(new.expires_at, api.clock().now())?;
    new.scopes.sort_unstable();
    new.scopes.dedup();
    let holder = Holder { camera_id: None, name: Some(new.name), scopes: new.scopes };
    let issued = issue(&api, &audit, api.begin().await?, holder, new.expires_at).await?;
    Ok(Success::created("API_KEY_CREATED", issued))
}
