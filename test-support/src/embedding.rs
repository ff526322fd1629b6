//! Comparing embeddings, which differ in their last bits from machine to machine.

use rollcall_schemas::embedding::Embedding;

/// Asserts that two embeddings point the same way: their cosine similarity is at least `1 - tolerance`.
///
/// # Panics
/// When they do not, or their dimensions differ. No value of either is shown.
#[track_caller]
pub fn assert_close(actual: &Embedding, expected: &Embedding, tolerance: f32) {
    let Some(similarity) = actual.similarity(expected) else {
        panic!("the dimensions differ: {} and {}", actual.0.len(), expected.0.len());
    };
    let lengths =
        (actual.similarity(actual).unwrap_or(0.0) * expected.similarity(expected).unwrap_or(0.0)).sqrt();
    let cosine = similarity / lengths;
    assert!(cosine >= 1.0 - tolerance, "the embeddings differ: their cosine is {cosine}");
}
