//! Each frame of FRAMES ends in exactly one sighting or dead letter, however often it is delivered.

use image::ImageFormat;
use rollcall_face_worker::decode::{DecodeLimits, decode};
use rollcall_schemas::frame::FrameSource;
use rollcall_schemas::header::{self, HeaderSource};
use rollcall_schemas::id::SightingId;
use rollcall_schemas::sighting::{Sighting, Verdict};
use rollcall_schemas::subject::{self, Stream, frames_consumer};
use rollcall_service::telemetry::{self, TelemetryConfig};
use rollcall_test_support::assert_close;

use super::*;
use crate::support::*;

/// The crop of each face lies in EVIDENCE where the sighting says, and says whose it is.
async fn assert_crops_are_kept(site: &Site, sighting: &Sighting) {
    for face in &sighting.faces {
        let crop = site.bus.get(Stream::Evidence, face.evidence_sequence.unwrap()).await.unwrap().unwrap();
        assert_eq!(crop.subject, subject::evidence(CAMERA));
        assert_eq!(crop.header(header::SIGHTING_ID), Some(sighting.sighting_id.to_string().as_str()));
        assert_eq!(crop.header(header::FACE_INDEX), Some(face.index.to_string().as_str()));
        let picture = decode(&crop.payload, DecodeLimits::default()).unwrap();
        assert!(picture.width().max(picture.height()) <= 128);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_becomes_one_sighting_that_says_everything() {
    let site = Site::open().await;
    site.enrol(OTHER, 1, Some(strange_template())).await;
    let revision = site.enrol(KNOWN, 1, Some(known_template())).await;
    let worker = site.work().await;
    let bytes = photograph("obama3.jpg");
    let (frame, sequence) = site.frame(&bytes, 0).await;

    let sighting = site.sighting(1).await;
    let (pack, expected) = (default_pack(), analyse(&mut engine(&default_pack()), &bytes));
    assert_eq!(sighting.sighting_id, SightingId::of(frame.frame_id, &pack.name));
    assert_eq!((sighting.frame_id, sighting.frame_sequence), (frame.frame_id, sequence));
    assert_eq!((sighting.camera_id, sighting.source), (CAMERA, FrameSource::Live));
    assert_eq!((sighting.captured_at, sighting.received_at), (frame.captured_at, frame.received_at));
    assert_eq!((sighting.width, sighting.height), (expected.width, expected.height));
    assert_eq!((&sighting.pack, sighting.thresholds), (&pack.name, pack.thresholds));
    assert_eq!(sighting.gallery_revision, revision);

    let [face] = &sighting.faces[..] else { panic!("{} faces", sighting.faces.len()) };
    assert_close(face.embedding.as_ref().unwrap(), expected.faces[0].embedding.as_ref().unwrap(), 1e-4);
    let people: Vec<_> = face.candidates.iter().map(|candidate| candidate.user_id).collect();
    assert_eq!(people, [KNOWN, OTHER]);
    assert!(face.candidates[0].similarity >= pack.thresholds.confident);
    assert_eq!((face.verdict, &face.quality.refusal), (Verdict::Confident, &None));
    assert_crops_are_kept(&site, &sighting).await;

    site.settled(sequence).await;
    assert_eq!((site.count(Stream::Sightings).await, site.count(Stream::Evidence).await), (1, 1));
    assert_eq!(site.count(Stream::Dead).await, 0);
    worker.stop(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_in_a_frame_are_two_faces_with_their_own_crops() {
    let site = Site::open().await;
    site.enrol(KNOWN, 1, Some(known_template())).await;
    let worker = site.work().await;
    let both = side_by_side("obama3.jpg", "biden.jpg");
    site.frame(&encode(&both, ImageFormat::Jpeg), 0).await;

    let mut sighting = site.sighting(1).await;
    assert_crops_are_kept(&site, &sighting).await;
    assert_eq!(site.count(Stream::Evidence).await, 2);
    sighting.faces.sort_by(|a, b| a.bounding_box.x.total_cmp(&b.bounding_box.x));
    let verdicts: Vec<_> = sighting.faces.iter().map(|face| face.verdict).collect();
    assert_eq!(verdicts, [Verdict::Confident, Verdict::Unknown]);
    worker.stop(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_without_a_face_is_a_sighting_without_faces() {
    let site = Site::open().await;
    let worker = site.work().await;
    let (frame, sequence) = site.frame(&encode(&wall(), ImageFormat::Png), 0).await;
    let sighting = site.sighting(1).await;
    assert_eq!((sighting.frame_id, sighting.frame_sequence), (frame.frame_id, sequence));
    assert!(sighting.faces.is_empty());
    assert_eq!(site.count(Stream::Evidence).await, 0);
    worker.stop(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_face_is_in_the_sighting_with_the_reason_and_no_name() {
    let site = Site::open().await;
    site.enrol(KNOWN, 1, Some(known_template())).await;
    let worker = site.work().await;
    let far = with_face_px(&mut engine(&default_pack()), &image("obama3.jpg"), 30.0);
    site.frame(&encode(&far, ImageFormat::Png), 0).await;

    let sighting = site.sighting(1).await;
    let [face] = &sighting.faces[..] else { panic!("{} faces", sighting.faces.len()) };
    assert_eq!((face.verdict, face.quality.refusal.as_deref()), (Verdict::Refused, Some("too_small")));
    assert!(face.embedding.is_none() && face.candidates.is_empty());
    assert_crops_are_kept(&site, &sighting).await;
    worker.stop(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_no_image_is_put_aside_and_the_next_is_seen() {
    let site = Site::open().await;
    let worker = site.work().await;
    let whole = photograph("obama_partial_face.jpg");
    let (cut, sequence) = site.frame(&whole[..whole.len() / 2], 0).await;
    let (next, _) = site.frame(&whole, 1).await;

    assert_eq!(site.sighting(1).await.frame_id, next.frame_id);
    let dead = site.message(Stream::Dead, 1).await;
    assert_eq!(dead.subject, subject::dead(Stream::Frames, frames_consumer::FACES));
    assert_eq!(dead.header(header::DEAD_REASON), Some("image_truncated"));
    assert_eq!(dead.header(header::DEAD_SEQUENCE), Some(sequence.to_string().as_str()));
    assert_eq!(dead.header(header::FRAME_ID), Some(cut.frame_id.to_string().as_str()));
    assert_eq!(dead.payload, whole[..whole.len() / 2]);
    worker.stop(SOON).await.unwrap();
}

/// After the broker has lost the consumer's place, every frame comes again: with another gallery, to see that nothing
/// is published anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_delivered_again_is_no_second_sighting() {
    let site = Site::open().await;
    let worker = site.work().await;
    let (_, sequence) = site.frame(&photograph("obama3.jpg"), 0).await;
    site.settled(sequence).await;
    worker.stop(SOON).await.unwrap();

    site.enrol(KNOWN, 1, Some(known_template())).await;
    site.broker.forget_place(Stream::Frames, frames_consumer::FACES).await;
    assert_eq!(site.bus.consumer(Stream::Frames, frames_consumer::FACES).await.unwrap(), None);
    let worker = site.work().await;
    site.settled(sequence).await;
    assert_eq!((site.count(Stream::Sightings).await, site.count(Stream::Evidence).await), (1, 1));
    worker.stop(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_frame_is_the_same_sighting_of_another_place() {
    let site = Site::open().await;
    let worker = site.work().await;
    let bytes = photograph("obama3.jpg");
    let (frame, first_sequence) = site.frame(&bytes, 0).await;
    let first = site.sighting(1).await;
    let replayed = FrameMeta { source: FrameSource::Replay, ..frame };
    let id = format!("{}:replay:job", replayed.frame_id);
    let second_sequence = site.publish_frame(&replayed, &id, &bytes).await;

    let second = site.sighting(2).await;
    assert_eq!((second.sighting_id, second.frame_id), (first.sighting_id, first.frame_id));
    assert_eq!((first.frame_sequence, second.frame_sequence), (first_sequence, second_sequence));
    assert_eq!((second.source, second.captured_at), (FrameSource::Replay, first.captured_at));
    assert_ne!(first.faces[0].evidence_sequence, second.faces[0].evidence_sequence);
    assert_crops_are_kept(&site, &second).await;
    worker.stop(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frames_trace_goes_on_in_its_sighting_and_its_crops() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let _telemetry = telemetry::init(&TelemetryConfig::default()).unwrap();
    let site = Site::open().await;
    let worker = site.work().await;
    let bytes = photograph("obama3.jpg");
    let mut headers = frame_at(&bytes, 0).to_headers();
    headers.push((header::TRACEPARENT, format!("00-{TRACE}-00f067aa0ba902b7-01")));
    let message = Message::new(subject::frame_captured(CAMERA), "traced", bytes).with_headers(headers);
    site.bus.publish(message).await.unwrap();

    for message in [site.message(Stream::Sightings, 1).await, site.message(Stream::Evidence, 1).await] {
        let traceparent = message.header(header::TRACEPARENT).unwrap();
        assert_eq!(&traceparent[3..35], TRACE);
        assert_ne!(&traceparent[36..52], "00f067aa0ba902b7", "a span of its own");
    }
    worker.stop(SOON).await.unwrap();
}
