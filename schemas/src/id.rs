//! Ids as newtypes over UUIDs, and how derived ids are made.
//!
//! A derived id is a function of its input (UUIDv5, RFC 9562 section 5.5): handling the same message again yields the
//! same ids, which is what makes redelivery harmless. A drawn id (a new user, a new camera) comes from the caller's
//! source of randomness; nothing here draws.

use crate::{notification::Channel, scan::QrToken};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Derives the id from `parts`: the same parts always give the same id.
            pub fn derive(parts: &[&[u8]]) -> Self {
                Self(derive(stringify!($name), parts))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    )*};
}

ids! {
    /// The organisation that runs this deployment.
    OrganisationId;
    /// A person with an account or a face: students, teachers, operators and administrators alike.
    UserId;
    /// A camera, the principal that pushes frames.
    CameraId;
    /// A class: a teacher, a list of students, a timetable.
    ClassId;
    /// One meeting of a class.
    SessionId;
    /// One displayed QR code. Public, unlike the token that the code carries.
    QrTokenId;
    /// An API key. Public, unlike its secret.
    ApiKeyId;
    /// A sign-in: one device of one person, from signing in to signing out.
    SignInId;
    /// A student's membership of a class over a span of time.
    EnrolmentId;
    /// A frame as accepted from a camera.
    FrameId;
    /// What one model pack saw in one frame.
    SightingId;
    /// One QR scan.
    ScanId;
    /// A device that scans come from, as far as it can be told from others.
    DeviceId;
    /// Work that wants an answer.
    RequestId;
    /// Something that happened, as told to the outside.
    FactId;
    /// One student's attendance of one session.
    AttendanceId;
    /// A decision that waits for a person.
    ReviewId;
    /// A photograph a person was enrolled with.
    PhotoId;
    /// Somebody who is told of a student.
    GuardianId;
    /// An address of another system that is told what happens.
    WebhookId;
    /// One notification of one recipient by one channel.
    DeliveryId;
    /// Days on which nothing of any schedule takes place.
    HolidayId;
}

impl FrameId {
    /// The id of a frame: the same bytes from the same camera and instant are the same frame.
    pub fn of(camera: CameraId, captured_at: DateTime<Utc>, bytes: &[u8]) -> Self {
        let digest = blake3::derive_key("Rollcall 2026-11 image of a frame", bytes);
        Self::derive(&[camera.0.as_bytes(), &captured_at.timestamp_micros().to_be_bytes(), &digest])
    }
}

impl SightingId {
    /// The id of what `pack` saw in `frame`: analysing a frame again with the same pack is the same sighting.
    pub fn of(frame: FrameId, pack: &str) -> Self {
        Self::derive(&[frame.0.as_bytes(), pack.as_bytes()])
    }
}

impl ScanId {
    /// A scan and the request that carries it are one: a retried request is the same scan.
    pub fn of(request: RequestId) -> Self {
        Self::derive(&[request.0.as_bytes()])
    }
}

impl DeviceId {
    /// The id of the device that calls itself that: what it calls itself stays with it.
    pub fn of(name: &str) -> Self {
        Self::derive(&[&blake3::derive_key("Rollcall 2026-11 name of a device", name.as_bytes())])
    }
}

impl AttendanceId {
    /// One record per student and session, whatever the evidence and however often it arrives.
    pub fn of(session: SessionId, student: UserId) -> Self {
        Self::derive(&[session.0.as_bytes(), student.0.as_bytes()])
    }
}

impl DeliveryId {
    /// What causes it, whom it is for and which way it goes: however often the cause comes, it is one notification.
    pub fn of(cause: Uuid, recipient: Uuid, channel: Channel) -> Self {
        Self::derive(&[cause.as_bytes(), recipient.as_bytes(), channel.as_str().as_bytes()])
    }
}

impl RequestId {
    /// The id of a call that came with an `Idempotency-Key`: the same caller, key and call are the same request. `call`
    /// names what is called, `content` is everything that it depends on. A key used again for another call is another
    /// request: it must never be answered with what an earlier one did.
    pub fn of_key(caller: UserId, idempotency_key: &str, call: &str, content: &[u8]) -> Self {
        let content = blake3::derive_key("Rollcall 2026-11 content of a call", content);
        Self::derive(&[caller.0.as_bytes(), idempotency_key.as_bytes(), call.as_bytes(), &content])
    }

    /// The id of the request of a scan that came with an `Idempotency-Key`. Where the phone is does not count: it may
    /// have moved before it tries again.
    pub fn of_scan(student: UserId, idempotency_key: &str, token: QrToken) -> Self {
        Self::of_key(student, idempotency_key, "scan", token.0.as_bytes())
    }
}

/// UUIDv5 over length-prefixed parts, so that no two different lists of parts collide by concatenation.
fn derive(kind: &str, parts: &[&[u8]]) -> Uuid {
    /// Drawn once: the root of every derived id. Changing it would change every id.
    const ROOT: Uuid = Uuid::from_u128(0x0b0f_4f0e_8a3d_5c27_9d6a_52f2_7e61_90c1);
    let mut name = Vec::with_capacity(kind.len() + parts.iter().map(|part| part.len() + 4).sum::<usize>());
    for part in std::iter::once(kind.as_bytes()).chain(parts.iter().copied()) {
        let length = u32::try_from(part.len()).expect("id parts are far below 4 GiB");
        name.extend_from_slice(&length.to_be_bytes());
        name.extend_from_slice(part);
    }
    Uuid::new_v5(&ROOT, &name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn derived_ids_are_pinned() {
        let camera = CameraId(Uuid::from_u128(1));
        let captured_at = DateTime::from_timestamp_micros(1_700_000_000_000_001).unwrap();
        insta::assert_snapshot!(FrameId::of(camera, captured_at, b"bytes"));
    }

    #[test]
    fn kinds_do_not_collide() {
        assert_ne!(FrameId::derive(&[b"x"]).0, ScanId::derive(&[b"x"]).0);
    }

    #[test]
    fn a_key_names_a_request_only_together_with_its_caller_and_its_call() {
        let (caller, stranger) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        let request = RequestId::of_key(caller, "key", "call", b"content");
        assert_eq!(request, RequestId::of_key(caller, "key", "call", b"content"));
        for other in [
            RequestId::of_key(stranger, "key", "call", b"content"),
            RequestId::of_key(caller, "other", "call", b"content"),
            RequestId::of_key(caller, "key", "other", b"content"),
            RequestId::of_key(caller, "key", "call", b"other"),
        ] {
            assert_ne!(request, other);
        }
    }

    proptest! {
        #[test]
        fn splitting_parts_differently_gives_another_id(a in "[a-z]{1,8}", b in "[a-z]{1,8}") {
            let joined = format!("{a}{b}");
            prop_assert_ne!(FactId::derive(&[a.as_bytes(), b.as_bytes()]), FactId::derive(&[joined.as_bytes(), b""]));
        }
    }
}
