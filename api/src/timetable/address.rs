//! `POST` and `DELETE /timetable/address`: where calendar programs read one's timetable, which cannot sign in.

use crate::{
    audit::{Act, Audit},
    extract::Caller,
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use http::StatusCode;
use rollcall_schemas::id::UserId;
use rollcall_service::http::{ErrorEnvelope, Problem, Success, SuccessEnvelope};
use rollcall_store::timetables;
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// What is kept of the secret in an address.
pub(super) fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// An address that shows whoever knows it one's timetable.
#[derive(Serialize, ToSchema)]
pub(crate) struct AddressData {
    /// On this server. It is shown this once and kept nowhere.
    #[schema(example = "/api/v1/timetable.ics?token=...")]
    address: String,
}

/// Whose address is gone.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AddressGone {
    #[schema(value_type = Uuid)]
    user_id: UserId,
}

/// Get an address that calendar programs read one's timetable from. Any earlier one no longer works.
#[utoipa::path(
    post,
    path = "/api/v1/timetable/address",
    tag = "timetable",
    responses((status = 201, description = "The address", body = SuccessEnvelope<AddressData>))
)]
pub(crate) async fn create_address(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
) -> Reply<AddressData> {
    let secret = api.entropy().secret();
    let mut tx = api.begin().await?;
    timetables::set_calendar_address(&mut tx, caller.id(), &hash(&secret), api.clock().now()).await?;
    audit.record(&mut tx, Act::of("calendar_address.created", caller.id())).await?;
    api.commit(tx, vec![]).await?;
    let address = format!("/api/v1/timetable.ics?token={secret}");
    Ok(Success::created("CALENDAR_ADDRESS_CREATED", AddressData { address }))
}

/// Take the address away.
#[utoipa::path(
    delete,
    path = "/api/v1/timetable/address",
    tag = "timetable",
    responses(
        (status = 200, description = "It no longer works", body = SuccessEnvelope<AddressGone>),
        (status = 404, description = "`NOT_FOUND`: there was none", body = ErrorEnvelope),
    )
)]
pub(crate) async fn delete_address(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
) -> Reply<AddressGone> {
    let mut tx = api.begin().await?;
    if !timetables::remove_calendar_address(&mut tx, caller.id()).await? {
        return Err(Problem::not_found("calendar address").into());
    }
    audit.record(&mut tx, Act::of("calendar_address.deleted", caller.id())).await?;
    api.commit(tx, vec![]).await?;
    let data = AddressGone { user_id: caller.id() };
    Ok(Success::new(StatusCode::OK, "CALENDAR_ADDRESS_DELETED", data))
}
