//! Log lines that carry the id of their trace.

use super::current_trace_id;
use std::fmt;
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Compact, Format, Json, Writer},
    },
    registry::LookupSpan,
};

/// Another format, with the trace id added.
pub(super) struct Traced<F>(pub(super) F);

impl<S, N> FormatEvent<S, N> for Traced<Format<Json>>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
    Format<Json>: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        match (line.trim_end().strip_suffix('}'), current_trace_id()) {
            (Some(open), Some(id)) => writeln!(out, r#"{open},"trace_id":"{id}"}}"#),
            _ => out.write_str(&line),
        }
    }
}

impl<S, N> FormatEvent<S, N> for Traced<Format<Compact>>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
    Format<Compact>: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        match current_trace_id() {
            Some(id) => writeln!(out, "{} trace_id={id}", line.trim_end()),
            None => out.write_str(&line),
        }
    }
}
