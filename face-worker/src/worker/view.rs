//! An image looked at with everything the worker knows, and counted.

use super::people::KnownPeople;
use crate::{
    engine::FrameAnalysis,
    gallery::GalleryError,
    identify::identify,
    pack::Pack,
    pool::{AnalyseError, Pool},
};
use bytes::Bytes;
use rollcall_bus::HandleError;
use rollcall_schemas::sighting::{Face, Verdict};
use std::sync::Arc;

/// What looks at images.
#[derive(Clone)]
pub(super) struct View {
    pub(super) pool: Arc<Pool>,
    pub(super) people: KnownPeople,
    /// How many candidates a face gets.
    pub(super) candidates: usize,
}

impl View {
    pub(super) fn pack(&self) -> &Pack {
        self.pool.pack()
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

    /// The faces of an analysis with those they may be.
    pub(super) fn identify(&self, analysis: &FrameAnalysis) -> Result<Vec<Face>, GalleryError> {
        let faces = identify(analysis, self.people.gallery(), &self.pack().thresholds, self.candidates)?;
        for face in &faces {
            let verdict = verdict_name(face.verdict);
            metrics::counter!("rollcall_face_faces_total", "verdict" => verdict).increment(1);
        }
        Ok(faces)
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
