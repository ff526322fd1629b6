//! `GET /sessions/{id}/scan-checks`: what was found of the scans of a session, where its class does something against codes
//! that are passed on.

use super::find;
use crate::{
    listing::{Listing, PageEnvelope, PageParams},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use rollcall_schemas::id::{DeviceId, ScanId, SessionId, UserId};
use rollcall_service::http::Path;
use rollcall_store::protections::{self, CheckedScan};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// What was found of one scan.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ScanCheckBody {
    #[schema(value_type = Uuid)]
    scan_id: ScanId,
    #[schema(value_type = Uuid)]
    student_id: UserId,
    student_name: String,
    /// The same for every scan from one device; null when it is not known.
    #[schema(value_type = Option<Uuid>)]
    device_id: Option<DeviceId>,
    /// Whether the scan was not refused.
    counts: bool,
    /// `codeAgeMs`, `codeLifeMs`, and what the rules of the class ask for: `networkAllowed`, `distanceM`, `accuracyM`,
    /// `inRoom`, `deviceShared`.
    #[schema(value_type = Object)]
    found: Value,
}

impl From<CheckedScan> for ScanCheckBody {
    fn from(scan: CheckedScan) -> Self {
        let CheckedScan { scan_id, student_id, student_name, device_id, counts, found } = scan;
        Self { scan_id, student_id, student_name, device_id, counts, found }
    }
}

/// A page of what was found.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ScanChecksData {
    scan_checks: Vec<ScanCheckBody>,
}

/// List what was found of the scans of a session, by the students' names, those that were refused included
#[utoipa::path(
    get,
    path = "/api/v1/sessions/{id}/scan-checks",
    tag = "sessions",
    params(("id" = Uuid, Path, description = "The session"), PageParams),
    responses((status = 200, description = "A page of what was found", body = PageEnvelope<ScanChecksData>))
)]
pub(crate) async fn list_scan_checks(
    State(api): State<Api>,
    Path(id): Path<SessionId>,
    listing: Listing,
) -> Reply<ScanChecksData> {
    let mut db = api.connection().await?;
    find(&mut db, id).await?;
    let found = protections::of_session(&mut db, id, listing.page()).await?;
    let scan_checks = found.rows.into_iter().map(ScanCheckBody::from).collect();
    Ok(listing.answer(ScanChecksData { scan_checks }, found.total))
}
