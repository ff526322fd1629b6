//! YuNet (W. Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023): one net, anchor-free, three strides.

use image::RgbImage;

use super::{Detection, Detector, Opener};
use crate::geometry::{BoundingBox, Overlap, Point, suppress_overlaps};
use crate::pack::{Role, YunetSpec};
use crate::pixels::{AreaResizer, Normalisation};
use crate::session::{Batch, InferenceError, Network, Output};

/// Pixels from one cell to the next, for each group of outputs.
const STRIDES: [usize; 3] = [8, 16, 32];
/// The input's sides are multiples of this; the rest is padded to the right and below.
const ALIGNMENT: usize = 32;
const OUTPUTS: [&str; 12] = [
    "cls_8", "obj_8", "bbox_8", "kps_8", "cls_16", "obj_16", "bbox_16", "kps_16", "cls_32", "obj_32",
    "bbox_32", "kps_32",
];

/// The net with its buffers.
pub(super) struct Yunet {
    network: Box<dyn Network>,
    normalisation: Normalisation,
    spec: YunetSpec,
    resizer: AreaResizer,
    tight: Vec<f32>,
    padded: Vec<f32>,
}

impl Yunet {
    pub(super) fn open(spec: &YunetSpec, open: Opener<'_>) -> Result<Self, InferenceError> {
        Ok(Self {
            network: open(Role::Detector, &OUTPUTS)?,
            normalisation: Normalisation::new(&spec.input),
            spec: spec.clone(),
            resizer: AreaResizer::default(),
            tight: Vec::new(),
            padded: Vec::new(),
        })
    }

    /// Fills `padded` with the planes of the image at this size and returns the padded width and height.
    fn write_input(&mut self, image: &RgbImage, width: usize, height: usize) -> (usize, usize) {
        let pixels = if (image.width() as usize, image.height() as usize) == (width, height) {
            image.as_raw().as_slice()
        } else {
            self.resizer.resize(image, width as u32, height as u32)
        };
        self.tight.resize(pixels.len(), 0.0);
        self.normalisation.write_planes(pixels, &mut self.tight);
        let (padded_width, padded_height) =
            (width.next_multiple_of(ALIGNMENT), height.next_multiple_of(ALIGNMENT));
        self.padded.clear();
        self.padded.resize(3 * padded_width * padded_height, 0.0);
        let planes = self
            .tight
            .chunks_exact(width * height)
            .zip(self.padded.chunks_exact_mut(padded_width * padded_height));
        for (tight, padded) in planes {
            for (row, target) in tight.chunks_exact(width).zip(padded.chunks_exact_mut(padded_width)) {
                target[..width].copy_from_slice(row);
            }
        }
        (padded_width, padded_height)
    }
}

impl Detector for Yunet {
    fn detect(&mut self, image: &RgbImage) -> Result<Vec<Detection>, InferenceError> {
        let longest = image.width().max(image.height());
        let scale = (self.spec.max_side_px as f32 / longest as f32).min(1.0);
        let width = ((image.width() as f32 * scale).round() as usize).max(1);
        let height = ((image.height() as f32 * scale).round() as usize).max(1);
        let (padded_width, padded_height) = self.write_input(image, width, height);
        let batch = Batch { shape: [1, 3, padded_height, padded_width], values: &self.padded };
        let back = (image.width() as f32 / width as f32, image.height() as f32 / height as f32);
        let min_score = self.spec.min_score;
        let mut found = Vec::new();
        self.network.run(batch, &mut |outputs| {
            for (stride, group) in STRIDES.into_iter().zip(outputs.as_chunks::<4>().0) {
                decode(group, stride, padded_width / stride, |detection| {
                    if detection.score >= min_score {
                        found.push(in_image(detection, back));
                    }
                });
            }
        })?;
        Ok(suppress_overlaps(found, self.spec.max_overlap, Overlap::Union))
    }

    fn networks(&self) -> Vec<&dyn Network> {
        vec![&*self.network]
    }
}

/// Reads one stride's outputs (class, objectness, box, points): a cell at column c, row r states its box's centre as an
/// offset from (c, r) and its size as a logarithm, both in strides, and each point as an offset from (c, r).
fn decode(
    [class, objectness, boxes, points]: &[Output<'_>; 4],
    stride: usize,
    columns: usize,
    mut yield_face: impl FnMut(Detection),
) {
    let step = stride as f32;
    for (cell, (class, objectness)) in class.values.iter().zip(objectness.values).enumerate() {
        let score = (class.clamp(0.0, 1.0) * objectness.clamp(0.0, 1.0)).sqrt();
        let (column, row) = ((cell % columns) as f32, (cell / columns) as f32);
        let (numbers, points) = (&boxes.values[cell * 4..][..4], &points.values[cell * 10..][..10]);
        let (x, y) = ((column + numbers[0]) * step, (row + numbers[1]) * step);
        let (half_width, half_height) = (numbers[2].exp() * step / 2.0, numbers[3].exp() * step / 2.0);
        yield_face(Detection {
            bounding_box: BoundingBox {
                left: x - half_width,
                top: y - half_height,
                right: x + half_width,
                bottom: y + half_height,
            },
            landmarks: std::array::from_fn(|index| {
                Point::new((column + points[index * 2]) * step, (row + points[index * 2 + 1]) * step)
            }),
            score,
        });
    }
}

/// A detection of the shrunk image in pixels of the whole one.
fn in_image(found: Detection, (x, y): (f32, f32)) -> Detection {
    let area = found.bounding_box;
    Detection {
        bounding_box: BoundingBox {
            left: area.left * x,
            top: area.top * y,
            right: area.right * x,
            bottom: area.bottom * y,
        },
        landmarks: found.landmarks.map(|point| Point::new(point.x * x, point.y * y)),
        score: found.score,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_states_centre_size_and_points_in_strides() {
        let shape = [1, 2, 1];
        let of = |values| Output { shape: &shape, values };
        let boxes =
            [0.0; 4].into_iter().chain([0.5, 0.25, 0.0, std::f32::consts::LN_2]).collect::<Vec<f32>>();
        let points = [0.0; 10].into_iter().chain((0..10).map(|at| at as f32 / 10.0)).collect::<Vec<f32>>();
        let mut faces = Vec::new();
        decode(&[of(&[0.0, 0.81]), of(&[1.0, 1.0]), of(&boxes), of(&points)], 8, 2, |face| faces.push(face));
        assert_eq!(faces[0].score, 0.0);
        assert!((faces[1].score - 0.9).abs() < 1e-6);
        let area = faces[1].bounding_box;
        // Column 1, row 0: the centre lies at (1.5, 0.25) strides of 8, the box is 8 wide and 16 high.
        assert_eq!((area.left, area.right), (8.0, 16.0));
        assert!((area.top - (2.0 - 8.0)).abs() < 1e-5 && (area.bottom - 10.0).abs() < 1e-5);
        assert_eq!(faces[1].landmarks[1], Point::new((1.0 + 0.2) * 8.0, 0.3 * 8.0));
    }
}
