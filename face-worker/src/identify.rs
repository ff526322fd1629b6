//! The engine's analysis joined to the gallery's candidates, in the words of the contract. What follows from a verdict
//! is decided elsewhere.

use rollcall_schemas::sighting::{Face, Thresholds, Verdict};

use crate::engine::{self, FrameAnalysis};
use crate::gallery::{Gallery, GalleryError};

/// The faces of an analysis in its order, each with the `k` most similar people of the gallery.
///
/// # Errors
/// When the gallery is of another pack, or its index fails.
pub fn identify(
    analysis: &FrameAnalysis,
    gallery: &Gallery,
    thresholds: &Thresholds,
    k: usize,
) -> Result<Vec<Face>, GalleryError> {
    let search = |(index, face): (u32, &engine::Face)| {
        let (candidates, verdict) = match &face.embedding {
            Some(embedding) => {
                let found = gallery.search(embedding, k)?;
                let verdict =
                    found.first().map_or(Verdict::Unknown, |best| verdict(best.similarity, thresholds));
                (found, verdict)
            }
            None => (Vec::new(), Verdict::Refused),
        };
        Ok(Face {
            index,
            bounding_box: (&face.bounding_box).into(),
            landmarks: face.landmarks.map(|point| [point.x, point.y]),
            score: face.quality.score,
            quality: (&face.quality).into(),
            embedding: face.embedding.clone(),
            candidates,
            verdict,
            evidence_sequence: None,
        })
    };
    (0..).zip(&analysis.faces).map(search).collect()
}

/// What a similarity means by itself, before votes and class lists.
pub fn verdict(similarity: f32, thresholds: &Thresholds) -> Verdict {
    if similarity >= thresholds.confident {
        Verdict::Confident
    } else if similarity >= thresholds.uncertain {
        Verdict::Uncertain
    } else {
        Verdict::Unknown
    }
}
