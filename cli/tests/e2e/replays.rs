//! `rollcall replay`: what has been recorded stays as it is, however often its frames come again.

use crate::harness::{
    Deployment, Frame, Load, Pictures, School, Session, assert_ledger, facts, output, push, read_all,
    records, settled, wait_until,
};
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::{
    frame::{FrameMeta, FrameSource, rfc3339},
    id::CameraId,
    subject::Stream,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::{Path, PathBuf},
};
use tokio::process::Command;
use uuid::Uuid;

const PUSHED: u64 = 6;
const STORED: u64 = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaying_the_same_again_changes_nothing() {
    let deployment = Deployment::start().await;
    let school = School::open(&deployment).await;
    school.enrol_face().await;
    let session = school.start_session().await;
    Load::new(1, frames(&school, &session), push).finish().await;
    settled(&deployment, PUSHED).await;
    let recorded = records(&deployment, session.id).await;
    assert_eq!(recorded.len(), 1, "{recorded:?}");
    let told = facts(&deployment.bus).await;

    let from = rfc3339(session.started_at);
    let to = rfc3339(session.started_at + TimeDelta::seconds(1));
    let mut accepted = PUSHED;
    for _ in 0..2 {
        replay(&deployment, &["range", "--from", &from, "--to", &to]).await;
        accepted += PUSHED;
        settled(&deployment, accepted).await;
        assert_eq!(records(&deployment, session.id).await, recorded);
        assert_eq!(facts(&deployment.bus).await, told);
    }

    // A folder holds what the camera could not send: the first time it is news, the second time it is not.
    let folder = pictures(deployment.folder(), STORED);
    let later = session.started_at + TimeDelta::minutes(2);
    replay_folder(&deployment, &folder, school.camera.id, later).await;
    accepted += STORED;
    settled(&deployment, accepted).await;
    assert_eq!(
        records(&deployment, session.id).await,
        recorded,
        "the earliest look stays the one that counts"
    );
    let told = facts(&deployment.bus).await;
    replay_folder(&deployment, &folder, school.camera.id, later).await;
    accepted += STORED;
    settled(&deployment, accepted).await;
    assert_eq!(records(&deployment, session.id).await, recorded);
    assert_eq!(facts(&deployment.bus).await, told);
    assert_ledger(&deployment, &BTreeMap::from([(school.camera.id, accepted)])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_was_killed_goes_on_where_it_was() {
    const ALL: u64 = 60;
    let deployment = Deployment::with(&[], &[]).await;
    let camera = CameraId(Uuid::from_u128(7));
    let folder = pictures(deployment.folder(), ALL);
    let start: DateTime<Utc> = "2026-03-02T09:00:00Z".parse().expect("a well-formed time");

    let mut first = folder_command(&deployment, &folder, camera, start);
    let mut first = first.args(["--pace", "1"]).spawn().expect("setpriv is installed");
    let published = async || deployment.bus.stream(Stream::Frames).await.expect("the broker is up").messages;
    wait_until("a third is published", async || published().await >= ALL / 3).await;
    first.kill().await.expect("it was running");
    assert!(published().await < ALL, "it was to be killed before its end");

    replay_folder(&deployment, &folder, camera, start).await;
    let frames: Vec<FrameMeta> = read_all(&deployment.bus, Stream::Frames)
        .await
        .iter()
        .map(|message| FrameMeta::from_headers(camera, message).expect("a frame has its headers"))
        .collect();
    let ids: HashSet<_> = frames.iter().map(|frame| frame.frame_id).collect();
    assert_eq!((frames.len() as u64, ids.len() as u64), (ALL, ALL), "each picture is published once");
    assert!(frames.iter().all(|frame| frame.source == FrameSource::Replay));
    let times: BTreeSet<_> = frames.iter().map(|frame| frame.captured_at).collect();
    let wanted = (0..ALL).map(|number| start + TimeDelta::milliseconds(100 * number as i64));
    assert!(times.into_iter().eq(wanted), "each keeps the time at which it was captured");
}

fn frames(school: &School, session: &Session) -> Vec<Frame> {
    let pictures = Pictures::get();
    let shown = [&pictures.empty, &pictures.known, &pictures.stranger];
    let frame = |number: u64| Frame {
        camera: school.camera.clone(),
        captured_at: session.started_at + TimeDelta::milliseconds(100 * number as i64),
        picture: shown[number as usize % shown.len()].clone(),
    };
    (0..PUSHED).map(frame).collect()
}

/// A folder of pictures, no two of them the same frame.
fn pictures(folder: &Path, count: u64) -> PathBuf {
    let folder = folder.join("pictures");
    std::fs::create_dir(&folder).expect("an own folder is writable");
    let pictures = Pictures::get();
    let shown = [&pictures.empty, &pictures.known];
    for number in 0..count {
        let picture = shown[number as usize % shown.len()];
        std::fs::write(folder.join(format!("{number:03}.jpg")), picture).expect("an own folder is writable");
    }
    folder
}

async fn replay_folder(deployment: &Deployment, folder: &Path, camera: CameraId, start: DateTime<Utc>) {
    finish(&mut folder_command(deployment, folder, camera, start)).await;
}

fn folder_command(deployment: &Deployment, folder: &Path, camera: CameraId, start: DateTime<Utc>) -> Command {
    let mut command = deployment.tool(&["replay", "folder"]);
    command.arg(folder).args(["--camera", &camera.to_string(), "--start", &rfc3339(start), "--fps", "10"]);
    command
}

async fn replay(deployment: &Deployment, arguments: &[&str]) {
    finish(deployment.tool(&["replay"]).args(arguments)).await;
}

async fn finish(command: &mut Command) {
    let output = output(command).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
