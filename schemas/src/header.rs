//! Names of message headers, and how a message whose payload is bytes keeps its metadata in them.

use std::{fmt, str::FromStr};

/// W3C Trace Context: joins what happens to one event into one trace, from HTTP request to database row.
pub const TRACEPARENT: &str = "traceparent";
/// The id of a frame.
pub const FRAME_ID: &str = "Rollcall-Frame-Id";
/// The id of a request.
pub const REQUEST_ID: &str = "Rollcall-Request-Id";
/// The person a photograph belongs to.
pub const USER_ID: &str = "Rollcall-User-Id";
/// Who asked.
pub const REQUESTED_BY: &str = "Rollcall-Requested-By";
/// When the camera captured the frame, RFC 3339.
pub const CAPTURED_AT: &str = "Rollcall-Captured-At";
/// When Rollcall received the bytes, RFC 3339.
pub const RECEIVED_AT: &str = "Rollcall-Received-At";
/// Where a frame came from: see [`crate::frame::FrameSource`].
pub const SOURCE: &str = "Rollcall-Source";
/// The image's media type.
pub const CONTENT_TYPE: &str = "Content-Type";
/// The image's width in pixels.
pub const WIDTH: &str = "Rollcall-Width";
/// The image's height in pixels.
pub const HEIGHT: &str = "Rollcall-Height";
/// The sighting a crop belongs to.
pub const SIGHTING_ID: &str = "Rollcall-Sighting-Id";
/// The place of a crop's face in its frame, from 0.
pub const FACE_INDEX: &str = "Rollcall-Face-Index";
/// Why a message is in DEAD.
pub const DEAD_REASON: &str = "Rollcall-Dead-Reason";
/// The subject a dead message had, without namespace.
pub const DEAD_SUBJECT: &str = "Rollcall-Dead-Subject";
/// The stream a dead message was in, without namespace.
pub const DEAD_STREAM: &str = "Rollcall-Dead-Stream";
/// The sequence a dead message had there.
pub const DEAD_SEQUENCE: &str = "Rollcall-Dead-Sequence";
/// How often a dead message was tried.
pub const DEAD_ATTEMPTS: &str = "Rollcall-Dead-Attempts";

/// Headers as Rollcall writes them: names from this module, values of text.
pub type Headers = Vec<(&'static str, String)>;

/// Where headers are read from; the bus implements it for what the broker delivers.
pub trait HeaderSource {
    /// The first value of `name`.
    fn header(&self, name: &str) -> Option<&str>;

    /// The value of `name`, parsed.
    ///
    /// # Errors
    /// When the header is absent or does not parse.
    fn parsed<T: FromStr>(&self, name: &'static str) -> Result<T, HeaderError>
    where
        T::Err: fmt::Display,
        Self: Sized,
    {
        let value = self.header(name).ok_or(HeaderError::Missing { name })?;
        value.parse().map_err(|error: T::Err| HeaderError::Unreadable { name, reason: error.to_string() })
    }
}

impl HeaderSource for Headers {
    fn header(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }
}

/// A message whose headers do not say what they must.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The header is absent.
    #[error("header {name} is missing")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// The header does not parse.
    #[error("header {name} is not readable: {reason}")]
    Unreadable {
        /// Its name.
        name: &'static str,
        /// What the parser said.
        reason: String,
    },
}
