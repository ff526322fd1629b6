//! Looks at an image without decoding it: is it one, is it whole, is it small enough to be decoded later?
//!
//! One function, [`inspect`], for everything that enters the log as a frame, over HTTP or by replay. Pixels are the
//! face worker's business.

use image::{ImageFormat, ImageReader};
use rollcall_schemas::frame::ImageType;
use std::io::Cursor;

/// How much of an image is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLimits {
    /// Most bytes.
    pub max_bytes: usize,
    /// Most pixels along either side.
    pub max_side_px: u32,
    /// Most pixels in all: what the decoder will have to hold.
    pub max_pixels: u64,
}

/// What is known of an image without decoding it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// What the bytes are, whatever the sender called them.
    pub content_type: ImageType,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Why an image is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageRefusal {
    /// There are no bytes.
    #[error("the image has no bytes; send the image itself")]
    Empty,
    /// Too many bytes.
    #[error("the image is larger than {limit_bytes} bytes; send a smaller or more compressed one")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// The first bytes are of no format that is taken.
    #[error("the bytes are not a JPEG, PNG or WebP image; send one of these")]
    NotAnImage,
    /// The sender called it something that is not taken.
    #[error("{declared} is not taken; send image/jpeg, image/png or image/webp")]
    TypeNotTaken {
        /// What the sender called it.
        declared: String,
    },
    /// The sender called it something else than it is.
    #[error("the image was declared as {declared} and is {found}; declare what it is")]
    TypeDiffers {
        /// What the sender called it.
        declared: ImageType,
        /// What it is.
        found: ImageType,
    },
    /// The end is missing: decoders would fill it with grey and say nothing.
    #[error("the {content_type} is cut off or damaged: its end is not found; send all of it")]
    Truncated {
        /// What the bytes are.
        content_type: ImageType,
    },
    /// The header cannot be read.
    #[error("the header of the {content_type} cannot be read; the image is damaged")]
    Unreadable {
        /// What the bytes are.
        content_type: ImageType,
    },
    /// It would be too large once decoded.
    #[error(
        "the image has {width} x {height} pixels; at most {max_side_px} a side and {max_pixels} in all are taken"
    )]
    TooManyPixels {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// The limit for a side.
        max_side_px: u32,
        /// The limit for all.
        max_pixels: u64,
    },
}

/// Checks an image by its first bytes, its end and its header. Takes microseconds, whatever its size.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn inspect(bytes: &[u8], limits: &ImageLimits) -> Result<Inspected, ImageRefusal> {
    if bytes.is_empty() {
        return Err(ImageRefusal::Empty);
    }
    if bytes.len() > limits.max_bytes {
        return Err(ImageRefusal::TooLarge { limit_bytes: limits.max_bytes });
    }
    let content_type = ImageType::of_bytes(bytes).ok_or(ImageRefusal::NotAnImage)?;
    let header = whole(content_type, bytes).ok_or(ImageRefusal::Truncated { content_type })?;
    let (width, height) = ImageReader::with_format(Cursor::new(header), format(content_type))
        .into_dimensions()
        .map_err(|_| ImageRefusal::Unreadable { content_type })?;
    let ImageLimits { max_side_px, max_pixels, .. } = *limits;
    if width.max(height) > max_side_px || u64::from(width) * u64::from(height) > max_pixels {
        return Err(ImageRefusal::TooManyPixels { width, height, max_side_px, max_pixels });
    }
    Ok(Inspected { content_type, width, height })
}

/// Checks that what the sender called the image is what it is.
///
/// # Errors
/// When the two differ, or what it was called is no format that is taken.
pub fn check_declared(declared: &str, found: ImageType) -> Result<(), ImageRefusal> {
    let essence = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let declared = essence.parse().map_err(|_| ImageRefusal::TypeNotTaken { declared: essence })?;
    if declared == found { Ok(()) } else { Err(ImageRefusal::TypeDiffers { declared, found }) }
}

