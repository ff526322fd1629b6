//! What a class does against codes that are passed on, as it stands in its settings.

use crate::extract::nullable;
use garde::Validate;
use ipnet::IpNet;
use rollcall_schemas::scan::OnDoubt;
use rollcall_service::http::Problem;
use rollcall_store::protections::{Protections, RoomPosition};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use utoipa::ToSchema;

/// What a class does against codes that are passed on.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProtectionsBody {
    /// The networks that scans should come from, in CIDR notation; empty means anywhere.
    allowed_networks: Vec<String>,
    /// What becomes of a scan from elsewhere: `accept` (it counts, and what was found is kept), `review` (it counts once a
    /// person says so) or `refuse`.
    outside_networks: OnDoubt,
    /// Where phones should be; null means anywhere. Where the organisation has a position of the session's room, that counts.
    room_position: Option<RoomPositionBody>,
    /// What becomes of a scan from a phone that is too far from `roomPosition`: `accept`, `review` or `refuse`.
    too_far: OnDoubt,
    /// What becomes of a scan that does not say where its phone is, while there is a `roomPosition`: `accept`, `review` or
    /// `refuse`.
    without_position: OnDoubt,
    /// What becomes of a scan from a device that another student has used in the session: `accept`, `review` or `refuse`.
    shared_device: OnDoubt,
}

impl From<&Protections> for ProtectionsBody {
    fn from(protections: &Protections) -> Self {
        Self {
            allowed_networks: protections.allowed_networks.iter().map(IpNet::to_string).collect(),
            outside_networks: protections.outside_networks,
            room_position: protections.room.map(RoomPositionBody::from),
            too_far: protections.too_far,
            without_position: protections.without_position,
            shared_device: protections.shared_device,
        }
    }
}

/// Where a room is (WGS 84), and how far around it its students may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "latitude": 48.2082, "longitude": 16.3738, "radiusM": 30 }))]
pub(crate) struct RoomPositionBody {
    /// Degrees north.
    #[garde(range(min = -90.0, max = 90.0))]
    latitude: f64,
    /// Degrees east.
    #[garde(range(min = -180.0, max = 180.0))]
    longitude: f64,
    /// Metres. What a phone does not know of its own position is added to it, but no more than once.
    #[garde(range(min = 1, max = 100_000))]
    radius_m: i32,
}

impl From<RoomPosition> for RoomPositionBody {
    fn from(room: RoomPosition) -> Self {
        Self { latitude: room.latitude, longitude: room.longitude, radius_m: room.radius_m }
    }
}

impl From<RoomPositionBody> for RoomPosition {
    fn from(room: RoomPositionBody) -> Self {
        Self { latitude: room.latitude, longitude: room.longitude, radius_m: room.radius_m }
    }
}

/// What changes about it; what is absent stays.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "allowedNetworks": ["10.20.0.0/16"], "roomPosition": { "latitude": 48.2082, "longitude": 16.3738, "radiusM": 30 }, "tooFar": "review", "withoutPosition": "refuse", "sharedDevice": "refuse" }))]
pub(crate) struct ProtectionsChange {
    /// The networks that scans should come from, in CIDR notation or as single addresses; empty means anywhere.
    #[garde(length(max = 100))]
    allowed_networks: Option<Vec<String>>,
    /// What becomes of a scan from elsewhere.
    #[garde(skip)]
    outside_networks: Option<OnDoubt>,
    /// Where phones should be; null means anywhere.
    #[garde(dive)]
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<RoomPositionBody>)]
    room_position: Option<Option<RoomPositionBody>>,
    /// What becomes of a scan from a phone that is too far from there.
    #[garde(skip)]
    too_far: Option<OnDoubt>,
    /// What becomes of a scan that does not say where its phone is.
    #[garde(skip)]
    without_position: Option<OnDoubt>,
    /// What becomes of a scan from a device that another student has used in the session.
    #[garde(skip)]
    shared_device: Option<OnDoubt>,
}

impl ProtectionsChange {
    /// What a class does from now on that did `present`.
    ///
    /// # Errors
    /// When a network is none.
    pub(super) fn apply(self, present: Protections) -> Result<Protections, Problem> {
        let networks = |texts: Vec<String>| texts.iter().enumerate().map(network).collect::<Result<_, _>>();
        Ok(Protections {
            allowed_networks: self.allowed_networks.map_or(Ok(present.allowed_networks), networks)?,
            outside_networks: self.outside_networks.unwrap_or(present.outside_networks),
            room: self.room_position.map_or(present.room, |room| room.map(RoomPosition::from)),
            too_far: self.too_far.unwrap_or(present.too_far),
            without_position: self.without_position.unwrap_or(present.without_position),
            shared_device: self.shared_device.unwrap_or(present.shared_device),
        })
    }
}

/// A network or a single address, without the bits that name a host in it.
fn network((place, text): (usize, &String)) -> Result<IpNet, Problem> {
    let text = text.trim();
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>().or_else(|_| address()).map(|network| network.trunc()).map_err(|_| {
        let field = format!("protections.allowedNetworks[{place}]");
        Problem::validation([(field, "must be a network such as 10.20.0.0/16, or an address")])
    })
}
