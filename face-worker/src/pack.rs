//! Model packs: what a manifest says about a detector, an aligner and an embedder, and where manifests come from.
//! Fetching the files is `models`' work, running them the engine's.

use std::path::Path;

use rollcall_schemas::sighting::Thresholds;
use serde::Deserialize;

use crate::align::Template;

/// The manifests that come with the program.
const EMBEDDED: [&str; 2] = [
    include_str!("../../models/packs/mtcnn-dlib.toml"),
    include_str!("../../models/packs/yunet-mobilefacenet.toml"),
];

/// The pack used where nothing else is configured.
pub const DEFAULT_PACK: &str = "mtcnn-dlib";

/// A model pack: everything the engine needs to know about its networks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Name: letters, digits and dashes. Embeddings of packs with different names are never compared.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// Licences of the weights (SPDX).
    pub licence: String,
    /// The files that make up the pack.
    pub files: Vec<ModelFile>,
    /// Packages from which files are converted.
    #[serde(default)]
    pub packages: Vec<Package>,
    /// Files that people bring, from which others are converted.
    #[serde(default)]
    pub supplied: Vec<Supplied>,
    /// How faces are found.
    pub detector: DetectorSpec,
    /// How a face becomes a vector.
    pub embedder: EmbedderSpec,
    /// Where similarities become decisions.
    #[serde(with = "StrictThresholds")]
    pub thresholds: Thresholds,
    /// Which faces are good enough to be compared.
    pub quality: QualityGate,
    /// What was measured with this pack.
    pub measured: Vec<Measurement>,
}

/// One file of a pack.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// What the engine uses the file for.
    pub role: Role,
    /// File name inside the pack's folder.
    pub name: String,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// For a file that nothing is converted to: where people get it.
    pub upstream: Option<String>,
}

/// What a model file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// First net of a detection cascade.
    Proposal,
    /// Second net of a detection cascade.
    Refinement,
    /// Last net of a detection cascade.
    Output,
    /// A detector of one net.
    Detector,
    /// The embedder.
    Embedder,
}

/// A package of the Python registry, and the converter that makes model files of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Package name.
    pub name: String,
    /// Exact version.
    pub version: String,
    /// Which kind of archive.
    pub form: PackageForm,
    /// SHA-256 of the archive in lower-case hexadecimal.
    pub sha256: String,
    /// Script in `models/convert` that is run as `SCRIPT ARCHIVE FOLDER`.
    pub converter: String,
    /// The files it writes.
    pub yields: Vec<String>,
}

/// A file that lies in no registry, and the converter that makes model files of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supplied {
    /// File name.
    pub name: String,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// Where people get it.
    pub upstream: String,
    /// Script in `models/convert` that is run as `SCRIPT FILE FOLDER`.
    pub converter: String,
    /// The files it writes.
    pub yields: Vec<String>,
}

/// The kinds of archive a Python package comes as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageForm {
    /// A built archive.
    Wheel,
    /// A source archive.
    Sdist,
}

/// What a network expects of its pixels.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Order of the three planes.
    pub colour: ColourOrder,
    /// Subtracted from each plane's values 0 to 255.
    pub mean: [f32; 3],
    /// Divides each plane's values after that.
    pub deviation: [f32; 3],
}

/// Order of colour planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColourOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// How a pack's detector is prepared and its outputs read.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "decoder", rename_all = "snake_case")]
pub enum DetectorSpec {
    /// The three-stage cascade of Zhang et al. 2016.
    Mtcnn(MtcnnSpec),
    /// The anchor-free detector of Wu et al. 2023.
    Yunet(YunetSpec),
}

/// Settings of the three-stage cascade.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MtcnnSpec {
    /// Pixels for all three nets.
    pub input: InputSpec,
    /// Side of the smallest face that the image pyramid reaches.
    pub min_face_px: f32,
    /// Size of one pyramid step to the one before.
    pub pyramid_factor: f32,
    /// Least score after the proposal, refinement and output net.
    pub min_scores: [f32; 3],
}

/// Settings of the single-net anchor-free detector.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct YunetSpec {
    /// Pixels.
    pub input: InputSpec,
    /// Images are shrunk to this longest side before detection.
    pub max_side_px: u32,
    /// Least score of a face.
    pub min_score: f32,
    /// Boxes overlapping more than this (intersection over union) are one face.
    pub max_overlap: f32,
}

/// How a pack's embedder is fed and read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedderSpec {
    /// Pixels.
    pub input: InputSpec,
    /// Where the landmarks are put, and the chip's size.
    pub template: Template,
    /// Length of the embedding.
    pub dimension: usize,
    /// Whether the mirrored chip's output is added before normalising.
    pub flip: bool,
    /// Most chips in one run; 1 for a network of fixed batch.
    pub max_batch: usize,
}

