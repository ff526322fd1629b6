//! FAISS behind one face: exact, quantised and inverted indexes over numbered unit vectors. FAISS accepts duplicate
//! numbers and vectors of the wrong length without a word; the gallery checks before it calls.

use faiss::index::scalar_quantizer::{IVFScalarQuantizerIndexImpl, QuantizerType, ScalarQuantizerIndexImpl};
use faiss::selector::IdSelector;
use faiss::{ConcurrentIndex, FlatIndex, IdMap, Idx, MetricType};
use serde::{Deserialize, Serialize};

use super::GalleryError;

/// How templates are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum IndexKind {
    /// Every template, in full precision.
    #[default]
    Exact,
    /// Every template, at 16 bits a number: half the memory to read, the same answers.
    Fp16,
    /// Every template, at 8 bits a number.
    Sq8,
    /// Templates in `lists` clusters at 8 bits a number, of which the `probes` nearest are read: for galleries from
    /// about half a million. Needs 39 templates for each list to be built.
    Inverted {
        /// Clusters.
        lists: u32,
        /// Clusters read by a search.
        probes: u32,
    },
}

/// Templates that clusters are learnt from, for each cluster: the work grows with it. FAISS warns below 39, and would by
/// itself take up to 256.
const TRAINING_PER_LIST: usize = 64;

/// Candidates that an inexact index proposes for each that is wanted.
const PROPOSALS: usize = 16;

pub(super) struct TemplateIndex {
    kind: IndexKind,
    dimension: usize,
    faiss: Box<dyn ConcurrentIndex + Send + Sync>,
}

impl std::fmt::Debug for TemplateIndex {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?} of {}", self.kind, self.faiss.ntotal())
    }
}

impl TemplateIndex {
    /// An index with these vectors (row after row) under these numbers.
    pub(super) fn build(
        kind: IndexKind,
        dimension: usize,
        slots: &[u64],
        values: &[f32],
    ) -> Result<Self, GalleryError> {
        let metric = MetricType::InnerProduct;
        let d = dimension as u32;
        let quantised = |code| ScalarQuantizerIndexImpl::new(d, code, metric).and_then(IdMap::new);
        let mut faiss: Box<dyn ConcurrentIndex + Send + Sync> = match kind {
            IndexKind::Exact => Box::new(IdMap::new(FlatIndex::new(d, metric)?)?),
            IndexKind::Fp16 => Box::new(quantised(QuantizerType::QT_fp16)?),
            IndexKind::Sq8 => Box::new(quantised(QuantizerType::QT_8bit)?),
            IndexKind::Inverted { lists, probes } => {
                let coarse = FlatIndex::new(d, metric)?;
                let mut index =
                    IVFScalarQuantizerIndexImpl::new_ip(coarse, d, QuantizerType::QT_8bit, lists)?;
                index.set_nprobe(probes);
                Box::new(index)
            }
        };
        if !faiss.is_trained() {
            train(&mut *faiss, kind, dimension, values)?;
        }
        let mut index = Self { kind, dimension, faiss };
        index.add(values, slots)?;
        Ok(index)
    }

    pub(super) fn kind(&self) -> IndexKind {
        self.kind
    }

    pub(super) fn add(&mut self, values: &[f32], slots: &[u64]) -> Result<(), GalleryError> {
        debug_assert_eq!(values.len(), slots.len() * self.dimension, "one vector for each number");
        if !slots.is_empty() {
            self.faiss.add_with_ids(values, &numbers(slots))?;
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, slots: &[u64]) -> Result<(), GalleryError> {
        if !slots.is_empty() {
            self.faiss.remove_ids(&IdSelector::batch(&numbers(slots))?)?;
        }
        Ok(())
    }

    /// The numbers of the most similar vectors: `k` of them, more where the index is not exact.
    pub(super) fn search(&self, probe: &[f32], k: usize) -> Result<Vec<u64>, GalleryError> {
        let wanted = if self.kind == IndexKind::Exact { k } else { k * PROPOSALS };
        let wanted = wanted.min(self.faiss.ntotal() as usize);
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let found = ConcurrentIndex::search(&*self.faiss, probe, wanted)?;
        // Where there are fewer, FAISS fills up with "none".
        Ok(found.labels.into_iter().filter_map(Idx::get).collect())
    }
}

/// Quantisers learn the range of each number from the templates; with none yet, from the range of unit vectors. Clusters
/// are learnt from a part of the templates, taken evenly.
fn train(
    faiss: &mut dyn ConcurrentIndex,
    kind: IndexKind,
    dimension: usize,
    values: &[f32],
) -> Result<(), GalleryError> {
    if values.is_empty() {
        let bounds: Vec<f32> =
            [-1.0, 1.0].into_iter().flat_map(|bound| std::iter::repeat_n(bound, dimension)).collect();
        return Ok(faiss.train(&bounds)?);
    }
    let wanted = match kind {
        IndexKind::Inverted { lists, .. } => lists as usize * TRAINING_PER_LIST,
        _ => usize::MAX,
    };
    let step = (values.len() / dimension / wanted).max(1);
    if step == 1 {
        return Ok(faiss.train(values)?);
    }
    Ok(faiss.train(&values.chunks_exact(dimension).step_by(step).collect::<Vec<_>>().concat())?)
}

fn numbers(slots: &[u64]) -> Vec<Idx> {
    slots.iter().map(|&slot| Idx::new(slot)).collect()
}
