//! The three-stage cascade of K. Zhang et al., "Joint Face Detection and Alignment using Multitask Cascaded
//! Convolutional Networks" (2016): proposals over an image pyramid, refined twice.

use image::RgbImage;

use super::{Detection, Detector, Opener};
use crate::geometry::{BoundingBox, Landmarks, Overlap, Point, Scored, suppress_overlaps};
use crate::pack::{MtcnnSpec, Role};
use crate::pixels::{AreaResizer, Normalisation};
use crate::session::{Batch, InferenceError, Network, Output};

/// Side of the window that the proposal net looks at, and the step between two windows.
const WINDOW: f32 = 12.0;
const STRIDE: f32 = 2.0;
/// Sides of the patches that the two later nets look at.
const REFINEMENT_SIDE: usize = 24;
const OUTPUT_SIDE: usize = 48;
/// Overlaps above which proposals of one scale, and candidates of later stages, are one.
const MAX_OVERLAP_IN_SCALE: f32 = 0.5;
const MAX_OVERLAP: f32 = 0.7;

/// The cascade with its buffers.
pub(super) struct Mtcnn {
    proposal: Box<dyn Network>,
    refinement: Box<dyn Network>,
    output: Box<dyn Network>,
    normalisation: Normalisation,
    min_face_px: f32,
    pyramid_factor: f32,
    min_scores: [f32; 3],
    resizer: AreaResizer,
    planes: Vec<f32>,
}

/// A box that may hold a face.
struct Candidate {
    bounding_box: BoundingBox,
    score: f32,
}

impl Scored for Candidate {
    fn bounding_box(&self) -> &BoundingBox {
        &self.bounding_box
    }

    fn score(&self) -> f32 {
        self.score
    }
}

impl Mtcnn {
    pub(super) fn open(spec: &MtcnnSpec, open: Opener<'_>) -> Result<Self, InferenceError> {
        Ok(Self {
            proposal: open(Role::Proposal, &["box", "prob"])?,
            refinement: open(Role::Refinement, &["box", "prob"])?,
            output: open(Role::Output, &["box", "prob", "landmarks"])?,
            normalisation: Normalisation::new(&spec.input),
            min_face_px: spec.min_face_px,
            pyramid_factor: spec.pyramid_factor,
            min_scores: spec.min_scores,
            resizer: AreaResizer::default(),
            planes: Vec::new(),
        })
    }

    fn propose(&mut self, image: &RgbImage) -> Result<Vec<BoundingBox>, InferenceError> {
        let shorter = image.width().min(image.height()) as f32;
        let mut scale = WINDOW / self.min_face_px;
        let mut candidates = Vec::new();
        while shorter * scale >= WINDOW {
            let found = self.propose_at(image, scale)?;
            candidates.extend(suppress_overlaps(found, MAX_OVERLAP_IN_SCALE, Overlap::Union));
            scale *= self.pyramid_factor;
        }
        let kept = suppress_overlaps(candidates, MAX_OVERLAP, Overlap::Union);
        Ok(kept.iter().map(|candidate| candidate.bounding_box.squared()).collect())
    }

    fn propose_at(&mut self, image: &RgbImage, scale: f32) -> Result<Vec<Candidate>, InferenceError> {
        let width = (image.width() as f32 * scale) as u32;
        let height = (image.height() as f32 * scale) as u32;
        let pixels = self.resizer.resize(image, width, height);
        self.planes.resize(pixels.len(), 0.0);
        self.normalisation.write_planes(pixels, &mut self.planes);
        let batch = Batch { shape: [1, 3, height as usize, width as usize], values: &self.planes };
        let mut found = Vec::new();
        let min_score = self.min_scores[0];
        self.proposal.run(batch, &mut |outputs| {
            let [offsets, scores] = outputs else { unreachable!("two outputs were named") };
            let columns = scores.shape[3] as usize;
            let cells = scores.shape[2] as usize * columns;
            for (cell, &score) in scores.values[cells..].iter().enumerate() {
                if score > min_score {
                    let offset = std::array::from_fn(|side| offsets.values[side * cells + cell]);
                    let bounding_box = window(cell % columns, cell / columns, offset).scaled(1.0 / scale);
                    found.push(Candidate { bounding_box, score });
                }
            }
        })?;
        Ok(found)
    }

    fn refine(
        &mut self,
        image: &RgbImage,
        boxes: &[BoundingBox],
    ) -> Result<Vec<BoundingBox>, InferenceError> {
        self.write_patches(image, boxes, REFINEMENT_SIDE);
        let batch = patches(boxes.len(), REFINEMENT_SIDE, &self.planes);
        let mut found = Vec::new();
        let min_score = self.min_scores[1];
        self.refinement.run(batch, &mut |outputs| {
            let [offsets, scores] = outputs else { unreachable!("two outputs were named") };
            for (index, area) in boxes.iter().enumerate() {
                let score = scores.values[index * 2 + 1];
                if score > min_score {
                    found.push(Candidate { bounding_box: moved(area, row(offsets, index)), score });
                }
            }
        })?;
        let kept = suppress_overlaps(found, MAX_OVERLAP, Overlap::Union);
        Ok(kept.iter().map(|candidate| candidate.bounding_box.squared()).collect())
    }

