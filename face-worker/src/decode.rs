//! Image bytes to RGB pixels: once per frame, within limits, upright. Resizing and colour order for a network belong
//! to `pixels`.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use rollcall_schemas::frame::{MAX_DECODED_BYTES, MAX_SIDE_PX};

/// The largest image that is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Longest side in pixels.
    pub max_side_px: u32,
    /// Memory for the pixels, and again for what the decoder needs beside them, in bytes.
    pub max_bytes: u64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_side_px: MAX_SIDE_PX, max_bytes: MAX_DECODED_BYTES }
    }
}

/// Why bytes are no usable image.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Neither JPEG, PNG nor WebP.
    #[error("the bytes are no JPEG, PNG or WebP image")]
    UnknownFormat,
    /// The end of the image is missing. JPEG decoders fill the rest with grey and say nothing.
    #[error("the image is truncated")]
    Truncated,
    /// Larger than the limits allow.
    #[error("an image of {width} x {height} pixels is larger than what is decoded")]
    TooLarge {
        /// Width in pixels as the header states it.
        width: u32,
        /// Height in pixels as the header states it.
        height: u32,
    },
    /// The decoder refused the bytes.
    #[error("the image cannot be decoded: {0}")]
    Damaged(image::ImageError),
}

impl DecodeError {
    /// The reason's name on the wire.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownFormat => "unknown_image_format",
            Self::Truncated => "image_truncated",
            Self::TooLarge { .. } => "image_too_large",
            Self::Damaged(_) => "image_damaged",
        }
    }
}

/// Decodes JPEG, PNG or WebP to RGB with the EXIF orientation applied.
pub fn decode(bytes: &[u8], limits: DecodeLimits) -> Result<RgbImage, DecodeError> {
    decode_into(Vec::new(), bytes, limits)
}

/// The same into memory that an earlier image leaves: the system need not find and clear pages for each frame.
pub(crate) fn decode_into(
    mut memory: Vec<u8>,
    bytes: &[u8],
    limits: DecodeLimits,
) -> Result<RgbImage, DecodeError> {
    let format = image::guess_format(bytes).map_err(|_| DecodeError::UnknownFormat)?;
    match format {
        ImageFormat::Jpeg if !jpeg_is_complete(bytes) => return Err(DecodeError::Truncated),
        ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP => {}
        _ => return Err(DecodeError::UnknownFormat),
    }
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if width.max(height) > limits.max_side_px || decoder.total_bytes() > limits.max_bytes {
        return Err(DecodeError::TooLarge { width, height });
    }
    let mut allowed = Limits::default();
    allowed.max_alloc = Some(limits.max_bytes);
    decoder.set_limits(allowed).map_err(damaged)?;
    // A broken EXIF block is no reason to refuse a sound picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = if decoder.color_type() == ColorType::Rgb8 {
        // Cleared, so that no pixel of another image stays where the decoder writes none.
        memory.clear();
        memory.resize(decoder.total_bytes() as usize, 0);
        decoder.read_image(&mut memory).map_err(damaged)?;
        let image = RgbImage::from_raw(width, height, memory);
        DynamicImage::ImageRgb8(image.expect("the memory was just sized for these pixels"))
    } else {
        DynamicImage::from_decoder(decoder).map_err(damaged)?
    };
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

fn damaged(error: image::ImageError) -> DecodeError {
    match error {
        image::ImageError::IoError(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => {
            DecodeError::Truncated
        }
        other => DecodeError::Damaged(other),
    }
}

/// Whether a JPEG has its end marker (ITU-T T.81, B.1.1). Segments before the first scan are skipped by their length,
/// so a thumbnail inside EXIF does not count; in the scan data the marker cannot occur by accident.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xDA;
    const END_OF_IMAGE: [u8; 2] = [0xFF, 0xD9];
    let mut at = 2;
    while let Some(&[0xFF, marker, high, low]) = bytes.get(at..at + 4) {
        if marker == 0xFF {
            at += 1; // a fill byte before the marker
            continue;
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        at += 2 + length.max(2);
        if marker == START_OF_SCAN {
            return bytes.get(at..).is_some_and(|scan| ends_somewhere(scan, END_OF_IMAGE));
        }
    }
    false
}

/// Whether `scan` holds `marker`; looked for from the end, where it almost always is.
fn ends_somewhere(scan: &[u8], marker: [u8; 2]) -> bool {
    scan.windows(2).rev().any(|pair| pair == marker)
}
