//! Circuit breakers, one per kind of question: when nobody has answered several times in a row, the next callers are
//! told at once, and one of them in a while tries again.

use parking_lot::Mutex;
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// Questions in a row without an answer that open the circuit.
const OPENS_AFTER: u32 = 5;

/// How long an open circuit waits before it lets one question through.
const COOL_DOWN: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
enum State {
    Closed {
        silences: u32,
    },
    Open {
        until: Instant,
    },
    /// One question is under way, and its fate decides.
    Probing,
}

/// The circuits by kind of question.
#[derive(Default)]
pub(crate) struct Breakers(Mutex<HashMap<String, State>>);

impl Breakers {
    /// Leave to ask, or `None` while the circuit is open.
    pub(crate) fn enter(&self, kind: &str) -> Option<Leave<'_>> {
        let mut states = self.0.lock();
        let state = states.entry(kind.to_owned()).or_insert(State::Closed { silences: 0 });
        let probing = match *state {
            State::Closed { .. } => false,
            State::Open { until } if Instant::now() >= until => {
                *state = State::Probing;
                true
            }
            State::Open { .. } | State::Probing => return None,
        };
        Some(Leave { breakers: self, kind: kind.to_owned(), probing })
    }

    fn update(&self, kind: &str, change: impl FnOnce(State) -> State) {
        if let Some(state) = self.0.lock().get_mut(kind) {
            *state = change(*state);
        }
    }
}

/// Leave to ask one question. Dropped without a word, for example because the caller went away, it changes nothing.
pub(crate) struct Leave<'a> {
    breakers: &'a Breakers,
    kind: String,
    probing: bool,
}

impl Leave<'_> {
    /// Somebody answered.
    pub(crate) fn answered(mut self) {
        self.probing = false;
        self.breakers.update(&self.kind, |_| State::Closed { silences: 0 });
    }

    /// Nobody answered in time.
    pub(crate) fn silent(mut self) {
        let was_probing = std::mem::take(&mut self.probing);
        self.breakers.update(&self.kind, |state| match state {
            State::Closed { silences } if silences + 1 < OPENS_AFTER => {
                State::Closed { silences: silences + 1 }
            }
            State::Probing if !was_probing => state,
            State::Open { .. } => state,
            State::Closed { .. } | State::Probing => {
                tracing::warn!(kind = self.kind, "nobody answers; the circuit is open");
                State::Open { until: Instant::now() + COOL_DOWN }
            }
        });
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.probing {
            self.breakers.update(&self.kind, |_| State::Open { until: Instant::now() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(breakers: &Breakers) {
        for _ in 0..OPENS_AFTER {
            breakers.enter("scan").unwrap().silent();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn opens_after_silences_in_a_row_only() {
        let breakers = Breakers::default();
        for _ in 0..3 {
            for _ in 1..OPENS_AFTER {
                breakers.enter("scan").unwrap().silent();
            }
            breakers.enter("scan").unwrap().answered();
        }
        assert!(breakers.enter("scan").is_some());
        open(&breakers);
        assert!(breakers.enter("scan").is_none());
        assert!(breakers.enter("session").is_some(), "another kind has its own circuit");
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_decides() {
        let breakers = Breakers::default();
        open(&breakers);
        tokio::time::advance(COOL_DOWN).await;
        let probe = breakers.enter("scan").unwrap();
        assert!(breakers.enter("scan").is_none(), "only one probe at a time");
        probe.silent();
        assert!(breakers.enter("scan").is_none(), "the probe failed: open again");
        tokio::time::advance(COOL_DOWN).await;
        breakers.enter("scan").unwrap().answered();
        assert!(breakers.enter("scan").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_goes_away_lets_another_try() {
        let breakers = Breakers::default();
        open(&breakers);
        tokio::time::advance(COOL_DOWN).await;
        drop(breakers.enter("scan").unwrap());
        assert!(breakers.enter("scan").is_some());
    }
}
