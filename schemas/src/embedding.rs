//! A face embedding as it travels: base64 of little-endian 32-bit floats.

use base64::{Engine, prelude::BASE64_STANDARD};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{borrow::Cow, fmt};

/// A vector on the unit sphere of one model pack. `Debug` shows its dimension only: an embedding is biometric data and
/// has no place in a log line.
#[derive(Clone, PartialEq)]
pub struct Embedding(pub Vec<f32>);

impl Embedding {
    /// The little-endian bytes, as the database and the log keep them.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// Reads little-endian bytes. `None` when the length is not a multiple of four or a value is not finite.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (values, rest) = bytes.as_chunks::<4>();
        let values: Vec<f32> = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
        (rest.is_empty() && values.iter().all(|value| value.is_finite())).then_some(Self(values))
    }

    /// The inner product with another embedding of the same pack: the cosine similarity, as both are of unit length.
    /// `None` when the dimensions differ.
    pub fn similarity(&self, other: &Self) -> Option<f32> {
        (self.0.len() == other.0.len()).then(|| self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum())
    }

    /// The template of several embeddings of one person: their mean, back on the unit sphere. `None` when there are
    /// none, their dimensions differ, or they cancel out.
    pub fn template(embeddings: &[Self]) -> Option<Self> {
        let dimension = embeddings.first()?.0.len();
        if embeddings.iter().any(|embedding| embedding.0.len() != dimension) {
            return None;
        }
        let mut sum = vec![0f64; dimension];
        for embedding in embeddings {
            for (total, value) in sum.iter_mut().zip(&embedding.0) {
                *total += f64::from(*value);
            }
        }
        let norm = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
        (norm > 1e-9).then(|| Self(sum.into_iter().map(|value| (value / norm) as f32).collect()))
    }
}

impl fmt::Debug for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Embedding({} values)", self.0.len())
    }
}

impl Serialize for Embedding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(self.to_bytes()))
    }
}

impl<'de> Deserialize<'de> for Embedding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = BASE64_STANDARD.decode(text.as_bytes()).map_err(D::Error::custom)?;
        Self::from_bytes(&bytes).ok_or_else(|| D::Error::custom("not a list of finite 32-bit floats"))
    }
}

impl JsonSchema for Embedding {
    fn schema_name() -> Cow<'static, str> {
        "Embedding".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "contentEncoding": "base64",
            "description": "little-endian 32-bit floats, of unit length"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn survives_the_wire(values in proptest::collection::vec(-1f32..1f32, 0..64)) {
            let embedding = Embedding(values);
            let json = serde_json::to_string(&embedding).unwrap();
            prop_assert_eq!(serde_json::from_str::<Embedding>(&json).unwrap(), embedding);
        }
    }

    #[test]
    fn template_is_of_unit_length_and_between_its_sources() {
        let template = Embedding::template(&[Embedding(vec![1.0, 0.0]), Embedding(vec![0.0, 1.0])]).unwrap();
        assert!((template.similarity(&template).unwrap() - 1.0).abs() < 1e-6);
        assert!((template.similarity(&Embedding(vec![1.0, 0.0])).unwrap() - 0.707).abs() < 1e-3);
    }

    #[test]
    fn template_refuses_what_has_no_mean() {
        assert_eq!(Embedding::template(&[]), None);
        assert_eq!(Embedding::template(&[Embedding(vec![1.0]), Embedding(vec![-1.0])]), None);
        assert_eq!(Embedding::template(&[Embedding(vec![1.0]), Embedding(vec![1.0, 0.0])]), None);
    }

    #[test]
    fn debug_shows_no_values() {
        assert_eq!(format!("{:?}", Embedding(vec![0.25; 3])), "Embedding(3 values)");
    }
}
