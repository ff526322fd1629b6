//! Files by their hash: checking, and putting them in place so that no reader ever sees half of one.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::ModelsError;

/// Whether the file is there and has this SHA-256.
pub(super) fn verify(path: &Path, sha256: &str) -> Result<(), ModelsError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            return Err(ModelsError::Missing { path: path.to_owned() });
        }
        Err(cause) => return Err(at(path)(cause)),
    };
    let mut hasher = Sha256::new();
    io::copy(&mut file, &mut hasher).map_err(at(path))?;
    let found = hex::encode(hasher.finalize());
    if found == sha256 {
        return Ok(());
    }
    Err(ModelsError::WrongHash { path: path.to_owned(), expected: sha256.to_owned(), found })
}

/// Moves a verified file to its place, which is on the same file system.
pub(super) fn place(from: &Path, to: &Path) -> Result<(), ModelsError> {
    fs::rename(from, to).map_err(at(to))
}

/// Makes a folder and those above it.
pub(super) fn make_dir(path: &Path) -> Result<(), ModelsError> {
    fs::create_dir_all(path).map_err(at(path))
}

/// Names the file or folder in a system error.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> ModelsError {
    let path = path.to_owned();
    move |cause| ModelsError::Io { path, cause }
}
