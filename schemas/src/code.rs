//! The codes every refusal carries, over HTTP and in stored outcomes alike.
//!
//! A code says what went wrong in terms a client can act on; the HTTP status that usually goes with it is kept beside
//! it. The envelope that carries a code over HTTP is in `service::http`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $wire:tt, $status:literal;)*) => {
        /// Why something was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
        pub enum Code {
            $($(#[doc = $doc])* #[serde(rename = $wire)] $name,)*
        }

        impl Code {
            /// Every code, for documents and tests that must not forget one.
            pub const ALL: &[Code] = &[$(Code::$name),*];

            /// The name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $wire,)* }
            }

            /// What it says, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$name => concat!($($doc),*).trim_ascii(),)* }
            }

            /// The HTTP status that goes with the code.
            pub fn http_status(self) -> u16 {
                match self { $(Code::$name => $status,)* }
            }
        }
    };
}

codes! {
    /// The e-mail or the password is wrong; which of the two is never said.
    AuthInvalidCredentials = "AUTH_INVALID_CREDENTIALS", 401;
    /// The access token was good and no longer is.
    AuthTokenExpired = "AUTH_TOKEN_EXPIRED", 401;
    /// The access token or API key is not one of ours.
    AuthTokenInvalid = "AUTH_TOKEN_INVALID", 401;
    /// No credentials (401), or credentials that may not do this (403).
    AuthUnauthorized = "AUTH_UNAUTHORIZED", 403;
    /// Too many failed sign-ins; the details say until when.
    AuthAccountLocked = "AUTH_ACCOUNT_LOCKED", 423;
    /// Well-formed, but a field breaks a rule; the details name each field.
    ValidationFailed = "VALIDATION_FAILED", 422;
    /// Not readable as what the route takes.
    InvalidInput = "INVALID_INPUT", 400;
    /// A required field is absent.
    MissingRequiredField = "MISSING_REQUIRED_FIELD", 400;
    /// The session is not active at the time of the event.
    SessionNotActive = "SESSION_NOT_ACTIVE", 409;
    /// The QR token was valid and no longer was at the time of the scan.
    QrTokenExpired = "QR_TOKEN_EXPIRED", 410;
    /// No such QR token was ever issued.
    QrTokenInvalid = "QR_TOKEN_INVALID", 404;
    /// The student's attendance of this session is already recorded.
    AlreadyMarkedAttendance = "ALREADY_MARKED_ATTENDANCE", 409;
    /// The student was not enrolled in the class at the time of the event.
    NotEnrolled = "NOT_ENROLLED", 403;
    /// The scan does not come from a network that the class allows.
    NetworkNotAllowed = "NETWORK_NOT_ALLOWED", 403;
    /// The phone was too far from the room.
    TooFarFromRoom = "TOO_FAR_FROM_ROOM", 403;
    /// The class wants to know where the phone is, and the scan does not say so closely enough.
    PositionRequired = "POSITION_REQUIRED", 403;
    /// Another student has scanned in this session from the same device.
    DeviceAlreadyUsed = "DEVICE_ALREADY_USED", 409;
    /// The class is at its capacity.
    ClassFull = "CLASS_FULL", 409;
    /// More calls than the limit allows; `Retry-After` says when to come back.
    RateLimited = "RATE_LIMITED", 429;
    /// No such thing, or none that the caller may know of.
    NotFound = "NOT_FOUND", 404;
    /// The thing is in a state that does not allow this.
    Conflict = "CONFLICT", 409;
    /// The body is larger than the limit.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", 413;
    /// The body is of a kind the route does not take.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", 415;
    /// The path does not take this method.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", 405;
    /// The body came too slowly.
    RequestTimeout = "REQUEST_TIMEOUT", 408;
    /// The address is longer than the limit.
    UriTooLong = "URI_TOO_LONG", 414;
    /// There are more headers than the limit, or more bytes of them.
    HeadersTooLarge = "HEADERS_TOO_LARGE", 431;
    /// The `Idempotency-Key` was used for the same route with another content.
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED", 422;
    /// A fault of ours; the request id finds it in the logs.
    InternalServerError = "INTERNAL_SERVER_ERROR", 500;
    /// The database cannot be reached.
    DatabaseError = "DATABASE_ERROR", 503;
    /// A part that this call needs is down, or full; `Retry-After` says when to come back.
    ServiceUnavailable = "SERVICE_UNAVAILABLE", 503;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
