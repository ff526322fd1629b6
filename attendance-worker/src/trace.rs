//! The trace that a message belongs to: taken up from its headers, kept in the row, passed on with what follows.

use rollcall_bus::Delivery;
use rollcall_schemas::header::{HeaderSource, Headers, TRACEPARENT};
use rollcall_service::telemetry;
use tracing::Span;

/// The `traceparent` of a message (W3C Trace Context), if it had one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace(Option<String>);

impl Trace {
    /// The trace of `delivery`, which `span` continues.
    pub(crate) fn take_up(delivery: &Delivery, span: &Span) -> Self {
        let traceparent = delivery.header(TRACEPARENT).map(str::to_owned);
        if let Some(traceparent) = &traceparent {
            telemetry::continue_trace(span, traceparent);
        }
        Self(span.in_scope(telemetry::current_traceparent).or(traceparent))
    }

    /// The trace of the span that is being executed: for what no message caused.
    pub(crate) fn current() -> Self {
        Self(telemetry::current_traceparent())
    }

    /// The trace id: 32 hexadecimal digits.
    pub(crate) fn id(&self) -> Option<String> {
        let id = self.0.as_deref()?.split('-').nth(1)?;
        (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then(|| id.to_owned())
    }

    /// The headers that pass it on.
    pub(crate) fn headers(&self) -> Headers {
        self.0.iter().map(|traceparent| (TRACEPARENT, traceparent.clone())).collect()
    }
}
