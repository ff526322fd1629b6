//! Publishes stored pictures as frames again: a folder, a video, or a time range of FRAMES.
//!
//! Each frame keeps the id it had or would have had when its camera pushed it, so replaying changes nothing that is
//! already recorded; a message id of its own per job makes the broker store it once more, so that it is analysed again.
//! Where a replay has got to is kept in a file: one that was killed goes on where it was, under the same message ids.

mod folder;
mod log_range;
mod position;
mod video;

pub use folder::{Folder, Timing};
pub use log_range::LogRange;
pub use position::{Mark, PositionError};
pub use video::Video;

use crate::{
    frame::Frame,
    inspect::{ImageLimits, ImageRefusal, inspect},
};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt, stream};
use position::{Job, PositionFile};
use rollcall_bus::{Bus, BusError, PublishError};
use rollcall_schemas::{
    frame::{FrameMeta, FrameSource},
    id::{CameraId, FrameId},
};
use rollcall_service::clock::{Clock, Entropy};
use std::{io, path::PathBuf, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// Frames on their way to the broker at once; more only add latency.
const IN_FLIGHT: usize = 16;
/// How long a broker that is away is waited for.
const BROKER_PATIENCE: Duration = Duration::from_secs(60);
/// The pause before a frame is offered again.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// The shortest time between two writes of the position.
const SAVE_EVERY: Duration = Duration::from_millis(250);

/// Where frames come from.
pub enum Source {
    /// Pictures as files.
    Folder(Folder),
    /// A video as a file.
    Video(Video),
    /// Frames that the log still holds.
    LogRange(LogRange),
}

/// How fast frames are published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as the log takes them.
    Full,
    /// With the pauses they were captured with, this many times faster: 1 is as it happened.
    Times(f64),
}

/// What is to be replayed, and how.
pub struct Replay {
    /// Where frames come from.
    pub source: Source,
    /// How fast they are published.
    pub pace: Pace,
    /// Where the place reached is kept until the end is reached.
    pub position_file: PathBuf,
    /// How much of an image is taken.
    pub limits: ImageLimits,
}

/// What a replay works with.
#[derive(Clone)]
pub struct ReplayDeps {
    /// Where frames go.
    pub bus: Bus,
    /// Tells when they were received.
    pub clock: Clock,
    /// Draws the id of a new job.
    pub entropy: Entropy,
}

/// How far a replay has come. Frames of earlier runs of the same job count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayProgress {
    /// Frames that the log has stored.
    pub published: u64,
    /// Frames that were not fit to be published.
    pub refused: u64,
    /// How many there are in all, where that is known beforehand.
    pub total: Option<u64>,
    /// The capture time of the last frame.
    pub captured_at: Option<DateTime<Utc>>,
    /// What was not fit just now, and why.
    pub refusal: Option<(String, String)>,
    /// Whether the end is reached; otherwise the next run goes on here.
    pub finished: bool,
}

