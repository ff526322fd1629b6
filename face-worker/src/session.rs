//! Networks in ONNX Runtime: loading the library, opening a network on an execution provider, running it. Which
//! networks there are and what their numbers mean is not known here.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::ep::{CUDA, ExecutionProviderDispatch, TensorRT};
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::TensorRef;
use serde::{Deserialize, Serialize};

use crate::assignment;

/// Where networks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// The processor; always there.
    #[default]
    Cpu,
    /// An NVIDIA GPU through CUDA.
    Cuda,
    /// An NVIDIA GPU through TensorRT.
    Tensorrt,
}

impl Provider {
    /// This provider and what is tried when it does not work.
    pub fn with_fallbacks(self) -> &'static [Self] {
        match self {
            Self::Cpu => &[Self::Cpu],
            Self::Cuda => &[Self::Cuda, Self::Cpu],
            Self::Tensorrt => &[Self::Tensorrt, Self::Cuda, Self::Cpu],
        }
    }

    fn dispatch(self) -> Vec<ExecutionProviderDispatch> {
        match self {
            Self::Cpu => Vec::new(),
            Self::Cuda => vec![CUDA::default().build().error_on_failure()],
            Self::Tensorrt => {
                // What TensorRT cannot run goes to CUDA before it goes to the processor.
                vec![
                    TensorRT::default().build().error_on_failure(),
                    CUDA::default().build().error_on_failure(),
                ]
            }
        }
    }
}

/// Why a network could not be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum InferenceError {
    /// The shared library does not load. Debug output, because the system's reason is not in the display text.
    #[error("ONNX Runtime cannot be loaded from {path}: {reason}")]
    Library {
        /// The file.
        path: PathBuf,
        /// The loader's words.
        reason: String,
    },
    /// Another library file was loaded before; a process has one.
    #[error("ONNX Runtime is already loaded from {loaded}")]
    AlreadyLoaded {
        /// The file that is in use.
        loaded: PathBuf,
    },
    /// ONNX Runtime refused a network or a run.
    #[error("ONNX Runtime: {0}")]
    Runtime(#[from] ort::Error),
    /// A network's output is not what its decoder reads.
    #[error("the network's output {output} has the shape {shape:?}, which its decoder does not know")]
    Output {
        /// Output name.
        output: String,
        /// Its shape.
        shape: Vec<i64>,
    },
    /// An embedding that is zero, or no number, points nowhere.
    #[error("the network's embedding has no direction")]
    NoDirection,
}

/// An option that the library refused; the half-made builder that such an error carries is of no use.
impl From<ort::Error<SessionBuilder>> for InferenceError {
    fn from(error: ort::Error<SessionBuilder>) -> Self {
        Self::Runtime(ort::Error::new(error.message()))
    }
}

/// One batch of planes for a network: `shape` is count, channels, height, width.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch<'a> {
    /// Count, channels, height, width.
    pub shape: [usize; 4],
    /// The values, as many as the shape says.
    pub values: &'a [f32],
}

/// One output of a network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output<'a> {
    /// Its shape.
    pub shape: &'a [i64],
    /// Its values in row-major order.
    pub values: &'a [f32],
}

/// Reads the outputs of one run, in the order in which their names were given when the network was opened.
pub(crate) type Reader<'r> = &'r mut dyn FnMut(&[Output<'_>]);

/// A loaded network: the one thing that the engine asks of an inference library.
pub(crate) trait Network: Send {
    /// Runs the network and lets `read` see its outputs before their memory is reused.
    fn run(&mut self, input: Batch<'_>, read: Reader<'_>) -> Result<(), InferenceError>;

    /// How many of its nodes each execution provider really runs.
    fn assignment(&self) -> Vec<(String, usize)>;
}

/// The loaded library. A process has one; clones share it.
#[derive(Debug, Clone)]
pub struct Runtime {
    environment: Environment,
}

impl Runtime {
    /// Loads `library`, or hands out what was loaded from the same file before.
    pub fn load(library: &Path) -> Result<Self, InferenceError> {
        static LOADED: OnceLock<(PathBuf, Environment)> = OnceLock::new();
        static LOADING: parking_lot::Mutex<()> = parking_lot::Mutex::new(());
        let _one_at_a_time = LOADING.lock();
        if let Some((path, environment)) = LOADED.get() {
            if path != library {
                return Err(InferenceError::AlreadyLoaded { loaded: path.clone() });
            }
            return Ok(Self { environment: environment.clone() });
        }
        let environment = ort::init_from(library)
            .map_err(|reason| InferenceError::Library {
                path: library.to_owned(),
                reason: format!("{reason:?}"),
            })?
            .with_name("rollcall")
            .with_telemetry(false)
            .build()?;
        let (_, environment) = LOADED.get_or_init(|| (library.to_owned(), environment));
        Ok(Self { environment: environment.clone() })
    }

    /// Opens the network in `file` on `provider`. `outputs` are those that runs will read, in their order; none named
    /// means all, in the network's order.
    pub(crate) fn open(
        &self,
        file: &Path,
        provider: Provider,
        outputs: &[&str],
    ) -> Result<Box<dyn Network>, InferenceError> {
        let mut builder = self.builder()?;
        for dispatch in provider.dispatch() {
            dispatch.register(&mut builder)?;
        }
        let session = builder.commit_from_file(file)?;
        let outputs = match outputs {
            [] => session.outputs().iter().map(|output| output.name().to_owned()).collect(),
            names => names.iter().map(|&name| name.to_owned()).collect(),
        };
        Ok(Box::new(OrtNetwork { session, outputs }))
    }

    /// One thread and no spinning: a process runs several sessions, one for each core. Memory patterns are off because
    /// they hold only for one input shape, and ours change from run to run.
    fn builder(&self) -> Result<SessionBuilder, InferenceError> {
        let (record, on) = assignment::RECORD;
        Ok(SessionBuilder::new(&self.environment)?
            .with_config_entry(record, on)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .with_memory_pattern(false)?)
    }
}

struct OrtNetwork {
    session: Session,
    outputs: Vec<String>,
}

impl Network for OrtNetwork {
    fn run(&mut self, input: Batch<'_>, read: Reader<'_>) -> Result<(), InferenceError> {
        let tensor = TensorRef::from_array_view((input.shape, input.values))?;
        let results = self.session.run(ort::inputs![tensor])?;
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for name in &self.outputs {
            let value = results
                .get(name)
                .ok_or_else(|| InferenceError::Output { output: name.clone(), shape: vec![] })?;
            let (shape, values) = value.try_extract_tensor::<f32>()?;
            outputs.push(Output { shape, values });
        }
        read(&outputs);
        Ok(())
    }

    fn assignment(&self) -> Vec<(String, usize)> {
        assignment::read(&self.session)
    }
}
