//! The gallery: searches equal a plain comparison with everybody, revisions only go forward, indexes can be exchanged.

use proptest::prelude::*;
use uuid::Uuid;

use rollcall_face_worker::gallery::{Gallery, GalleryError, IndexKind};
use rollcall_schemas::embedding::Embedding;
use rollcall_schemas::id::UserId;

const DIMENSION: usize = 16;

fn unit(values: Vec<f32>) -> Embedding {
    Embedding::template(&[Embedding(values)]).unwrap()
}

fn vector() -> impl Strategy<Value = Embedding> {
    prop::collection::vec(-1.0f32..1.0, DIMENSION)
        .prop_filter("a direction", |values| values.iter().any(|value| value.abs() > 0.1))
        .prop_map(unit)
}

fn person(number: usize) -> UserId {
    UserId(Uuid::from_u128(number as u128 + 1))
}

/// Vectors without a generator of randomness: enough of them to train an index.
fn many(count: usize) -> Vec<Embedding> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| unit((0..DIMENSION).map(|_| next()).collect())).collect()
}

fn filled(templates: &[Embedding]) -> Gallery {
    let gallery = Gallery::new(DIMENSION).unwrap();
    for (number, template) in templates.iter().enumerate() {
        assert!(gallery.put(person(number), 1, template).unwrap());
    }
    gallery
}

/// The best similarities by plain comparison.
fn brute_force(templates: &[Embedding], probe: &Embedding, k: usize) -> Vec<f32> {
    let mut all: Vec<f32> = templates.iter().map(|template| template.similarity(probe).unwrap()).collect();
    all.sort_by(|a, b| b.total_cmp(a));
    all.truncate(k);
    all
}

proptest! {
    #[test]
    fn a_search_equals_a_plain_comparison_with_everybody(
        templates in prop::collection::vec(vector(), 0..60),
        replacements in prop::collection::vec((0usize..60, vector()), 0..20),
        removals in prop::collection::vec(0usize..60, 0..20),
        probe in vector(),
        k in 1usize..8,
    ) {
        let gallery = filled(&templates);
        let mut expected: Vec<Option<Embedding>> = templates.iter().cloned().map(Some).collect();
        for (revision, (number, template)) in (2..).zip(replacements) {
            if number < templates.len() {
                gallery.put(person(number), revision, &template).unwrap();
                expected[number] = Some(template);
            }
        }
        for (revision, number) in (100..).zip(removals) {
            if number < templates.len() {
                gallery.remove(person(number), revision).unwrap();
                expected[number] = None;
            }
        }
        let expected: Vec<Embedding> = expected.into_iter().flatten().collect();
        prop_assert_eq!(gallery.len(), expected.len());
        let found = gallery.search(&probe, k).unwrap();
        let best = brute_force(&expected, &probe, k);
        prop_assert_eq!(found.len(), best.len());
        for (found, best) in found.iter().zip(best) {
            prop_assert!((found.similarity - best).abs() < 1e-5);
        }
    }
}

#[test]
fn older_revisions_change_nothing_and_the_forgotten_stay_forgotten() {
    let vectors = many(2);
    let gallery = Gallery::new(DIMENSION).unwrap();
    assert!(gallery.put(person(0), 5, &vectors[0]).unwrap());
    assert!(!gallery.put(person(0), 5, &vectors[1]).unwrap(), "the same revision again");
    assert!(!gallery.put(person(0), 4, &vectors[1]).unwrap(), "an older one");
    assert!((gallery.search(&vectors[0], 1).unwrap()[0].similarity - 1.0).abs() < 1e-5);
    assert!(gallery.remove(person(0), 6).unwrap());
    assert!(!gallery.put(person(0), 5, &vectors[0]).unwrap(), "from before the person was forgotten");
    assert!(gallery.is_empty());
    assert!(gallery.search(&vectors[0], 3).unwrap().is_empty());
    assert!(gallery.put(person(0), 7, &vectors[1]).unwrap(), "enrolled anew");
    assert_eq!(gallery.search(&vectors[1], 3).unwrap()[0].user_id, person(0));
}

