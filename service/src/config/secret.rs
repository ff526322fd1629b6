//! Text that must not be seen.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};
use std::{
    borrow::Cow,
    fmt, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Shorter ones can be guessed.
const MIN_CHARS: usize = 16;
/// Fewer different characters are a pattern.
const MIN_DIFFERENT: usize = 6;
/// What stands in examples, in lower case.
const USUAL: [&str; 5] = ["password", "changeme", "secret", "123456", "abcdef"];

/// A password, key or connection string. Neither `Debug` nor serialisation shows it.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for whoever must use it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Why somebody might guess it; `None` when it is strong.
    pub fn weakness(&self) -> Option<&'static str> {
        let lower = self.0.to_lowercase();
        let mut different: Vec<_> = self.0.chars().collect();
        different.sort_unstable();
        different.dedup();
        if self.0.chars().count() < MIN_CHARS {
            Some("shorter than 16 characters")
        } else if different.len() < MIN_DIFFERENT {
            Some("made of a few characters only")
        } else if USUAL.iter().any(|usual| lower.contains(usual)) {
            Some("one of the usual examples")
        } else {
            None
        }
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }
}

/// Why a file with a private key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// It cannot be read.
    #[error("the key file {0} cannot be read")]
    Unreadable(PathBuf, #[source] io::Error),
    /// Others can read it.
    #[error("the key file {0} can be read by everybody: chmod 600 it")]
    Open(PathBuf),
}

/// Reads a private key that nobody else may read.
///
/// # Errors
/// When it cannot be read, or everybody can.
pub fn read_private(file: &Path) -> Result<Secret, PrivateFileError> {
    let unreadable = |error| PrivateFileError::Unreadable(file.to_owned(), error);
    let mode = fs::metadata(file).map_err(unreadable)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(PrivateFileError::Open(file.to_owned()));
    }
    fs::read_to_string(file).map(Secret).map_err(unreadable)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("<secret>")
    }
}
