//! A camera of a benchmark: pushes frames over HTTP and knows how many are on their way.

use super::{deployment::Deployment, school::School};
use crate::client::{Client, send};
use anyhow::{Context, ensure};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::{Method, StatusCode};
use rollcall_schemas::{frame::rfc3339, id::CameraId};
use rollcall_store::ledger;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep};

const IN_FLIGHT: usize = 4;
const POLL: Duration = Duration::from_millis(20);
/// Without a single frame more for so long, something is wrong.
const STUCK: Duration = Duration::from_secs(60);

/// A camera.
pub struct Camera {
    client: Client,
    id: CameraId,
    begun: DateTime<Utc>,
    pushed: AtomicU64,
}

impl Camera {
    /// The school's camera; each frame is captured a millisecond after the one before, so that equal bytes are
    /// different frames.
    pub fn new(deployment: &Deployment, school: &School) -> Self {
        let begun = deployment.clock.now() - TimeDelta::days(1);
        Self { client: school.camera.clone(), id: school.camera_id, begun, pushed: AtomicU64::new(0) }
    }

    /// Pushes one frame and waits until it is stored.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn push(&self, image: Bytes) -> anyhow::Result<()> {
        let number = self.pushed.fetch_add(1, Ordering::Relaxed);
        let captured_at = self.begun + TimeDelta::milliseconds(number.try_into()?);
        let path = format!("/api/v1/cameras/{}/frames", self.id);
        let request = self.client.request(Method::POST, &path);
        let request =
            request.header("Content-Type", "image/jpeg").header("X-Captured-At", rfc3339(captured_at));
        let answer = send(request.body(image)).await?;
        ensure!(answer.status == StatusCode::ACCEPTED, "a frame was refused: {}", answer.body);
        Ok(())
    }

    /// Pushes several, a few at a time.
    ///
    /// # Errors
    /// When one is refused.
    pub async fn push_all(&self, images: &[Bytes]) -> anyhow::Result<()> {
        let pushes = stream::iter(images).map(|image| self.push(image.clone()));
        pushes.buffer_unordered(IN_FLIGHT).try_collect().await
    }

    /// Waits until every frame that was pushed has its row.
    ///
    /// # Errors
    /// When nothing happens for a minute.
    pub async fn settled(&self, deployment: &Deployment) -> anyhow::Result<()> {
        let mut last = (self.processed(deployment).await?, Instant::now());
        while last.0 < self.pushed.load(Ordering::Relaxed) {
            sleep(POLL).await;
            let processed = self.processed(deployment).await?;
            if processed > last.0 {
                last = (processed, Instant::now());
            }
            ensure!(last.1.elapsed() < STUCK, "no frame was processed for {} s", STUCK.as_secs());
        }
        Ok(())
    }

    /// How many frames have their row.
    ///
    /// # Errors
    /// When the database does not answer, or a frame is dead.
    pub async fn processed(&self, deployment: &Deployment) -> anyhow::Result<u64> {
        let balances = ledger::balance(&deployment.pool).await.context("reading the ledger")?;
        let Some(balance) = balances.get(&self.id) else { return Ok(0) };
        ensure!(balance.dead.is_empty(), "frames ended among the dead: {:?}", balance.dead);
        Ok(balance.processed)
    }
}
