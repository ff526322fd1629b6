//! A QR scan as it was received.

use crate::id::{DeviceId, RequestId, ScanId, UserId};
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
    /// The device it came from, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
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

/// What becomes of a scan that is in doubt.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum OnDoubt {
    /// It counts, and the doubt is kept with it.
    #[default]
    Accept,
    /// It counts once a person says so.
    Review,
    /// It does not count.
    Refuse,
}

impl OnDoubt {
    /// Every value.
    pub const ALL: [OnDoubt; 3] = [OnDoubt::Accept, OnDoubt::Review, OnDoubt::Refuse];

    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            OnDoubt::Accept => "accept",
            OnDoubt::Review => "review",
            OnDoubt::Refuse => "refuse",
        }
    }

    /// Reads the name on the wire.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == name)
    }
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
