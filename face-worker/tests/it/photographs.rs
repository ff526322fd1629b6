//! Detection, alignment and embeddings of real photographs against values computed without the engine
//! (`models/reference`), and what follows from them: same and different people, refusals, channel order.

use std::collections::BTreeMap;

use image::RgbImage;
use image::imageops::{self, FilterType};
use serde::Deserialize;

use rollcall_face_worker::align::align;
use rollcall_face_worker::decode::{DecodeLimits, decode};
use rollcall_face_worker::embed::Embedder;
use rollcall_face_worker::engine::{Engine, Face};
use rollcall_face_worker::geometry::{BoundingBox, Point};
use rollcall_face_worker::identify::verdict;
use rollcall_face_worker::quality::Refusal;
use rollcall_face_worker::session::Provider;
use rollcall_schemas::embedding::Embedding;
use rollcall_schemas::sighting::Verdict;

use crate::support::*;

#[derive(Deserialize)]
struct ReferenceFace {
    #[serde(rename = "box")]
    bounding_box: [f32; 4],
    landmarks: [[f32; 2]; 5],
    embedding: Vec<f32>,
}

fn reference() -> BTreeMap<String, Vec<ReferenceFace>> {
    serde_json::from_str(include_str!("../../../models/reference/mtcnn-dlib.json")).unwrap()
}

/// Intersection over union.
fn overlap(a: &BoundingBox, b: &BoundingBox) -> f32 {
    let shared = a.intersection(b);
    shared / (a.area() + b.area() - shared)
}

fn embedding(face: &Face) -> &Embedding {
    face.embedding.as_ref().unwrap()
}

fn similarity(a: &Embedding, b: &Embedding) -> f32 {
    a.similarity(b).unwrap()
}

/// Tolerances: one box chosen among near equals may differ by a tenth (0.88 seen, else 0.99), landmarks by 2.5 % of
/// the box (1.9 seen), embeddings by what that moves them (0.9988 seen).
#[test]
fn boxes_landmarks_and_embeddings_agree_with_the_reference() {
    let mut engine = engine(&default_pack());
    for (name, expected) in reference() {
        let analysis = analyse(&mut engine, &photograph(&format!("{name}.jpg")));
        assert_eq!(analysis.faces.len(), expected.len(), "{name}");
        for (face, expected) in analysis.faces.iter().zip(&expected) {
            let [left, top, right, bottom] = expected.bounding_box;
            let area = BoundingBox { left, top, right, bottom }.clipped(analysis.width, analysis.height);
            let shared = overlap(&face.bounding_box, &area);
            assert!(shared > 0.85, "{name}: overlap {shared}");
            for (point, [x, y]) in face.landmarks.iter().zip(expected.landmarks) {
                let error = point.distance(Point::new(x, y)) / area.height();
                assert!(error < 0.025, "{name}: a landmark is off by {error} of the box");
            }
            let alike = similarity(embedding(face), &Embedding(expected.embedding.clone()));
            assert!(alike > 0.998, "{name}: similarity to the reference {alike}");
        }
    }
}

/// The embedder hardly minds swapped channels, so recognition alone would not show them; the reference does.
#[test]
fn swapped_red_and_blue_do_not_pass_for_the_reference() {
    let pack = default_pack();
    let mut engine = engine(&pack);
    let network = fixtures().models.verify(&pack).unwrap().join("dlib_resnet.onnx");
    let mut embedder = Embedder::open(&pack.embedder, &network, &fixtures().runtime, Provider::Cpu).unwrap();
    for (name, expected) in reference() {
        let image = image(&format!("{name}.jpg"));
        let face = only_face(&mut engine, &image);
        let mut chip = Vec::new();
        assert!(align(&image, &face.landmarks, pack.embedder.template, &mut chip));
        let mut swapped = chip.clone();
        swapped.chunks_exact_mut(3).for_each(|pixel| pixel.swap(0, 2));
        let embeddings = embedder.embed(&[chip, swapped]).unwrap();
        let expected = Embedding(expected[0].embedding.clone());
        let [right, wrong] = [0, 1].map(|index| similarity(&embeddings[index], &expected));
        assert!(
            right > 0.998 && wrong < 0.995,
            "{name}: {right} as it is, {wrong} with red and blue swapped"
        );
    }
}

#[test]
fn the_same_person_is_recognised_and_a_stranger_is_not() {
    for pack in packs() {
        let mut engine = engine(&pack);
        let template = template(&mut engine);
        let known = only_face(&mut engine, &image("obama3.jpg"));
        let stranger = only_face(&mut engine, &image("biden.jpg"));
        let (known, stranger) =
            (similarity(embedding(&known), &template), similarity(embedding(&stranger), &template));
        println!("{}: same person {known:.3}, stranger {stranger:.3}", pack.name);
        assert_eq!(verdict(known, &pack.thresholds), Verdict::Confident, "{}", pack.name);
        assert_eq!(verdict(stranger, &pack.thresholds), Verdict::Unknown, "{}", pack.name);
    }
}

