//! This process, as it describes itself to whoever asks all of them.

use crate::{
    clock::{Clock, Entropy},
    telemetry::{RecentLines, measures},
};
use chrono::{DateTime, Utc};
use parking_lot::RwLock;
use rollcall_schemas::process::{ModelReport, ProcessQuestion, ProcessReport};
use std::{fs, sync::Arc};
use uuid::Uuid;

/// A process. Clones are the same.
#[derive(Clone)]
pub struct Process(Arc<Inner>);

struct Inner {
    id: Uuid,
    service: String,
    started_at: DateTime<Utc>,
    lines: RecentLines,
    models: RwLock<Option<Box<dyn Fn() -> ModelReport + Send + Sync>>>,
}

impl Process {
    /// A process of that name that starts now, and logs to `lines`.
    pub fn new(service: &str, lines: RecentLines, clock: &Clock, entropy: &Entropy) -> Self {
        Self(Arc::new(Inner {
            id: entropy.uuid_v4(),
            service: service.to_owned(),
            started_at: clock.now(),
            lines,
            models: RwLock::default(),
        }))
    }

    /// Says how to describe the models that this process runs.
    pub fn describe_models(&self, describe: impl Fn() -> ModelReport + Send + Sync + 'static) {
        *self.0.models.write() = Some(Box::new(describe));
    }

    /// The answer to a question.
    pub fn answer(&self, question: &ProcessQuestion) -> ProcessReport {
        let Inner { id, service, started_at, lines, models } = &*self.0;
        let lines = question.lines.as_ref().map(|filter| lines.find(filter, service));
        ProcessReport {
            process: *id,
            service: service.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: *started_at,
            memory_bytes: memory_bytes(),
            models: models.read().as_ref().map(|describe| describe()),
            lines: lines.unwrap_or_default(),
            measures: if question.measures { measures() } else { vec![] },
        }
    }
}

/// The memory that is resident, as Linux says it (proc(5)).
fn memory_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_schemas::process::{LineFilter, LogLevel};

    #[test]
    fn only_what_is_asked_for_is_told() {
        let process = Process::new("test", RecentLines::default(), &Clock::real(), &Entropy::seeded(1));
        let bare = process.answer(&ProcessQuestion::default());
        assert!(bare.measures.is_empty() && bare.lines.is_empty() && bare.models.is_none());
        assert!(bare.memory_bytes.is_some_and(|bytes| bytes > 1024 * 1024));
        metrics::counter!("process_test_total").increment(1);
        let filter = LineFilter { level: LogLevel::Info, since: None, text: None, limit: 1 };
        let asked = process.answer(&ProcessQuestion { lines: Some(filter), measures: true });
        assert_eq!((asked.process, asked.service.as_str()), (bare.process, "test"));
    }
}
