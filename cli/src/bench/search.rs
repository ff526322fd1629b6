//! Search: the most similar of many templates, beside reading the same bytes once. No exact search can be faster than
//! memory; an inexact one can, and its recall says what that costs.

use super::{
    Scope,
    latency::median,
    machine::available_bytes,
    report::{Figure, Report},
};
use anyhow::Context;
use rand::{Rng, SeedableRng, rngs::StdRng};
use rollcall_face_worker::gallery::{Gallery, IndexKind};
use rollcall_schemas::{embedding::Embedding, id::UserId};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};
use uuid::Uuid;

const NAME: &str = "search";
/// As many candidates as a face is published with.
const CANDIDATES: usize = 5;
/// Similarity of a probe and its person's template: a poor picture of a known face for networks that spread faces well.
const PROBE_SIMILARITY: f32 = 0.8;
const LISTS: u32 = 1024;
const PROBES: u32 = 32;
/// Below this, reading everything is as fast as anything.
const WORTH_AN_INVERTED_INDEX: usize = 100_000;
/// Copies of all templates that are in memory at the same time at the worst moment: the gallery's own, its index while
/// that grows, and the benchmark's.
const COPIES: u64 = 6;
/// What a person costs beside the template, in bytes.
const PER_PERSON: u64 = 300;

/// Runs it.
pub async fn run(scope: Scope, report: &mut Report) -> anyhow::Result<()> {
    let sizes: &[usize] = if scope.quick { &[10_000] } else { &[10_000, 100_000, 1_000_000] };
    for &templates in sizes {
        for dimension in [128, 512] {
            let wanted = (templates * dimension * 4) as u64 * COPIES + templates as u64 * PER_PERSON;
            if wanted > available_bytes() {
                let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
                report.skip(format!(
                    "search among {templates} templates of {dimension}: needs {:.1} GiB of memory, {:.1} are free",
                    gib(wanted),
                    gib(available_bytes())
                ));
                continue;
            }
            let rounds = if scope.quick { 20 } else { 60 };
            let case = Case { templates, dimension, rounds };
            let figures =
                tokio::task::spawn_blocking(move || case.measure()).await.context("searching")??;
            figures.into_iter().for_each(|figure| report.add(figure));
        }
    }
    Ok(())
}

/// A gallery of one size.
#[derive(Clone, Copy)]
struct Case {
    templates: usize,
    dimension: usize,
    rounds: usize,
}

/// What an index answered, and how long a search took.
struct Answers {
    nearest: Vec<Option<UserId>>,
    typical: Duration,
}

impl Case {
    fn measure(self) -> anyhow::Result<Vec<Figure>> {
        let mut random = StdRng::seed_from_u64(7);
        let values = self.unit_vectors(&mut random);
        let scan = self.scan(&values);
        let gallery = Gallery::new(self.dimension)?;
        for (number, template) in values.chunks_exact(self.dimension).enumerate() {
            gallery.put(person(number), 1, &Embedding(template.to_vec()))?;
        }
        let probes = self.probes(&values, &mut random);
        drop(values);

        let exact = search_all(&gallery, &probes)?;
        let mut figures = vec![self.figure("exact", &exact, scan, "by definition".to_owned())];
        for (kind, name) in self.inexact() {
            let begun = Instant::now();
            gallery.rebuild(kind)?;
            let built = begun.elapsed().as_secs_f64();
            let found = search_all(&gallery, &probes)?;
            let same =
                found.nearest.iter().zip(&exact.nearest).filter(|(found, exact)| found == exact).count();
            let recall = same as f64 / probes.len() as f64;
            figures.push(self.figure(
                &name,
                &found,
                scan,
                format!("recall@1 {recall:.3}; built in {built:.1} s"),
            ));
        }
        Ok(figures)
    }

    fn inexact(&self) -> Vec<(IndexKind, String)> {
        let mut kinds = vec![(IndexKind::Fp16, "fp16".to_owned()), (IndexKind::Sq8, "sq8".to_owned())];
        if self.templates >= WORTH_AN_INVERTED_INDEX {
            let inverted = IndexKind::Inverted { lists: LISTS, probes: PROBES };
            kinds.push((inverted, format!("inverted {LISTS}/{PROBES}")));
        }
        kinds
    }

