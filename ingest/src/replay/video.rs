//! A video as a file, read by ffmpeg as a child process that writes JPEG after JPEG into a pipe.

use super::{
    Item, Mark, Picture, ReplayError,
    folder::{check_fps, regular_time},
};
use crate::inspect::jpeg_scan_start;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use rollcall_schemas::id::CameraId;
use std::{path::PathBuf, process::Stdio};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, ChildStderr, ChildStdout, Command},
    task::JoinHandle,
};

/// How much of what ffmpeg said is shown.
const REASON_CHARS: usize = 300;

/// A video of one camera.
pub struct Video {
    path: PathBuf,
    camera_id: CameraId,
    start: DateTime<Utc>,
    fps: f64,
    reading: Option<Box<Reading>>,
}

struct Reading {
    ffmpeg: Child,
    frames: Frames<ChildStdout>,
    complaints: JoinHandle<String>,
    /// The number of the next frame.
    next: u64,
    /// Frames up to this number are already published.
    skip: u64,
}

impl Video {
    /// A video whose first frame was captured at `start`, to be sampled `fps` times a second.
    ///
    /// # Errors
    /// When there is no such file, or the rate is impossible.
    pub fn open_file(
        path: impl Into<PathBuf>,
        camera_id: CameraId,
        start: DateTime<Utc>,
        fps: f64,
    ) -> Result<Self, ReplayError> {
        check_fps(fps)?;
        let path = path.into();
        let path = path.canonicalize().map_err(|source| ReplayError::Read { path, source })?;
        Ok(Self { path, camera_id, start, fps, reading: None })
    }

    pub(super) fn description(&self) -> String {
        let Self { path, camera_id, start, fps, .. } = self;
        format!(
            "video {} of camera {camera_id} from {} at {fps} a second",
            path.display(),
            start.to_rfc3339()
        )
    }

    pub(super) async fn open(&mut self, after: Option<&Mark>) -> Result<(), ReplayError> {
        let skip = match after {
            Some(Mark::Frame(done)) => done + 1,
            _ => 0,
        };
        let mut input = std::ffi::OsString::from("file:");
        input.push(&self.path);
        let mut ffmpeg = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-i"])
            .arg(input)
            .args(["-map", "0:v:0", "-vf", &format!("fps={}", self.fps)])
            // One thread and no names of encoders: the same video gives the same bytes, so the same frames.
            .args(["-f", "image2pipe", "-c:v", "mjpeg", "-q:v", "2", "-threads", "1", "-flags", "+bitexact"])
            .arg("pipe:1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(ReplayError::NoFfmpeg)?;
        let stdout = ffmpeg.stdout.take().expect("stdout is piped");
        let stderr = ffmpeg.stderr.take().expect("stderr is piped");
        let complaints = tokio::spawn(last_words(stderr));
        self.reading =
            Some(Box::new(Reading { ffmpeg, frames: Frames::new(stdout), complaints, next: 0, skip }));
        Ok(())
    }

    pub(super) async fn next(&mut self) -> Result<Option<Item>, ReplayError> {
        let Some(reading) = self.reading.as_mut() else { return Ok(None) };
        while let Some(bytes) = reading
            .frames
            .next()
            .await
            .map_err(|source| ReplayError::Read { path: self.path.clone(), source })?
        {
            let number = reading.next;
            reading.next += 1;
            if number < reading.skip {
                continue;
            }
            let picture = Picture {
                camera_id: self.camera_id,
                captured_at: regular_time(self.start, self.fps, number),
                received_at: None,
                bytes,
            };
            let name = format!("{} frame {number}", self.path.display());
            return Ok(Some(Item { mark: Mark::Frame(number), name, picture: Ok(picture) }));
        }
        self.finish().await?;
        Ok(None)
    }

    /// A broken video may end with success and without a frame.
    async fn finish(&mut self) -> Result<(), ReplayError> {
        let Some(mut reading) = self.reading.take() else { return Ok(()) };
        let unreadable = |source| ReplayError::Read { path: self.path.clone(), source };
        let status = reading.ffmpeg.wait().await.map_err(unreadable)?;
        let said = reading.complaints.await.unwrap_or_default();
        if !status.success() {
            let reason = if said.is_empty() { status.to_string() } else { said };
            return Err(ReplayError::Video { path: self.path.clone(), reason });
        }
        if reading.next == 0 {
            return Err(ReplayError::NoFrames(self.path.display().to_string()));
        }
        Ok(())
    }
}

async fn last_words(mut stderr: ChildStderr) -> String {
    let mut said = Vec::new();
    // What cannot be read of it is not said.
    let _ = stderr.read_to_end(&mut said).await;
    let said = String::from_utf8_lossy(&said);
    let said = said.trim();
    let from = said.char_indices().rev().nth(REASON_CHARS - 1).map_or(0, |(at, _)| at);
    said[from..].to_owned()
}

/// JPEGs that follow each other in a pipe.
struct Frames<R> {
    pipe: R,
    buffer: BytesMut,
    /// How much of the buffer has been searched for the end of the frame it begins with.
    searched: usize,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    fn new(pipe: R) -> Self {
        Self { pipe, buffer: BytesMut::with_capacity(1 << 20), searched: 0 }
    }

    /// The next whole frame; a part of one at the end is left out.
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        loop {
            if let Some(end) = self.end() {
                self.searched = 0;
                return Ok(Some(self.buffer.split_to(end).freeze()));
            }
            if self.pipe.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn end(&mut self) -> Option<usize> {
        let scans = jpeg_scan_start(&self.buffer)?;
        let from = self.searched.max(scans);
        let found = self.buffer.get(from..)?.windows(2).position(|pair| pair == [0xff, 0xd9]);
        // The marker may be half in the buffer.
        self.searched = self.buffer.len().saturating_sub(1).max(scans);
        found.map(|at| from + at + 2)
    }
}
