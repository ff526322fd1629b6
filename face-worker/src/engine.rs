//! One set of networks on one thread: an image in, its faces out. Queues and threads are `pool`'s, who the faces
//! belong to is the gallery's.

use std::path::Path;
use std::time::{Duration, Instant};

use image::RgbImage;
use rollcall_schemas::embedding::Embedding;
use tracing::{info, warn};

use crate::align;
use crate::crop;
use crate::decode::{self, DecodeError, DecodeLimits};
use crate::detect::{self, Detector};
use crate::embed::Embedder;
use crate::geometry::{BoundingBox, Landmarks};
use crate::pack::{Pack, Role};
use crate::pixels::AreaResizer;
use crate::quality::{self, Quality};
use crate::session::{InferenceError, Provider, Runtime};

/// A face in an image. Not `Debug`: it holds a picture of a person.
#[derive(Clone)]
pub struct Face {
    /// Where, in pixels of the upright image, clipped to it.
    pub bounding_box: BoundingBox,
    /// The five landmarks in pixels of the upright image.
    pub landmarks: Landmarks,
    /// What was measured, and why the face is not compared when it is not.
    pub quality: Quality,
    /// The unit vector; `None` for a refused face.
    pub embedding: Option<Embedding>,
    /// A small JPEG of the face; empty where the box has no pixel in the image.
    pub crop_jpeg: Vec<u8>,
}

/// What the engine found in one frame.
#[derive(Clone)]
pub struct FrameAnalysis {
    /// Width of the upright image in pixels.
    pub width: u32,
    /// Height of the upright image in pixels.
    pub height: u32,
    /// The faces, ordered by falling detector score.
    pub faces: Vec<Face>,
    /// Where the time went.
    pub timings: Timings,
}

/// Time by stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Bytes to pixels.
    pub decode: Duration,
    /// Finding faces.
    pub detect: Duration,
    /// Quality, alignment and the embedding network.
    pub embed: Duration,
    /// Small pictures.
    pub crop: Duration,
}

/// Where the engine's networks really run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderReport {
    /// What was asked for.
    pub asked: Provider,
    /// What worked.
    pub used: Provider,
    /// Why others did not.
    pub failures: Vec<(Provider, String)>,
    /// Nodes by execution provider as ONNX Runtime reports them, over all networks.
    pub nodes: Vec<(String, usize)>,
}

/// A pack's networks with their buffers. One thread owns it.
pub struct Engine {
    pack: Pack,
    detector: Box<dyn Detector>,
    embedder: Embedder,
    cropper: AreaResizer,
    report: ProviderReport,
}

impl Engine {
    /// Opens the pack's networks from `folder` on `provider`; where that does not work, on what is next best. Each is
    /// tried with a run over a blank image, because many failures show only then.
    pub fn open(
        pack: &Pack,
        folder: &Path,
        runtime: &Runtime,
        provider: Provider,
    ) -> Result<Self, InferenceError> {
        let mut failures = Vec::new();
        let mut last = None;
        for &candidate in provider.with_fallbacks() {
            match Self::open_on(pack, folder, runtime, candidate) {
                Ok((detector, embedder)) => {
                    let nodes = assigned_nodes(&*detector, &embedder);
                    let report = ProviderReport { asked: provider, used: candidate, failures, nodes };
                    info!(pack = pack.name, asked = ?provider, used = ?candidate, "model pack opened");
                    return Ok(Self {
                        pack: pack.clone(),
                        detector,
                        embedder,
                        cropper: AreaResizer::default(),
                        report,
                    });
                }
                Err(error) => {
                    warn!(pack = pack.name, provider = ?candidate, %error, "execution provider does not work");
                    failures.push((candidate, error.to_string()));
                    last = Some(error);
                }
            }
        }
        Err(last.expect("at least one provider is tried"))
    }

    fn open_on(
        pack: &Pack,
        folder: &Path,
        runtime: &Runtime,
        provider: Provider,
    ) -> Result<(Box<dyn Detector>, Embedder), InferenceError> {
        let path = |role: Role| {
            folder.join(&pack.file(role).expect("a checked manifest has its decoder's roles").name)
        };
        let open = |role: Role, outputs: &[&str]| runtime.open(&path(role), provider, outputs);
        let mut detector = detect::build(&pack.detector, &open)?;
        let mut embedder = Embedder::open(&pack.embedder, &path(Role::Embedder), runtime, provider)?;
        detector.detect(&RgbImage::new(320, 240))?;
        embedder.embed(&[vec![0; 3 * embedder.side() * embedder.side()]])?;
        Ok((detector, embedder))
    }

