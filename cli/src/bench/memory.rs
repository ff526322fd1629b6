//! Memory: what each service's process keeps in RAM, with nothing to do and under load.

use super::{
    Scope, deployment,
    load::{Load, limit_mb},
    process::{Service, own_mb, resident_mb},
    report::{Figure, Report},
};
use crate::config::Config;
use std::time::Duration;
use tokio::time::{Instant, interval, sleep};

const NAME: &str = "memory";
/// What a service does once, it does in the first seconds.
const SETTLING: Duration = Duration::from_secs(5);

/// Runs it.
pub async fn run(scope: Scope, config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let loaded = Duration::from_secs(if scope.quick { 15 } else { 90 });
    deployment::with(config, &Service::ALL, async |deployment| {
        sleep(SETTLING).await;
        for process in deployment.services() {
            let name = format!("{} at rest", process.service.name());
            let at_rest = Figure::new(NAME, name, resident_mb(process.pid)?, "MB");
            let note = format!("{:.1} MB without the binary, which the services share", own_mb(process.pid)?);
            report.add(at_rest.at_most(limit_mb(process.service)).note(note));
        }
        let load = Load::prepare(config, deployment).await?;
        let peaks = async {
            let mut peaks = vec![0f64; deployment.services().len()];
            let (begun, mut looks) = (Instant::now(), interval(Duration::from_secs(1)));
            while begun.elapsed() < loaded {
                looks.tick().await;
                for (peak, process) in peaks.iter_mut().zip(deployment.services()) {
                    *peak = peak.max(resident_mb(process.pid)?);
                }
            }
            Ok(peaks)
        };
        let (peaks, done) = load.during(deployment, peaks).await?;
        let note = format!("{} s: {} frames, {} scans", loaded.as_secs(), done.frames, done.scans);
        for (peak, process) in peaks.into_iter().zip(deployment.services()) {
            let under_load = Figure::new(NAME, format!("{} under load", process.service.name()), peak, "MB");
            report.add(under_load.at_most(limit_mb(process.service)).note(&note));
        }
        Ok(())
    })
    .await
}
