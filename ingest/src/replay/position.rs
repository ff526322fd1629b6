//! Where a replay has got to, in a file that is replaced in one step. It lives as long as there is something left.

use rollcall_service::clock::Entropy;
use serde::{Deserialize, Serialize};
use std::{
    io,
    path::{Path, PathBuf},
};
use uuid::Uuid;

/// The last thing of a source that was dealt with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The file of that name, in a folder read by name.
    File(String),
    /// The frame of that number in a video, from 0.
    Frame(u64),
    /// The message of that sequence in FRAMES.
    Sequence(u64),
}

/// One replay, from its first run to its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Job {
    /// Makes its messages its own.
    pub(super) id: Uuid,
    /// What is replayed: a file cannot be used for something else.
    pub(super) source: String,
    pub(super) mark: Option<Mark>,
    pub(super) published: u64,
    pub(super) refused: u64,
}

/// Why a position file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// It cannot be read or written.
    #[error("the position file {path} cannot be used")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It holds something else.
    #[error("{path} is no position of a replay; name another file, or remove it")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// It belongs to another replay.
    #[error("{path} is the position of another replay ({other}); name another file, or remove it")]
    OfAnother {
        /// Which.
        path: PathBuf,
        /// What it belongs to.
        other: String,
    },
}

/// The position file of a running replay.
pub(super) struct PositionFile {
    path: PathBuf,
    job: Job,
}

impl PositionFile {
    /// Takes up the job in the file, or begins a new one.
    pub(super) fn open(path: PathBuf, source: String, entropy: &Entropy) -> Result<Self, PositionError> {
        match std::fs::read(&path) {
            Ok(bytes) => {
                let job: Job = serde_json::from_slice(&bytes)
                    .map_err(|source| PositionError::Unreadable { path: path.clone(), source })?;
                if job.source != source {
                    return Err(PositionError::OfAnother { path, other: job.source });
                }
                Ok(Self { path, job })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let job = Job { id: entropy.uuid_v4(), source, mark: None, published: 0, refused: 0 };
                let position = Self { path, job };
                // Kept before the first frame: a job that is killed at once still has its id.
                position.save()?;
                Ok(position)
            }
            Err(source) => Err(PositionError::Io { path, source }),
        }
    }

    pub(super) fn job(&self) -> &Job {
        &self.job
    }

    /// Everything up to `mark` is dealt with.
    pub(super) fn reached(&mut self, mark: Mark, published: u64, refused: u64) {
        (self.job.mark, self.job.published, self.job.refused) = (Some(mark), published, refused);
    }

    pub(super) fn save(&self) -> Result<(), PositionError> {
        let write = || {
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder)?;
            let file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer(&file, &self.job)?;
            file.persist(&self.path)?;
            Ok(())
        };
        write().map_err(|source| PositionError::Io { path: self.path.clone(), source })
    }

    /// The end is reached.
    pub(super) fn remove(self) -> Result<(), PositionError> {
        std::fs::remove_file(&self.path).map_err(|source| PositionError::Io { path: self.path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_taken_up_where_it_was_and_only_by_its_own_source() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/position.json");
        let entropy = Entropy::seeded(1);
        let mut first = PositionFile::open(path.clone(), "folder a".into(), &entropy).unwrap();
        first.reached(Mark::File("1.jpg".into()), 1, 0);
        first.save().unwrap();
        let again = PositionFile::open(path.clone(), "folder a".into(), &entropy).unwrap();
        assert_eq!((again.job.id, &again.job.mark), (first.job.id, &Some(Mark::File("1.jpg".into()))));
        let other = PositionFile::open(path.clone(), "folder b".into(), &entropy);
        assert!(matches!(other, Err(PositionError::OfAnother { .. })));
        again.remove().unwrap();
        let fresh = PositionFile::open(path, "folder b".into(), &entropy).unwrap();
        assert_ne!(fresh.job.id, first.job.id);
    }

    #[test]
    fn a_file_of_something_else_is_left_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "notes").unwrap();
        let opened = PositionFile::open(file.path().into(), "folder a".into(), &Entropy::seeded(1));
        assert!(matches!(opened, Err(PositionError::Unreadable { .. })));
        assert_eq!(std::fs::read(file.path()).unwrap(), b"notes");
    }
}
