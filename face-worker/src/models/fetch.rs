//! Fetching by package name and pinned hash: a throw-away Python environment, pip, our converters. Registries are
//! named by pip's own configuration, never here.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{ModelsDir, ModelsError, files, photographs, runtime};
use crate::pack::{Pack, Package, PackageForm, Supplied};

/// The converters and what they need, as they are in `models/convert`.
const SCRIPTS: [(&str, &str); 6] = [
    ("requirements.txt", include_str!("../../../models/convert/requirements.txt")),
    ("graph.py", include_str!("../../../models/convert/graph.py")),
    ("mtcnn.py", include_str!("../../../models/convert/mtcnn.py")),
    ("dlib_resnet.py", include_str!("../../../models/convert/dlib_resnet.py")),
    ("dynamic_batch.py", include_str!("../../../models/convert/dynamic_batch.py")),
    ("unpack.py", include_str!("../../../models/convert/unpack.py")),
];

/// Says what is being done, for progress displays.
pub type Progress<'p> = &'p dyn Fn(&str);

/// Fetches what a models folder misses. One process at a time works on a folder; others wait for it.
pub struct Fetcher<'p> {
    root: PathBuf,
    progress: Progress<'p>,
    workshop: Option<Workshop>,
    /// Locked as long as the fetcher lives.
    _lock: File,
}

/// A temporary Python environment with the converters, and room for what they write.
pub(super) struct Workshop {
    folder: TempDir,
}

/// An archive of the Python registry, pinned.
pub(super) struct Archive<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) form: PackageForm,
    pub(super) sha256: &'a str,
    /// Further arguments for pip, such as the platform.
    pub(super) options: &'a [&'a str],
}

impl<'p> Fetcher<'p> {
    /// Waits until no other process fetches into the folder.
    pub fn new(models: &ModelsDir, progress: Progress<'p>) -> Result<Self, ModelsError> {
        let root = models.path().to_owned();
        files::make_dir(&root)?;
        let path = root.join(".lock");
        let lock = File::create(&path).map_err(files::at(&path))?;
        lock.lock().map_err(files::at(&path))?;
        Ok(Self { root, progress, workshop: None, _lock: lock })
    }

    /// Makes the pack usable and returns its folder. What no package yields is taken from `supplied`. Where
    /// everything is in place already, only hashes are computed.
    pub fn pack(&mut self, pack: &Pack, supplied: Option<&Path>) -> Result<PathBuf, ModelsError> {
        let models = ModelsDir::new(&self.root);
        if let Ok(folder) = models.verify(pack) {
            return Ok(folder);
        }
        let folder = models.pack_dir(pack);
        files::make_dir(&folder)?;
        for file in &pack.files {
            let Some(upstream) = &file.upstream else { continue };
            let source = brought(supplied, &file.name, upstream, &file.sha256)?;
            let copy = folder.join(format!(".{}.part", file.name));
            fs::copy(&source, &copy).map_err(files::at(&source))?;
            files::place(&copy, &folder.join(&file.name))?;
        }
        for Supplied { name, sha256, upstream, converter, yields } in &pack.supplied {
            let source = brought(supplied, name, upstream, sha256)?;
            self.say(&format!("converting {name}"));
            self.convert(&source, converter, yields, pack)?;
        }
        for Package { name, version, form, sha256, converter, yields } in &pack.packages {
            let archive = self.archive(&Archive { name, version, form: *form, sha256, options: &[] })?;
            self.say(&format!("converting {name} {version}"));
            self.convert(&archive, converter, yields, pack)?;
        }
        models.verify(pack)
    }

    /// Makes ONNX Runtime usable and returns the library's path.
    pub fn runtime(&mut self) -> Result<PathBuf, ModelsError> {
        if let Ok(library) = runtime::verify(&self.root) {
            return Ok(library);
        }
        let root = self.root.clone();
        runtime::fetch(self, &root)
    }

    /// Fetches the photographs that the demonstration and the tests use, into `photographs` below the folder.
    pub fn photographs(&mut self) -> Result<photographs::Photographs, ModelsError> {
        let root = self.root.clone();
        photographs::fetch(self, &root)
    }

    /// Makes those files of the pack that `converter` yields from `source`.
    fn convert(
        &mut self,
        source: &Path,
        converter: &str,
        yields: &[String],
        pack: &Pack,
    ) -> Result<(), ModelsError> {
        if !SCRIPTS.iter().any(|(name, _)| *name == converter) {
            return Err(ModelsError::UnknownConverter { converter: converter.to_owned() });
        }
        let folder = ModelsDir::new(&self.root).pack_dir(pack);
        let output = self.run_script(converter, source, &[])?;
        for file in pack.files.iter().filter(|file| yields.contains(&file.name)) {
            let made = output.join(&file.name);
            files::verify(&made, &file.sha256)?;
            files::place(&made, &folder.join(&file.name))?;
        }
        Ok(())
    }