/// The part that holds the header, if the image goes on to its end. What follows the end is not looked at: some cameras
/// pad, some phones append.
fn whole(content_type: ImageType, bytes: &[u8]) -> Option<&[u8]> {
    match content_type {
        ImageType::Jpeg => {
            let (header, scans) = bytes.split_at(jpeg_scan_start(bytes)?);
            jpeg_end(scans).map(|_| header)
        }
        ImageType::Png => png_is_whole(bytes).then_some(bytes),
        ImageType::Webp => webp_is_whole(bytes).then_some(bytes),
    }
}

/// Where the data of a JPEG's first scan begins (ISO/IEC 10918-1, annex B). A thumbnail inside a metadata segment is
/// stepped over with it, so its end marker is not mistaken for the image's.
pub(crate) fn jpeg_scan_start(bytes: &[u8]) -> Option<usize> {
    const TEM: u8 = 0x01;
    const RST0: u8 = 0xd0;
    const SOI: u8 = 0xd8;
    const EOI: u8 = 0xd9;
    const SOS: u8 = 0xda;
    let mut at = 0;
    loop {
        if *bytes.get(at)? != 0xff {
            return None;
        }
        // A marker may be preceded by any number of fill bytes.
        while *bytes.get(at)? == 0xff {
            at += 1;
        }
        let marker = *bytes.get(at)?;
        at += 1;
        match marker {
            TEM | RST0..=SOI => {}
            EOI => return None,
            _ => {
                let length = bytes.get(at..at + 2)?;
                at += usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
                if marker == SOS {
                    return (at <= bytes.len()).then_some(at);
                }
            }
        }
    }
}

/// Where the last end marker in a JPEG's scans begins. Compressed data cannot hold one: its `ff` is followed by `00` or
/// a restart marker. Looked for from the end, where it is.
fn jpeg_end(scans: &[u8]) -> Option<usize> {
    scans.windows(2).rposition(|pair| pair == [0xff, 0xd9])
}

/// Whether the chunks of a PNG go on to `IEND` (ISO/IEC 15948, section 5).
fn png_is_whole(bytes: &[u8]) -> bool {
    const SIGNATURE: usize = 8;
    const AROUND_DATA: usize = 12; // Length and type before, checksum after.
    let mut rest = &bytes[SIGNATURE..];
    while let Some((length, kind)) = rest.first_chunk::<8>().map(|head| head.split_at(4)) {
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let Some(next) = length.checked_add(AROUND_DATA).and_then(|size| rest.get(size..)) else {
            return false;
        };
        if kind == b"IEND" {
            return true;
        }
        rest = next;
    }
    false
}

/// Whether a WebP has all the bytes that its RIFF header names (RFC 9649, section 2.4).
fn webp_is_whole(bytes: &[u8]) -> bool {
    const HEADER: usize = 8;
    let size = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) as usize;
    size.checked_add(HEADER).is_some_and(|size| size <= bytes.len())
}

