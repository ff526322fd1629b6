//! Replay: folders, videos and ranges of the log, once, twice, and after a kill.

use crate::world::*;
use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use image::ImageFormat;
use rollcall_bus::Bus;
use rollcall_ingest::{
    IngestConfig,
    replay::{
        Folder, LogRange, Pace, PositionError, Replay, ReplayDeps, ReplayError, ReplayProgress, Source,
        Timing, Video,
    },
};
use rollcall_schemas::{
    frame::{FrameMeta, FrameSource},
    id::FrameId,
    subject::Stream,
};
use rollcall_service::clock::Entropy;
use rollcall_test_support::{TestBroker, eventually, monday_morning, test_clock};
use std::{collections::BTreeSet, path::Path};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const FILES: u64 = 40;

struct Stage {
    deps: ReplayDeps,
    /// Pictures and positions.
    folder: TempDir,
}

impl Stage {
    async fn start() -> Self {
        let bus = TestBroker::start().await.bus().await;
        Self::on(bus)
    }

    fn on(bus: Bus) -> Self {
        let deps = ReplayDeps { bus, clock: test_clock(), entropy: Entropy::real() };
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("pictures")).unwrap();
        Self { deps, folder }
    }

    fn pictures(&self) -> std::path::PathBuf {
        self.folder.path().join("pictures")
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.pictures().join(name), bytes).unwrap();
    }

    fn with_files(self) -> Self {
        (0..FILES).for_each(|number| self.write(&format!("{number:03}.jpg"), &jpeg(number as u8)));
        self
    }

    fn position_file(&self) -> std::path::PathBuf {
        self.folder.path().join("position.json")
    }

    fn replay(&self, source: Source) -> Replay {
        let limits = IngestConfig::default().image_limits();
        Replay { source, pace: Pace::Full, position_file: self.position_file(), limits }
    }

    fn regular(&self) -> Replay {
        let timing = Timing::Regular { start: monday_morning(), fps: 10.0 };
        self.replay(Source::Folder(Folder::open(self.pictures(), DOOR, timing).unwrap()))
    }

    async fn run(&self, replay: Replay) -> Result<ReplayProgress, ReplayError> {
        replay.run(&self.deps, CancellationToken::new(), |_| {}).await
    }

    /// What FRAMES holds: sequence and metadata.
    async fn stored(&self) -> Vec<(u64, FrameMeta)> {
        let state = self.deps.bus.stream(Stream::Frames).await.unwrap();
        let mut stored = Vec::new();
        for sequence in state.first_sequence.max(1)..=state.last_sequence {
            let message = self.deps.bus.get(Stream::Frames, sequence).await.unwrap().unwrap();
            let camera = message.subject.last_token().parse().unwrap();
            stored.push((sequence, FrameMeta::from_headers(camera, &message).unwrap()));
        }
        stored
    }
}

fn ids(stored: &[(u64, FrameMeta)]) -> Vec<FrameId> {
    stored.iter().map(|(_, meta)| meta.frame_id).collect()
}

#[tokio::test]
async fn a_folder_twice_is_the_same_frames_in_new_messages() {
    let stage = Stage::start().await.with_files();
    let mut seen = Vec::new();
    let done =
        stage.regular().run(&stage.deps, CancellationToken::new(), |progress| seen.push(progress.published));
    let done = done.await.unwrap();
    let expected: Vec<u64> = (1..=FILES).collect();
    assert_eq!(seen, expected);
    assert_eq!((done.published, done.refused, done.total), (FILES, 0, Some(FILES)));
    assert!(done.finished && !stage.position_file().exists());
    let first = stage.stored().await;
    for (number, (_, meta)) in first.iter().enumerate() {
        let captured_at = monday_morning() + TimeDelta::milliseconds(100 * number as i64);
        assert_eq!(meta.frame_id, FrameId::of(DOOR, captured_at, &jpeg(number as u8)));
        assert_eq!((meta.captured_at, meta.source, meta.camera_id), (captured_at, FrameSource::Replay, DOOR));
    }

    stage.run(stage.regular()).await.unwrap();
    let both = stage.stored().await;
    assert_eq!(both.len() as u64, 2 * FILES);
    assert_eq!(ids(&both[FILES as usize..]), ids(&first));
}

#[tokio::test]
async fn a_stopped_replay_goes_on_where_it_was() {
    let stage = Stage::start().await.with_files();
    let stop = CancellationToken::new();
    let stopped = stage.regular().run(&stage.deps, stop.clone(), |progress| {
        if progress.published == 5 {
            stop.cancel();
        }
    });
    let stopped = stopped.await.unwrap();
    assert!(!stopped.finished && stopped.published >= 5 && stopped.published < FILES, "{stopped:?}");
    assert_eq!(stage.stored().await.len() as u64, stopped.published);
    let done = stage.run(stage.regular()).await.unwrap();
    assert_eq!(done.published, FILES);
    let stored = stage.stored().await;
    assert_eq!(stored.len() as u64, FILES);
    assert_eq!(ids(&stored).into_iter().collect::<BTreeSet<_>>().len() as u64, FILES);
}

