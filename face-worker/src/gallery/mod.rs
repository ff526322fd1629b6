//! The templates of known people and the search among them. Where templates come from and what a similarity means is
//! decided elsewhere; embeddings of another pack never get in (one gallery serves one pack).

mod index;

use std::collections::HashMap;

use parking_lot::RwLock;
use rollcall_schemas::{embedding::Embedding, id::UserId, sighting::Candidate};

pub use index::IndexKind;
use index::TemplateIndex;

/// How far from length 1 a template may be: rounding, not another scale.
const MAX_LENGTH_ERROR: f32 = 1e-3;

/// Known people's templates. All methods take `&self`; searches run beside one another.
#[derive(Debug)]
pub struct Gallery {
    dimension: usize,
    state: RwLock<State>,
}

/// Why a template or probe is refused.
#[derive(Debug, thiserror::Error)]
pub enum GalleryError {
    /// The vector has another length than this gallery's pack yields.
    #[error("a vector of {found} numbers, where this gallery's pack yields {expected}")]
    Dimension {
        /// Numbers in the vector.
        found: usize,
        /// Numbers that it must have.
        expected: usize,
    },
    /// The vector is not a unit vector.
    #[error("the vector's length is not 1")]
    NotNormalised,
    /// FAISS failed.
    #[error("face index: {0}")]
    Index(#[from] faiss::error::Error),
}

#[derive(Debug)]
struct State {
    people: HashMap<UserId, Entry>,
    /// Whose template a number of the index is. A replaced template gets a fresh number, so a rebuilt index can be
    /// compared with the present by numbers alone.
    person_by_slot: HashMap<u64, UserId>,
    next_slot: u64,
    index: TemplateIndex,
}

/// What is known of a person: the newest revision, and the template unless the person was forgotten.
#[derive(Debug)]
struct Entry {
    revision: u64,
    template: Option<Stored>,
}

#[derive(Debug)]
struct Stored {
    slot: u64,
    template: Embedding,
}

impl Gallery {
    /// An empty gallery with an exact index.
    pub fn new(dimension: usize) -> Result<Self, GalleryError> {
        let state = State::empty(dimension)?;
        Ok(Self { dimension, state: RwLock::new(state) })
    }

    /// Sets a person's template as of `revision`. An older or equal revision than the one known changes nothing and
    /// answers `false`.
    pub fn put(&self, person: UserId, revision: u64, template: &Embedding) -> Result<bool, GalleryError> {
        self.check(template)?;
        let mut state = self.state.write();
        if !state.is_news(person, revision) {
            return Ok(false);
        }
        let slot = state.next_slot;
        state.index.add(&template.0, &[slot])?;
        state.next_slot += 1;
        state.person_by_slot.insert(slot, person);
        let stored = Stored { slot, template: template.clone() };
        state.replace(person, Entry { revision, template: Some(stored) })?;
        Ok(true)
    }

    /// Forgets a person as of `revision`; a template of an older revision that arrives later stays forgotten.
    pub fn remove(&self, person: UserId, revision: u64) -> Result<bool, GalleryError> {
        let mut state = self.state.write();
        if !state.is_news(person, revision) {
            return Ok(false);
        }
        state.replace(person, Entry { revision, template: None })?;
        Ok(true)
    }

    /// Forgets everybody, revisions included: the source of templates has begun anew.
    pub fn clear(&self) -> Result<(), GalleryError> {
        let mut state = self.state.write();
        // Nobody is left to train another kind with.
        *state = State::empty(self.dimension)?;
        Ok(())
    }

    /// The `k` people most similar to the probe, best first; fewer where fewer are known. An index that is not exact
    /// only proposes: the similarities are always the exact ones.
    pub fn search(&self, probe: &Embedding, k: usize) -> Result<Vec<Candidate>, GalleryError> {
        self.check(probe)?;
        let state = self.state.read();
        let slots = state.index.search(&probe.0, k)?;
        let mut candidates: Vec<Candidate> =
            slots.iter().filter_map(|slot| state.candidate(*slot, probe)).collect();
        candidates.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
        candidates.truncate(k);
        Ok(candidates)
    }

    /// How many people can be found.
    pub fn len(&self) -> usize {
        self.state.read().person_by_slot.len()
    }

    /// Whether nobody can be found.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which index answers.
    pub fn index_kind(&self) -> IndexKind {
        self.state.read().index.kind()
    }

    /// Replaces the index by one of another kind. It is built beside the live one, which goes on answering; what
    /// changed meanwhile is caught up before the swap.
    pub fn rebuild(&self, kind: IndexKind) -> Result<(), GalleryError> {
        let (slots, values) = self.state.read().snapshot(self.dimension);
        let mut fresh = TemplateIndex::build(kind, self.dimension, &slots, &values)?;
        let mut state = self.state.write();
        let gone: Vec<u64> =
            slots.iter().copied().filter(|slot| !state.person_by_slot.contains_key(slot)).collect();
        fresh.remove(&gone)?;
        let first_new = slots.iter().max().map_or(0, |last| last + 1);
        for stored in state.people.values().filter_map(|entry| entry.template.as_ref()) {
            if stored.slot >= first_new {
                fresh.add(&stored.template.0, &[stored.slot])?;
            }
        }
        state.index = fresh;
        Ok(())
    }

    fn check(&self, vector: &Embedding) -> Result<(), GalleryError> {
        let found = vector.0.len();
        if found != self.dimension {
            return Err(GalleryError::Dimension { found, expected: self.dimension });
        }
        let length = vector.0.iter().map(|value| value * value).sum::<f32>().sqrt();
        // Written so that a vector with a NaN is refused too.
        if (length - 1.0).abs() <= MAX_LENGTH_ERROR { Ok(()) } else { Err(GalleryError::NotNormalised) }
    }
}

impl State {
    fn empty(dimension: usize) -> Result<Self, GalleryError> {
        let index = TemplateIndex::build(IndexKind::Exact, dimension, &[], &[])?;
        Ok(Self { people: HashMap::new(), person_by_slot: HashMap::new(), next_slot: 0, index })
    }

    fn is_news(&self, person: UserId, revision: u64) -> bool {
        self.people.get(&person).is_none_or(|known| known.revision < revision)
    }

    /// Whose template the slot holds, and how similar it is.
    fn candidate(&self, slot: u64, probe: &Embedding) -> Option<Candidate> {
        let user_id = *self.person_by_slot.get(&slot)?;
        let stored = self.people.get(&user_id)?.template.as_ref()?;
        Some(Candidate { user_id, similarity: probe.similarity(&stored.template)? })
    }

    /// Puts the entry in place and takes the person's former template out of the index.
    fn replace(&mut self, person: UserId, entry: Entry) -> Result<(), GalleryError> {
        let former = self.people.insert(person, entry).and_then(|former| former.template);
        if let Some(stored) = former {
            self.person_by_slot.remove(&stored.slot);
            self.index.remove(&[stored.slot])?;
        }
        Ok(())
    }

    fn snapshot(&self, dimension: usize) -> (Vec<u64>, Vec<f32>) {
        let mut slots = Vec::with_capacity(self.person_by_slot.len());
        let mut values = Vec::with_capacity(self.person_by_slot.len() * dimension);
        for stored in self.people.values().filter_map(|entry| entry.template.as_ref()) {
            slots.push(stored.slot);
            values.extend_from_slice(&stored.template.0);
        }
        (slots, values)
    }
}
