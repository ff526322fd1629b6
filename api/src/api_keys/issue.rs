//! What becomes of a key, whoever holds it: made, rotated, revoked, and told.

use super::KeyBody;
use crate::{
    audit::{Act, Audit},
    error::ApiError,
    state::Api,
};
use chrono::{DateTime, TimeDelta, Utc};
use garde::Validate;
use rollcall_schemas::{
    feed::{AuthEntry, AuthFact},
    id::{ApiKeyId, CameraId},
    scope::Scope,
};
use rollcall_service::{auth, http::Problem};
use rollcall_store::{
    PgTransaction,
    api_keys::{self, ApiKey},
    outbox::OutboxMessage,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const DAY_S: u32 = 24 * 60 * 60;

/// Whose key it is, and what it may do.
pub(crate) struct Holder {
    pub(crate) camera_id: Option<CameraId>,
    pub(crate) name: Option<String>,
    pub(crate) scopes: Vec<Scope>,
}

/// A key with its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IssuedKey {
    #[schema(value_type = Uuid)]
    key_id: ApiKeyId,
    /// The key as it is sent in `X-API-Key`. It is shown this once and kept nowhere.
    api_key: String,
    /// What it may do.
    scopes: Vec<Scope>,
    expires_at: Option<DateTime<Utc>>,
}

/// How a key is replaced.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "overlapSeconds": 3600 }))]
pub(crate) struct Rotation {
    /// How long the old key is still taken beside the new one, in seconds; at most 30 days.
    #[garde(range(max = 30 * DAY_S))]
    #[serde(default = "a_day")]
    overlap_seconds: u32,
    /// After this the new key is no longer taken; without it, it lives as long as the old one was made to.
    #[garde(skip)]
    expires_at: Option<DateTime<Utc>>,
}

fn a_day() -> u32 {
    DAY_S
}

/// The new key, and what is left of the old one.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RotatedData {
    #[serde(flatten)]
    key: IssuedKey,
    /// The old key.
    #[schema(value_type = Uuid)]
    replaces: ApiKeyId,
    /// Until when the old key is taken.
    replaced_expires_at: Option<DateTime<Utc>>,
}

/// Refuses a key that would be born expired.
pub(crate) fn check_expiry(expires_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<(), Problem> {
    match expires_at {
        Some(end) if end <= now => Err(Problem::validation([("expiresAt", "must be in the future")])),
        _ => Ok(()),
    }
}

/// Draws a key; its row is still to be written.
fn draw(api: &Api, holder: Holder, expires_at: Option<DateTime<Utc>>) -> (ApiKey, IssuedKey) {
    let secret = auth::ApiKey::generate(api.entropy());
    let key = ApiKey {
        id: secret.key_id,
        camera_id: holder.camera_id,
        name: holder.name,
        scopes: holder.scopes,
        secret_sha256: secret.secret_sha256(),
        revision: 1,
        created_at: api.clock().now(),
        expires_at,
        revoked_at: None,
        replaced_by: None,
        last_used_at: None,
    };
    let (key_id, scopes) = (key.id, key.scopes.clone());
    (key, IssuedKey { key_id, api_key: secret.reveal(), scopes, expires_at })
}

/// Makes a key, and ends the transaction.
pub(crate) async fn issue(
    api: &Api,
    audit: &Audit,
    mut tx: PgTransaction<'static>,
    holder: Holder,
    expires_at: Option<DateTime<Utc>>,
) -> Result<IssuedKey, ApiError> {
    let (key, issued) = draw(api, holder, expires_at);
    api_keys::create(&mut tx, &key).await?;
    let message = OutboxMessage::feed(&entry(&key));
    audit.record(&mut tx, Act::of("api_key.created", key.id).after(&KeyBody::from(key))).await?;
    api.commit(tx, vec![message]).await?;
    Ok(issued)
}

/// Puts a new key in the place of one, which is taken for a while yet.
pub(crate) async fn rotate(
    api: &Api,
    audit: &Audit,
    camera: Option<CameraId>,
    id: ApiKeyId,
    rotation: Rotation,
) -> Result<RotatedData, ApiError> {
    let now = api.clock().now();
    check_expiry(rotation.expires_at, now)?;
    let mut tx = api.begin().await?;
    let old = api_keys::lock(&mut tx, camera, id).await?.ok_or_else(|| Problem::not_found("API key"))?;
    if old.replaced_by.is_some() {
        return Err(Problem::conflict("the key was rotated already: rotate the one in its place").into());
    }
    if old.expires_at.is_some_and(|end| end <= now) {
        return Err(Problem::conflict("the key has expired: make a new one").into());
    }
    let expires_at = rotation.expires_at.or(old.expires_at.map(|end| now + (end - old.created_at)));
    let holder = Holder { camera_id: old.camera_id, name: old.name, scopes: old.scopes };
    let (new, issued) = draw(api, holder, expires_at);
    api_keys::create(&mut tx, &new).await?;
    let until = now + TimeDelta::seconds(rotation.overlap_seconds.into());
    let old = api_keys::replace(&mut tx, id, new.id, until).await?;
    let old = old.ok_or_else(|| Problem::internal("a locked key is gone"))?;
    let data = RotatedData { key: issued, replaces: old.id, replaced_expires_at: old.expires_at };
    let messages = vec![OutboxMessage::feed(&entry(&new)), OutboxMessage::feed(&entry(&old))];
    audit.record(&mut tx, Act::of("api_key.rotated", id).after(&KeyBody::from(new))).await?;
    api.commit(tx, messages).await?;
    Ok(data)
}

/// Revokes a key, and says when.
pub(crate) async fn revoke(
    api: &Api,
    audit: &Audit,
    camera: Option<CameraId>,
    id: ApiKeyId,
) -> Result<DateTime<Utc>, ApiError> {
    let now = api.clock().now();
    let mut tx = api.begin().await?;
    let key = api_keys::revoke(&mut tx, camera, id, now).await?;
    let key = key.ok_or_else(|| Problem::not_found("API key"))?;
    let message = OutboxMessage::feed(&entry(&key));
    audit.record(&mut tx, Act::of("api_key.revoked", id).before(&KeyBody::from(key))).await?;
    api.commit(tx, vec![message]).await?;
    Ok(now)
}

/// The entry that tells of a key as it is now.
pub(crate) fn entry(key: &ApiKey) -> AuthEntry {
    AuthEntry {
        revision: key.revision.unsigned_abs(),
        fact: AuthFact::ApiKey {
            key_id: key.id,
            secret_sha256: key.secret_sha256.clone(),
            camera_id: key.camera_id,
            scopes: key.scopes.clone(),
            expires_at: key.expires_at,
            revoked: key.revoked_at.is_some(),
        },
    }
}
