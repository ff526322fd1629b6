//! Logs, traces and metrics of a process.
//!
//! One trace runs from a camera's request through message headers to the database row: [`continue_trace`] takes up
//! a `traceparent` (W3C Trace Context) where it arrives, [`current_traceparent`] gives the one to pass on. A trace has
//! an id, and log lines carry it, whether or not spans are exported anywhere.

mod format;
mod measures;
mod recent;

pub use measures::measures;
pub use recent::RecentLines;

use crate::{http::use_ring, lifecycle::with_causes};
use format::Traced;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator,
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, io::IsTerminal, sync::OnceLock, time::Duration};
use tracing::{Level, Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{LevelFilter, filter_fn},
    fmt::{MakeWriter, writer::Tee},
    layer::SubscriberExt,
    registry::LookupSpan,
};

/// The header that carries a trace, over HTTP and in the log.
pub const TRACEPARENT: &str = "traceparent";
/// Bounds of duration histograms, in seconds: from a dot product to a request's time-out.
const SECONDS_BUCKETS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// How often histograms are folded when nobody scrapes them; otherwise they would grow.
const UPKEEP: Duration = Duration::from_secs(5);

/// How a process tells what it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// How log lines look: `json` for machines, `pretty` for people.
    pub format: LogFormat,
    /// What is logged, as `tracing` filters say it: `info`, or `info,rollcall_ingest=debug`.
    pub filter: String,
    /// An OpenTelemetry collector that takes spans over HTTP, such as `http://localhost:4318`; none when absent.
    pub otlp_endpoint: Option<String>,
    /// The name of the process in exported spans.
    pub service_name: String,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Pretty,
            filter: "info".into(),
            otlp_endpoint: None,
            service_name: "rollcall".into(),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// One readable line.
    Pretty,
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("the log filter {0:?} cannot be read: {1}")]
    Filter(String, String),
    /// The exporter cannot be built.
    #[error("spans cannot be exported to {0}: {1}")]
    Exporter(String, String),
    /// The process has a subscriber already.
    #[error("telemetry has been started already")]
    AlreadyStarted,
}

/// Keeps telemetry going; what is still to be exported leaves when it is dropped.
pub struct Guard {
    provider: SdkTracerProvider,
    upkeep: tokio::task::JoinHandle<()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.upkeep.abort();
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(error = with_causes(&error), "some spans were not exported");
        }
    }
}

/// Starts logs (to standard error), traces and metrics for the whole process. Call it once, within the runtime.
///
/// # Errors
/// When the filter or the exporter's address is unusable, or it was called before.
pub fn init(config: &TelemetryConfig) -> Result<Guard, TelemetryError> {
    let (subscriber, provider) = subscriber(config, std::io::stderr, recent_lines())?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::AlreadyStarted)?;
    let handle = metrics();
    let upkeep = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            handle.run_upkeep();
        }
    });
    Ok(Guard { provider, upkeep })
}

/// The newest lines of this process's log.
pub fn recent_lines() -> RecentLines {
    static LINES: OnceLock<RecentLines> = OnceLock::new();
    LINES.get_or_init(RecentLines::default).clone()
}

/// The metrics of this process: `render()` gives them in Prometheus' text format. The recorder behind the `metrics`
/// macros is the process's only one, installed on the first call.
pub fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    let install = || {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS_BUCKETS)
            .expect("the buckets are not empty");
        builder.install_recorder().expect("no other recorder is installed in this process")
    };
    HANDLE.get_or_init(install).clone()
}

/// The `traceparent` of the span that is being executed, or `None` outside any trace.
pub fn current_traceparent() -> Option<String> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&Context::current(), &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// The id of the trace of the span that is being executed: entering a span makes its context the current one.
pub fn current_trace_id() -> Option<String> {
    Context::map_current(|context| {
        let span = context.span();
        let span_context = span.span_context();
        span_context.is_valid().then(|| span_context.trace_id().to_string())
    })
}

/// Makes `span` part of the trace that `traceparent` names. Call it before the span is first entered; something that is
/// not a `traceparent` leaves the span at the root of a trace of its own.
pub fn continue_trace(span: &Span, traceparent: &str) {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract(&carrier);
    if context.span().span_context().is_valid() {
        // It fails only without a tracer (nothing to do) or on a span that was entered before (documented above).
        let _ = span.set_parent(context);
    }
}

/// Everything but the process-wide registration, so that tests can have subscribers of their own.
fn subscriber<W>(
    config: &TelemetryConfig,
    writer: W,
    recent: RecentLines,
) -> Result<(impl Subscriber + Send + Sync, SdkTracerProvider), TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|error| TelemetryError::Filter(config.filter.clone(), with_causes(&error)))?;
    let provider = tracer_provider(config)?;
    let tracer = provider.tracer("rollcall");
    // The filter is that of the log: a trace has its id whatever is logged. What nobody takes is not gathered, and of
    // what is, place, thread and idle time cost more at every step of a call than they tell.
    let exports = config.otlp_endpoint.is_some();
    let wanted =
        move |metadata: &Metadata<'_>| *metadata.level() <= Level::INFO && (exports || metadata.is_span());
    let traces = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(filter_fn(wanted).with_max_level_hint(LevelFilter::INFO));
    let log = log_layer(config.format, writer, recent).with_filter(filter);
    let subscriber = tracing_subscriber::registry().with(traces).with(log);
    Ok((subscriber, provider))
}

/// What writes the log, and keeps its newest lines.
fn log_layer<S, W>(format: LogFormat, writer: W, recent: RecentLines) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    use tracing_subscriber::fmt;
    let json = || Traced(fmt::format().json().flatten_event(true).with_span_list(false));
    match format {
        // Written once, to both.
        LogFormat::Json => {
            fmt::layer().json().event_format(json()).with_writer(Tee::new(writer, recent)).boxed()
        }
        LogFormat::Pretty => {
            let colour = std::io::stderr().is_terminal();
            let line = Traced(fmt::format().with_ansi(colour).compact());
            let log = fmt::layer().with_ansi(colour).event_format(line).with_writer(writer);
            log.and_then(fmt::layer().json().event_format(json()).with_writer(recent)).boxed()
        }
    }
}

fn tracer_provider(config: &TelemetryConfig) -> Result<SdkTracerProvider, TelemetryError> {
    let name = KeyValue::new("service.name", config.service_name.clone());
    let mut builder =
        SdkTracerProvider::builder().with_resource(Resource::builder().with_attribute(name).build());
    if let Some(endpoint) = &config.otlp_endpoint {
        // The exporter's client could speak TLS.
        use_ring();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .build()
            .map_err(|error| TelemetryError::Exporter(endpoint.clone(), with_causes(&error)))?;
        builder = builder.with_batch_exporter(exporter);
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests;
