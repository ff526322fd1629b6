//! A QR scan as it was received.

use crate::id::{RequestId, ScanId, UserId};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};
use uuid::Uuid;

/// One message of SCANS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scan {
    /// A function of the request: see [`ScanId::of`].
    pub scan_id: ScanId,
    /// The request whose outcome answers the scan.
    pub request_id: RequestId,
    /// Who scanned, from the verified access token.
    pub student_id: UserId,
    /// What the code said.
    pub token: QrToken,
    /// Receipt at ingest: what decisions go by. A phone's own time would be evidence only.
    pub scanned_at: DateTime<Utc>,
    /// Where the request came from.
    pub ip: Option<IpAddr>,
    /// What the client called itself.
    pub user_agent: Option<String>,
    /// Where the phone said it was.
    pub position: Option<Position>,
}

/// A position as a phone reports it (WGS 84).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Radius of 68 % confidence in metres, if the phone gave one.
    pub accuracy_m: Option<f64>,
}

/// The secret in a QR code: a UUID v4. `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct QrToken(pub Uuid);

impl fmt::Debug for QrToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QrToken(..)")
    }
}
