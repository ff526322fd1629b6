//! Frames: the running pipeline, HTTP in and row out, beside a bare loop that decodes the same images and runs the same
//! networks in as many threads. By processor time the face worker is compared with the loop alone; by throughput
//! everything shares the same cores.

use super::{
    Scope, camera,
    deployment::{self, Deployment},
    latency::median,
    photographs,
    process::{Service, cpu_seconds},
    report::{Figure, Report},
    school::School,
};
use crate::config::Config;
use anyhow::Context;
use bytes::Bytes;
use rollcall_face_worker::{engine::Engine, session::Runtime, worker::FaceConfig};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

const NAME: &str = "frames";
const AIM: f64 = 0.95;

/// Runs it.
pub async fn run(scope: Scope, config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let (rounds, repeats) = if scope.quick { (2, 2) } else { (7, 8) };
    let photographs = photographs::fetch(config).await?;
    let images: Vec<Bytes> = (0..repeats).flat_map(|_| photographs.clone()).collect();
    let mut bare = Bare::open(&config.face)?;
    let services = [Service::Ingest, Service::FaceWorker, Service::AttendanceWorker];
    deployment::with(config, &services, async |deployment| {
        let school = School::found(deployment, 0).await?;
        let camera = camera::Camera::new(deployment, &school);
        // A first round for connections and the networks' memory.
        pipeline(deployment, &camera, &photographs).await?;
        bare.run(&photographs)?;
        let (mut ours, mut peers) = (Rounds::default(), Rounds::default());
        for _ in 0..rounds {
            peers.add(tokio::task::block_in_place(|| bare.run(&images))?);
            ours.add(pipeline(deployment, &camera, &images).await?);
        }
        let threads = bare.0.len();
        let note =
            format!("{:.1} ms a frame; bare {:.1} ms", 1e3 / ours.per_cpu_s(), 1e3 / peers.per_cpu_s());
        let by_cpu = Figure::new(NAME, "face worker, frames per processor second", ours.per_cpu_s(), "/s");
        report.add(by_cpu.beside("bare loop", peers.per_cpu_s(), Some(AIM)).note(note));
        let by_time = Figure::new(NAME, "HTTP in to row out, all on the same cores", ours.per_s(), "/s");
        let note = format!("{threads} engines, {} images a round", images.len());
        report.add(by_time.beside("bare loop", peers.per_s(), None).note(note));
        Ok(())
    })
    .await
}

/// What one round took.
struct Round {
    frames: usize,
    seconds: f64,
    cpu_seconds: f64,
}

/// What rounds reached, each by itself.
#[derive(Default)]
struct Rounds(Vec<Round>);

impl Rounds {
    fn add(&mut self, round: Round) {
        self.0.push(round);
    }

    fn per_s(&self) -> f64 {
        median(self.0.iter().map(|round| round.frames as f64 / round.seconds).collect())
    }

    fn per_cpu_s(&self) -> f64 {
        median(self.0.iter().map(|round| round.frames as f64 / round.cpu_seconds).collect())
    }
}

/// Pushes the images and waits until each has its row.
async fn pipeline(
    deployment: &Deployment,
    camera: &camera::Camera,
    images: &[Bytes],
) -> anyhow::Result<Round> {
    let worker = deployment.pid(Service::FaceWorker);
    let (begun, before) = (Instant::now(), cpu_seconds(worker)?);
    camera.push_all(images).await?;
    camera.settled(deployment).await?;
    let cpu_seconds = cpu_seconds(worker)? - before;
    Ok(Round { frames: images.len(), seconds: begun.elapsed().as_secs_f64(), cpu_seconds })
}

/// Engines by themselves, as many as the face worker has.
struct Bare(Vec<Engine>);

impl Bare {
    fn open(face: &FaceConfig) -> anyhow::Result<Self> {
        let models = face.models_dir();
        let (pack, runtime) = (face.pack()?, Runtime::load(&face.runtime_library()?)?);
        let folder = models.verify(&pack)?;
        let engines =
            (0..face.inference_threads()).map(|_| Engine::open(&pack, &folder, &runtime, face.provider));
        Ok(Self(engines.collect::<Result<_, _>>().context("opening the networks")?))
    }

    /// Analyses the images; this process does nothing else meanwhile.
    fn run(&mut self, images: &[Bytes]) -> anyhow::Result<Round> {
        let this = std::process::id();
        let (begun, before) = (Instant::now(), cpu_seconds(this)?);
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            let work = |engine: &mut Engine| -> anyhow::Result<()> {
                while let Some(image) = images.get(next.fetch_add(1, Ordering::Relaxed)) {
                    engine.bare_loop(image)?;
                }
                Ok(())
            };
            let threads: Vec<_> = self.0.iter_mut().map(|engine| scope.spawn(move || work(engine))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("the bare loop does not panic"))
        })?;
        let cpu_seconds = cpu_seconds(this)? - before;
        Ok(Round { frames: images.len(), seconds: begun.elapsed().as_secs_f64(), cpu_seconds })
    }
}
