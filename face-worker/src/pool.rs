//! Many frames through a few engines: decode threads, inference threads, bounded admission. Any camera's frame may
//! take any engine; who asked is not known here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use image::RgbImage;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::decode::{self, DecodeError, DecodeLimits};
use crate::engine::{Engine, FrameAnalysis, ProviderReport};
use crate::pack::Pack;
use crate::session::{InferenceError, Provider, Runtime};

/// An image's memory up to this size is used again for a later one. Rare giants are not worth keeping.
const MAX_SPARE_BYTES: usize = 16 << 20;

/// Size of a pool.
#[derive(Debug, Clone, Copy)]
pub struct PoolConfig {
    /// Engines, each on its own thread.
    pub inference_threads: usize,
    /// Threads that decode for them.
    pub decode_threads: usize,
    /// Frames that may wait or be worked on; more wait for admission.
    pub max_frames: usize,
    /// Where networks should run.
    pub provider: Provider,
    /// The largest image that is decoded.
    pub limits: DecodeLimits,
}

impl PoolConfig {
    /// One engine for each core, and as many decoders as keep them busy (decoding takes a fraction of the time).
    pub fn for_cores(cores: usize) -> Self {
        Self {
            inference_threads: cores.max(1),
            decode_threads: cores.div_ceil(4).max(1),
            max_frames: 4 * cores.max(1),
            provider: Provider::Cpu,
            limits: DecodeLimits::default(),
        }
    }
}

/// Why a frame has no analysis.
#[derive(Debug, thiserror::Error)]
pub enum AnalyseError {
    /// The frame is no usable image: it never will be.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A network failed.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// Code panicked on this frame; the thread goes on with the next.
    #[error("the frame made the engine panic")]
    Panicked,
    /// The pool is being closed.
    #[error("the engine is shutting down")]
    Closed,
}

/// Engines and their threads. Dropping it finishes the frames that were admitted and joins the threads.
pub struct Pool {
    admission: Arc<Semaphore>,
    frames: Option<Sender<Frame>>,
    threads: Vec<JoinHandle<()>>,
    report: ProviderReport,
    pack: Pack,
}

type Answer = oneshot::Sender<Result<FrameAnalysis, AnalyseError>>;

struct Frame {
    bytes: Bytes,
    answer: Answer,
    permit: OwnedSemaphorePermit,
}

struct DecodedFrame {
    image: RgbImage,
    decode: Duration,
    answer: Answer,
    /// Held until the answer is given.
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    /// Opens the pack's networks from `folder`, once for each inference thread, and starts the threads.
    pub fn open(
        pack: &Pack,
        folder: &Path,
        runtime: &Runtime,
        config: &PoolConfig,
    ) -> Result<Self, InferenceError> {
        let engines = (0..config.inference_threads.max(1))
            .map(|_| Engine::open(pack, folder, runtime, config.provider))
            .collect::<Result<Vec<_>, _>>()?;
        let report = engines[0].report().clone();
        let (frames, waiting) = crossbeam_channel::unbounded();
        // Decoded images are large: at most one waits for each engine.
        let (decoded, ready) = crossbeam_channel::bounded(engines.len());
        let (done_with, spare) = crossbeam_channel::bounded(engines.len());
        let mut threads = Vec::new();
        for index in 0..config.decode_threads.max(1) {
            let (waiting, spare, decoded) = (waiting.clone(), spare.clone(), decoded.clone());
            let limits = config.limits;
            let work = move || decode_frames(&waiting, &spare, &decoded, limits);
            threads.push(spawn(format!("decode-{index}"), work));
        }
        for (index, engine) in engines.into_iter().enumerate() {
            let (ready, done_with) = (ready.clone(), done_with.clone());
            threads.push(spawn(format!("infer-{index}"), move || analyse_frames(&ready, &done_with, engine)));
        }
        let admission = Arc::new(Semaphore::new(config.max_frames.max(1)));
        Ok(Self { admission, frames: Some(frames), threads, report, pack: pack.clone() })
    }

    /// Analyses an encoded image. Waits for admission when the pool is full.
    pub async fn analyse(&self, bytes: Bytes) -> Result<FrameAnalysis, AnalyseError> {
        let permit = Arc::clone(&self.admission).acquire_owned().await.map_err(|_| AnalyseError::Closed)?;
        let (answer, analysis) = oneshot::channel();
        let frames = self.frames.as_ref().ok_or(AnalyseError::Closed)?;
        frames.send(Frame { bytes, answer, permit }).map_err(|_| AnalyseError::Closed)?;
        analysis.await.map_err(|_| AnalyseError::Closed)?
    }

    /// Where the networks run.
    pub fn report(&self) -> &ProviderReport {
        &self.report
    }

    /// The pack that is open.
    pub fn pack(&self) -> &Pack {
        &self.pack
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.frames = None;
        for thread in self.threads.drain(..) {
            // A worker catches panics; one that died of something else has nothing more to say here.
            let _ = thread.join();
        }
    }
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::Builder::new().name(name).spawn(work).expect("the system can start a thread")
}

fn decode_frames(
    waiting: &Receiver<Frame>,
    spare: &Receiver<Vec<u8>>,
    decoded: &Sender<DecodedFrame>,
    limits: DecodeLimits,
) {
    for Frame { bytes, answer, permit } in waiting {
        let start = Instant::now();
        let memory = spare.try_recv().unwrap_or_default();
        let image = catch_unwind(|| decode::decode_into(memory, &bytes, limits));
        match image {
            Ok(Ok(image)) => {
                let frame = DecodedFrame { image, decode: start.elapsed(), answer, _permit: permit };
                if decoded.send(frame).is_err() {
                    return;
                }
            }
            // Whoever asked may have gone: then nobody misses the answer.
            Ok(Err(error)) => drop(answer.send(Err(error.into()))),
            Err(_) => drop(answer.send(Err(AnalyseError::Panicked))),
        }
    }
}

fn analyse_frames(ready: &Receiver<DecodedFrame>, done_with: &Sender<Vec<u8>>, mut engine: Engine) {
    for DecodedFrame { image, decode, answer, _permit } in ready {
        if answer.is_closed() {
            continue;
        }
        // The engine's buffers are written anew by each run, so a panic half way leaves nothing that matters.
        let result = catch_unwind(AssertUnwindSafe(|| engine.analyse(&image)));
        let result = match result {
            Ok(Ok(mut analysis)) => {
                analysis.timings.decode = decode;
                Ok(analysis)
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(AnalyseError::Panicked),
        };
        drop(answer.send(result));
        let memory = image.into_raw();
        if memory.capacity() <= MAX_SPARE_BYTES {
            // When there is enough to spare already, it goes back to the system.
            drop(done_with.try_send(memory));
        }
    }
}
