use super::*;
use serde_json::Value;
use std::{io, sync::Arc};
use tracing::subscriber::with_default;

const INCOMING: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[derive(Clone, Default)]
struct Lines(Arc<parking_lot::Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

fn logged(format: LogFormat, work: impl FnOnce()) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let config = TelemetryConfig { format, ..TelemetryConfig::default() };
    let (subscriber, _provider) =
        subscriber(&config, move || writer.clone(), RecentLines::default()).unwrap();
    with_default(subscriber, work);
    lines.text()
}

#[test]
fn a_trace_is_taken_up_passed_on_and_logged() {
    let text = logged(LogFormat::Json, || {
        let span = tracing::info_span!("request", route = "/frames");
        continue_trace(&span, INCOMING);
        let _entered = span.enter();
        let passed_on = current_traceparent().unwrap();
        assert!(passed_on.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{passed_on}");
        assert_ne!(passed_on, INCOMING, "the next span is a child of ours, not a sibling");
        tracing::info!(frames = 3, "taken");
    });
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!((&line["message"], &line["frames"]), (&"taken".into(), &3.into()));
    assert_eq!(line["span"]["route"], "/frames");
}

#[test]
fn a_trace_has_an_id_without_anybody_asking() {
    let text = logged(LogFormat::Pretty, || {
        let _entered = tracing::info_span!("tick").entered();
        let traceparent = current_traceparent().unwrap();
        tracing::info!(trace = &traceparent[3..35], "taken");
    });
    let id = text.split_once("trace_id=").unwrap().1.trim_end();
    assert_eq!(id.len(), 32);
    assert_eq!(text.matches(id).count(), 2, "{text}");
}

#[test]
fn a_trace_has_an_id_whatever_is_logged() {
    let config = TelemetryConfig { filter: "error".into(), ..TelemetryConfig::default() };
    let (subscriber, _provider) = subscriber(&config, io::sink, RecentLines::default()).unwrap();
    with_default(subscriber, || {
        let _entered = tracing::info_span!("request").entered();
        assert_eq!(current_trace_id().unwrap().len(), 32);
    });
}

#[test]
fn nonsense_starts_a_trace_of_its_own() {
    logged(LogFormat::Json, || {
        for nonsense in ["", "00-zz", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
            let span = tracing::info_span!("request");
            continue_trace(&span, nonsense);
            let _entered = span.enter();
            assert!(current_traceparent().is_some(), "{nonsense:?}");
        }
    });
}

#[test]
fn outside_any_span_there_is_no_trace() {
    let text = logged(LogFormat::Json, || {
        assert_eq!(current_traceparent(), None);
        tracing::info!("alone");
    });
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap().get("trace_id"), None);
}

#[test]
fn the_newest_lines_are_kept_whatever_the_log_looks_like() {
    use rollcall_schemas::process::{LineFilter, LogLevel};
    for format in [LogFormat::Json, LogFormat::Pretty] {
        let recent = RecentLines::default();
        let config = TelemetryConfig { format, ..TelemetryConfig::default() };
        let (subscriber, _provider) = subscriber(&config, io::sink, recent.clone()).unwrap();
        with_default(subscriber, || {
            let _entered = tracing::info_span!("request", route = "/frames").entered();
            tracing::warn!(frames = 3, "taken");
            tracing::debug!("not logged");
        });
        let filter = LineFilter { level: LogLevel::Trace, since: None, text: None, limit: 10 };
        let [line] = &recent.find(&filter, "api")[..] else { panic!("one line") };
        assert_eq!((line.level, line.message.as_str()), (LogLevel::Warn, "taken"));
        assert_eq!((&line.fields["frames"], &line.fields["span"]["route"]), (&3.into(), &"/frames".into()));
        assert_eq!(line.trace_id.as_ref().unwrap().len(), 32);
    }
}

#[test]
fn a_filter_that_cannot_be_read_is_refused() {
    let config = TelemetryConfig { filter: "rollcall=loudly".into(), ..TelemetryConfig::default() };
    assert!(matches!(
        subscriber(&config, io::stderr, RecentLines::default()),
        Err(TelemetryError::Filter(..))
    ));
}

#[test]
fn metrics_render_with_buckets_for_durations() {
    let handle = metrics();
    metrics::histogram!("telemetry_test_seconds").record(0.003);
    metrics::counter!("telemetry_test_total").increment(2);
    let text = handle.render();
    assert!(text.contains("telemetry_test_total 2"), "{text}");
    assert!(text.contains("telemetry_test_seconds_bucket{le=\"0.005\"} 1"), "{text}");
}

#[tokio::test]
async fn a_request_carries_its_trace_into_the_handler_and_the_log() {
    use crate::http::testing::{Edge, get};
    use axum::{Router, routing};

    let lines = Lines::default();
    let writer = lines.clone();
    let config = TelemetryConfig { format: LogFormat::Json, ..TelemetryConfig::default() };
    let (subscriber, _provider) =
        subscriber(&config, move || writer.clone(), RecentLines::default()).unwrap();
    let _default = tracing::subscriber::set_default(subscriber);
    let handler = || async { current_traceparent().unwrap_or_default() };
    let edge = Edge::new(Router::new().route("/sessions/{id}", routing::get(handler)));
    let mut request = get("/sessions/7?token=hush");
    request.headers_mut().insert(TRACEPARENT, INCOMING.parse().unwrap());
    assert!(edge.text(request).await.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));

    let line: Value = serde_json::from_str(lines.text().lines().last().unwrap()).unwrap();
    assert_eq!((&line["message"], &line["status"]), (&"answered".into(), &200.into()));
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(line["span"]["route"], "/sessions/{id}");
    assert!(!lines.text().contains("hush"), "a query may hold secrets");
}

#[test]
fn spans_are_exported_where_a_collector_is_named() {
    use std::io::{BufRead, BufReader, Write};

    let collector = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/", collector.local_addr().unwrap());
    let received = std::thread::spawn(move || {
        let (mut stream, _) = collector.accept().unwrap();
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        line
    });
    let config = TelemetryConfig { otlp_endpoint: Some(endpoint), ..TelemetryConfig::default() };
    let (subscriber, provider) = subscriber(&config, io::sink, RecentLines::default()).unwrap();
    with_default(subscriber, || drop(tracing::info_span!("request").entered()));
    provider.shutdown().unwrap();
    assert_eq!(received.join().unwrap().trim_end(), "POST /v1/traces HTTP/1.1");
}
