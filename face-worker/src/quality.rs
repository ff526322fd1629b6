//! Whether a face is good enough to be compared, and why not. Measures only; what follows from a refusal is decided
//! by those who ask.

use rollcall_schemas::sighting;
use serde::{Deserialize, Serialize};

use crate::geometry::{BoundingBox, Landmarks};
use crate::pack::QualityGate;

/// What was measured of one face.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Shorter side of the face box in image pixels.
    pub face_px: f32,
    /// Variance of the Laplacian on the aligned chip's grey values (0 to 255).
    pub sharpness: f32,
    /// Where the head points.
    pub pose: Pose,
    /// The detector's score, 0 to 1.
    pub score: f32,
    /// Why the face is not compared; `None` when it is.
    pub refusal: Option<Refusal>,
}

/// In the words of the contract.
impl From<&Quality> for sighting::Quality {
    fn from(quality: &Quality) -> Self {
        Self {
            size_px: quality.face_px,
            sharpness: quality.sharpness,
            yaw_degrees: quality.pose.yaw_deg,
            refusal: quality.refusal.map(|refusal| refusal.as_str().to_owned()),
        }
    }
}

/// Why a face is not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Too few pixels.
    TooSmall,
    /// The detector is not sure that it is a face.
    LowScore,
    /// The head is turned too far to the side, up or down.
    TurnedAway,
    /// Out of focus or moving.
    Blurred,
}

impl Refusal {
    /// The reason's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooSmall => "too_small",
            Self::LowScore => "low_score",
            Self::TurnedAway => "turned_away",
            Self::Blurred => "blurred",
        }
    }
}

/// The head's direction, estimated from five landmarks: good to some 10 degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pose {
    /// Turned to the image's right (positive) or left, in degrees.
    pub yaw_deg: f32,
    /// Turned down (positive) or up, in degrees.
    pub pitch_deg: f32,
    /// Tilted clockwise in the image (positive), in degrees.
    pub roll_deg: f32,
}

/// How far the nose tip stands out from the plane of eyes and mouth, as a share of the distance between the eyes
/// (about 38 mm to 63 mm in an average adult face).
const NOSE_DEPTH: f32 = 0.6;
/// How far down from the eyes to the mouth the nose tip lies in a face seen from the front (dlib's mean face).
const NOSE_LEVEL: f32 = 0.531;

impl Pose {
    /// Under a distant camera, turning the head by `a` shortens the eyes' distance by `cos a` and moves the nose tip,
    /// which stands out by `d`, by `d sin a`: the tangent is their ratio. Pitch is the same on the line from eyes to mouth.
    pub fn estimate(landmarks: &Landmarks) -> Self {
        let [left_eye, right_eye, nose, left_mouth, right_mouth] = *landmarks;
        let eyes = left_eye.midpoint(right_eye);
        let mouth = left_mouth.midpoint(right_mouth);
        let span = left_eye.distance(right_eye).max(f32::EPSILON);
        let height = eyes.distance(mouth).max(f32::EPSILON);
        // Unit vectors along the eyes and from the eyes to the mouth.
        let across = ((right_eye.x - left_eye.x) / span, (right_eye.y - left_eye.y) / span);
        let down = ((mouth.x - eyes.x) / height, (mouth.y - eyes.y) / height);
        let middle = eyes.midpoint(mouth);
        let aside = (nose.x - middle.x) * across.0 + (nose.y - middle.y) * across.1;
        let level = ((nose.x - eyes.x) * down.0 + (nose.y - eyes.y) * down.1) / height;
        let yaw = (aside / (span * NOSE_DEPTH)).atan();
        let pitch = ((level - NOSE_LEVEL) / NOSE_DEPTH).atan();
        Self {
            yaw_deg: yaw.to_degrees(),
            pitch_deg: pitch.to_degrees(),
            roll_deg: across.1.atan2(across.0).to_degrees(),
        }
    }

    fn within(&self, gate: &QualityGate) -> bool {
        self.yaw_deg.abs() <= gate.max_yaw_deg && self.pitch_deg.abs() <= gate.max_pitch_deg
    }
}

/// Assesses a face before it is aligned: everything but sharpness, which stays 0.
pub(crate) fn assess(
    bounding_box: &BoundingBox,
    landmarks: &Landmarks,
    score: f32,
    gate: &QualityGate,
) -> Quality {
    let face_px = bounding_box.width().min(bounding_box.height());
    let pose = Pose::estimate(landmarks);
    let refusal = if face_px < gate.min_face_px {
        Some(Refusal::TooSmall)
    } else if score < gate.min_score {
        Some(Refusal::LowScore)
    } else if !pose.within(gate) {
        Some(Refusal::TurnedAway)
    } else {
        None
    };
    Quality { face_px, sharpness: 0.0, pose, score, refusal }
}

/// Adds the sharpness of the aligned chip (RGB, square) to an assessment.
pub(crate) fn assess_sharpness(quality: &mut Quality, chip: &[u8], side: usize, gate: &QualityGate) {
    quality.sharpness = sharpness(chip, side);
    if quality.refusal.is_none() && quality.sharpness < gate.min_sharpness {
        quality.refusal = Some(Refusal::Blurred);
    }
}

/// Variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", 2000) over the
/// middle half of the chip, which is face and not background.
fn sharpness(chip: &[u8], side: usize) -> f32 {
    // ITU-R BT.601 luma.
    let grey = |x: usize, y: usize| {
        let at = (y * side + x) * 3;
        0.299 * f32::from(chip[at]) + 0.587 * f32::from(chip[at + 1]) + 0.114 * f32::from(chip[at + 2])
    };
    let middle = side / 4..side - side / 4;
    let (mut sum, mut squares) = (0.0f32, 0.0f32);
    for y in middle.clone() {
        for x in middle.clone() {
            let laplacian =
                grey(x - 1, y) + grey(x + 1, y) + grey(x, y - 1) + grey(x, y + 1) - 4.0 * grey(x, y);
            sum += laplacian;
            squares += laplacian * laplacian;
        }
    }
    let count = (middle.len() * middle.len()) as f32;
    let mean = sum / count;
    squares / count - mean * mean
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::align::Template;
    use crate::geometry::Point;

    const GATE: QualityGate = QualityGate {
        min_face_px: 32.0,
        min_score: 0.9,
        min_sharpness: 3.0,
        max_yaw_deg: 50.0,
        max_pitch_deg: 40.0,
    };

    fn face(side: f32) -> BoundingBox {
        BoundingBox { left: 10.0, top: 10.0, right: 10.0 + side, bottom: 10.0 + side }
    }

    fn frontal() -> Landmarks {
        *Template::Dlib150.landmarks()
    }

    /// The five landmarks of a solid head turned by `yaw` and `pitch` degrees, seen from far away.
    fn turned(yaw: f32, pitch: f32) -> Landmarks {
        let (span, height) = (60.0, 64.0);
        let nose = NOSE_LEVEL * height;
        let solid = [
            (-span / 2.0, 0.0, 0.0),
            (span / 2.0, 0.0, 0.0),
            (0.0, nose, NOSE_DEPTH * span),
            (-span / 2.0, height, 0.0),
            (span / 2.0, height, 0.0),
        ];
        let (yaw, pitch) = (yaw.to_radians(), pitch.to_radians());
        solid.map(|(x, y, z)| {
            let (x, z) = (x * yaw.cos() + z * yaw.sin(), z * yaw.cos() - x * yaw.sin());
            Point::new(x, y * pitch.cos() + z * pitch.sin())
        })
    }

    #[test]
    fn a_frontal_face_points_straight_ahead() {
        let pose = Pose::estimate(&frontal());
        assert!(
            pose.yaw_deg.abs() < 0.1 && pose.pitch_deg.abs() < 0.1 && pose.roll_deg.abs() < 0.1,
            "{pose:?}"
        );
    }

    #[test]
    fn a_turned_head_is_measured_to_some_degrees() {
        for degrees in [-45.0, -20.0, 0.0, 15.0, 40.0] {
            let yaw = Pose::estimate(&turned(degrees, 0.0)).yaw_deg;
            assert!((yaw - degrees).abs() < 1.0, "{degrees} measured as {yaw}");
            let pitch = Pose::estimate(&turned(0.0, degrees)).pitch_deg;
            assert!((pitch - degrees).abs() < 5.0, "{degrees} measured as {pitch}");
        }
    }

    #[test]
    fn a_tilted_face_is_rolled_and_nothing_else() {
        let tilted = frontal().map(|point| Point::new(-point.y, point.x));
        let pose = Pose::estimate(&tilted);
        assert!((pose.roll_deg - 90.0).abs() < 0.1 && pose.yaw_deg.abs() < 0.1, "{pose:?}");
    }

    #[test]
    fn each_refusal_has_its_cause() {
        let refusal =
            |side: f32, landmarks: &Landmarks, score| assess(&face(side), landmarks, score, &GATE).refusal;
        assert_eq!(refusal(80.0, &frontal(), 0.99), None);
        assert_eq!(refusal(31.0, &frontal(), 0.99), Some(Refusal::TooSmall));
        assert_eq!(refusal(80.0, &frontal(), 0.89), Some(Refusal::LowScore));
        assert_eq!(refusal(80.0, &turned(60.0, 0.0), 0.99), Some(Refusal::TurnedAway));
        assert_eq!(refusal(80.0, &turned(0.0, 55.0), 0.99), Some(Refusal::TurnedAway));
    }

    #[test]
    fn an_even_chip_is_blurred_and_a_chequered_one_is_sharp() {
        let mut quality = assess(&face(80.0), &frontal(), 0.99, &GATE);
        assess_sharpness(&mut quality, &[128; 3 * 40 * 40], 40, &GATE);
        assert_eq!((quality.sharpness, quality.refusal), (0.0, Some(Refusal::Blurred)));

        let mut quality = assess(&face(80.0), &frontal(), 0.99, &GATE);
        let chequered: Vec<u8> = (0..40 * 40)
            .flat_map(|at: usize| [if (at % 40 + at / 40).is_multiple_of(2) { 90 } else { 150 }; 3])
            .collect();
        assess_sharpness(&mut quality, &chequered, 40, &GATE);
        // Every Laplacian is +-4 * 60.
        assert!((quality.sharpness - 240.0f32.powi(2)).abs() < 50.0, "{}", quality.sharpness);
        assert_eq!(quality.refusal, None);
    }

    #[test]
    fn refusals_have_stable_names() {
        for refusal in [Refusal::TooSmall, Refusal::LowScore, Refusal::TurnedAway, Refusal::Blurred] {
            assert_eq!(serde_json::to_string(&refusal).unwrap(), format!("\"{}\"", refusal.as_str()));
        }
    }
}
