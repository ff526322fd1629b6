//! A steady load on everything at once: frames from a camera, scans from students, watchers of what comes of them.

use super::{
    camera::Camera,
    deployment::Deployment,
    photographs,
    process::Service,
    scans::mark,
    school::{School, Session},
};
use crate::config::Config;
use anyhow::Context;
use bytes::Bytes;
use futures::{StreamExt, future::try_join_all};
use reqwest::Method;
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

const FRAMES_PER_SECOND: u32 = 4;
const SCANS_PER_SECOND: u32 = 20;
const WATCHERS: usize = 20;
/// At twenty scans a second a session lasts 100 seconds.
const STUDENTS: usize = 2_000;
/// Larger photographs would only fill the disk.
const MAX_FRAME_BYTES: usize = 300_000;
/// Frames on their way beyond which the camera waits: a slow machine is to be loaded, not flooded.
const MAX_BACKLOG: u64 = 20;

/// What makes the load.
pub struct Load {
    school: School,
    camera: Camera,
    images: Vec<Bytes>,
    scans: AtomicU64,
    over: AtomicBool,
}

/// What was done.
pub struct Done {
    /// Frames that have their row.
    pub frames: u64,
    /// Scans that were recorded.
    pub scans: u64,
}

impl Load {
    /// Prepares it for a deployment of every service.
    ///
    /// # Errors
    /// When people or photographs are not there.
    pub async fn prepare(config: &Config, deployment: &Deployment) -> anyhow::Result<Self> {
        let mut images = photographs::fetch(config).await?;
        images.retain(|image| image.len() <= MAX_FRAME_BYTES);
        let school = School::found(deployment, STUDENTS).await?;
        let camera = Camera::new(deployment, &school);
        Ok(Self { school, camera, images, scans: AtomicU64::new(0), over: AtomicBool::new(false) })
    }

    /// Loads the deployment while `measure` runs.
    ///
    /// # Errors
    /// When a frame or a scan is refused, or `measure` fails.
    pub async fn during<T>(
        &self,
        deployment: &Deployment,
        measure: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(T, Done)> {
        let measured = async {
            let measured = measure.await;
            self.over.store(true, Ordering::Relaxed);
            measured
        };
        let (measured, (), ()) = futures::try_join!(measured, self.push(deployment), self.scan())?;
        let frames = self.camera.processed(deployment).await?;
        Ok((measured, Done { frames, scans: self.scans.load(Ordering::Relaxed) }))
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    async fn push(&self, deployment: &Deployment) -> anyhow::Result<()> {
        let mut due = interval(Duration::from_secs(1) / FRAMES_PER_SECOND);
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut pushed = self.camera.processed(deployment).await?;
        for image in self.images.iter().cycle() {
            due.tick().await;
            if self.is_over() {
                break;
            }
            if pushed - self.camera.processed(deployment).await? < MAX_BACKLOG {
                self.camera.push(image.clone()).await?;
                pushed += 1;
            }
        }
        self.camera.settled(deployment).await
    }

    async fn scan(&self) -> anyhow::Result<()> {
        let mut due = interval(Duration::from_secs(1) / SCANS_PER_SECOND);
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while !self.is_over() {
            let session = self.school.open_session().await?;
            let _watchers = self.watch(&session).await?;
            let mut marks = JoinSet::new();
            for student in &self.school.students {
                due.tick().await;
                if self.is_over() {
                    break;
                }
                let (student, code) = (student.clone(), session.code.clone());
                marks.spawn(async move { mark(&student, &code).await });
                while let Some(marked) = marks.try_join_next() {
                    self.count(marked?)?;
                }
            }
            while let Some(marked) = marks.join_next().await {
                self.count(marked?)?;
            }
            self.school.close_session(session).await?;
        }
        Ok(())
    }

    fn count(&self, marked: anyhow::Result<()>) -> anyhow::Result<()> {
        marked?;
        self.scans.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Watchers of a session, until the set is dropped.
    async fn watch(&self, session: &Session) -> anyhow::Result<JoinSet<()>> {
        let teacher = self.school.admin.as_ref().context("an api")?;
        let path = format!("/api/v1/events?session={}", session.id);
        let open = || crate::watch::events(teacher.request(Method::GET, &path));
        let mut tasks = JoinSet::new();
        for mut events in try_join_all((0..WATCHERS).map(|_| open())).await? {
            tasks.spawn(async move { while events.next().await.is_some() {} });
        }
        Ok(tasks)
    }
}

/// What a service should not take more of, in MB.
pub fn limit_mb(service: Service) -> f64 {
    if service == Service::FaceWorker { 500.0 } else { 50.0 }
}
