//! Pixels for networks: area resizing, normalisation to planes, patches and warps. Works on RGB bytes; what a network
//! wants to see is stated by the pack (`ColourOrder`, mean and deviation).

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

use crate::geometry::{BoundingBox, Point, Similarity};
use crate::pack::{ColourOrder, InputSpec};

/// Bytes of one RGB pixel.
const CHANNELS: usize = 3;

/// Normalisation as one multiplication and one addition per value, in the network's colour order.
#[derive(Debug, Clone)]
pub(crate) struct Normalisation {
    /// Which byte of an RGB pixel feeds each plane.
    source: [usize; CHANNELS],
    scale: [f32; CHANNELS],
    shift: [f32; CHANNELS],
}

impl Normalisation {
    /// `(value - mean) / deviation`, the spec's numbers being in the network's own colour order.
    pub(crate) fn new(spec: &InputSpec) -> Self {
        let source = match spec.colour {
            ColourOrder::Rgb => [0, 1, 2],
            ColourOrder::Bgr => [2, 1, 0],
        };
        let scale = spec.deviation.map(f32::recip);
        let shift = std::array::from_fn(|plane| -spec.mean[plane] * scale[plane]);
        Self { source, scale, shift }
    }

    fn value(&self, plane: usize, byte: f32) -> f32 {
        byte * self.scale[plane] + self.shift[plane]
    }

    /// Writes RGB bytes as three planes of `pixels.len() / 3` values each.
    pub(crate) fn write_planes(&self, pixels: &[u8], planes: &mut [f32]) {
        let size = pixels.len() / CHANNELS;
        for (plane, out) in planes.chunks_exact_mut(size).enumerate() {
            let source = self.source[plane];
            for (value, pixel) in out.iter_mut().zip(pixels.as_chunks::<CHANNELS>().0) {
                *value = self.value(plane, f32::from(pixel[source]));
            }
        }
    }

    /// Writes three planes with every row mirrored.
    pub(crate) fn write_mirrored_planes(&self, pixels: &[u8], width: usize, planes: &mut [f32]) {
        let size = pixels.len() / CHANNELS;
        for (plane, out) in planes.chunks_exact_mut(size).enumerate() {
            let source = self.source[plane];
            let rows = pixels.chunks_exact(width * CHANNELS).zip(out.chunks_exact_mut(width));
            for (row, out) in rows {
                for (value, pixel) in out.iter_mut().rev().zip(row.as_chunks::<CHANNELS>().0) {
                    *value = self.value(plane, f32::from(pixel[source]));
                }
            }
        }
    }

    /// Writes a `side` x `side` patch of the image as three planes: bilinear samples from corner to corner of `area`,
    /// 0 where a sample lies outside the image. These are the semantics of TensorFlow's `crop_and_resize`, which the
    /// cascade's refinement nets were measured with.
    pub(crate) fn write_patch(&self, image: &RgbImage, area: &BoundingBox, side: usize, planes: &mut [f32]) {
        let (width, height) = (image.width() as f32, image.height() as f32);
        let (to_x, to_y) = ((width - 1.0) / width, (height - 1.0) / height);
        let steps = (side - 1) as f32;
        let (left, top) = (area.left * to_x, area.top * to_y);
        let (step_x, step_y) = (area.width() * to_x / steps, area.height() * to_y / steps);
        let size = side * side;
        for row in 0..side {
            let y = top + row as f32 * step_y;
            for column in 0..side {
                let x = left + column as f32 * step_x;
                let at = row * side + column;
                let inside = (0.0..=width - 1.0).contains(&x) && (0.0..=height - 1.0).contains(&y);
                let sample = inside.then(|| bilinear(image, x, y));
                for plane in 0..CHANNELS {
                    planes[plane * size + at] =
                        sample.map_or(0.0, |pixel| self.value(plane, pixel[self.source[plane]]));
                }
            }
        }
    }
}

