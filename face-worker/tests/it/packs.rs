//! Manifests and model files: what is accepted, what is refused, and with which words.

use std::fs;

use rollcall_face_worker::decode::{DecodeLimits, decode};
use rollcall_face_worker::models::{Fetcher, ModelsDir, ModelsError, PackState};
use rollcall_face_worker::pack::{DEFAULT_PACK, Pack, PackError, find_pack, packs};

use crate::support::{self, default_pack, fixtures};

const MANIFEST: &str = include_str!("../../../models/packs/mtcnn-dlib.toml");
const WITH_SUPPLIED_FILE: &str = include_str!("../../../models/packs/yunet-mobilefacenet.toml");

/// Its output says which packs the tests of this run cover.
#[test]
fn the_packs_under_test_can_be_opened() {
    for pack in support::packs() {
        println!("tests run with the pack {}", pack.name);
        let image = decode(&support::photograph("biden.jpg"), DecodeLimits::default()).unwrap();
        assert_eq!(support::engine(&pack).analyse(&image).unwrap().faces.len(), 1);
    }
}

#[test]
fn the_embedded_manifests_are_valid() {
    let names: Vec<_> = packs(None).unwrap().into_iter().map(|pack| pack.name).collect();
    assert!(names.contains(&DEFAULT_PACK.to_owned()) && names.contains(&"yunet-mobilefacenet".to_owned()));
}

#[test]
fn mistakes_in_a_manifest_are_named() {
    for (what, from, to) in [
        ("unknown key", "flip = true", "flip = true\nflop = true"),
        ("unknown key in the detector", "pyramid_factor = 0.709", "pyramid_factor = 0.709\nlayers = 3"),
        ("unknown decoder", "decoder = \"mtcnn\"", "decoder = \"haar\""),
        ("missing role", "role = \"embedder\"", "role = \"detector\""),
        ("a path for a name", "name = \"pnet.onnx\"", "name = \"../pnet.onnx\""),
        ("thresholds the wrong way round", "uncertain = 0.93", "uncertain = 0.99"),
        ("no source for a file", "\"pnet.onnx\", \"rnet.onnx\"", "\"rnet.onnx\""),
        ("two sources for a file", "[[files]]\n", "[[files]]\nupstream = \"somewhere\"\n"),
    ] {
        assert_refused(MANIFEST, what, from, to);
    }
    for (what, from, to) in [
        ("a path for a supplied file", "name = \"MobileFaceNet.onnx\"", "name = \"../MobileFaceNet.onnx\""),
        ("a supplied file without a converter", "converter = \"dynamic_batch.py\"\n", ""),
        ("a supplied file that yields another", "yields = [\"Mobile", "yields = [\"Immobile"),
    ] {
        assert_refused(WITH_SUPPLIED_FILE, what, from, to);
    }
}

fn assert_refused(manifest: &str, what: &str, from: &str, to: &str) {
    assert!(manifest.contains(from), "{what}");
    let text = manifest.replacen(from, to, 1);
    assert!(matches!(Pack::parse(&text, "here"), Err(PackError::Invalid { .. })), "{what} was accepted");
}

#[test]
fn a_folder_adds_packs_and_replaces_embedded_ones() {
    let folder = tempfile::tempdir().unwrap();
    let own = MANIFEST.replace("name = \"mtcnn-dlib\"", "name = \"own\"");
    fs::write(folder.path().join("own.toml"), own).unwrap();
    fs::write(folder.path().join("other.toml"), MANIFEST.replace("confident = 0.958", "confident = 0.955"))
        .unwrap();
    fs::write(folder.path().join("notes.txt"), "no manifest").unwrap();
    assert_eq!(packs(Some(folder.path())).unwrap().len(), packs(None).unwrap().len() + 1);
    assert_eq!(find_pack("own", Some(folder.path())).unwrap().name, "own");
    assert_eq!(find_pack(DEFAULT_PACK, Some(folder.path())).unwrap().thresholds.confident, 0.955);
    assert!(matches!(find_pack("own", None), Err(PackError::Unknown { .. })));
}

#[test]
fn missing_and_altered_files_are_told_apart() {
    let pack = default_pack();
    let folder = tempfile::tempdir().unwrap();
    let models = ModelsDir::new(folder.path());
    assert!(matches!(models.state(&pack), PackState::Missing(_)));
    let ready = fixtures().models.verify(&pack).unwrap();
    fs::create_dir_all(models.pack_dir(&pack)).unwrap();
    for file in &pack.files {
        fs::copy(ready.join(&file.name), models.pack_dir(&pack).join(&file.name)).unwrap();
    }
    assert_eq!(models.state(&pack), PackState::Ready);
    fs::write(models.pack_dir(&pack).join("rnet.onnx"), "another network").unwrap();
    assert!(matches!(models.state(&pack), PackState::Altered(path) if path.ends_with("rnet.onnx")));
}

#[test]
fn files_outside_the_registry_come_from_a_folder_and_only_the_pinned_ones() {
    let pack = find_pack("yunet-mobilefacenet", None).unwrap();
    let (folder, supplied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let models = ModelsDir::new(folder.path());
    let mut fetcher = Fetcher::new(&models, &|_| {}).unwrap();
    assert!(matches!(fetcher.pack(&pack, None), Err(ModelsError::NotInRegistry { .. })));
    assert!(matches!(fetcher.pack(&pack, Some(supplied.path())), Err(ModelsError::Missing { .. })));
    let brought = pack.files.iter().filter(|file| file.upstream.is_some()).map(|file| &file.name);
    for name in brought.chain(pack.supplied.iter().map(|file| &file.name)) {
        fs::write(supplied.path().join(name), "something else").unwrap();
    }
    assert!(matches!(fetcher.pack(&pack, Some(supplied.path())), Err(ModelsError::WrongHash { .. })));
}

#[test]
fn the_library_of_onnx_runtime_is_missed_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let error = ModelsDir::new(folder.path()).runtime_library().unwrap_err();
    assert!(error.to_string().contains("rollcall models pull"), "{error}");
}
