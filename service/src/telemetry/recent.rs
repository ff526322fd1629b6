//! The newest lines of this process's log, in memory: what an administrator looks at before anybody opens a terminal. They
//! are the lines of the log as JSON, so they hold nothing that the log does not.

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use rollcall_schemas::process::{LineFilter, LogLevel, LogLine};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{collections::VecDeque, io, sync::Arc};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// What is kept: so many bytes of lines, the oldest give way.
const KEPT_BYTES: usize = 2 * 1024 * 1024;
/// A longer line is not kept: one must not push out all others.
const MAX_LINE_BYTES: usize = 16 * 1024;
/// What one answer may hold, so that it fits a message.
const ANSWER_BYTES: usize = 256 * 1024;

/// The newest lines. Clones are the same.
#[derive(Clone, Default)]
pub struct RecentLines(Arc<Mutex<Ring>>);

#[derive(Default)]
struct Ring {
    lines: VecDeque<Line>,
    bytes: usize,
}

struct Line {
    level: LogLevel,
    /// As it was logged.
    json: Box<str>,
}

impl RecentLines {
    /// The lines that `filter` wants, newest first; `service` is who wrote them.
    pub fn find(&self, filter: &LineFilter, service: &str) -> Vec<LogLine> {
        let text = filter.text.as_ref().map(|text| text.to_lowercase());
        let is_wanted = |line: &&Line| {
            line.level >= filter.level
                && text.as_ref().is_none_or(|text| line.json.to_lowercase().contains(text))
        };
        let mut left = ANSWER_BYTES;
        let mut fits = |line: &&Line| {
            let fits = line.json.len() <= left;
            left = left.saturating_sub(line.json.len());
            fits
        };
        let ring = self.0.lock();
        ring.lines
            .iter()
            .rev()
            .filter(is_wanted)
            .take_while(|line| fits(line))
            .filter_map(|line| read(line, service))
            // Lines of several threads may be a moment out of order: none is skipped for that.
            .filter(|line| filter.since.is_none_or(|since| line.at >= since))
            .take(filter.limit)
            .collect()
    }

    /// Keeps a line, as JSON.
    pub fn keep(&self, level: LogLevel, json: &str) {
        metrics::counter!("rollcall_log_lines_total", "level" => name(level)).increment(1);
        if json.len() > MAX_LINE_BYTES {
            return;
        }
        let mut ring = self.0.lock();
        ring.bytes += json.len();
        ring.lines.push_back(Line { level, json: json.into() });
        while ring.bytes > KEPT_BYTES {
            let oldest = ring.lines.pop_front();
            ring.bytes -= oldest.map_or(0, |line| line.json.len());
        }
    }
}

/// A line as the formatter writes it: whatever is not named here is a field.
#[derive(Deserialize)]
struct Logged {
    timestamp: DateTime<Utc>,
    #[serde(default)]
    message: String,
    target: String,
    trace_id: Option<String>,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

fn read(line: &Line, service: &str) -> Option<LogLine> {
    let Logged { timestamp, message, target, trace_id, mut fields } =
        serde_json::from_str(&line.json).ok()?;
    fields.remove("level");
    Some(LogLine {
        at: timestamp,
        level: line.level,
        service: service.to_owned(),
        target,
        message,
        fields,
        trace_id,
    })
}

fn level(metadata: &Metadata<'_>) -> LogLevel {
    match *metadata.level() {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    }
}

fn name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

impl<'w> MakeWriter<'w> for RecentLines {
    type Writer = LineWriter<'w>;

    fn make_writer(&'w self) -> LineWriter<'w> {
        LineWriter { lines: self, level: LogLevel::Info }
    }

    fn make_writer_for(&'w self, metadata: &Metadata<'_>) -> LineWriter<'w> {
        LineWriter { lines: self, level: level(metadata) }
    }
}

/// Takes one line. The formatter writes it whole.
pub struct LineWriter<'w> {
    lines: &'w RecentLines,
    level: LogLevel,
}

impl io::Write for LineWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Ok(json) = std::str::from_utf8(bytes) {
            self.lines.keep(self.level, json.trim_end());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn everything() -> LineFilter {
        LineFilter { level: LogLevel::Trace, since: None, text: None, limit: 10 }
    }

    fn kept(lines: &[(LogLevel, &str, i64)]) -> RecentLines {
        let recent = RecentLines::default();
        for (level, message, second) in lines {
            let at = DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap();
            let line = serde_json::json!({ "timestamp": at, "level": "?", "message": message, "target": "t", "frames": 3 });
            recent.keep(*level, &line.to_string());
        }
        recent
    }

    fn messages(recent: &RecentLines, filter: &LineFilter) -> Vec<String> {
        recent.find(filter, "api").into_iter().map(|line| line.message).collect()
    }

    #[test]
    fn what_is_wanted_comes_newest_first() {
        let recent = kept(&[
            (LogLevel::Info, "one", 0),
            (LogLevel::Error, "Two", 1),
            (LogLevel::Warn, "three", 2),
            (LogLevel::Debug, "four", 3),
        ]);
        assert_eq!(messages(&recent, &everything()), ["four", "three", "Two", "one"]);
        let bad = LineFilter { level: LogLevel::Warn, ..everything() };
        assert_eq!(messages(&recent, &bad), ["three", "Two"]);
        let with_text = LineFilter { text: Some("TWO".into()), ..everything() };
        assert_eq!(messages(&recent, &with_text), ["Two"]);
        let since = DateTime::from_timestamp(1_700_000_000, 0).unwrap() + TimeDelta::seconds(2);
        assert_eq!(messages(&recent, &LineFilter { since: Some(since), ..everything() }), ["four", "three"]);
        assert_eq!(messages(&recent, &LineFilter { limit: 1, ..everything() }), ["four"]);
        let line = recent.find(&everything(), "api").remove(0);
        assert_eq!((line.service.as_str(), &line.fields["frames"]), ("api", &3.into()));
        assert!(!line.fields.contains_key("level"));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = "x".repeat(MAX_LINE_BYTES / 2);
        let lines: Vec<_> = (0..1_000).map(|second| (LogLevel::Info, long.as_str(), second)).collect();
        let recent = kept(&lines);
        assert!(recent.0.lock().bytes <= KEPT_BYTES);
        let found = recent.find(&LineFilter { limit: 1_000, ..everything() }, "api");
        assert!(found.len() >= 20 && found.len() * long.len() <= ANSWER_BYTES, "{}", found.len());
        assert_eq!(found[0].at.timestamp(), 1_700_000_999, "the oldest give way");
        let huge = "x".repeat(MAX_LINE_BYTES);
        assert!(kept(&[(LogLevel::Info, &huge, 0)]).0.lock().lines.is_empty());
    }
}
