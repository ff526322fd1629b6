//! Soak: a steady load for long, each service's memory every minute, and whether it stays flat.

use super::{
    Scope, deployment,
    load::Load,
    process::{Service, ServiceProcess, resident_mb},
    report::{Figure, Report},
};
use crate::config::Config;
use std::time::Duration;
use tokio::time::{Instant, interval_at};

const NAME: &str = "soak";
/// The part of the time in which buffers and caches reach their size and which does not count.
const WARM_UP: f64 = 0.25;
/// Growth after the warm-up, as a part of the mean, that is still called flat: what an allocator's arenas wander.
const FLAT: f64 = 0.05;

/// Runs it.
pub async fn run(scope: Scope, config: &Config, report: &mut Report) -> anyhow::Result<()> {
    deployment::with(config, &Service::ALL, async |deployment| {
        let load = Load::prepare(config, deployment).await?;
        let watched = watch_memory(deployment.services(), scope.minutes);
        let (samples, done) = load.during(deployment, watched).await?;
        let note = format!("{} min: {} frames, {} scans", scope.minutes, done.frames, done.scans);
        for (process, samples) in deployment.services().iter().zip(samples) {
            let settled = &samples[(samples.len() as f64 * WARM_UP) as usize..];
            let trend = Trend::of(settled);
            let name = format!("{} grows after the warm-up by", process.service.name());
            let from_to = format!("{:.1} MB on average; {note}", trend.mean);
            report.add(Figure::new(NAME, name, trend.growth, "MB").at_most(trend.mean * FLAT).note(from_to));
        }
        Ok(())
    })
    .await
}

/// Each service's memory in MB, at the beginning and every minute.
async fn watch_memory(services: &[ServiceProcess], minutes: u32) -> anyhow::Result<Vec<Vec<f64>>> {
    let every = Duration::from_secs(60);
    let mut looks = interval_at(Instant::now() + every, every);
    let mut samples = vec![Vec::new(); services.len()];
    let names: Vec<_> = services.iter().map(|process| format!("{:>17}", process.service.name())).collect();
    println!("  minute {}", names.join(" "));
    for minute in 1..=minutes {
        looks.tick().await;
        let now =
            services.iter().map(|process| resident_mb(process.pid)).collect::<anyhow::Result<Vec<_>>>()?;
        let shown: Vec<_> = now.iter().map(|mb| format!("{mb:>14.1} MB")).collect();
        println!("  {minute:>6} {}", shown.join(" "));
        samples.iter_mut().zip(now).for_each(|(samples, mb)| samples.push(mb));
    }
    Ok(samples)
}

/// The straight line that fits samples best (least squares).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Trend {
    mean: f64,
    /// From the line's first point to its last.
    growth: f64,
}

impl Trend {
    fn of(samples: &[f64]) -> Self {
        let count = samples.len() as f64;
        let mean = samples.iter().sum::<f64>() / count;
        let middle = (count - 1.0) / 2.0;
        let places = || (0..samples.len()).map(|place| place as f64 - middle);
        let spread: f64 = places().map(|place| place * place).sum();
        let slope =
            places().zip(samples).map(|(place, sample)| place * (sample - mean)).sum::<f64>() / spread;
        Self { mean, growth: if spread > 0.0 { slope * (count - 1.0) } else { 0.0 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_is_its_own_trend() {
        assert_eq!(Trend::of(&[1.0, 2.0, 3.0, 4.0]), Trend { mean: 2.5, growth: 3.0 });
    }

    #[test]
    fn noise_around_a_level_does_not_grow() {
        assert_eq!(Trend::of(&[1.0, 3.0, 3.0, 1.0]).growth, 0.0);
        assert_eq!(Trend::of(&[7.0]), Trend { mean: 7.0, growth: 0.0 });
    }
}
