//! API keys: those of integrations under `/api-keys`, and what these have in common with the cameras' under
//! `/cameras/{id}/keys`.
//!
//! A secret is shown by the answer that makes it and kept nowhere. Every change leaves for everybody who verifies keys
//! through the outbox, in the transaction that makes it.

mod create;
mod issue;
mod list;
mod one;
mod uses;

pub(crate) use issue::{
    Holder, IssuedKey, RotatedData, Rotation, check_expiry, entry, issue, revoke, rotate,
};
pub(crate) use one::RevokedKey;
pub(crate) use uses::{NoteKeyUses, note_own_uses};

use crate::state::Api;
use chrono::{DateTime, Utc};
use rollcall_schemas::{id::ApiKeyId, scope::Scope};
use rollcall_store::api_keys::ApiKey;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list::list_api_keys, create::create_api_key))
        .routes(routes!(one::revoke_api_key))
        .routes(routes!(one::rotate_api_key))
}

/// A key as it is listed: without its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyBody {
    #[schema(value_type = Uuid)]
    id: ApiKeyId,
    /// What the integration is called; null for the key of a camera.
    name: Option<String>,
    /// What it may do.
    scopes: Vec<Scope>,
    created_at: DateTime<Utc>,
    /// After this it is no longer taken; null for never.
    expires_at: Option<DateTime<Utc>>,
    /// The minute of its last use, known a few minutes later; null for never.
    last_used_at: Option<DateTime<Utc>>,
    /// The key that rotation put in its place.
    #[schema(value_type = Option<Uuid>)]
    replaced_by: Option<ApiKeyId>,
}

impl From<ApiKey> for KeyBody {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            scopes: key.scopes,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            replaced_by: key.replaced_by,
        }
    }
}

/// A page of keys.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeysData {
    pub(crate) api_keys: Vec<KeyBody>,
}

#[cfg(test)]
mod tests;