/// One bilinear sample; coordinates are clamped to the image.
fn bilinear(image: &RgbImage, x: f32, y: f32) -> [f32; CHANNELS] {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let x = x.clamp(0.0, (width - 1) as f32);
    let y = y.clamp(0.0, (height - 1) as f32);
    let (column, row) = (x as usize, y as usize);
    let (fx, fy) = (x - column as f32, y - row as f32);
    let right = usize::from(column + 1 < width);
    let below = if row + 1 < height { width } else { 0 };
    let pixels = image.as_raw().as_chunks::<CHANNELS>().0;
    let at = row * width + column;
    let (a, b) = (pixels[at], pixels[at + right]);
    let (c, d) = (pixels[at + below], pixels[at + below + right]);
    std::array::from_fn(|channel| {
        let value = |pixel: [u8; CHANNELS]| f32::from(pixel[channel]);
        let top = value(a) + (value(b) - value(a)) * fx;
        let bottom = value(c) + (value(d) - value(c)) * fx;
        top + (bottom - top) * fy
    })
}

/// Resizes by area, keeping its buffers from call to call.
#[derive(Debug, Default)]
pub(crate) struct AreaResizer {
    resizer: Resizer,
    pixels: Vec<u8>,
}

impl AreaResizer {
    /// The image at `width` x `height`, as RGB bytes that live until the next call.
    pub(crate) fn resize(&mut self, image: &RgbImage, width: u32, height: u32) -> &[u8] {
        let whole =
            BoundingBox { left: 0.0, top: 0.0, right: image.width() as f32, bottom: image.height() as f32 };
        self.run(image, &whole, (width, height), ResizeAlg::Convolution(FilterType::Box))
    }

    /// The part of the image inside `area`, which must lie in the image, at `width` x `height`, for people to look at:
    /// of a much larger part only about four pixels are read for each that is made.
    pub(crate) fn thumbnail(
        &mut self,
        image: &RgbImage,
        area: &BoundingBox,
        width: u32,
        height: u32,
    ) -> &[u8] {
        self.run(image, area, (width, height), ResizeAlg::SuperSampling(FilterType::Box, 2))
    }

    fn run(
        &mut self,
        image: &RgbImage,
        area: &BoundingBox,
        (width, height): (u32, u32),
        algorithm: ResizeAlg,
    ) -> &[u8] {
        self.pixels.resize(width as usize * height as usize * CHANNELS, 0);
        let source = ImageRef::new(image.width(), image.height(), image.as_raw(), PixelType::U8x3)
            .expect("an RGB image has three bytes for each pixel");
        let mut target = Image::from_slice_u8(width, height, &mut self.pixels, PixelType::U8x3)
            .expect("the buffer was just sized for these pixels");
        let options = ResizeOptions::new()
            .resize_alg(algorithm)
            .crop(area.left.into(), area.top.into(), area.width().into(), area.height().into())
            .use_alpha(false);
        self.resizer
            .resize(&source, &mut target, &options)
            .expect("both images are RGB and the area lies inside");
        &self.pixels
    }
}

