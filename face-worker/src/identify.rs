//! What a pack sees in one image, for people: boxes, quality, best candidates.

use serde::Serialize;
use uuid::Uuid;

use crate::engine::FrameAnalysis;
use crate::gallery::{Gallery, GalleryError};
use crate::geometry::{BoundingBox, Landmarks};
use crate::pack::Thresholds;
use crate::quality::Quality;

/// An image as the pack sees it.
#[derive(Debug, Clone, Serialize)]
pub struct Identification {
    /// Width of the upright image in pixels.
    pub width: u32,
    /// Height of the upright image in pixels.
    pub height: u32,
    /// The faces, ordered by falling detector score.
    pub faces: Vec<IdentifiedFace>,
}

/// A face and who it may be.
#[derive(Debug, Clone, Serialize)]
pub struct IdentifiedFace {
    /// Where.
    pub bounding_box: BoundingBox,
    /// The five landmarks.
    pub landmarks: Landmarks,
    /// What was measured.
    pub quality: Quality,
    /// The most similar people, best first; empty for a refused face.
    pub candidates: Vec<RankedPerson>,
}

/// A person and how sure the pack is.
#[derive(Debug, Clone, Serialize)]
pub struct RankedPerson {
    /// Who.
    pub person: Uuid,
    /// Inner product of face and template.
    pub similarity: f32,
    /// What the pack's thresholds make of it.
    pub verdict: Verdict,
}

/// What a similarity means by itself, before votes and class lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The same person.
    Confident,
    /// Perhaps the same person.
    Uncertain,
    /// Somebody else.
    Unknown,
}

impl Thresholds {
    /// What this similarity means.
    pub fn verdict(&self, similarity: f32) -> Verdict {
        if similarity >= self.confident {
            Verdict::Confident
        } else if similarity >= self.uncertain {
            Verdict::Uncertain
        } else {
            Verdict::Unknown
        }
    }
}

/// Adds to each face of an analysis the `k` most similar people of the gallery.
pub fn identify(
    analysis: &FrameAnalysis,
    gallery: &Gallery,
    thresholds: Thresholds,
    k: usize,
) -> Result<Identification, GalleryError> {
    let mut faces = Vec::with_capacity(analysis.faces.len());
    for face in &analysis.faces {
        let found = match &face.embedding {
            Some(embedding) => gallery.search(embedding.as_ref(), k)?,
            None => Vec::new(),
        };
        let candidates = found
            .into_iter()
            .map(|found| RankedPerson {
                person: found.person,
                similarity: found.similarity,
                verdict: thresholds.verdict(found.similarity),
            })
            .collect();
        faces.push(IdentifiedFace {
            bounding_box: face.bounding_box,
            landmarks: face.landmarks,
            quality: face.quality,
            candidates,
        });
    }
    Ok(Identification { width: analysis.width, height: analysis.height, faces })
}