/// The contract's type as a manifest has it: there, an unknown key is a mistake.
#[derive(Deserialize)]
#[serde(remote = "Thresholds", deny_unknown_fields)]
struct StrictThresholds {
    uncertain: f32,
    confident: f32,
    certain: f32,
}

/// Limits below or beyond which a face is not compared.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QualityGate {
    /// Shorter side of the face box in image pixels.
    pub min_face_px: f32,
    /// Detector score.
    pub min_score: f32,
    /// Variance of the Laplacian on the aligned chip's grey values.
    pub min_sharpness: f32,
    /// Degrees to either side.
    pub max_yaw_deg: f32,
    /// Degrees up or down.
    pub max_pitch_deg: f32,
}

/// One measured figure.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// What was measured, on what.
    pub what: String,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: String,
}

/// Why there is no such pack.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A manifest that does not follow the format.
    #[error("the pack manifest {origin} is not valid: {reason}")]
    Invalid {
        /// Where the manifest came from.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder of further manifests cannot be read.
    #[error("the manifest folder {folder} cannot be read: {cause}")]
    Folder {
        /// The folder.
        folder: String,
        /// The system's reason.
        cause: std::io::Error,
    },
    /// No manifest has this name.
    #[error("there is no model pack named {name}; known packs: {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
}

impl Pack {
    /// Reads one manifest; `origin` names it in errors.
    pub fn parse(text: &str, origin: &str) -> Result<Self, PackError> {
        let invalid = |reason: String| PackError::Invalid { origin: origin.to_owned(), reason };
        let pack: Self = toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
        pack.check().map_err(invalid)?;
        Ok(pack)
    }

    /// The file with this role.
    pub fn file(&self, role: Role) -> Option<&ModelFile> {
        self.files.iter().find(|file| file.role == role)
    }

    fn is_converted(&self, file: &String) -> bool {
        self.packages.iter().any(|package| package.yields.contains(file))
            || self.supplied.iter().any(|supplied| supplied.yields.contains(file))
    }

    fn check(&self) -> Result<(), String> {
        let plain = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if !plain(&self.name) || self.name.contains('.') {
            return Err("a pack's name is made of letters, digits and dashes".to_owned());
        }
        let needed: &[Role] = match self.detector {
            DetectorSpec::Mtcnn(_) => &[Role::Proposal, Role::Refinement, Role::Output, Role::Embedder],
            DetectorSpec::Yunet(_) => &[Role::Detector, Role::Embedder],
        };
        if let Some(role) = needed.iter().find(|&&role| self.file(role).is_none()) {
            return Err(format!("no file has the role {role:?}"));
        }
        let supplied = self.supplied.iter().map(|file| &file.name);
        if let Some(name) = self
            .files
            .iter()
            .map(|file| &file.name)
            .chain(supplied)
            .find(|name| !plain(name) || name.starts_with('.'))
        {
            return Err(format!("{name:?} is no plain file name"));
        }
        for file in &self.files {
            if self.is_converted(&file.name) == file.upstream.is_some() {
                return Err(format!("{} needs either a source that yields it or an upstream", file.name));
            }
        }
        let Thresholds { uncertain, confident, certain } = self.thresholds;
        if uncertain > confident || confident > certain {
            return Err("the thresholds must rise: uncertain, confident, certain".to_owned());
        }
        if self.embedder.dimension == 0 || self.embedder.max_batch == 0 {
            return Err("dimension and max_batch are at least 1".to_owned());
        }
        Ok(())
    }
}

/// The embedded packs, and those of `folder` (every `*.toml` in it), which may replace an embedded one of the same name.
pub fn packs(folder: Option<&Path>) -> Result<Vec<Pack>, PackError> {
    let mut packs = Vec::new();
    for text in EMBEDDED {
        packs.push(Pack::parse(text, "inside the program")?);
    }
    let Some(folder) = folder else { return Ok(packs) };
    let unreadable = |cause| PackError::Folder { folder: folder.display().to_string(), cause };
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(unreadable)?;
        let pack = Pack::parse(&text, &path.display().to_string())?;
        packs.retain(|known| known.name != pack.name);
        packs.push(pack);
    }
    packs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packs)
}

/// The pack of this name, embedded or from `folder`.
pub fn find_pack(name: &str, folder: Option<&Path>) -> Result<Pack, PackError> {
    let mut packs = packs(folder)?;
    match packs.iter().position(|pack| pack.name == name) {
        Some(at) => Ok(packs.swap_remove(at)),
        None => {
            let known: Vec<_> = packs.iter().map(|pack| pack.name.as_str()).collect();
            Err(PackError::Unknown { name: name.to_owned(), known: known.join(", ") })
        }
    }
}