    fn finish(&mut self, image: &RgbImage, boxes: &[BoundingBox]) -> Result<Vec<Detection>, InferenceError> {
        self.write_patches(image, boxes, OUTPUT_SIDE);
        let batch = patches(boxes.len(), OUTPUT_SIDE, &self.planes);
        let mut found = Vec::new();
        let min_score = self.min_scores[2];
        self.output.run(batch, &mut |outputs| {
            let [offsets, scores, landmarks] = outputs else { unreachable!("three outputs were named") };
            for (index, area) in boxes.iter().enumerate() {
                let score = scores.values[index * 2 + 1];
                if score > min_score {
                    found.push(Detection {
                        bounding_box: moved(area, row(offsets, index)),
                        landmarks: placed(area, row(landmarks, index)),
                        score,
                    });
                }
            }
        })?;
        Ok(suppress_overlaps(found, MAX_OVERLAP, Overlap::Minimum))
    }

    fn write_patches(&mut self, image: &RgbImage, boxes: &[BoundingBox], side: usize) {
        let size = 3 * side * side;
        self.planes.resize(boxes.len() * size, 0.0);
        for (area, planes) in boxes.iter().zip(self.planes.chunks_exact_mut(size)) {
            self.normalisation.write_patch(image, area, side, planes);
        }
    }
}

impl Detector for Mtcnn {
    fn detect(&mut self, image: &RgbImage) -> Result<Vec<Detection>, InferenceError> {
        let mut boxes = self.propose(image)?;
        if !boxes.is_empty() {
            boxes = self.refine(image, &boxes)?;
        }
        if boxes.is_empty() {
            return Ok(Vec::new());
        }
        self.finish(image, &boxes)
    }

    fn networks(&self) -> Vec<&dyn Network> {
        vec![&*self.proposal, &*self.refinement, &*self.output]
    }
}

fn patches(count: usize, side: usize, planes: &[f32]) -> Batch<'_> {
    Batch { shape: [count, 3, side, side], values: planes }
}

/// The `index`th row of an output of shape [n, `N`].
fn row<const N: usize>(output: &Output<'_>, index: usize) -> [f32; N] {
    std::array::from_fn(|column| output.values[index * N + column])
}

/// The proposal net's window at a cell of its output, moved by the regression; in pixels of the scaled image.
fn window(column: usize, row: usize, offset: [f32; 4]) -> BoundingBox {
    let (left, top) = (column as f32 * STRIDE + 1.0, row as f32 * STRIDE + 1.0);
    let side = WINDOW - 1.0;
    BoundingBox {
        left: left + offset[0] * side,
        top: top + offset[1] * side,
        right: left + side + offset[2] * side,
        bottom: top + side + offset[3] * side,
    }
}

/// A box moved by a regression. The nets were trained on boxes that count both edge pixels, hence the + 1.
fn moved(area: &BoundingBox, offset: [f32; 4]) -> BoundingBox {
    let (width, height) = (area.width() + 1.0, area.height() + 1.0);
    BoundingBox {
        left: area.left + offset[0] * width,
        top: area.top + offset[1] * height,
        right: area.right + offset[2] * width,
        bottom: area.bottom + offset[3] * height,
    }
}

/// The landmarks' places: five shares of the width, then five of the height.
fn placed(area: &BoundingBox, shares: [f32; 10]) -> Landmarks {
    let (width, height) = (area.width() + 1.0, area.height() + 1.0);
    std::array::from_fn(|index| {
        Point::new(area.left + width * shares[index] - 1.0, area.top + height * shares[index + 5] - 1.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_of_a_cell_starts_one_pixel_in_and_is_eleven_wide() {
        let plain = window(2, 3, [0.0; 4]);
        assert_eq!(plain, BoundingBox { left: 5.0, top: 7.0, right: 16.0, bottom: 18.0 });
        let shifted = window(0, 0, [0.25, -0.25, 0.5, 0.0]);
        assert_eq!(shifted, BoundingBox { left: 3.75, top: -1.75, right: 17.5, bottom: 12.0 });
    }

    #[test]
    fn regressions_and_landmarks_count_both_edge_pixels() {
        let area = BoundingBox { left: 10.0, top: 20.0, right: 109.0, bottom: 119.0 };
        let expected = BoundingBox { left: 35.0, top: 20.0, right: 84.0, bottom: 169.0 };
        assert_eq!(moved(&area, [0.25, 0.0, -0.25, 0.5]), expected);
        let points = placed(&area, [0.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 1.0]);
        assert_eq!(points[1], Point::new(109.0, 19.0));
        assert_eq!(points[2], Point::new(59.0, 69.0));
        assert_eq!(points[4], Point::new(9.0, 119.0));
    }
}
