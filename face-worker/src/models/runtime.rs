//! ONNX Runtime's shared library: which build is pinned, and fetching it.

use std::path::{Path, PathBuf};

use super::fetch::{Archive, Fetcher};
use super::{ModelsError, files};
use crate::pack::PackageForm;

/// 1.29 and later write a device identifier and open sockets even where telemetry is switched off.
const VERSION: &str = "1.28.0";
/// The wheel for Python 3.11; the library inside is the same for every Python.
const WHEEL_SHA256: &str = "a166b78ee04f3a37fa1ef82034b6a3ce96d9684e582d4d30b296de83e9998bb5";
const PLATFORM: &[&str] = &["--python-version", "3.11", "--platform", "manylinux_2_28_x86_64"];
const LIBRARY: &str = "libonnxruntime.so.1.28.0";
const LIBRARY_SHA256: &str = "aa4079d18f4ea7a5f3a94d80cd4bbe0f2740436626622d64d793803a20381083";

/// The library's path, if the pinned one is there.
pub(super) fn verify(root: &Path) -> Result<PathBuf, ModelsError> {
    let library = folder(root).join(LIBRARY);
    files::verify(&library, LIBRARY_SHA256)?;
    Ok(library)
}

pub(super) fn fetch(fetcher: &mut Fetcher<'_>, root: &Path) -> Result<PathBuf, ModelsError> {
    let wheel = Archive {
        name: "onnxruntime",
        version: VERSION,
        form: PackageForm::Wheel,
        sha256: WHEEL_SHA256,
        options: PLATFORM,
    };
    let wheel = fetcher.archive(&wheel)?;
    fetcher.say(&format!("unpacking ONNX Runtime {VERSION}"));
    let output = fetcher.run_script("unpack.py", &wheel, &["onnxruntime/capi/libonnxruntime"])?;
    files::verify(&output.join(LIBRARY), LIBRARY_SHA256)?;
    files::make_dir(&folder(root))?;
    files::place(&output.join(LIBRARY), &folder(root).join(LIBRARY))?;
    verify(root)
}

fn folder(root: &Path) -> PathBuf {
    root.join(format!("onnxruntime-{VERSION}"))
}
