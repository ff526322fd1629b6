//! Ingest: frames over HTTP until the broker has stored them, beside the same client publishing the same bytes to the
//! same broker itself. What is lost is what the front door costs: HTTP, the camera's key, the look into the image, the
//! frame's id.

use super::{
    Scope,
    deployment::{self, Deployment},
    latency::{Delays, median},
    process::{Service, cpu_seconds},
    report::{Figure, Report},
    school::School,
};
use crate::{client::send, config::Config};
use anyhow::{bail, ensure};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::{Future, StreamExt, TryStreamExt, stream};
use image::{RgbImage, codecs::jpeg::JpegEncoder};
use reqwest::{Method, StatusCode};
use rollcall_bus::Message;
use rollcall_schemas::{
    frame::{FrameMeta, FrameSource, ImageType, rfc3339},
    id::FrameId,
    subject,
};
use std::{cell::Cell, time::Instant};

const NAME: &str = "ingest";
const FRAME_BYTES: usize = 200_000;
const IN_FLIGHT: usize = 16;
const AIM: f64 = 0.8;

/// Runs it.
pub async fn run(scope: Scope, config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let (rounds, frames) = if scope.quick { (2, 300) } else { (6, 400) };
    deployment::with(config, &[Service::Ingest], async |deployment| {
        let school = School::found(deployment, 0).await?;
        let bench = Bench {
            deployment,
            school: &school,
            image: jpeg_of_size()?,
            // Long ago, so that a later frame of this benchmark is still not in the future.
            begun: deployment.clock.now() - TimeDelta::hours(24),
            pushed: Cell::new(0),
        };
        // A first round for connections, caches and files.
        bench.over_http(frames / 4).await?;
        bench.directly(frames / 4).await?;
        let (mut ours, mut peers, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
        let mut delays = Delays::new();
        for _ in 0..rounds {
            peers.push(bench.directly(frames).await?.rate);
            let before = cpu_seconds(deployment.pid(Service::Ingest))?;
            let pushed = bench.over_http(frames).await?;
            cpu.push((cpu_seconds(deployment.pid(Service::Ingest))? - before) / frames as f64 * 1e6);
            ours.push(pushed.rate);
            delays.0.add(pushed.delays.0)?;
        }
        let note = format!("200 KB, {IN_FLIGHT} in flight, {:.0} us of ingest's processor each", median(cpu));
        let rate = Figure::new(NAME, "frames over HTTP, stored", median(ours), "/s");
        report.add(rate.beside("direct publish", median(peers), Some(AIM)).note(note));
        for percent in [50.0, 99.0] {
            let name = format!("frame to acknowledgement, p{percent}");
            report.add(Figure::new(NAME, name, delays.percentile_ms(percent), "ms"));
        }
        Ok(())
    })
    .await
}

struct Bench<'a> {
    deployment: &'a Deployment,
    school: &'a School,
    image: Bytes,
    begun: DateTime<Utc>,
    pushed: Cell<i64>,
}

/// What one round reached.
struct Round {
    rate: f64,
    delays: Delays,
}

impl Bench<'_> {
    /// Pushes frames as the camera.
    async fn over_http(&self, frames: usize) -> anyhow::Result<Round> {
        let path = format!("/api/v1/cameras/{}/frames", self.school.camera_id);
        let push = || async {
            let request = self.school.camera.request(Method::POST, &path);
            let request =
                request.header("Content-Type", "image/jpeg").header("X-Captured-At", rfc3339(self.next()));
            let answer = send(request.body(self.image.clone())).await?;
            ensure!(answer.status == StatusCode::ACCEPTED, "a frame was refused: {}", answer.body);
            Ok(())
        };
        all(frames, push).await
    }

    /// Publishes the same as a client of the broker.
    async fn directly(&self, frames: usize) -> anyhow::Result<Round> {
        let camera_id = self.school.camera_id;
        let publish = || async {
            let captured_at = self.next();
            let meta = FrameMeta {
                frame_id: FrameId(self.deployment.entropy.uuid_v4()),
                camera_id,
                captured_at,
                received_at: captured_at,
                source: FrameSource::Live,
                content_type: ImageType::Jpeg,
                width: 640,
                height: 480,
            };
            let message = Message::new(subject::frame_captured(camera_id), meta.frame_id, self.image.clone());
            let published = self.deployment.bus.publish(message.with_headers(meta.to_headers())).await?;
            ensure!(!published.duplicate, "the broker took a frame for another one");
            Ok(())
        };
        all(frames, publish).await
    }

    /// An instant that no other frame has: the same bytes at another instant are another frame.
    fn next(&self) -> DateTime<Utc> {
        self.pushed.set(self.pushed.get() + 1);
        self.begun + TimeDelta::milliseconds(self.pushed.get())
    }
}

/// Does `one` so many times, some at a time.
async fn all<F: Future<Output = anyhow::Result<()>>>(
    count: usize,
    one: impl Fn() -> F,
) -> anyhow::Result<Round> {
    let begun = Instant::now();
    let each = stream::iter(0..count).map(|_| async {
        let begun = Instant::now();
        one().await.map(|()| begun.elapsed())
    });
    let took: Vec<_> = each.buffer_unordered(IN_FLIGHT).try_collect().await?;
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    let mut delays = Delays::new();
    took.into_iter().for_each(|delay| delays.record(delay));
    Ok(Round { rate, delays })
}

/// A picture of the wanted size to the byte: as good as fits, and the rest a comment (ITU-T T.81, B.2.4.5). Nearly all of it
/// is pixels, as in a camera's, because looking at a header takes as long as the header.
fn jpeg_of_size() -> anyhow::Result<Bytes> {
    let noise = |x: u32, y: u32| {
        (x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca77)).wrapping_mul(0xc2b2_ae3d)
    };
    let picture = RgbImage::from_fn(640, 480, |x, y| {
        let grain = (noise(x, y) >> 26) as u8;
        image::Rgb([(x / 4) as u8 + grain, (y / 3) as u8 + grain, ((x + y) / 8) as u8 + grain])
    });
    let encoded = |quality| {
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, quality).encode_image(&picture).map(|()| jpeg)
    };
    for quality in (1..=100).rev() {
        let jpeg = encoded(quality)?;
        // The marker of the comment, then a length that counts its own two bytes.
        if let Some(comment) =
            FRAME_BYTES.checked_sub(jpeg.len() + 2).filter(|length| (2..65_536).contains(length))
        {
            let (start, rest) = jpeg.split_at(2);
            let length = u16::try_from(comment)?.to_be_bytes();
            let text = vec![b' '; comment - 2];
            return Ok([start, &[0xff, 0xfe], &length, &text, rest].concat().into());
        }
    }
    bail!("no picture of {FRAME_BYTES} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_is_a_picture_of_200_kb() {
        let jpeg = jpeg_of_size().unwrap();
        assert_eq!(jpeg.len(), FRAME_BYTES);
        assert_eq!(image::load_from_memory(&jpeg).unwrap().width(), 640);
    }
}
