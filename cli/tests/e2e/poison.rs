//! A message that nobody can handle ends in DEAD with its reason, and nobody stops for it.

use crate::harness::{
    Deployment, Frame, Load, Pictures, Scan, School, Service, push, read_all, records, scan, wait_until,
};
use chrono::TimeDelta;
use rollcall_bus::Message;
use rollcall_schemas::{
    frame::{FrameMeta, FrameSource, ImageType},
    header::{self, HeaderSource, Headers},
    id::FrameId,
    subject::{self, RequestKind, Stream, Subject},
};
use rollcall_service::clock::Clock;
use rollcall_store::ledger;
use std::collections::BTreeMap;

const GARBAGE: &[u8] = b"\xff\xd8\xff this is nothing \xff\xd9";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_ends_in_dead_with_its_reason_and_stops_nobody() {
    let deployment = Deployment::start().await;
    let school = School::open(&deployment).await;
    school.enrol_face().await;
    let session = school.start_session().await;
    let student = school.students(&deployment, 1).await.remove(0);

    let mut poison = Vec::new();
    for (stream, subject, headers) in poisons(&school) {
        let message = Message::new(subject, format_args!("poison-{}", poison.len()), GARBAGE);
        let published =
            deployment.bus.publish(message.with_headers(headers)).await.expect("the broker is up");
        poison.push((stream, published.sequence));
    }

    let dead_frame = poison[0].1;
    let frame = Frame {
        camera: school.camera.clone(),
        captured_at: session.started_at + TimeDelta::milliseconds(1),
        picture: Pictures::get().known.clone(),
    };
    let door = deployment.visitor(Service::Ingest);
    let good =
        Scan { student: student.clone(), door, qr_token: session.qr_token.clone(), key: "good".into() };
    let frames: Vec<Frame> = (0..3)
        .map(|number| Frame {
            captured_at: frame.captured_at + TimeDelta::milliseconds(number),
            ..frame.clone()
        })
        .collect();
    Load::new(1, frames, push).finish().await;
    Load::new(1, vec![good], scan).finish().await;
    wait_until("the good ones are recorded", async || records(&deployment, session.id).await.len() == 2)
        .await;

    let mut dead: BTreeMap<(String, u64), String> = BTreeMap::new();
    wait_until("all poison is in DEAD", async || {
        dead = read_all(&deployment.bus, Stream::Dead)
            .await
            .iter()
            .map(|message| {
                let name = |name| message.header(name).unwrap_or_default().to_owned();
                let sequence =
                    message.parsed(header::DEAD_SEQUENCE).expect("a dead letter names its sequence");
                assert_eq!(message.payload, GARBAGE, "a dead letter is whole");
                ((name(header::DEAD_STREAM), sequence), name(header::DEAD_REASON))
            })
            .collect();
        poison.iter().all(|(stream, sequence)| dead.contains_key(&(stream.name().to_owned(), *sequence)))
    })
    .await;
    assert!(dead.values().all(|reason| !reason.is_empty()), "{dead:?}");

    let mut balance = ledger::CameraBalance::default();
    wait_until("the ledger knows of the dead frame", async || {
        let balances = ledger::balance(&deployment.pool).await.expect("the database is up");
        balance = balances.get(&school.camera.id).cloned().unwrap_or_default();
        balance.accepted == 4 && balance.pending == 0
    })
    .await;
    let reason = dead[&(Stream::Frames.name().to_owned(), dead_frame)].clone();
    let expected = ledger::CameraBalance {
        accepted: 4,
        processed: 3,
        dead: BTreeMap::from([(reason, 1)]),
        ..ledger::CameraBalance::default()
    };
    assert_eq!(balance, expected);
}

/// The first one is a frame as far as its headers go.
fn poisons(school: &School) -> Vec<(Stream, Subject, Headers)> {
    let camera_id = school.camera.id;
    let now = Clock::real().now();
    let meta = FrameMeta {
        frame_id: FrameId::of(camera_id, now, GARBAGE),
        camera_id,
        captured_at: now,
        received_at: now,
        source: FrameSource::Live,
        content_type: ImageType::Jpeg,
        width: 320,
        height: 240,
    };
    let mut poisons = vec![
        (Stream::Frames, subject::frame_captured(camera_id), meta.to_headers()),
        (Stream::Frames, subject::frame_captured(camera_id), Headers::new()),
        (Stream::Sightings, subject::sighting(camera_id), Headers::new()),
        (Stream::Scans, subject::scan_captured(), Headers::new()),
    ];
    poisons.extend(RequestKind::ALL.map(|kind| (Stream::Requests, subject::request(kind), Headers::new())));
    poisons
}
