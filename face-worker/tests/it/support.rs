//! Models and photographs for tests: fetched once into the models folder, shared by all test processes.

use std::io::Cursor;
use std::path::PathBuf;
use std::sync::LazyLock;

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageFormat, RgbImage};

use rollcall_face_worker::decode::{DecodeLimits, decode};
use rollcall_face_worker::engine::{Engine, Face, FrameAnalysis};
use rollcall_face_worker::models::{Fetcher, ModelsDir, Photographs, default_models_dir};
use rollcall_face_worker::pack::{DEFAULT_PACK, Pack, find_pack};
use rollcall_face_worker::session::{Provider, Runtime};
use rollcall_schemas::embedding::Embedding;

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

pub(crate) fn image(name: &str) -> RgbImage {
    decode(&photograph(name), DecodeLimits::default()).unwrap()
}

/// The one face of a photograph.
pub(crate) fn only_face(engine: &mut Engine, image: &RgbImage) -> Face {
    let mut faces = engine.analyse(image).unwrap().faces;
    assert_eq!(faces.len(), 1);
    faces.remove(0)
}

/// The template of the three enrolment photographs.
pub(crate) fn template(engine: &mut Engine) -> Embedding {
    let embeddings = fixtures().photographs.enrolment().map(|path| {
        let analysis = analyse(engine, &std::fs::read(path).unwrap());
        analysis.faces[0].embedding.clone().unwrap()
    });
    Embedding::template(&embeddings).unwrap()
}

/// The photograph shrunk so that its face has this many pixels.
pub(crate) fn with_face_px(engine: &mut Engine, image: &RgbImage, face_px: f32) -> RgbImage {
    let scale = face_px / only_face(engine, image).quality.face_px;
    let size = |side: u32| (side as f32 * scale) as u32;
    imageops::resize(image, size(image.width()), size(image.height()), FilterType::CatmullRom)
}

pub(crate) fn encode(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(image.clone()).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Two photographs in one picture.
pub(crate) fn side_by_side(left: &str, right: &str) -> RgbImage {
    let (left, right) = (image(left), image(right));
    let mut both = RgbImage::new(left.width() + right.width(), left.height().max(right.height()));
    imageops::replace(&mut both, &left, 0, 0);
    imageops::replace(&mut both, &right, left.width().into(), 0);
    both
}

/// A picture of nobody.
pub(crate) fn wall() -> RgbImage {
    RgbImage::from_fn(640, 480, |x, y| image::Rgb([(x / 4) as u8, (y / 3) as u8, 120]))
}
