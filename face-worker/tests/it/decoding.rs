//! What happens to images that are turned, cut off, too large or no images at all.

use image::{ImageFormat, RgbImage};

use rollcall_face_worker::decode::{DecodeError, DecodeLimits, decode};

use crate::support::*;

/// A picture whose corners differ.
fn sample() -> RgbImage {
    RgbImage::from_fn(64, 48, |x, y| image::Rgb([(x * 4) as u8, (y * 5) as u8, 90]))
}

/// Puts an application segment with these contents right after the start marker.
fn with_segment(jpeg: &[u8], contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xE1], &length, contents, &jpeg[2..]].concat()
}

/// An EXIF block with one entry, the orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    block.extend([orientation, 0, 0, 0, 0, 0, 0]);
    block
}

#[test]
fn the_exif_orientation_is_applied() {
    let jpeg = encode(&sample(), ImageFormat::Jpeg);
    let plain = decode(&jpeg, DecodeLimits::default()).unwrap();
    let turned = decode(&with_segment(&jpeg, &exif(6)), DecodeLimits::default()).unwrap();
    assert_eq!(turned, image::imageops::rotate90(&plain));
}

#[test]
fn a_face_in_a_turned_photograph_is_found_upright() {
    let mut engine = engine(&default_pack());
    let upright = decode(&photograph("obama.jpg"), DecodeLimits::default()).unwrap();
    let lying = encode(&image::imageops::rotate270(&upright), ImageFormat::Jpeg);
    let analysis = analyse(&mut engine, &with_segment(&lying, &exif(6)));
    assert_eq!((analysis.width, analysis.height), upright.dimensions());
    assert_eq!(analysis.faces.len(), 1);
    assert!(analysis.faces[0].quality.pose.roll_deg.abs() < 10.0);
}

#[test]
fn truncated_images_are_refused_wherever_they_are_cut() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let whole = encode(&sample(), format);
        assert!(decode(&whole, DecodeLimits::default()).is_ok());
        for share in [0.2, 0.5, 0.9] {
            let cut = &whole[..(whole.len() as f64 * share) as usize];
            assert!(decode(cut, DecodeLimits::default()).is_err(), "{format:?} cut at {share}");
        }
    }
    let jpeg = encode(&sample(), ImageFormat::Jpeg);
    let cut = &jpeg[..jpeg.len() - 2];
    assert!(matches!(decode(cut, DecodeLimits::default()), Err(DecodeError::Truncated)));
}

#[test]
fn a_thumbnails_end_marker_does_not_hide_a_truncation() {
    let jpeg = encode(&sample(), ImageFormat::Jpeg);
    let with_thumbnail = with_segment(&jpeg, &jpeg);
    assert!(decode(&with_thumbnail, DecodeLimits::default()).is_ok());
    let cut = &with_thumbnail[..with_thumbnail.len() - 2];
    assert!(matches!(decode(cut, DecodeLimits::default()), Err(DecodeError::Truncated)));
}

#[test]
fn what_cameras_append_after_the_end_marker_does_no_harm() {
    let mut padded = encode(&sample(), ImageFormat::Jpeg);
    padded.extend([0; 512]);
    assert!(decode(&padded, DecodeLimits::default()).is_ok());
}

#[test]
fn dimensions_beyond_the_limit_are_refused_before_memory_is_taken() {
    // A PNG's dimensions lie at a fixed place; its checksum covers them, so it is computed anew.
    let mut bomb = encode(&sample(), ImageFormat::Png);
    bomb[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    bomb[20..24].copy_from_slice(&60_000u32.to_be_bytes());
    let checksum = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
    assert!(matches!(
        decode(&bomb, DecodeLimits::default()),
        Err(DecodeError::TooLarge { width: 60_000, height: 60_000 })
    ));
    let little_memory = DecodeLimits { max_bytes: 1000, ..DecodeLimits::default() };
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let result = decode(&encode(&sample(), format), little_memory);
        assert!(matches!(result, Err(DecodeError::TooLarge { width: 64, height: 48 })), "{format:?}");
    }
}

#[test]
fn bytes_that_are_no_image_are_refused() {
    for bytes in [&b""[..], b"GIF89a", b"<html></html>", &[0xFF, 0xD8, 0xFF], &[0; 4096]] {
        assert!(decode(bytes, DecodeLimits::default()).is_err(), "{} bytes", bytes.len());
    }
    assert!(matches!(decode(b"hello", DecodeLimits::default()), Err(DecodeError::UnknownFormat)));
}

/// ISO 3309, as PNG uses it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(
            sum ^ u32::from(*byte),
            |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0xEDB8_8320 } else { sum >> 1 },
        )
    })
}