fn format(content_type: ImageType) -> ImageFormat {
    match content_type {
        ImageType::Jpeg => ImageFormat::Jpeg,
        ImageType::Png => ImageFormat::Png,
        ImageType::Webp => ImageFormat::WebP,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, RgbImage};
    use proptest::prelude::*;

    const LIMITS: ImageLimits = ImageLimits { max_bytes: 1 << 20, max_side_px: 4_096, max_pixels: 1_000_000 };
    const TYPES: [ImageType; 3] = [ImageType::Jpeg, ImageType::Png, ImageType::Webp];

    fn picture(content_type: ImageType, width: u32, height: u32) -> Vec<u8> {
        let pixels = RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([(x * 7) as u8, (y * 5) as u8, (x ^ y) as u8])
        });
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::from(pixels).write_to(&mut bytes, format(content_type)).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn whole_images_are_measured() {
        for content_type in TYPES {
            let expected = Inspected { content_type, width: 64, height: 48 };
            assert_eq!(inspect(&picture(content_type, 64, 48), &LIMITS), Ok(expected));
        }
    }

    #[test]
    fn padding_after_the_end_is_tolerated() {
        for content_type in TYPES {
            let mut bytes = picture(content_type, 64, 48);
            bytes.extend([0; 5_000]);
            assert!(inspect(&bytes, &LIMITS).is_ok(), "{content_type}");
        }
    }

    #[test]
    fn the_end_of_a_thumbnail_is_not_the_end_of_the_image() {
        let (thumbnail, image) = (picture(ImageType::Jpeg, 16, 16), picture(ImageType::Jpeg, 64, 48));
        let segment = [&[0xff, 0xe1][..], &(thumbnail.len() as u16 + 2).to_be_bytes(), &thumbnail].concat();
        let whole = [&image[..2], &segment, &image[2..]].concat();
        assert_eq!(inspect(&whole, &LIMITS).map(|image| image.width), Ok(64));
        let cut = &whole[..whole.len() - 10];
        assert_eq!(inspect(cut, &LIMITS), Err(ImageRefusal::Truncated { content_type: ImageType::Jpeg }));
    }

    #[test]
    fn what_is_no_image_is_refused() {
        assert_eq!(inspect(b"", &LIMITS), Err(ImageRefusal::Empty));
        for bytes in [&b"GIF89a"[..], b"<html>", b"\xff\xd8", b"RIFF\0\0\0\0WAVE"] {
            assert_eq!(inspect(bytes, &LIMITS), Err(ImageRefusal::NotAnImage));
        }
    }

    #[test]
    fn limits_hold_at_the_pixel() {
        assert!(inspect(&picture(ImageType::Png, 1_000, 1_000), &LIMITS).is_ok());
        for (width, height) in [(1_001, 1_000), (4_097, 1)] {
            let refusal = inspect(&picture(ImageType::Png, width, height), &LIMITS).unwrap_err();
            assert!(matches!(refusal, ImageRefusal::TooManyPixels { .. }), "{refusal:?}");
        }
        let small = ImageLimits { max_bytes: 100, ..LIMITS };
        let refusal = inspect(&picture(ImageType::Png, 64, 48), &small);
        assert_eq!(refusal, Err(ImageRefusal::TooLarge { limit_bytes: 100 }));
    }

    #[test]
    fn a_bomb_is_refused_by_its_header() {
        // 65,535 x 65,535 pixels in a header of a few bytes: 12 GiB when decoded.
        let mut bomb = picture(ImageType::Jpeg, 16, 16);
        let frame_header = bomb.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        bomb[frame_header + 5..frame_header + 9].fill(0xff);
        let refusal = inspect(&bomb, &LIMITS).unwrap_err();
        assert!(
            matches!(refusal, ImageRefusal::TooManyPixels { width: 65_535, height: 65_535, .. }),
            "{refusal:?}"
        );
    }

    #[test]
    fn declared_types_are_compared_without_their_parameters() {
        assert_eq!(check_declared("Image/JPEG; q=1", ImageType::Jpeg), Ok(()));
        let differs = ImageRefusal::TypeDiffers { declared: ImageType::Png, found: ImageType::Jpeg };
        assert_eq!(check_declared("image/png", ImageType::Jpeg), Err(differs));
        assert!(matches!(
            check_declared("text/plain", ImageType::Jpeg),
            Err(ImageRefusal::TypeNotTaken { .. })
        ));
    }

    proptest! {
        #[test]
        fn no_cut_is_overlooked(kind in 0..3_usize, cut in 1_usize..2_000) {
            let bytes = picture(TYPES[kind], 64, 48);
            let kept = bytes.len().saturating_sub(cut);
            // A PNG's and a WebP's end are told to the byte; a JPEG's marker is two bytes.
            prop_assert!(inspect(&bytes[..kept], &LIMITS).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(kind in 0..3_usize, noise in proptest::collection::vec(any::<u8>(), 0..300), keep in 0..200_usize) {
            let mut bytes = picture(TYPES[kind], 16, 16);
            bytes.truncate(keep);
            bytes.extend(noise);
            let _ = inspect(&bytes, &LIMITS);
        }
    }
}
