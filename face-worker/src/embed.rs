//! Aligned chips to embeddings: unit vectors whose inner product is the similarity of two faces.

use std::path::Path;

use rollcall_schemas::embedding::Embedding;

use crate::pack::EmbedderSpec;
use crate::pixels::Normalisation;
use crate::session::{Batch, InferenceError, Network, Provider, Runtime};

/// An embedding network with its buffers.
pub struct Embedder {
    network: Box<dyn Network>,
    normalisation: Normalisation,
    dimension: usize,
    side: usize,
    flip: bool,
    max_batch: usize,
    planes: Vec<f32>,
}

impl Embedder {
    /// Opens the network that a manifest describes.
    pub fn open(
        spec: &EmbedderSpec,
        file: &Path,
        runtime: &Runtime,
        provider: Provider,
    ) -> Result<Self, InferenceError> {
        Ok(Self {
            network: runtime.open(file, provider, &[])?,
            normalisation: Normalisation::new(&spec.input),
            dimension: spec.dimension,
            side: spec.template.side() as usize,
            flip: spec.flip,
            max_batch: spec.max_batch,
            planes: Vec::new(),
        })
    }

    /// The side of the chips that it takes.
    pub fn side(&self) -> usize {
        self.side
    }

    /// One embedding for each chip (RGB bytes, `side` squared), in their order.
    pub fn embed(&mut self, chips: &[Vec<u8>]) -> Result<Vec<Embedding>, InferenceError> {
        let views = if self.flip { 2 } else { 1 };
        let mut outputs = Vec::with_capacity(chips.len() * views);
        let size = 3 * self.side * self.side;
        self.planes.resize(chips.len() * views * size, 0.0);
        let mut planes = self.planes.chunks_exact_mut(size);
        for chip in chips {
            let mut next = || planes.next().expect("the buffer has a place for each view of each chip");
            self.normalisation.write_planes(chip, next());
            if self.flip {
                self.normalisation.write_mirrored_planes(chip, self.side, next());
            }
        }
        for part in self.planes.chunks(size * self.max_batch) {
            let shape = [part.len() / size, 3, self.side, self.side];
            let mut mismatch = None;
            self.network.run(Batch { shape, values: part }, &mut |results| match results {
                [output] if output.values.len() == shape[0] * self.dimension => {
                    let vectors = output.values.chunks_exact(self.dimension);
                    outputs.extend(vectors.map(|values| Embedding(values.to_vec())));
                }
                other => mismatch = Some(other.first().map_or(Vec::new(), |output| output.shape.to_vec())),
            })?;
            if let Some(shape) = mismatch {
                return Err(InferenceError::Output { output: "embedding".to_owned(), shape });
            }
        }
        // A chip's views are averaged, and the result scaled to length 1, as a person's photographs are.
        let averaged = outputs.chunks_exact(views).map(Embedding::template);
        averaged.map(|embedding| embedding.ok_or(InferenceError::NoDirection)).collect()
    }

    /// The network, for reports.
    pub(crate) fn network(&self) -> &dyn Network {
        &*self.network
    }
}
