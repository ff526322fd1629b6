//! From a face in an image to a chip in which eyes, nose and mouth lie where the embedder expects them.

use image::RgbImage;
use serde::Deserialize;

use crate::geometry::{Landmarks, Point, Similarity};
use crate::pixels;

/// Where an embedder expects the five landmarks, and the side of its square chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Template {
    /// dlib's 150-pixel chip with a padding of 0.25.
    #[serde(rename = "dlib-150")]
    Dlib150,
    /// The 112-pixel chip of ArcFace (Deng et al. 2019) and its relatives.
    #[serde(rename = "arcface-112")]
    Arcface112,
}

const DLIB_150: Landmarks = [
    Point::new(47.5492, 46.5990),
    Point::new(100.4761, 46.5990),
    Point::new(74.0127, 76.5625),
    Point::new(50.4149, 103.0233),
    Point::new(97.6104, 103.0233),
];

const ARCFACE_112: Landmarks = [
    Point::new(38.2946, 51.6963),
    Point::new(73.5318, 51.5014),
    Point::new(56.0252, 71.7366),
    Point::new(41.5493, 92.3655),
    Point::new(70.7299, 92.2041),
];

impl Template {
    /// The landmarks' places in the chip.
    pub fn landmarks(self) -> &'static Landmarks {
        match self {
            Self::Dlib150 => &DLIB_150,
            Self::Arcface112 => &ARCFACE_112,
        }
    }

    /// The chip's side in pixels.
    pub fn side(self) -> u32 {
        match self {
            Self::Dlib150 => 150,
            Self::Arcface112 => 112,
        }
    }
}

/// Cuts the aligned chip (RGB, `template.side()` squared) into `chip`. `false`, and no chip, where the landmarks
/// coincide or are not finite: no face looks like that.
pub fn align(image: &RgbImage, landmarks: &Landmarks, template: Template, chip: &mut Vec<u8>) -> bool {
    let Some(to_chip) = Similarity::estimate(landmarks, template.landmarks()) else { return false };
    let scale = to_chip.scale();
    if !scale.is_finite() || scale <= f32::EPSILON {
        return false;
    }
    pixels::warp(image, &to_chip.inverse(), template.side(), chip);
    true
}
