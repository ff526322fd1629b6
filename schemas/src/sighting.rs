//! What one model pack saw in one frame. Every accepted frame that can be read ends in exactly one of these, with or
//! without faces.

use crate::{
    embedding::Embedding,
    frame::FrameSource,
    id::{CameraId, FrameId, SightingId, UserId},
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One message of SIGHTINGS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sighting {
    /// A function of frame and pack: see [`SightingId::of`].
    pub sighting_id: SightingId,
    /// The frame.
    pub frame_id: FrameId,
    /// Its sequence in FRAMES, which the ledger balances.
    pub frame_sequence: u64,
    /// The camera.
    pub camera_id: CameraId,
    /// The camera's time: what decisions go by.
    pub captured_at: DateTime<Utc>,
    /// Receipt at ingest.
    pub received_at: DateTime<Utc>,
    /// How the frame got here.
    pub source: FrameSource,
    /// The frame's width in pixels.
    pub width: u32,
    /// The frame's height in pixels.
    pub height: u32,
    /// The model pack that looked; embeddings of different packs never meet.
    pub pack: String,
    /// The last sequence of GALLERY that the search knew.
    pub gallery_revision: u64,
    /// The thresholds of the pack, so that a decision needs nothing else to read the similarities.
    pub thresholds: Thresholds,
    /// The faces, in the order the detector found them.
    pub faces: Vec<Face>,
}

/// Cosine similarities from which a pack's match means something; measured per pack, `uncertain <= confident <= certain`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Thresholds {
    /// From here a person should decide.
    pub uncertain: f32,
    /// From here the match counts as a vote.
    pub confident: f32,
    /// From here one look is enough.
    pub certain: f32,
}

/// One detected face.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Face {
    /// Its place in the frame's list, from 0.
    pub index: u32,
    /// Where it is.
    pub bounding_box: BoundingBox,
    /// Image-left eye, image-right eye, nose tip, image-left and image-right mouth corner: x, y in pixels.
    pub landmarks: [[f32; 2]; 5],
    /// The detector's confidence, 0 to 1.
    pub score: f32,
    /// What the quality gate measured.
    pub quality: Quality,
    /// The embedding; absent when the quality gate refused the face.
    pub embedding: Option<Embedding>,
    /// The most similar people of the whole gallery, best first.
    pub candidates: Vec<Candidate>,
    /// What the pack's thresholds make of the best candidate.
    pub verdict: Verdict,
    /// The sequence of its crop in EVIDENCE.
    pub evidence_sequence: Option<u64>,
}

/// A rectangle in pixels of the upright frame, origin at the top left.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BoundingBox {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

/// What the quality gate measured, and its word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quality {
    /// The shorter side of the bounding box in pixels.
    pub size_px: f32,
    /// Variance of the Laplacian of the aligned face.
    pub sharpness: f32,
    /// Degrees the head is turned from the camera, estimated from the landmarks.
    pub yaw_degrees: f32,
    /// Why the face is not used, if it is not: a name such as `too_small`.
    pub refusal: Option<String>,
}

/// A person the face may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// The person.
    pub user_id: UserId,
    /// Cosine similarity of the embedding to the person's template.
    pub similarity: f32,
}

/// What the pack's thresholds make of a face, against the whole gallery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// At or above the confident threshold.
    Confident,
    /// Between the thresholds: a person decides.
    Uncertain,
    /// Below the uncertain threshold: nobody we know.
    Unknown,
    /// Not compared: the quality gate refused it.
    Refused,
}
