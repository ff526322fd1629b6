//! What processes counted, added up.

use rollcall_schemas::process::{Measure, ProcessReport};
use std::collections::BTreeMap;

/// The measures of all processes.
pub(in crate::system) struct Measured(Vec<Measure>);

impl Measured {
    pub(in crate::system) fn of(reports: &[ProcessReport]) -> Self {
        Self(reports.iter().flat_map(|report| report.measures.clone()).collect())
    }

    /// The sum over everything of that name.
    pub(super) fn total(&self, name: &str) -> f64 {
        self.named(name).map(|measure| measure.value).sum()
    }

    /// The sums by the values of a label.
    pub(super) fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::<String, f64>::new();
        for measure in self.named(name) {
            let value = measure.labels.get(label).cloned().unwrap_or_default();
            *sums.entry(value).or_default() += measure.value;
        }
        sums.into_iter().map(|(value, sum)| (value, sum as u64)).collect()
    }

    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = &Measure> {
        self.0.iter().filter(move |measure| measure.name == name)
    }

    /// Below which value a share of what a histogram of seconds took lies, in milliseconds; values are taken to lie evenly
    /// within a bucket, and those beyond the last bound at it. `None` while there is nothing.
    pub(super) fn quantile_ms(&self, histogram: &str, share: f64) -> Option<f64> {
        let mut buckets = BTreeMap::<u64, f64>::new();
        let mut count = 0.0;
        for bucket in self.named(&format!("{histogram}_bucket")) {
            match bucket.labels.get("le").and_then(|bound| bound.parse::<f64>().ok()) {
                // Positive floats are in the order of their bits.
                Some(bound) if bound.is_finite() => {
                    *buckets.entry(bound.to_bits()).or_default() += bucket.value;
                }
                _ => count += bucket.value,
            }
        }
        let wanted = share * count;
        let (mut from, mut below) = (0.0, 0.0);
        for (bits, up_to) in buckets {
            let bound = f64::from_bits(bits);
            if up_to >= wanted && up_to > below {
                return Some((from + (bound - from) * (wanted - below) / (up_to - below)) * 1e3);
            }
            (from, below) = (bound, up_to);
        }
        (count > 0.0).then_some(from * 1e3)
    }
}

/// A mean in milliseconds; `None` of nothing.
pub(super) fn mean_ms(seconds: f64, count: f64) -> Option<f64> {
    (count > 0.0).then(|| seconds / count * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(name: &str, labels: &[(&str, &str)], value: f64) -> Measure {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Measure { name: name.into(), labels, value }
    }

    #[test]
    fn processes_are_added_up() {
        let measured = Measured(vec![
            measure("calls", &[("code", "200"), ("route", "/a")], 2.0),
            measure("calls", &[("code", "200"), ("route", "/b")], 3.0),
            measure("calls", &[("code", "500")], 1.0),
        ]);
        assert_eq!(measured.total("calls"), 6.0);
        let by_code = BTreeMap::from([("200".to_owned(), 5), ("500".to_owned(), 1)]);
        assert_eq!(measured.by_label("calls", "code"), by_code);
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let bucket = |bound, value| measure("slow_bucket", &[("le", bound)], value);
        let measured = Measured(vec![bucket("0.1", 50.0), bucket("1", 90.0), bucket("+Inf", 100.0)]);
        let of = |share| measured.quantile_ms("slow", share).unwrap().round() as i64;
        assert_eq!([of(0.25), of(0.5), of(0.7), of(0.9), of(0.99)], [50, 100, 550, 1_000, 1_000]);
        assert_eq!(Measured(vec![]).quantile_ms("slow", 0.5), None);
    }
}
