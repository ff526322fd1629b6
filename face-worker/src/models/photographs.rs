//! The public photographs that the demonstration and the tests work with. Fetched by package name, never committed.

use std::path::{Path, PathBuf};

use super::fetch::{Archive, Fetcher};
use super::{ModelsError, files};
use crate::pack::PackageForm;

const SDIST: Archive<'static> = Archive {
    name: "face_recognition",
    version: "1.3.0",
    form: PackageForm::Sdist,
    sha256: "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec",
    options: &[],
};
const INSIDE: &str = "face_recognition-1.3.0/tests/test_images/";

/// File names and hashes.
const PHOTOGRAPHS: [(&str, &str); 6] = [
    ("biden.jpg", "3c17508bb91554c637a2eabddfae790e5bb1caba93130814fc2ac50be9760c4c"),
    ("obama.jpg", "0930e3aa8cae5920329c0c8cbc6a2ab70f47b0e67b432875beaa95cbf7e741f6"),
    ("obama2.jpg", "a7efcc907375274796f39646510704aa86672d59f6d5469d69af3c85590976a6"),
    ("obama3.jpg", "76ac6bf97c36dc2da0ad16a537d6a5ac1b10f48d49aac29a0cca9a17cdbc3ca3"),
    ("obama_partial_face.jpg", "c2d1f09e7ef3042352b41e41286e6eb0522f64f88308be13886991b95db52117"),
    ("obama_partial_face2.jpg", "9a812347f97633542b8cd9992de22def11b74f79d82056bc3ee830f13878e028"),
];

/// Photographs of two people: three to enrol the first with, a fourth of the same person, and a stranger.
#[derive(Debug, Clone)]
pub struct Photographs {
    folder: PathBuf,
}

impl Photographs {
    /// The folder that holds the files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Three photographs of one person, for enrolment.
    pub fn enrolment(&self) -> [PathBuf; 3] {
        ["obama.jpg", "obama2.jpg", "obama_partial_face2.jpg"].map(|name| self.folder.join(name))
    }

    /// Another photograph of the same person.
    pub fn unseen(&self) -> PathBuf {
        self.folder.join("obama3.jpg")
    }

    /// Somebody else.
    pub fn stranger(&self) -> PathBuf {
        self.folder.join("biden.jpg")
    }
}

pub(super) fn fetch(fetcher: &mut Fetcher<'_>, root: &Path) -> Result<Photographs, ModelsError> {
    let folder = root.join("photographs");
    if complete(&folder).is_err() {
        let sdist = fetcher.archive(&SDIST)?;
        let output = fetcher.run_script("unpack.py", &sdist, &[INSIDE])?;
        files::make_dir(&folder)?;
        for (name, sha256) in PHOTOGRAPHS {
            files::verify(&output.join(name), sha256)?;
            files::place(&output.join(name), &folder.join(name))?;
        }
    }
    complete(&folder)?;
    Ok(Photographs { folder })
}

fn complete(folder: &Path) -> Result<(), ModelsError> {
    PHOTOGRAPHS.iter().try_for_each(|(name, sha256)| files::verify(&folder.join(name), sha256))
}