    /// The pack that is open.
    pub fn pack(&self) -> &Pack {
        &self.pack
    }

    /// Where the networks run.
    pub fn report(&self) -> &ProviderReport {
        &self.report
    }

    /// Finds, assesses and embeds the faces of an upright image.
    pub fn analyse(&mut self, image: &RgbImage) -> Result<FrameAnalysis, InferenceError> {
        let mut watch = Stopwatch::start();
        let detections = self.detector.detect(image)?;
        let detect = watch.lap();

        let mut faces = Vec::with_capacity(detections.len());
        let (mut chips, mut embedded) = (Vec::new(), Vec::new());
        for (index, found) in detections.into_iter().enumerate() {
            let bounding_box = found.bounding_box.clipped(image.width(), image.height());
            let mut quality =
                quality::assess(&found.bounding_box, &found.landmarks, found.score, &self.pack.quality);
            if quality.refusal.is_none()
                && let Some(chip) = self.chip(image, &found.landmarks, &mut quality)
            {
                chips.push(chip);
                embedded.push(index);
            }
            let landmarks = found.landmarks;
            faces.push(Face { bounding_box, landmarks, quality, embedding: None, crop_jpeg: Vec::new() });
        }
        if !chips.is_empty() {
            for (index, embedding) in embedded.into_iter().zip(self.embedder.embed(&chips)?) {
                faces[index].embedding = Some(embedding);
            }
        }
        let embed = watch.lap();

        for face in &mut faces {
            face.crop_jpeg = crop::crop(image, &face.bounding_box, &mut self.cropper).unwrap_or_default();
        }
        let timings = Timings { decode: Duration::ZERO, detect, embed, crop: watch.lap() };
        Ok(FrameAnalysis { width: image.width(), height: image.height(), faces, timings })
    }

    /// The aligned chip, if the face is sharp enough; its sharpness goes into `quality`.
    fn chip(&self, image: &RgbImage, landmarks: &Landmarks, quality: &mut Quality) -> Option<Vec<u8>> {
        let mut chip = Vec::new();
        if !align::align(image, landmarks, self.pack.embedder.template, &mut chip) {
            quality.refusal = Some(quality::Refusal::TurnedAway);
            return None;
        }
        quality::assess_sharpness(quality, &chip, self.embedder.side(), &self.pack.quality);
        quality.refusal.is_none().then_some(chip)
    }

    /// The bare loop that benchmarks compare the pipeline with: decode, detect, align and embed every face, with no
    /// queue, gate, picture or search. Returns the number of faces.
    pub fn bare_loop(&mut self, frame: &[u8]) -> Result<usize, BareLoopError> {
        let image = decode::decode(frame, DecodeLimits::default())?;
        let mut chips = Vec::new();
        for found in self.detector.detect(&image)? {
            let mut chip = Vec::new();
            if align::align(&image, &found.landmarks, self.pack.embedder.template, &mut chip) {
                chips.push(chip);
            }
        }
        if chips.is_empty() {
            return Ok(0);
        }
        Ok(self.embedder.embed(&chips)?.len())
    }
}

/// Why the bare loop stopped.
#[derive(Debug, thiserror::Error)]
pub enum BareLoopError {
    /// The frame is no image.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A network failed.
    #[error(transparent)]
    Inference(#[from] InferenceError),
}

fn assigned_nodes(detector: &dyn Detector, embedder: &Embedder) -> Vec<(String, usize)> {
    let mut totals = std::collections::BTreeMap::<String, usize>::new();
    for network in detector.networks().into_iter().chain([embedder.network()]) {
        for (provider, nodes) in network.assignment() {
            *totals.entry(provider).or_default() += nodes;
        }
    }
    totals.into_iter().collect()
}

struct Stopwatch(Instant);

impl Stopwatch {
    fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start or the last lap.
    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        let elapsed = now - self.0;
        self.0 = now;
        elapsed
    }
}
