//! The embedders by themselves: what a batch may change, and what a conversion.

use std::path::{Path, PathBuf};

use rollcall_face_worker::align::align;
use rollcall_face_worker::embed::Embedder;
use rollcall_face_worker::pack::{Pack, Role};
use rollcall_face_worker::session::Provider;
use rollcall_test_support::assert_close;

use crate::support::*;

/// An inner product of unit vectors: ten thousand times less than what tells people apart.
const TOLERANCE: f32 = 1e-5;

/// One aligned chip for each of several photographs.
fn chips(pack: &Pack) -> Vec<Vec<u8>> {
    let mut engine = engine(pack);
    ["biden.jpg", "obama.jpg", "obama2.jpg", "obama3.jpg", "obama_partial_face2.jpg"]
        .map(|name| {
            let (image, mut chip) = (image(name), Vec::new());
            let face = only_face(&mut engine, &image);
            assert!(align(&image, &face.landmarks, pack.embedder.template, &mut chip));
            chip
        })
        .into()
}

fn embedder(pack: &Pack, file: &Path, max_batch: usize) -> Embedder {
    let mut spec = pack.embedder.clone();
    spec.max_batch = max_batch;
    Embedder::open(&spec, file, &fixtures().runtime, Provider::Cpu).unwrap()
}

#[test]
fn in_a_batch_each_chip_has_the_embedding_it_has_by_itself() {
    for pack in packs() {
        let chips = chips(&pack);
        let file = fixtures().models.verify(&pack).unwrap().join(&pack.file(Role::Embedder).unwrap().name);
        let alone = embedder(&pack, &file, 1).embed(&chips).unwrap();
        // Two views of a chip: runs of six views and of the four that are left, and one run of all.
        for max_batch in [6, 10] {
            let together = embedder(&pack, &file, max_batch).embed(&chips).unwrap();
            assert_eq!(together.len(), chips.len());
            for (together, alone) in together.iter().zip(&alone) {
                assert_close(together, alone, TOLERANCE);
            }
        }
    }
}

#[test]
fn the_network_for_batches_embeds_as_the_supplied_one() {
    let Some(folder) = std::env::var_os("ROLLCALL_PACKS") else {
        println!("NOT RUN: ROLLCALL_PACKS names no folder with supplied networks");
        return;
    };
    let pack = packs().pop().unwrap();
    let supplied = PathBuf::from(folder).join(&pack.supplied[0].name);
    let converted = fixtures().models.verify(&pack).unwrap().join(&pack.supplied[0].yields[0]);
    let chips = chips(&pack);
    let expected = embedder(&pack, &supplied, 1).embed(&chips).unwrap();
    let found = embedder(&pack, &converted, pack.embedder.max_batch).embed(&chips).unwrap();
    for (found, expected) in found.iter().zip(&expected) {
        assert_close(found, expected, TOLERANCE);
    }
    assert!(embedder(&pack, &supplied, 2).embed(&chips).is_err(), "as supplied, it takes one chip");
}
