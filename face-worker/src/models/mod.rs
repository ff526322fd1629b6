//! Model files on disk: where they lie, whether they are the pinned ones, and fetching what is missing. What a pack
//! consists of is stated by its manifest (`pack`); running it is the engine's work.

mod fetch;
mod files;
mod photographs;
mod runtime;

use std::io;
use std::path::{Path, PathBuf};

use crate::pack::{ModelFile, Pack};

pub use fetch::{Fetcher, Progress};
pub use photographs::Photographs;

/// Why model files are not there.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// A file is missing.
    #[error("{path} is missing; `rollcall models pull` fetches it")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file's contents are not the pinned ones.
    #[error("{path} is not the file that the manifest pins: its SHA-256 is {found}, not {expected}")]
    WrongHash {
        /// The file.
        path: PathBuf,
        /// What the manifest pins.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// A file of a pack lies in no package; it must be supplied.
    #[error(
        "{file} lies in no package registry: get it from {upstream} and name its folder (`rollcall models pull --from FOLDER`)"
    )]
    NotInRegistry {
        /// File name.
        file: String,
        /// Where people get it.
        upstream: String,
    },
    /// A manifest names a converter that this program does not carry.
    #[error("the manifest names the converter {converter}, which this program does not have")]
    UnknownConverter {
        /// The converter.
        converter: String,
    },
    /// No Python.
    #[error(
        "python3 cannot be started ({cause}); converting models needs Python 3.11 or later: apt-get install python3 python3-venv"
    )]
    NoPython {
        /// The system's reason.
        cause: io::Error,
    },
    /// Python without the module for virtual environments.
    #[error("python3 cannot make a virtual environment: apt-get install python3-venv\n{output}")]
    NoVenv {
        /// What Python said.
        output: String,
    },
    /// A package could not be fetched.
    #[error(
        "the package {package} could not be fetched from the Python registry; is the network there, and pip's index set as it must be here?\n{output}"
    )]
    NotFetched {
        /// Package and version.
        package: String,
        /// What pip said.
        output: String,
    },
    /// A converter failed.
    #[error("{script} failed\n{output}")]
    ConverterFailed {
        /// The script.
        script: String,
        /// What it said.
        output: String,
    },
    /// The folder cannot be read or written.
    #[error("{path}: {cause}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        cause: io::Error,
    },
}

/// `$XDG_CACHE_HOME/rollcall`, or `~/.cache/rollcall`, or `rollcall-models` in the working folder where there is no home.
pub fn default_models_dir() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map_or_else(|| PathBuf::from("rollcall-models"), |cache| cache.join("rollcall"))
}

/// A folder with model packs and ONNX Runtime.
#[derive(Debug, Clone)]
pub struct ModelsDir {
    root: PathBuf,
}

/// Whether a pack can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackState {
    /// All files are there and are the pinned ones.
    Ready,
    /// A file is missing.
    Missing(String),
    /// A file is not the pinned one.
    Altered(String),
}

impl ModelsDir {
    /// The folder; it need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The folder of a pack's files.
    pub fn pack_dir(&self, pack: &Pack) -> PathBuf {
        self.root.join(&pack.name)
    }

    /// Checks every file of the pack against its hash and returns the pack's folder.
    pub fn verify(&self, pack: &Pack) -> Result<PathBuf, ModelsError> {
        let folder = self.pack_dir(pack);
        for ModelFile { name, sha256, .. } in &pack.files {
            files::verify(&folder.join(name), sha256)?;
        }
        Ok(folder)
    }

    /// Whether a pack can be used, for lists.
    pub fn state(&self, pack: &Pack) -> PackState {
        match self.verify(pack) {
            Ok(_) => PackState::Ready,
            Err(ModelsError::WrongHash { path, .. }) => PackState::Altered(path.display().to_string()),
            Err(error) => PackState::Missing(error.to_string()),
        }
    }

    /// The library of ONNX Runtime, checked against its hash.
    pub fn runtime_library(&self) -> Result<PathBuf, ModelsError> {
        runtime::verify(&self.root)
    }
}