#[tokio::test]
async fn a_killed_replay_stores_nothing_twice() {
    let stage = Stage::start().await.with_files();
    // Dropped in the middle, with frames in flight and a position that was not written: as by kill -9.
    let (sender, mut reached) = tokio::sync::mpsc::unbounded_channel();
    let mut killed = Box::pin(stage.regular().run(&stage.deps, CancellationToken::new(), move |progress| {
        sender.send(progress.published).unwrap();
    }));
    loop {
        tokio::select! {
            biased;
            Some(published) = reached.recv() => if published == 7 { break },
            ended = &mut killed => panic!("it ended before it could be killed: {ended:?}"),
        }
    }
    drop(killed);
    assert!(stage.position_file().exists());
    let done = stage.run(stage.regular()).await.unwrap();
    assert!(done.finished);
    let stored = stage.stored().await;
    assert_eq!(stored.len() as u64, FILES, "the broker knows the messages of the job again");
    assert_eq!(ids(&stored).into_iter().collect::<BTreeSet<_>>().len() as u64, FILES);
}

#[tokio::test]
async fn what_is_not_fit_is_told_and_left_out() {
    let stage = Stage::start().await;
    let whole = jpeg(1);
    stage.write("20260302_080000.jpg", &whole);
    stage.write("20260302_080001.jpg", &whole[..whole.len() - 9]);
    stage.write("20260302_080002.png", b"not an image");
    stage.write("holiday.webp", &picture(ImageFormat::WebP, 1));
    stage.write("notes.txt", b"not looked at");
    let zone = FixedOffset::east_opt(3_600).unwrap();
    let timing = Timing::Name { pattern: "%Y%m%d_%H%M%S".into(), zone };
    let replay = stage.replay(Source::Folder(Folder::open(stage.pictures(), DOOR, timing).unwrap()));
    let mut refusals = Vec::new();
    let done = replay
        .run(&stage.deps, CancellationToken::new(), |progress| refusals.extend(progress.refusal.clone()));
    let done = done.await.unwrap();
    assert_eq!((done.published, done.refused, done.total), (1, 3, Some(4)));
    let names: Vec<&str> = refusals.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["20260302_080001.jpg", "20260302_080002.png", "holiday.webp"]);
    let [(_, meta)] = stage.stored().await.try_into().unwrap();
    assert_eq!(meta.captured_at, "2026-03-02T07:00:00Z".parse::<DateTime<Utc>>().unwrap());
}

#[tokio::test]
async fn an_empty_folder_and_a_foreign_position_are_errors() {
    let stage = Stage::start().await;
    let timing = Timing::Regular { start: monday_morning(), fps: 1.0 };
    let empty = Folder::open(stage.pictures(), DOOR, timing.clone());
    assert!(matches!(empty, Err(ReplayError::NoFrames(_))));
    let absent = Folder::open(stage.folder.path().join("nowhere"), DOOR, timing.clone());
    assert!(matches!(absent, Err(ReplayError::Read { .. })));

    let stage = stage.with_files();
    let stop = CancellationToken::new();
    stop.cancel();
    stage.regular().run(&stage.deps, stop, |_| {}).await.unwrap();
    let other = stage.replay(Source::Folder(Folder::open(stage.pictures(), YARD, timing).unwrap()));
    let refused = stage.run(other).await.unwrap_err();
    assert!(matches!(refused, ReplayError::Position(PositionError::OfAnother { .. })), "{refused}");
    assert!(stage.stored().await.is_empty());
}

#[tokio::test]
async fn an_impossible_rate_is_refused_before_anything_is_published() {
    let stage = Stage::start().await.with_files();
    for fps in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9, 1e-9] {
        let timing = Timing::Regular { start: monday_morning(), fps };
        assert!(matches!(Folder::open(stage.pictures(), DOOR, timing), Err(ReplayError::Fps(_))), "{fps}");
        let file = stage.pictures().join("000.jpg");
        let video = Video::open_file(file, DOOR, monday_morning(), fps);
        assert!(matches!(video, Err(ReplayError::Fps(_))), "{fps}");
    }
}

fn ffmpeg(arguments: &[&str], output: &Path) {
    let made = std::process::Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-f", "lavfi"])
        .args(arguments)
        .arg(output)
        .status()
        .expect("ffmpeg is installed");
    assert!(made.success());
}