/// Why a replay ended before its end. What it had published is kept in the position file.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A file or folder cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is nothing to replay.
    #[error("{0} holds no frames")]
    NoFrames(String),
    /// Nothing can be captured so many times a second.
    #[error("{0} frames a second cannot be; give a number from 0.001 to 1000")]
    Fps(f64),
    /// ffmpeg could not be started.
    #[error("cannot start ffmpeg, which reads videos; install it")]
    NoFfmpeg(#[source] io::Error),
    /// ffmpeg failed.
    #[error("ffmpeg could not read all of {path}: {reason}")]
    Video {
        /// The video.
        path: PathBuf,
        /// What ffmpeg said last.
        reason: String,
    },
    /// The position file cannot be used.
    #[error(transparent)]
    Position(#[from] PositionError),
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Log(#[from] BusError),
    /// The log did not take a frame.
    #[error("a frame was not stored; run the same replay again to go on from it")]
    Publish(#[from] PublishError),
}

/// A picture to be published, or why it cannot be.
struct Item {
    mark: Mark,
    /// What people call it.
    name: String,
    picture: Result<Picture, String>,
}

/// A picture with what its source knows of it.
struct Picture {
    camera_id: CameraId,
    captured_at: DateTime<Utc>,
    /// When it was received for the first time, if it was.
    received_at: Option<DateTime<Utc>>,
    bytes: Bytes,
}

impl Source {
    /// What makes it this source and no other.
    fn description(&self) -> String {
        match self {
            Source::Folder(folder) => folder.description(),
            Source::Video(video) => video.description(),
            Source::LogRange(range) => range.description(),
        }
    }

    fn total(&self) -> Option<u64> {
        match self {
            Source::Folder(folder) => Some(folder.total()),
            Source::Video(_) | Source::LogRange(_) => None,
        }
    }

    async fn open(&mut self, bus: &Bus, after: Option<&Mark>) -> Result<(), ReplayError> {
        match self {
            Source::Folder(folder) => {
                folder.skip(after);
                Ok(())
            }
            Source::Video(video) => video.open(after).await,
            Source::LogRange(range) => range.open(bus, after).await,
        }
    }

    async fn next(&mut self) -> Result<Option<Item>, ReplayError> {
        match self {
            Source::Folder(folder) => folder.next().await,
            Source::Video(video) => video.next().await,
            Source::LogRange(range) => Ok(range.next().await),
        }
    }
}

impl Replay {
    /// Publishes everything that is left of the job, in order, telling `on_progress` after each frame. Ends early, and
    /// softly, when `stop` is cancelled.
    ///
    /// # Errors
    /// When the source cannot be read, or the log does not take a frame.
    pub async fn run(
        mut self,
        deps: &ReplayDeps,
        stop: CancellationToken,
        mut on_progress: impl FnMut(&ReplayProgress),
    ) -> Result<ReplayProgress, ReplayError> {
        let description = self.source.description();
        let mut position = PositionFile::open(self.position_file, description, &deps.entropy)?;
        let job = position.job().clone();
        let mut progress = ReplayProgress {
            published: job.published,
            refused: job.refused,
            total: self.source.total(),
            ..ReplayProgress::default()
        };
        self.source.open(&deps.bus, job.mark.as_ref()).await?;
        let items = paced(self.source, self.pace, stop.clone());
        let limits = self.limits;
        let mut published = Box::pin(items.map(|item| publish(deps, &job, limits, item)).buffered(IN_FLIGHT));
        let mut save_at = Instant::now() + SAVE_EVERY;
        let mut ended = Ok(());
        while let Some(outcome) = published.next().await {
            let Published { mark, captured_at, refusal } = match outcome {
                Ok(published) => published,
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            };
            match refusal {
                Some(_) => progress.refused += 1,
                None => progress.published += 1,
            }
            progress.captured_at = captured_at.or(progress.captured_at);
            progress.refusal = refusal;
            position.reached(mark, progress.published, progress.refused);
            if Instant::now() >= save_at {
                position.save()?;
                save_at = Instant::now() + SAVE_EVERY;
            }
            on_progress(&progress);
        }
        if let Err(error) = ended {
            position.save()?;
            return Err(error);
        }
        progress.refusal = None;
        progress.finished = !stop.is_cancelled();
        if progress.finished {
            position.remove()?;
        } else {
            position.save()?;
        }
        Ok(progress)
    }
}

/// What became of one item.
struct Published {
    mark: Mark,
    captured_at: Option<DateTime<Utc>>,
    /// What was not fit, and why.
    refusal: Option<(String, String)>,
}

/// The items of a source, each at its time.
fn paced(
    source: Source,
    pace: Pace,
    stop: CancellationToken,
) -> impl Stream<Item = Result<Item, ReplayError>> {
    struct State {
        source: Source,
        pace: Pace,
        stop: CancellationToken,
        /// When the first frame was published, and when it had been captured.
        began: Option<(Instant, DateTime<Utc>)>,
        failed: bool,
    }
    let state = State { source, pace, stop, began: None, failed: false };
    stream::unfold(state, |mut state| async move {
        if state.failed {
            return None;
        }
        let stop = state.stop.clone();
        let next = async {
            let item = state.source.next().await?;
            if let (Pace::Times(times), Some(Ok(picture))) =
                (state.pace, item.as_ref().map(|item| &item.picture))
            {
                let (at, first) = *state.began.get_or_insert((Instant::now(), picture.captured_at));
                let since = (picture.captured_at - first).to_std().unwrap_or_default();
                sleep_until(at + since.div_f64(times)).await;
            }
            Ok::<_, ReplayError>(item)
        };
        let item = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            item = next => item.transpose(),
        };
        state.failed = matches!(item, Some(Err(_)));
        item.map(|item| (item, state))
    })
}

async fn publish(
    deps: &ReplayDeps,
    job: &Job,
    limits: ImageLimits,
    item: Result<Item, ReplayError>,
) -> Result<Published, ReplayError> {
    let Item { mark, name, picture } = item?;
    let picture = match picture {
        Ok(picture) => picture,
        Err(reason) => return Ok(Published { mark, captured_at: None, refusal: Some((name, reason)) }),
    };
    let captured_at = Some(picture.captured_at);
    let frame = match frame(picture, deps.clock.now(), &limits) {
        Ok(frame) => frame,
        Err(refusal) => {
            return Ok(Published { mark, captured_at, refusal: Some((name, refusal.to_string())) });
        }
    };
    let message_id = format!("{}:replay:{}", frame.meta.frame_id, job.id);
    let message = frame.into_message(message_id);
    let give_up_at = Instant::now() + BROKER_PATIENCE;
    loop {
        match deps.bus.publish(message.clone()).await {
            Ok(_) => return Ok(Published { mark, captured_at, refusal: None }),
            Err(PublishError::TooLarge { limit_bytes }) => {
                let refusal = ImageRefusal::TooLarge { limit_bytes }.to_string();
                return Ok(Published { mark, captured_at, refusal: Some((name, refusal)) });
            }
            Err(PublishError::Unavailable { .. }) if Instant::now() < give_up_at => sleep(RETRY_PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
}

fn frame(picture: Picture, now: DateTime<Utc>, limits: &ImageLimits) -> Result<Frame, ImageRefusal> {
    let Picture { camera_id, captured_at, received_at, bytes } = picture;
    let inspected = inspect(&bytes, limits)?;
    let meta = FrameMeta {
        frame_id: FrameId::of(camera_id, captured_at, &bytes),
        camera_id,
        captured_at,
        received_at: received_at.unwrap_or(now),
        source: FrameSource::Replay,
        content_type: inspected.content_type,
        width: inspected.width,
        height: inspected.height,
    };
    Ok(Frame { meta, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const FRAMES: usize = 3;

    /// How long the frames of a folder, captured a second apart, take to come.
    async fn duration(pace: Pace) -> Duration {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..FRAMES {
            std::fs::write(folder.path().join(format!("{number}.jpg")), b"not looked at here").unwrap();
        }
        let timing = Timing::Regular { start: DateTime::UNIX_EPOCH, fps: 1.0 };
        let source = Source::Folder(Folder::open(folder.path(), CameraId(Uuid::nil()), timing).unwrap());
        let began = Instant::now();
        let items: Vec<_> = paced(source, pace, CancellationToken::new()).collect().await;
        assert_eq!(items.len(), FRAMES);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn frames_come_at_the_pace_asked_for() {
        assert_eq!(duration(Pace::Full).await, Duration::ZERO);
        for (times, expected) in [(1.0, 2_000), (4.0, 500)] {
            let took = duration(Pace::Times(times)).await.as_millis();
            // The timer counts whole milliseconds and rounds up.
            assert!((expected..expected + 10).contains(&took), "{took} ms at {times}");
        }
    }
}
