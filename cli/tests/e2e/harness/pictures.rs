//! Real photographs, made as small as a cheap camera's: 320 pixels wide, so that hundreds take seconds.

use bytes::Bytes;
use image::{ImageFormat, RgbImage, imageops::FilterType};
use rollcall_face_worker::{
    models::{Fetcher, ModelsDir, Photographs, default_models_dir},
    pack::{DEFAULT_PACK, find_pack},
};
use std::{io::Cursor, path::Path, path::PathBuf, sync::LazyLock};

const WIDTH: u32 = 320;
const HEIGHT: u32 = 240;

/// Where weights, ONNX Runtime and photographs are kept between test runs.
pub(crate) fn models_dir() -> PathBuf {
    std::env::var_os("ROLLCALL_MODELS_DIR").map_or_else(default_models_dir, PathBuf::from)
}

/// What cameras and operators send.
pub(crate) struct Pictures {
    /// Three photographs to enrol the known person with, as they are.
    pub(crate) enrolment: [Bytes; 3],
    /// Where a photograph of the known person is that the enrolment has not seen, as it is.
    pub(crate) unseen: PathBuf,
    /// The same, as a camera sends it.
    pub(crate) known: Bytes,
    /// Somebody else.
    pub(crate) stranger: Bytes,
    /// Nobody.
    pub(crate) empty: Bytes,
}

impl Pictures {
    /// Reads them; on first use everything that the face worker needs is fetched, too.
    pub(crate) fn get() -> &'static Self {
        static PICTURES: LazyLock<Pictures> = LazyLock::new(|| {
            let progress = |what: &str| println!("{what}");
            let mut fetcher =
                Fetcher::new(&ModelsDir::new(models_dir()), &progress).expect("the folder is usable");
            fetcher.runtime().expect("ONNX Runtime can be fetched");
            let pack = find_pack(DEFAULT_PACK, None).expect("the default pack is built in");
            fetcher.pack(&pack, None).expect("the default pack can be fetched");
            read(&fetcher.photographs().expect("the photographs can be fetched"))
        });
        &PICTURES
    }
}

fn read(photographs: &Photographs) -> Pictures {
    let bytes = |path: &Path| Bytes::from(std::fs::read(path).expect("a fetched file can be read"));
    let [first, second, third] = photographs.enrolment();
    Pictures {
        enrolment: [bytes(&first), bytes(&second), bytes(&third)],
        unseen: photographs.unseen(),
        known: jpeg(&small(&photographs.unseen())),
        stranger: jpeg(&small(&photographs.stranger())),
        empty: jpeg(&RgbImage::from_fn(WIDTH, HEIGHT, |x, y| image::Rgb([(x / 2) as u8, y as u8, 128]))),
    }
}

/// The upper part of a portrait, which has the face.
fn small(path: &Path) -> RgbImage {
    let portrait = image::open(path).expect("a photograph is an image");
    let upper = portrait.crop_imm(0, 0, portrait.width(), portrait.width() * HEIGHT / WIDTH);
    upper.resize_exact(WIDTH, HEIGHT, FilterType::Triangle).to_rgb8()
}

fn jpeg(picture: &RgbImage) -> Bytes {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Jpeg).expect("memory takes every image");
    bytes.into_inner().into()
}