#[test]
fn vectors_of_another_length_or_scale_are_refused() {
    let gallery = filled(&many(3));
    let short = Embedding(vec![1.0]);
    assert!(matches!(
        gallery.search(&short, 1),
        Err(GalleryError::Dimension { found: 1, expected: DIMENSION })
    ));
    assert!(matches!(gallery.put(person(9), 1, &short), Err(GalleryError::Dimension { .. })));
    let mut long = many(1).remove(0);
    long.0.iter_mut().for_each(|value| *value *= 1.1);
    assert!(matches!(gallery.put(person(9), 1, &long), Err(GalleryError::NotNormalised)));
    assert!(matches!(
        gallery.put(person(9), 1, &Embedding(vec![f32::NAN; DIMENSION])),
        Err(GalleryError::NotNormalised)
    ));
    assert_eq!(gallery.len(), 3);
}

#[test]
fn another_index_gives_the_same_answers_and_goes_on_learning() {
    let templates = many(2000);
    let gallery = filled(&templates);
    let kinds =
        [IndexKind::Fp16, IndexKind::Sq8, IndexKind::Inverted { lists: 16, probes: 16 }, IndexKind::Exact];
    for (round, kind) in kinds.into_iter().enumerate() {
        gallery.rebuild(kind).unwrap();
        assert_eq!(gallery.index_kind(), kind);
        for probe in templates.iter().step_by(97) {
            let found: Vec<f32> =
                gallery.search(probe, 5).unwrap().iter().map(|found| found.similarity).collect();
            let best = brute_force(&templates, probe, 5);
            assert!(
                found.iter().zip(&best).all(|(a, b)| (a - b).abs() < 1e-5),
                "{kind:?}: {found:?} {best:?}"
            );
        }
        // The new index takes additions and removals too.
        let extra = unit((0..DIMENSION).map(|index| if index == round { 1.0 } else { 0.0 }).collect());
        gallery.put(person(5000), 10 + 2 * round as u64, &extra).unwrap();
        assert_eq!(gallery.search(&extra, 1).unwrap()[0].user_id, person(5000), "{kind:?}");
        gallery.remove(person(5000), 11 + 2 * round as u64).unwrap();
        assert_ne!(gallery.search(&extra, 1).unwrap()[0].user_id, person(5000), "{kind:?}");
    }
}

#[test]
fn an_index_of_an_empty_gallery_learns_from_nothing() {
    for kind in [IndexKind::Exact, IndexKind::Fp16, IndexKind::Sq8] {
        let gallery = Gallery::new(DIMENSION).unwrap();
        gallery.rebuild(kind).unwrap();
        let vectors = many(20);
        for (number, vector) in vectors.iter().enumerate() {
            gallery.put(person(number), 1, vector).unwrap();
        }
        assert_eq!(gallery.search(&vectors[7], 1).unwrap()[0].user_id, person(7), "{kind:?}");
    }
    let gallery = Gallery::new(DIMENSION).unwrap();
    assert!(
        gallery.rebuild(IndexKind::Inverted { lists: 64, probes: 8 }).is_err(),
        "too few templates for its lists"
    );
    assert_eq!(gallery.index_kind(), IndexKind::Exact, "the live index stays");
}

#[test]
fn changes_during_a_rebuild_are_in_the_new_index() {
    let templates = many(3000);
    let gallery = filled(&templates);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..5 {
                gallery.rebuild(IndexKind::Fp16).unwrap();
                gallery.rebuild(IndexKind::Exact).unwrap();
            }
        });
        for number in 0..500 {
            if number % 2 == 0 {
                gallery.remove(person(number), 2).unwrap();
            } else {
                gallery.put(person(number), 2, &templates[number + 1]).unwrap();
            }
        }
    });
    let mut expected: Vec<Embedding> =
        (0..500).filter(|number| number % 2 == 1).map(|n| templates[n + 1].clone()).collect();
    expected.extend_from_slice(&templates[500..]);
    assert_eq!(gallery.len(), expected.len());
    for probe in templates.iter().step_by(61) {
        let found: Vec<f32> =
            gallery.search(probe, 4).unwrap().iter().map(|found| found.similarity).collect();
        let best = brute_force(&expected, probe, 4);
        assert!(
            found.len() == 4 && found.iter().zip(&best).all(|(a, b)| (a - b).abs() < 1e-5),
            "{found:?} {best:?}"
        );
    }
}
