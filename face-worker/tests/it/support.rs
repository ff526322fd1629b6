//! Models and photographs for tests: fetched once into the models folder, shared by all test processes.

use std::path::PathBuf;
use std::sync::LazyLock;

use rollcall_face_worker::decode::{DecodeLimits, decode};
use rollcall_face_worker::engine::{Engine, FrameAnalysis};
use rollcall_face_worker::models::{Fetcher, ModelsDir, Photographs, default_models_dir};
use rollcall_face_worker::pack::{DEFAULT_PACK, Pack, find_pack};
use rollcall_face_worker::session::{Provider, Runtime};

/// What tests of the engine need, in place and verified.
pub(crate) struct Fixtures {
    pub(crate) models: ModelsDir,
    pub(crate) runtime: Runtime,
    pub(crate) photographs: Photographs,
}

/// Fetches on first use; a lock makes other test processes wait instead of fetching too.
pub(crate) fn fixtures() -> &'static Fixtures {
    static FIXTURES: LazyLock<Fixtures> = LazyLock::new(|| {
        let folder = std::env::var_os("ROLLCALL_MODELS_DIR").map_or_else(default_models_dir, PathBuf::from);
        let models = ModelsDir::new(folder);
        let progress = |what: &str| println!("{what}");
        let mut fetcher = Fetcher::new(&models, &progress).unwrap();
        let library = fetcher.runtime().unwrap();
        fetcher.pack(&default_pack(), None).unwrap();
        let photographs = fetcher.photographs().unwrap();
        let runtime = Runtime::load(&library).unwrap();
        Fixtures { models, runtime, photographs }
    });
    &FIXTURES
}

pub(crate) fn default_pack() -> Pack {
    find_pack(DEFAULT_PACK, None).unwrap()
}

/// The packs to test: the default one, and the optional one where `ROLLCALL_PACKS` names the folder of its files.
pub(crate) fn packs() -> Vec<Pack> {
    let mut packs = vec![default_pack()];
    let optional = find_pack("yunet-mobilefacenet", None).unwrap();
    match std::env::var_os("ROLLCALL_PACKS") {
        Some(folder) => {
            let mut fetcher = Fetcher::new(&fixtures().models, &|_| {}).unwrap();
            fetcher.pack(&optional, Some(&PathBuf::from(folder))).unwrap();
            packs.push(optional);
        }
        None => println!("NOT RUN with {}: ROLLCALL_PACKS names no folder with its files", optional.name),
    }
    packs
}

pub(crate) fn engine(pack: &Pack) -> Engine {
    let fixtures = fixtures();
    let folder = fixtures.models.verify(pack).unwrap();
    Engine::open(pack, &folder, &fixtures.runtime, Provider::Cpu).unwrap()
}

pub(crate) fn photograph(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().photographs.folder().join(name)).unwrap()
}

pub(crate) fn analyse(engine: &mut Engine, bytes: &[u8]) -> FrameAnalysis {
    engine.analyse(&decode(bytes, DecodeLimits::default()).unwrap()).unwrap()
}
