//! A frame in FRAMES: the payload is the image as the camera sent it, the metadata is in headers.

use crate::{
    header::{self, HeaderError, HeaderSource, Headers},
    id::{CameraId, FrameId},
};
use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;

/// Most pixels along either side of an image that is decoded. What is taken at the door may not be larger: it would be
/// accepted and then never looked at.
pub const MAX_SIDE_PX: u32 = 8_192;
/// Most bytes that the pixels of a decoded image may take.
pub const MAX_DECODED_BYTES: u64 = 256 << 20;
/// Most pixels that surely fit: the deepest kind, a PNG of four channels with 16 bits each, takes 8 bytes for each.
pub const MAX_PIXELS: u64 = MAX_DECODED_BYTES / 8;

/// What is known of a frame beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FrameMeta {
    /// A function of camera, instant and bytes: see [`FrameId::of`].
    pub frame_id: FrameId,
    /// The camera; the last token of the subject.
    pub camera_id: CameraId,
    /// The camera's time.
    pub captured_at: DateTime<Utc>,
    /// Receipt at ingest.
    pub received_at: DateTime<Utc>,
    /// How it got here.
    pub source: FrameSource,
    /// What the bytes are.
    pub content_type: ImageType,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

impl FrameMeta {
    /// The headers of the message.
    pub fn to_headers(&self) -> Headers {
        vec![
            (header::FRAME_ID, self.frame_id.to_string()),
            (header::CAPTURED_AT, rfc3339(self.captured_at)),
            (header::RECEIVED_AT, rfc3339(self.received_at)),
            (header::SOURCE, self.source.to_string()),
            (header::CONTENT_TYPE, self.content_type.to_string()),
            (header::WIDTH, self.width.to_string()),
            (header::HEIGHT, self.height.to_string()),
        ]
    }

    /// Reads the headers of a message of camera `camera_id`.
    ///
    /// # Errors
    /// When a header is absent or unreadable.
    pub fn from_headers(camera_id: CameraId, headers: &impl HeaderSource) -> Result<Self, HeaderError> {
        Ok(Self {
            frame_id: headers.parsed(header::FRAME_ID)?,
            camera_id,
            captured_at: headers.parsed(header::CAPTURED_AT)?,
            received_at: headers.parsed(header::RECEIVED_AT)?,
            source: headers.parsed(header::SOURCE)?,
            content_type: headers.parsed(header::CONTENT_TYPE)?,
            width: headers.parsed(header::WIDTH)?,
            height: headers.parsed(header::HEIGHT)?,
        })
    }
}

/// RFC 3339 in UTC with microseconds: the one form of a time in a header.
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// How a frame got into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FrameSource {
    /// Pushed by its camera.
    Live,
    /// Published again from storage.
    Replay,
    /// A picture that an operator uploaded.
    Upload,
}

impl fmt::Display for FrameSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FrameSource::Live => "live",
            FrameSource::Replay => "replay",
            FrameSource::Upload => "upload",
        })
    }
}

impl FromStr for FrameSource {
    type Err = UnknownName;
    fn from_str(name: &str) -> Result<Self, UnknownName> {
        match name {
            "live" => Ok(FrameSource::Live),
            "replay" => Ok(FrameSource::Replay),
            "upload" => Ok(FrameSource::Upload),
            _ => Err(UnknownName(name.to_owned())),
        }
    }
}

/// The image formats Rollcall reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
pub enum ImageType {
    /// ISO/IEC 10918-1.
    #[serde(rename = "image/jpeg")]
    Jpeg,
    /// ISO/IEC 15948.
    #[serde(rename = "image/png")]
    Png,
    /// RFC 9649.
    #[serde(rename = "image/webp")]
    Webp,
}

impl ImageType {
    /// Tells the format from the first bytes, whatever the sender called it.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(ImageType::Jpeg),
            [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some(ImageType::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(ImageType::Webp),
            _ => None,
        }
    }
}

impl fmt::Display for ImageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ImageType::Jpeg => "image/jpeg",
            ImageType::Png => "image/png",
            ImageType::Webp => "image/webp",
        })
    }
}

impl FromStr for ImageType {
    type Err = UnknownName;
    fn from_str(name: &str) -> Result<Self, UnknownName> {
        match name {
            "image/jpeg" => Ok(ImageType::Jpeg),
            "image/png" => Ok(ImageType::Png),
            "image/webp" => Ok(ImageType::Webp),
            _ => Err(UnknownName(name.to_owned())),
        }
    }
}

/// A name outside a closed list.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a known name")]
pub struct UnknownName(pub String);

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn headers_are_pinned_and_come_back() {
        let meta = FrameMeta {
            frame_id: FrameId(Uuid::from_u128(2)),
            camera_id: CameraId(Uuid::from_u128(1)),
            captured_at: DateTime::from_timestamp_micros(1_700_000_000_000_001).unwrap(),
            received_at: DateTime::from_timestamp_micros(1_700_000_000_500_000).unwrap(),
            source: FrameSource::Live,
            content_type: ImageType::Jpeg,
            width: 1920,
            height: 1080,
        };
        let headers = meta.to_headers();
        insta::assert_debug_snapshot!(headers);
        assert_eq!(FrameMeta::from_headers(meta.camera_id, &headers), Ok(meta));
    }

    #[test]
    fn a_missing_header_is_named() {
        let error = FrameMeta::from_headers(CameraId(Uuid::nil()), &Headers::new()).unwrap_err();
        assert_eq!(error, HeaderError::Missing { name: header::FRAME_ID });
    }
}
