//! The small picture of a face that is kept as evidence.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, RgbImage};

use crate::geometry::BoundingBox;
use crate::pixels::AreaResizer;

/// Added to the face box on each side, as a share of its size.
const MARGIN: f32 = 0.3;
/// Longest side of the picture; smaller faces are not enlarged.
const MAX_SIDE_PX: f32 = 128.0;
const JPEG_QUALITY: u8 = 85;

/// Cuts the face out of the image as a small JPEG. `None` where the box has no pixel inside the image.
pub(crate) fn crop(image: &RgbImage, face: &BoundingBox, resizer: &mut AreaResizer) -> Option<Vec<u8>> {
    let area = face.with_margin(MARGIN).clipped(image.width(), image.height());
    let longer = area.width().max(area.height());
    if area.width().min(area.height()) < 1.0 {
        return None;
    }
    let scale = (MAX_SIDE_PX / longer).min(1.0);
    let width = ((area.width() * scale).round() as u32).max(1);
    let height = ((area.height() * scale).round() as u32).max(1);
    let pixels = resizer.thumbnail(image, &area, width, height);
    let mut jpeg = Vec::with_capacity(8 << 10);
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY)
        .encode(pixels, width, height, ExtendedColorType::Rgb8)
        .expect("writing an RGB picture of a few thousand pixels to memory cannot fail");
    Some(jpeg)
}
