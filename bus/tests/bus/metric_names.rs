//! The metrics that dashboards are built on have the names the documentation gives.

use crate::{
    Recorder,
    consume::{publish_scans, run, settled, spec},
    scan,
    server::Server,
};
use metrics_exporter_prometheus::PrometheusBuilder;

// One thread, so that one recorder sees all of it.
#[tokio::test(flavor = "current_thread")]
async fn publishing_and_handling_are_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _local = metrics::set_default_local_recorder(&recorder);
    let server = Server::start();
    let bus = server.bus().await;
    publish_scans(&bus, 0..3).await;
    bus.publish(scan(0)).await.unwrap();
    let running = run(&bus, spec(), &Recorder::new(|_| Ok(())));
    settled(&bus, 3).await;
    running.stop().await;
    let shown = recorder.handle().render();
    for line in [
        "rollcall_bus_published_total{stream=\"SCANS\",result=\"stored\"} 3",
        "rollcall_bus_published_total{stream=\"SCANS\",result=\"duplicate\"} 1",
        "rollcall_bus_handled_total{stream=\"SCANS\",consumer=\"worker\",result=\"done\"} 3",
        "rollcall_bus_in_flight{stream=\"SCANS\",consumer=\"worker\"} 0",
        "rollcall_bus_pending{stream=\"SCANS\",consumer=\"worker\"} 0",
    ] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
}