/// Draws a `side` x `side` chip: each chip pixel is looked up at `to_image(pixel)`. Where the image is finer than the
/// chip, several samples are averaged, so large faces do not alias. Outside the image the border pixel continues.
pub(crate) fn warp(image: &RgbImage, to_image: &Similarity, side: u32, chip: &mut Vec<u8>) {
    const MAX_SAMPLES: f32 = 6.0;
    let samples = to_image.scale().round().clamp(1.0, MAX_SAMPLES) as u32;
    let share = 1.0 / (samples * samples) as f32;
    let offset = |index: u32| (index as f32 + 0.5) / samples as f32 - 0.5;
    chip.clear();
    chip.reserve((side * side) as usize * CHANNELS);
    for row in 0..side {
        for column in 0..side {
            let mut sum = [0.0; CHANNELS];
            for dy in 0..samples {
                for dx in 0..samples {
                    let place = Point::new(column as f32 + offset(dx), row as f32 + offset(dy));
                    let place = to_image.apply(place);
                    let sample = bilinear(image, place.x, place.y);
                    for channel in 0..CHANNELS {
                        sum[channel] += sample[channel];
                    }
                }
            }
            chip.extend(sum.map(|total| (total * share + 0.5) as u8));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn spec(colour: ColourOrder) -> InputSpec {
        InputSpec { colour, mean: [10.0, 20.0, 30.0], deviation: [1.0, 2.0, 5.0] }
    }

    #[test]
    fn planes_follow_the_networks_colour_order() {
        let pixels = [110, 120, 130, 10, 20, 30];
        let mut planes = [0.0; 6];
        Normalisation::new(&spec(ColourOrder::Rgb)).write_planes(&pixels, &mut planes);
        assert_eq!(planes, [100.0, 0.0, 50.0, 0.0, 20.0, 0.0]);
        // Blue first: 130 - 10, 30 - 10; then (120 - 20) / 2; then (110 - 30) / 5.
        Normalisation::new(&spec(ColourOrder::Bgr)).write_planes(&pixels, &mut planes);
        assert_eq!(planes, [120.0, 20.0, 50.0, 0.0, 16.0, -4.0]);
    }

    #[test]
    fn mirrored_planes_are_the_planes_of_the_mirrored_image() {
        let image = RgbImage::from_fn(5, 3, |x, y| Rgb([x as u8 * 10, y as u8, (x * y) as u8]));
        let mirrored = image::imageops::flip_horizontal(&image);
        let normalisation = Normalisation::new(&spec(ColourOrder::Rgb));
        let (mut a, mut b) = ([0.0; 45], [1.0; 45]);
        normalisation.write_planes(&mirrored, &mut a);
        normalisation.write_mirrored_planes(&image, 5, &mut b);
        assert_eq!(a, b);
    }

    #[test]
    fn a_patch_reaches_from_corner_to_corner_and_is_0_outside() {
        let plain = InputSpec { colour: ColourOrder::Rgb, mean: [0.0; 3], deviation: [1.0; 3] };
        let image = RgbImage::from_fn(101, 101, |x, y| Rgb([x as u8, y as u8, 7]));
        let mut planes = [9.0; 12];
        // The right half lies outside. Coordinates run over 101 pixels and 100 steps between their centres.
        let area = BoundingBox { left: 0.0, top: 0.0, right: 202.0, bottom: 50.5 };
        Normalisation::new(&plain).write_patch(&image, &area, 2, &mut planes);
        assert_eq!(planes, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 50.0, 0.0, 7.0, 0.0, 7.0, 0.0]);
    }

    #[test]
    fn resizing_by_area_averages() {
        let image =
            RgbImage::from_fn(8, 8, |x, _| if x % 2 == 0 { Rgb([0, 40, 100]) } else { Rgb([100, 60, 100]) });
        let mut resizer = AreaResizer::default();
        assert_eq!(resizer.resize(&image, 4, 4), [50, 50, 100].repeat(16));
        let left = BoundingBox { left: 0.0, top: 0.0, right: 1.0, bottom: 8.0 };
        assert_eq!(resizer.thumbnail(&image, &left, 1, 1), [0, 40, 100]);
    }

    #[test]
    fn a_warp_by_nothing_copies_and_a_coarse_one_averages() {
        let image = RgbImage::from_fn(8, 8, |x, y| Rgb([(x * 20) as u8, (y * 20) as u8, 3]));
        let square = [Point::new(0.0, 0.0), Point::new(4.0, 0.0), Point::new(0.0, 4.0)];
        let mut chip = Vec::new();
        warp(&image, &Similarity::estimate(&square, &square).unwrap(), 8, &mut chip);
        assert_eq!(&chip, image.as_raw());
        let doubled = square.map(|point| Point::new(point.x * 2.0 + 0.5, point.y * 2.0 + 0.5));
        warp(&image, &Similarity::estimate(&square, &doubled).unwrap(), 4, &mut chip);
        // Chip pixel (1, 2) covers the image's columns 2 and 3 and rows 4 and 5.
        assert_eq!(chip[(2 * 4 + 1) * 3..][..3], [50, 90, 3]);
    }
}