    pub(super) fn say(&self, what: &str) {
        (self.progress)(what);
    }

    /// Downloads an archive with pip and checks its hash; its path lives as long as the fetcher.
    pub(super) fn archive(&mut self, archive: &Archive<'_>) -> Result<PathBuf, ModelsError> {
        self.workshop()?;
        self.say(&format!("fetching {} {}", archive.name, archive.version));
        self.workshop()?.download(archive)
    }

    /// Runs `SCRIPT ARCHIVE FOLDER ARGUMENTS...` and returns the folder, which lies on the models folder's file system.
    pub(super) fn run_script(
        &mut self,
        script: &str,
        archive: &Path,
        arguments: &[&str],
    ) -> Result<PathBuf, ModelsError> {
        self.workshop()?.run_script(script, archive, arguments)
    }

    fn workshop(&mut self) -> Result<&Workshop, ModelsError> {
        if self.workshop.is_none() {
            (self.progress)("preparing the converters' Python environment");
            self.workshop = Some(Workshop::open(&self.root)?);
        }
        Ok(self.workshop.as_ref().expect("it was opened just now"))
    }
}

impl Workshop {
    fn open(root: &Path) -> Result<Self, ModelsError> {
        let folder =
            tempfile::Builder::new().prefix(".workshop-").tempdir_in(root).map_err(files::at(root))?;
        for (name, text) in SCRIPTS {
            let path = folder.path().join(name);
            fs::write(&path, text).map_err(files::at(&path))?;
        }
        let workshop = Self { folder };
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv"]).arg(workshop.path("venv"));
        let made = venv.output().map_err(|cause| ModelsError::NoPython { cause })?;
        if !made.status.success() {
            return Err(ModelsError::NoVenv { output: said(&made) });
        }
        let mut install = workshop.pip("install");
        install.args(["--only-binary=:all:", "--requirement"]).arg(workshop.path("requirements.txt"));
        let installed = install.output().map_err(|cause| ModelsError::NoPython { cause })?;
        if !installed.status.success() {
            return Err(ModelsError::NotFetched {
                package: "numpy, onnx and lz4".to_owned(),
                output: said(&installed),
            });
        }
        Ok(workshop)
    }

    fn download(&self, archive: &Archive<'_>) -> Result<PathBuf, ModelsError> {
        let Archive { name, version, sha256, .. } = archive;
        let folder = self.path("archives").join(name);
        files::make_dir(&folder)?;
        // pip checks the hash before it looks into an archive; a source archive's own code runs only after that.
        let requirement = self.path("requirement.txt");
        fs::write(&requirement, format!("{name}=={version} --hash=sha256:{sha256}\n"))
            .map_err(files::at(&requirement))?;
        let form: &[&str] = match archive.form {
            PackageForm::Wheel => &["--only-binary=:all:"],
            PackageForm::Sdist => &["--no-binary=:all:", "--no-build-isolation"],
        };
        let mut download = self.pip("download");
        download.arg("--no-deps").args(form).args(archive.options);
        download.arg("--dest").arg(&folder).arg("--requirement").arg(&requirement);
        let fetched = download.output().map_err(|cause| ModelsError::NoPython { cause })?;
        let package = || format!("{name} {version}");
        if !fetched.status.success() {
            return Err(ModelsError::NotFetched { package: package(), output: said(&fetched) });
        }
        let mut entries = fs::read_dir(&folder).map_err(files::at(&folder))?;
        let entry = entries
            .next()
            .ok_or_else(|| ModelsError::NotFetched { package: package(), output: said(&fetched) })?;
        let path = entry.map_err(files::at(&folder))?.path();
        files::verify(&path, sha256)?;
        Ok(path)
    }

    fn run_script(&self, script: &str, archive: &Path, arguments: &[&str]) -> Result<PathBuf, ModelsError> {
        let output = self.path("output").join(script);
        files::make_dir(&output)?;
        let mut command = Command::new(self.path("venv").join("bin/python"));
        command.arg(self.path(script)).arg(archive).arg(&output).args(arguments);
        let ran = command.output().map_err(|cause| ModelsError::NoPython { cause })?;
        if !ran.status.success() {
            return Err(ModelsError::ConverterFailed { script: script.to_owned(), output: said(&ran) });
        }
        Ok(output)
    }

    fn pip(&self, subcommand: &str) -> Command {
        let mut command = Command::new(self.path("venv").join("bin/python"));
        command.args([
            "-m",
            "pip",
            subcommand,
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--require-hashes",
        ]);
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// The file that people get from `upstream`, in the folder that they named.
fn brought(folder: Option<&Path>, name: &str, upstream: &str, sha256: &str) -> Result<PathBuf, ModelsError> {
    let missing = || ModelsError::NotInRegistry { file: name.to_owned(), upstream: upstream.to_owned() };
    let file = folder.ok_or_else(missing)?.join(name);
    files::verify(&file, sha256)?;
    Ok(file)
}

fn said(output: &std::process::Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).trim().to_owned()
}
