//! Finding faces: what a detector yields, and which decoder a pack's manifest asks for. How each network's outputs are
//! read is in the decoder's own module.

mod mtcnn;
mod yunet;

use image::RgbImage;

use crate::geometry::{BoundingBox, Landmarks, Scored};
use crate::pack::{DetectorSpec, Role};
use crate::session::{InferenceError, Network};

/// A face found in an image.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Detection {
    /// Where, in image pixels; may reach over the image's edge.
    pub bounding_box: BoundingBox,
    /// The five landmarks in image pixels.
    pub landmarks: Landmarks,
    /// How sure the detector is, 0 to 1.
    pub score: f32,
}

impl Scored for Detection {
    fn bounding_box(&self) -> &BoundingBox {
        &self.bounding_box
    }

    fn score(&self) -> f32 {
        self.score
    }
}

/// Finds faces in upright RGB images.
pub(crate) trait Detector: Send {
    /// The faces, ordered by falling score.
    fn detect(&mut self, image: &RgbImage) -> Result<Vec<Detection>, InferenceError>;

    /// The detector's networks, for reports.
    fn networks(&self) -> Vec<&dyn Network>;
}

/// Opens the network with a role, to read the outputs of these names.
pub(crate) type Opener<'o> = &'o dyn Fn(Role, &[&str]) -> Result<Box<dyn Network>, InferenceError>;

/// The detector that a manifest describes.
pub(crate) fn build(spec: &DetectorSpec, open: Opener<'_>) -> Result<Box<dyn Detector>, InferenceError> {
    Ok(match spec {
        DetectorSpec::Mtcnn(spec) => Box::new(mtcnn::Mtcnn::open(spec, open)?),
        DetectorSpec::Yunet(spec) => Box::new(yunet::Yunet::open(spec, open)?),
    })
}