#[tokio::test]
async fn a_video_is_sampled_into_the_same_frames_each_time() {
    let stage = Stage::start().await;
    let path = stage.folder.path().join("door.avi");
    ffmpeg(&["-i", "testsrc=duration=2:size=160x120:rate=10", "-c:v", "mjpeg"], &path);
    let video = || Source::Video(Video::open_file(&path, DOOR, monday_morning(), 5.0).unwrap());
    let stop = CancellationToken::new();
    let stopped = stage.replay(video()).run(&stage.deps, stop.clone(), |_| stop.cancel()).await.unwrap();
    assert!(!stopped.finished);
    let done = stage.run(stage.replay(video())).await.unwrap();
    assert_eq!((done.published, done.finished), (10, true));
    let first = stage.stored().await;
    assert_eq!(first.len(), 10);
    for (number, (_, meta)) in first.iter().enumerate() {
        assert_eq!(meta.captured_at, monday_morning() + TimeDelta::milliseconds(200 * number as i64));
        assert_eq!((meta.width, meta.height), (160, 120));
    }
    stage.run(stage.replay(video())).await.unwrap();
    assert_eq!(ids(&stage.stored().await[10..]), ids(&first));
}

#[tokio::test]
async fn a_broken_video_is_an_error() {
    let stage = Stage::start().await;
    let path = stage.folder.path().join("broken.mp4");
    std::fs::write(&path, vec![7; 10_000]).unwrap();
    let video = Video::open_file(&path, DOOR, monday_morning(), 5.0).unwrap();
    let failed = stage.run(stage.replay(Source::Video(video))).await.unwrap_err();
    assert!(matches!(failed, ReplayError::Video { .. } | ReplayError::NoFrames(_)), "{failed}");
    // Sound only: ffmpeg finds nothing to map.
    let sound = stage.folder.path().join("sound.wav");
    ffmpeg(&["-i", "sine=duration=1"], &sound);
    let stage = Stage::on(stage.deps.bus.clone());
    let video = Video::open_file(&sound, DOOR, monday_morning(), 5.0).unwrap();
    stage.run(stage.replay(Source::Video(video))).await.unwrap_err();
    assert!(Video::open_file("/nowhere.mp4", DOOR, monday_morning(), 5.0).is_err());
    assert!(stage.stored().await.is_empty());
}

#[tokio::test]
async fn a_range_of_the_log_is_chosen_by_capture_time_and_camera() {
    let world = World::start().await;
    let start = world.clock.now() - TimeDelta::seconds(60);
    let yard = world.client().with_api_key(&world.yard_key.reveal());
    for second in 0..10_u8 {
        let captured_at = start + TimeDelta::seconds(second.into());
        push(&world.camera(), DOOR, &jpeg(second), captured_at).await.data();
        push(&yard, YARD, &jpeg(second), captured_at).await.data();
    }
    let stage = Stage::on(world.bus.clone());
    let live = stage.stored().await;
    let range = |camera| {
        let (from, to) = (start + TimeDelta::seconds(3), start + TimeDelta::seconds(6));
        stage.replay(Source::LogRange(LogRange::new(from, to, camera)))
    };
    let wanted = |camera| {
        let is_wanted = |meta: &FrameMeta| {
            let second = (meta.captured_at - start).num_seconds();
            meta.camera_id == camera && (3..6).contains(&second)
        };
        live.iter()
            .map(|(_, meta)| meta)
            .filter(|meta| is_wanted(meta))
            .map(|meta| meta.frame_id)
            .collect::<Vec<_>>()
    };
    assert_eq!(stage.run(range(Some(DOOR))).await.unwrap().published, 3);
    assert_eq!(ids(&stage.stored().await[20..]), wanted(DOOR));
    // The copies just made are not copied again.
    assert_eq!(stage.run(range(None)).await.unwrap().published, 6);
    let stored = stage.stored().await;
    assert_eq!(stored.len(), 29);
    let first = live.iter().find(|(_, meta)| meta.frame_id == stored[20].1.frame_id).unwrap();
    assert_eq!(stored[20].1, FrameMeta { source: FrameSource::Replay, ..first.1.clone() });

    let nothing = LogRange::new(start - TimeDelta::hours(2), start - TimeDelta::hours(1), None);
    assert_eq!(stage.run(stage.replay(Source::LogRange(nothing))).await.unwrap().published, 0);
    let empty = Stage::start().await;
    let done = empty.run(empty.replay(Source::LogRange(LogRange::new(start, start, None)))).await.unwrap();
    assert!(done.finished);
}

#[tokio::test]
async fn a_replay_waits_for_a_broker_that_is_restarted() {
    let mut server = rollcall_test_support::own_broker().await;
    let config = rollcall_bus::BusConfig { url: server.url(), ..rollcall_bus::BusConfig::default() };
    let bus = Bus::connect(&config, "test").await.unwrap();
    bus.ensure_streams().await.unwrap();
    let stage = Stage::on(bus.clone()).with_files();
    server.kill().await;
    eventually("noticing", SOON, async || (!bus.is_connected()).then_some(())).await;
    let running = stage.run(stage.regular());
    let (done, ()) = tokio::join!(running, async { server.restart().await.unwrap() });
    assert_eq!(done.unwrap().published, FILES);
    assert_eq!(stage.stored().await.len() as u64, FILES);
}
