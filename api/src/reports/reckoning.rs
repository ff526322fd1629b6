//! What an attendance percentage is, and where a day begins. Pure.

use rollcall_store::reports::Counts;

/// Below this percentage a class is at risk.
pub(super) const AT_RISK_BELOW: f64 = 75.0;

/// How the organisation reckons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reckoning {
    /// Where its days begin, as the IANA database names it.
    pub(crate) time_zone: String,
    /// Whether whoever came late counts as present.
    pub(crate) late_counts_as_present: bool,
}

/// What a percentage is of: everybody expected, without the excused.
pub(super) fn total(counts: &Counts) -> i64 {
    counts.present + counts.absent + counts.late
}

impl Reckoning {
    /// The part of the total that was present, in percent with two decimals. Of nothing it is 0.
    pub(super) fn percentage(&self, counts: &Counts) -> f64 {
        let there = counts.present + if self.late_counts_as_present { counts.late } else { 0 };
        match total(counts) {
            0 => 0.0,
            total => (there as f64 * 10_000.0 / total as f64).round() / 100.0,
        }
    }
}

/// Whether a class with these records is at risk: by the percentage that is shown, and not without any records.
pub(super) fn is_at_risk(percentage: f64) -> bool {
    percentage < AT_RISK_BELOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_the_present_among_the_expected() {
        let table = [
            // present, late, absent, excused; late not counted, late counted
            ((22, 0, 4, 0), 84.62, 84.62),
            ((420, 10, 80, 0), 82.35, 84.31),
            ((22, 0, 4, 1_000), 84.62, 84.62),
            ((0, 0, 0, 5), 0.0, 0.0),
            ((0, 0, 0, 0), 0.0, 0.0),
            ((0, 3, 0, 0), 0.0, 100.0),
            ((1, 1, 1, 1), 33.33, 66.67),
            ((2, 0, 1, 0), 66.67, 66.67),
            // A half is rounded away from zero: 0.125 %.
            ((1, 0, 799, 0), 0.13, 0.13),
        ];
        for ((present, late, absent, excused), without, with) in table {
            let counts = Counts { present, late, absent, excused };
            let reckoned = |late_counts_as_present| {
                Reckoning { time_zone: "UTC".into(), late_counts_as_present }.percentage(&counts)
            };
            assert_eq!((reckoned(false), reckoned(true)), (without, with), "{counts:?}");
        }
    }

    #[test]
    fn risk_begins_below_three_quarters() {
        assert!(is_at_risk(74.99) && !is_at_risk(75.0));
    }
}