/// dlib's own values: 0.976 for the unseen photograph, 0.83 for the stranger.
#[test]
fn similarities_are_those_of_the_original_network() {
    let mut engine = engine(&default_pack());
    let template = template(&mut engine);
    for (name, expected) in [("obama3.jpg", 0.976), ("biden.jpg", 0.83)] {
        let found = similarity(embedding(&only_face(&mut engine, &image(name))), &template);
        assert!((found - expected).abs() < 0.01, "{name}: {found}");
    }
}

#[test]
fn two_people_in_one_frame_are_two_faces() {
    for pack in packs() {
        let mut engine = engine(&pack);
        let template = template(&mut engine);
        let mut faces = engine.analyse(&side_by_side("obama3.jpg", "biden.jpg")).unwrap().faces;
        assert_eq!(faces.len(), 2, "{}", pack.name);
        faces.sort_by(|a, b| a.bounding_box.left.total_cmp(&b.bounding_box.left));
        let verdicts =
            [0, 1].map(|index| verdict(similarity(embedding(&faces[index]), &template), &pack.thresholds));
        assert_eq!(verdicts, [Verdict::Confident, Verdict::Unknown], "{}", pack.name);
    }
}

#[test]
fn faces_that_are_small_or_blurred_are_refused_with_the_reason() {
    for pack in packs() {
        let mut engine = engine(&pack);
        let photograph = image("obama3.jpg");
        let near = with_face_px(&mut engine, &photograph, 100.0);
        assert_eq!(only_face(&mut engine, &near).quality.refusal, None, "{}", pack.name);

        let blurred = only_face(&mut engine, &imageops::blur(&near, 6.0));
        assert_eq!(blurred.quality.refusal, Some(Refusal::Blurred), "{}: {:?}", pack.name, blurred.quality);
        assert!(blurred.embedding.is_none() && !blurred.crop_jpeg.is_empty());

        let far = with_face_px(&mut engine, &photograph, 30.0);
        let far = only_face(&mut engine, &far);
        assert_eq!(far.quality.refusal, Some(Refusal::TooSmall), "{}: {:?}", pack.name, far.quality);
        assert!(far.embedding.is_none());
    }
}

#[test]
fn faces_of_the_smallest_allowed_size_are_recognised() {
    let mut engine = engine(&default_pack());
    let template = template(&mut engine);
    let far = with_face_px(&mut engine, &image("obama3.jpg"), 36.0);
    let found = similarity(embedding(&only_face(&mut engine, &far)), &template);
    assert!(found > engine.pack().thresholds.confident, "{found}");
}

#[test]
fn a_frame_without_a_face_has_none() {
    for pack in packs() {
        let mut engine = engine(&pack);
        assert!(engine.analyse(&wall()).unwrap().faces.is_empty(), "{}", pack.name);
        for (width, height) in [(1, 1), (11, 300), (300, 11), (33, 47)] {
            assert!(
                engine.analyse(&RgbImage::new(width, height)).unwrap().faces.is_empty(),
                "{width} x {height}"
            );
        }
    }
}

#[test]
fn evidence_is_a_small_jpeg_of_the_face() {
    let mut engine = engine(&default_pack());
    let face = only_face(&mut engine, &image("obama3.jpg"));
    let crop = decode(&face.crop_jpeg, DecodeLimits::default()).unwrap();
    assert!(crop.width().max(crop.height()) == 128 && face.crop_jpeg.len() < 20_000);
    assert_eq!(
        engine.analyse(&imageops::resize(&crop, 256, 256, FilterType::Triangle)).unwrap().faces.len(),
        1
    );
}

#[test]
fn the_report_names_the_provider_that_runs_the_nodes() {
    let engine = engine(&default_pack());
    let report = engine.report();
    assert!(report.failures.is_empty());
    let [(provider, nodes)] = &report.nodes[..] else { panic!("one provider expected: {:?}", report.nodes) };
    assert!(provider == "CPUExecutionProvider" && *nodes > 50, "{report:?}");
}

/// The pinned library has no CUDA: asking for it must still give a working engine, and say what happened.
#[test]
fn a_provider_that_does_not_work_is_replaced_and_reported() {
    let pack = default_pack();
    let folder = fixtures().models.verify(&pack).unwrap();
    let mut engine = Engine::open(&pack, &folder, &fixtures().runtime, Provider::Tensorrt).unwrap();
    let report = engine.report();
    assert_eq!((report.asked, report.used), (Provider::Tensorrt, Provider::Cpu));
    let failed: Vec<_> = report.failures.iter().map(|(provider, _)| *provider).collect();
    assert_eq!(failed, [Provider::Tensorrt, Provider::Cuda]);
    assert!(report.nodes.iter().all(|(provider, _)| provider == "CPUExecutionProvider"));
    assert_eq!(engine.analyse(&image("biden.jpg")).unwrap().faces.len(), 1);
}