    fn figure(&self, index: &str, answers: &Answers, scan: Duration, note: String) -> Figure {
        let Self { templates, dimension, .. } = self;
        let per_second = |took: Duration| 1.0 / took.as_secs_f64();
        let milliseconds = answers.typical.as_secs_f64() * 1e3;
        Figure::new(
            NAME,
            format!("{templates} x {dimension}, {index}"),
            per_second(answers.typical),
            "searches/s",
        )
        .beside("reading the templates once", per_second(scan), None)
        .note(format!("{milliseconds:.3} ms; {note}"))
    }

    /// Random directions: the hardest templates to tell apart by clusters.
    fn unit_vectors(&self, random: &mut StdRng) -> Vec<f32> {
        let mut values: Vec<f32> =
            (0..self.templates * self.dimension).map(|_| random.random_range(-1.0..1.0)).collect();
        values.chunks_exact_mut(self.dimension).for_each(normalise);
        values
    }

    /// Some templates, each turned by the same angle into a random direction.
    fn probes(&self, values: &[f32], random: &mut StdRng) -> Vec<Embedding> {
        let turned = (1.0 - PROBE_SIMILARITY * PROBE_SIMILARITY).sqrt();
        let mut probe = |_| {
            let place = random.random_range(0..self.templates) * self.dimension;
            let template = &values[place..place + self.dimension];
            let mut noise: Vec<f32> = template.iter().map(|_| random.random_range(-1.0..1.0)).collect();
            let along: f32 = noise.iter().zip(template).map(|(noise, value)| noise * value).sum();
            noise.iter_mut().zip(template).for_each(|(noise, value)| *noise -= along * value);
            normalise(&mut noise);
            let mut probe: Vec<f32> = noise
                .iter()
                .zip(template)
                .map(|(noise, value)| turned * noise + PROBE_SIMILARITY * value)
                .collect();
            normalise(&mut probe);
            Embedding(probe)
        };
        (0..self.rounds).map(&mut probe).collect()
    }

    /// How long it takes to read every template once, in one thread as a search does.
    fn scan(&self, values: &[f32]) -> Duration {
        let took = (0..self.rounds).map(|_| {
            let begun = Instant::now();
            black_box(sum(black_box(values)));
            begun.elapsed().as_secs_f64()
        });
        Duration::from_secs_f64(median(took.collect()))
    }
}

fn search_all(gallery: &Gallery, probes: &[Embedding]) -> anyhow::Result<Answers> {
    // Once unmeasured: the first search finds its memory cold.
    gallery.search(&probes[0], CANDIDATES)?;
    let (mut nearest, mut took) = (Vec::with_capacity(probes.len()), Vec::with_capacity(probes.len()));
    for probe in probes {
        let begun = Instant::now();
        let found = gallery.search(probe, CANDIDATES)?;
        took.push(begun.elapsed().as_secs_f64());
        nearest.push(found.first().map(|candidate| candidate.user_id));
    }
    Ok(Answers { nearest, typical: Duration::from_secs_f64(median(took)) })
}

/// Adds everything up in enough independent sums that the processor waits for memory only.
fn sum(values: &[f32]) -> f32 {
    let (blocks, _) = values.as_chunks::<32>();
    let mut sums = [0f32; 32];
    for block in blocks {
        for (sum, value) in sums.iter_mut().zip(block) {
            *sum += value;
        }
    }
    sums.iter().sum()
}

fn normalise(values: &mut [f32]) {
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.iter_mut().for_each(|value| *value /= length);
}

fn person(number: usize) -> UserId {
    UserId(Uuid::from_u128(number as u128 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_search_finds_the_person_of_every_probe() {
        let case = Case { templates: 500, dimension: 64, rounds: 20 };
        let figures = case.measure().unwrap();
        let names: Vec<_> = figures.iter().map(|figure| figure.name.as_str()).collect();
        assert_eq!(names, ["500 x 64, exact", "500 x 64, fp16", "500 x 64, sq8"]);
        assert!(figures[1].note.contains("recall@1 1.000;"), "{}", figures[1].note);
    }

    #[test]
    fn probes_have_the_similarity_they_should() {
        let case = Case { templates: 1, dimension: 128, rounds: 3 };
        let mut random = StdRng::seed_from_u64(1);
        let values = case.unit_vectors(&mut random);
        for probe in case.probes(&values, &mut random) {
            let similarity: f32 = probe.0.iter().zip(&values).map(|(a, b)| a * b).sum();
            assert!((similarity - PROBE_SIMILARITY).abs() < 1e-4);
        }
    }
}
