//! Log lines that carry the id of their trace.

use opentelemetry::{Context, trace::TraceContextExt};
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
        match (line.trim_end().strip_suffix('}'), trace_id()) {
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
        match trace_id() {
            Some(id) => writeln!(out, "{} trace_id={id}", line.trim_end()),
            None => out.write_str(&line),
        }
    }
}

/// The trace of the span being executed: entering a span makes its context the current one.
fn trace_id() -> Option<String> {
    let context = Context::current();
    let span = context.span();
    let span_context = span.span_context();
    span_context.is_valid().then(|| span_context.trace_id().to_string())
}
