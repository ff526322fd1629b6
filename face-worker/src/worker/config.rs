//! The settings of the face worker.

use crate::{
    gallery::IndexKind,
    models::{self, ModelsDir, ModelsError},
    pack::{self, Pack, PackError},
    session::Provider,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{num::NonZeroUsize, path::PathBuf, thread::available_parallelism};

/// Which networks look at frames, where, and how many at once.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FaceConfig {
    /// The active model pack; `rollcall models list` names them.
    pub pack: String,
    /// A folder of further pack manifests.
    pub packs_dir: Option<PathBuf>,
    /// Where weights and ONNX Runtime are kept; the user's cache folder when absent.
    pub models_dir: Option<PathBuf>,
    /// ONNX Runtime's shared library, such as a build for GPUs; the pinned build that `rollcall models pull` fetches when
    /// absent.
    pub onnxruntime: Option<PathBuf>,
    /// Where networks run: `cpu`, `cuda` or `tensorrt`. What does not work falls back, and `rollcall doctor` says so.
    pub provider: Provider,
    /// Engines, each on a thread of its own; one per core when absent.
    pub inference_threads: Option<NonZeroUsize>,
    /// How faces are searched: `exact`, or an index that trades memory and time for recall on large galleries.
    pub index: IndexKind,
    /// How many candidates a face is published with.
    pub candidates: usize,
}

impl Default for FaceConfig {
    fn default() -> Self {
        Self {
            pack: pack::DEFAULT_PACK.into(),
            packs_dir: None,
            models_dir: None,
            onnxruntime: None,
            provider: Provider::Cpu,
            inference_threads: None,
            index: IndexKind::Exact,
            candidates: 5,
        }
    }
}

impl FaceConfig {
    /// The manifest of the active pack.
    ///
    /// # Errors
    /// When there is none of that name, or a manifest cannot be read.
    pub fn pack(&self) -> Result<Pack, PackError> {
        pack::find_pack(&self.pack, self.packs_dir.as_deref())
    }

    /// Where weights and ONNX Runtime are kept.
    pub fn models_dir(&self) -> ModelsDir {
        ModelsDir::new(self.models_dir.clone().unwrap_or_else(models::default_models_dir))
    }

    /// ONNX Runtime's shared library. The pinned build is checked against its hash, one's own build is not.
    ///
    /// # Errors
    /// When the pinned build is wanted and is not there, or altered.
    pub fn runtime_library(&self) -> Result<PathBuf, ModelsError> {
        self.onnxruntime.clone().map_or_else(|| self.models_dir().runtime_library(), Ok)
    }

    /// Engines.
    pub fn inference_threads(&self) -> usize {
        self.inference_threads.or_else(|| available_parallelism().ok()).map_or(1, NonZeroUsize::get)
    }

    /// Frames in work at once: enough that no engine waits for the log.
    pub fn max_frames(&self) -> usize {
        4 * self.inference_threads()
    }
}
