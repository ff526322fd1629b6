//! What a class does against codes that are passed on: scans from elsewhere, from far away, or from somebody else's device.
//!
//! None of it proves that a student was there. Each rule makes it more laborious to be marked from elsewhere, and what was
//! found is kept, so that a person can look at it.

use rollcall_schemas::{
    code::Code,
    scan::{OnDoubt, Position, Scan},
};
use rollcall_store::{
    attendance::ScanContext,
    protections::{Protections, RoomPosition},
};
use serde::Serialize;

/// The mean radius of the earth (IUGG), in metres.
const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// What was found when a scan was held against the rules of its class. What no rule asks about is absent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// How long the code had been shown.
    pub code_age_ms: i64,
    /// How long it was good in all.
    pub code_life_ms: i64,
    /// Whether the scan came from a network that the class allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_allowed: Option<bool>,
    /// How far the phone was from the room, by its own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance_m: Option<f64>,
    /// How well it knew where it was: a radius of 68 % confidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy_m: Option<f64>,
    /// Whether that is near enough; absent where the phone did not say where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_room: Option<bool>,
    /// Whether another student's scan from the same device counts in the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_shared: Option<bool>,
}

/// Why a scan is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanDoubt {
    /// It came from none of the networks that the class allows.
    OutsideNetworks,
    /// The phone was too far from the room.
    TooFar,
    /// Nobody knows where the phone was.
    NoPosition,
    /// Another student has scanned from the same device.
    SharedDevice,
}

impl ScanDoubt {
    /// Every value.
    pub const ALL: [ScanDoubt; 4] =
        [ScanDoubt::OutsideNetworks, ScanDoubt::TooFar, ScanDoubt::NoPosition, ScanDoubt::SharedDevice];

    /// The name in the database and in API answers.
    pub fn as_str(self) -> &'static str {
        match self {
            ScanDoubt::OutsideNetworks => "outside_networks",
            ScanDoubt::TooFar => "too_far",
            ScanDoubt::NoPosition => "no_position",
            ScanDoubt::SharedDevice => "shared_device",
        }
    }

    /// Reads that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|doubt| doubt.as_str() == name)
    }

    /// How a scan is refused for it.
    pub fn code(self) -> Code {
        match self {
            ScanDoubt::OutsideNetworks => Code::NetworkNotAllowed,
            ScanDoubt::TooFar => Code::TooFarFromRoom,
            ScanDoubt::NoPosition => Code::PositionRequired,
            ScanDoubt::SharedDevice => Code::DeviceAlreadyUsed,
        }
    }
}

/// What a class has against a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// It does not count until a person says so.
    Review(ScanDoubt),
    /// It does not count.
    Refusal(Code),
}

/// Holds a scan against the rules of its class: what is found, and what the class has against it. Of several doubts the
/// first counts that it refuses, or else the first about which a person decides, in the order network, distance, device.
/// `device_shared` says whether the scan of another student from the same device counts in the session.
pub fn check(
    scan: &Scan,
    context: &ScanContext,
    rules: &Protections,
    device_shared: bool,
) -> (Found, Option<Objection>) {
    let network_allowed = (!rules.allowed_networks.is_empty()).then(|| {
        scan.ip.is_some_and(|ip| rules.allowed_networks.iter().any(|network| network.contains(&ip)))
    });
    let position = scan.position.zip(rules.room);
    let distance_m = position.map(|(phone, room)| distance(&phone, &room));
    let accuracy_m = position.and_then(|(phone, _)| phone.accuracy_m);
    let in_room = position.map(|(phone, room)| is_in_room(&phone, &room));
    let asks_for_device = rules.shared_device != OnDoubt::Accept || device_shared;
    let found = Found {
        code_age_ms: (scan.scanned_at - context.valid_from).num_milliseconds(),
        code_life_ms: (context.expires_at - context.valid_from).num_milliseconds(),
        network_allowed,
        distance_m,
        accuracy_m,
        in_room,
        device_shared: asks_for_device.then_some(device_shared),
    };
    let lacks_position = rules.room.is_some() && in_room.is_none();
    let doubts = [
        (network_allowed == Some(false), rules.outside_networks, ScanDoubt::OutsideNetworks),
        (in_room == Some(false), rules.too_far, ScanDoubt::TooFar),
        (lacks_position, rules.without_position, ScanDoubt::NoPosition),
        (device_shared, rules.shared_device, ScanDoubt::SharedDevice),
    ];
    let first =
        |wanted| doubts.iter().find_map(|(holds, then, doubt)| (*holds && *then == wanted).then_some(*doubt));
    let refusal = first(OnDoubt::Refuse).map(|doubt| Objection::Refusal(doubt.code()));
    (found, refusal.or_else(|| first(OnDoubt::Review).map(Objection::Review)))
}

/// Whether a phone may be in the room: it is not farther away than the radius and what it does not know. A phone that
/// knows little is believed for one radius at most, or it could be anywhere.
fn is_in_room(phone: &Position, room: &RoomPosition) -> bool {
    let radius_m = f64::from(room.radius_m);
    let unknown_m = phone.accuracy_m.unwrap_or_default().clamp(0.0, radius_m);
    distance(phone, room) <= radius_m + unknown_m
}

/// The distance along the surface of the earth, taken for a sphere, in metres (haversine formula): at most 0.6 % off.
fn distance(phone: &Position, room: &RoomPosition) -> f64 {
    let (latitude, room_latitude) = (phone.latitude.to_radians(), room.latitude.to_radians());
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let east = (phone.longitude - room.longitude).to_radians();
    let h = half(latitude - room_latitude) + latitude.cos() * room_latitude.cos() * half(east);
    2.0 * EARTH_RADIUS_M * h.sqrt().min(1.0).asin()
}
