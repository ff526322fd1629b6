//! The local file of a feed: what it knew when it was last written, so that a restart reads only what is new and a
//! process can start with the broker's feed far behind it.
//!
//! The file may hold face templates: only its owner can read it, and it is replaced in one step.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use std::{fs::File, io, path::Path};

/// What a feed knew.
#[derive(Serialize, Deserialize)]
pub(crate) struct Snapshot<T> {
    /// The name of the stream on the broker.
    pub(crate) stream: String,
    /// The filter, if it was not the whole stream.
    pub(crate) filter: Option<String>,
    /// Which stream of that name: its sequences mean nothing to another.
    pub(crate) created_at: DateTime<Utc>,
    /// The last sequence that the entries include.
    pub(crate) sequence: u64,
    /// The entries, tombstones included.
    pub(crate) entries: Vec<T>,
}

impl<T: Serialize> Snapshot<T> {
    /// Writes the file. Blocks.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        // Created with mode 0600.
        let file = tempfile::NamedTempFile::new_in(folder)?;
        let mut writer = io::BufWriter::new(file);
        serde_json::to_writer(&mut writer, self)?;
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }
}

impl<T: for<'de> Deserialize<'de>> Snapshot<T> {
    /// Reads the file. `None` when there is none that is of use; the feed then reads everything.
    pub(crate) fn load(path: &Path, stream: &str, filter: Option<&str>) -> Option<Self> {
        let file = File::open(path).ok()?;
        match serde_json::from_reader::<_, Self>(io::BufReader::new(file)) {
            Ok(snapshot) if snapshot.stream == stream && snapshot.filter.as_deref() == filter => {
                Some(snapshot)
            }
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), reason = reason(&error), "snapshot not usable; reading the whole feed");
                None
            }
        }
    }
}

/// Why a file is not readable, without quoting it: a parser's message can hold a piece of a template.
fn reason(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        Category::Io => "it cannot be read",
        Category::Syntax => "it is not JSON",
        Category::Data => "it is of another version",
        Category::Eof => "it is cut off",
    }
}
