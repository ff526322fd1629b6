//! An image looked at with everything the worker knows: the engine's analysis joined to the gallery's candidates, in
//! the words of the contract.

use crate::{
    engine::{self, FrameAnalysis},
    gallery::{Gallery, GalleryError},
    pack,
    pool::{AnalyseError, Pool},
    quality,
};
use bytes::Bytes;
use rollcall_bus::{Feed, HandleError};
use rollcall_schemas::{
    embedding::Embedding,
    feed::GalleryEntry,
    id::UserId,
    sighting::{BoundingBox, Candidate, Face, Quality, Thresholds, Verdict},
};
use std::sync::Arc;

/// What looks at images.
#[derive(Clone)]
pub(super) struct View {
    pub(super) pool: Arc<Pool>,
    pub(super) gallery: Arc<Gallery>,
    pub(super) feed: Feed<GalleryEntry>,
    /// How many candidates a face gets.
    pub(super) candidates: usize,
}

impl View {
    pub(super) fn pack_name(&self) -> &str {
        &self.pool.pack().name
    }

    pub(super) fn thresholds(&self) -> Thresholds {
        let pack::Thresholds { uncertain, confident, certain } = self.pool.pack().thresholds;
        Thresholds { uncertain, confident, certain }
    }

    /// Analyses encoded bytes.
    pub(super) async fn analyse(&self, bytes: Bytes) -> Result<FrameAnalysis, AnalyseError> {
        let result = self.pool.analyse(bytes).await;
        let label = match &result {
            Ok(analysis) => {
                record_timings(analysis);
                "seen"
            }
            Err(AnalyseError::Decode(_)) => "undecodable",
            Err(_) => "failed",
        };
        metrics::counter!("rollcall_face_frames_total", "result" => label).increment(1);
        result
    }

    /// A face of an analysis, searched for in the gallery.
    pub(super) fn identify(&self, index: u32, face: &engine::Face) -> Result<Face, GalleryError> {
        let candidates = match &face.embedding {
            Some(embedding) => self.gallery.search(embedding.as_ref(), self.candidates)?,
            None => Vec::new(),
        };
        let candidates: Vec<Candidate> = candidates
            .into_iter()
            .map(|found| Candidate { user_id: UserId(found.person), similarity: found.similarity })
            .collect();
        let verdict = self.verdict(face, candidates.first());
        metrics::counter!("rollcall_face_faces_total", "verdict" => verdict_name(verdict)).increment(1);
        Ok(Face {
            index,
            bounding_box: bounding_box(face),
            landmarks: face.landmarks.map(|point| [point.x, point.y]),
            score: face.quality.score,
            quality: quality_of(&face.quality),
            embedding: face.embedding.as_ref().map(|embedding| Embedding(embedding.0.clone())),
            candidates,
            verdict,
            evidence_sequence: None,
        })
    }

    fn verdict(&self, face: &engine::Face, best: Option<&Candidate>) -> Verdict {
        let thresholds = self.thresholds();
        match best {
            _ if face.embedding.is_none() => Verdict::Refused,
            Some(best) if best.similarity >= thresholds.confident => Verdict::Confident,
            Some(best) if best.similarity >= thresholds.uncertain => Verdict::Uncertain,
            _ => Verdict::Unknown,
        }
    }
}

/// What the engine measured, in the words of the contract.
pub(super) fn quality_of(quality: &quality::Quality) -> Quality {
    Quality {
        size_px: quality.face_px,
        sharpness: quality.sharpness,
        yaw_degrees: quality.pose.yaw_deg,
        refusal: quality.refusal.map(|refusal| refusal.as_str().to_owned()),
    }
}

/// What follows for a message whose image could not be analysed.
pub(super) fn handle_error(error: &AnalyseError) -> HandleError {
    match error {
        AnalyseError::Decode(error) => HandleError::reject(error.reason()),
        AnalyseError::Inference(_) | AnalyseError::Panicked => HandleError::retry(error),
        AnalyseError::Closed => HandleError::unavailable(error),
    }
}

fn bounding_box(face: &engine::Face) -> BoundingBox {
    let found = &face.bounding_box;
    BoundingBox { x: found.left, y: found.top, width: found.width(), height: found.height() }
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Confident => "confident",
        Verdict::Uncertain => "uncertain",
        Verdict::Unknown => "unknown",
        Verdict::Refused => "refused",
    }
}

fn record_timings(analysis: &FrameAnalysis) {
    let timings = analysis.timings;
    let stages = [
        ("decode", timings.decode),
        ("detect", timings.detect),
        ("embed", timings.embed),
        ("crop", timings.crop),
    ];
    for (stage, took) in stages {
        metrics::histogram!("rollcall_face_stage_seconds", "stage" => stage).record(took.as_secs_f64());
    }
}
