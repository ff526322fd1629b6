//! Photographs that want an answer: kept with their embedding, refused with the reason, or named.

use image::{ImageFormat, imageops};
use rollcall_face_worker::decode::{DecodeLimits, decode};
use rollcall_schemas::code::Code;
use rollcall_schemas::outcome::{Answer, OutcomeResult, PhotoAnswer, RecognitionAnswer, Refusal};
use rollcall_schemas::request::StorePhoto;
use rollcall_schemas::sighting::Verdict;
use rollcall_test_support::assert_close;
use sha2::{Digest, Sha256};

use super::*;
use crate::support::*;

fn photo_answer(outcome: Outcome) -> PhotoAnswer {
    match outcome.result {
        OutcomeResult::Succeeded { answer: Answer::Photo(answer) } => answer,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_photograph_is_handed_on_to_be_kept() {
    let site = Site::open().await;
    let worker = site.work().await;
    let bytes = photograph("obama.jpg");
    let (photo, message) = photo_request(RequestKind::EnrolPhoto, Some(KNOWN), &bytes);
    let request_sequence = site.bus.publish(message).await.unwrap().sequence;

    let handed_on = site.message(Stream::Requests, request_sequence + 1).await;
    assert_eq!(handed_on.subject, subject::request(RequestKind::StorePhoto));
    let store: StorePhoto = serde_json::from_slice(&handed_on.payload).unwrap();
    assert_eq!((store.request_id, store.requested_by), (photo.request_id, OPERATOR));
    assert_eq!((store.user_id, store.received_at), (KNOWN, photo.received_at));
    assert_eq!((store.pack, store.request_sequence), (default_pack().name, request_sequence));
    assert_eq!(store.sha256, hex::encode(Sha256::digest(&bytes)));
    assert_eq!(store.quality.refusal, None);
    let expected = analyse(&mut engine(&default_pack()), &bytes).faces.remove(0);
    assert_close(&store.embedding, &expected.embedding.unwrap(), 1e-4);

    let crop = site.bus.get(Stream::Evidence, store.evidence_sequence).await.unwrap().unwrap();
    assert_eq!(crop.subject, subject::enrolment_evidence(KNOWN));
    assert!(decode(&crop.payload, DecodeLimits::default()).is_ok());
    worker.stop(SOON).await.unwrap();
    assert_eq!(site.count(Stream::Outcomes).await, 0, "who keeps it answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photograph_that_is_not_fit_is_refused_with_the_reason() {
    let site = Site::open().await;
    let worker = site.work().await;
    let near = with_face_px(&mut engine(&default_pack()), &image("obama3.jpg"), 100.0);
    let far = with_face_px(&mut engine(&default_pack()), &image("obama3.jpg"), 30.0);
    let whole = photograph("obama.jpg");
    for (reason, measured, bytes) in [
        ("no_face", false, encode(&wall(), ImageFormat::Png)),
        ("several_faces", false, encode(&side_by_side("obama3.jpg", "biden.jpg"), ImageFormat::Jpeg)),
        ("too_small", true, encode(&far, ImageFormat::Png)),
        ("blurred", true, encode(&imageops::blur(&near, 6.0), ImageFormat::Png)),
        ("unknown_image_format", false, b"no image".to_vec()),
        ("image_truncated", false, whole[..whole.len() - 2].to_vec()),
    ] {
        let outcome = site.ask(RequestKind::EnrolPhoto, Some(KNOWN), &bytes).await;
        assert_eq!((outcome.caller, outcome.decided_at), (OPERATOR, monday_morning()), "{reason}");
        let answer = photo_answer(outcome);
        assert_eq!((answer.refusal.as_deref(), answer.photo_id), (Some(reason), None));
        assert_eq!(answer.user_id, KNOWN);
        let of_face = answer.quality.and_then(|quality| quality.refusal);
        assert_eq!(of_face.as_deref(), measured.then_some(reason));
    }
    let handed_on = site.bus.last(Stream::Requests, &subject::request(RequestKind::StorePhoto)).await;
    assert!(handed_on.unwrap().is_none());
    assert_eq!(site.count(Stream::Evidence).await, 0);
    worker.stop(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photograph_of_nobody_in_particular_is_put_aside() {
    let site = Site::open().await;
    let worker = site.work().await;
    let (_, message) = photo_request(RequestKind::EnrolPhoto, None, &photograph("obama.jpg"));
    site.bus.publish(message).await.unwrap();
    let dead = site.message(Stream::Dead, 1).await;
    assert_eq!(dead.subject, subject::dead(Stream::Requests, "face-worker-enrol-photo"));
    worker.stop(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recognition_names_the_faces_and_keeps_nothing() {
    let site = Site::open().await;
    site.enrol(KNOWN, 1, Some(known_template())).await;
    let worker = site.work().await;
    let both = encode(&side_by_side("obama3.jpg", "biden.jpg"), ImageFormat::Jpeg);
    let outcome = site.ask(RequestKind::Recognise, None, &both).await;
    assert_eq!(outcome.caller, OPERATOR);
    let OutcomeResult::Succeeded { answer: Answer::Recognition(answer) } = outcome.result else {
        panic!("not recognised")
    };
    let RecognitionAnswer { pack, mut faces } = answer;
    assert_eq!(pack, default_pack().name);
    faces.sort_by(|a, b| a.bounding_box.x.total_cmp(&b.bounding_box.x));
    let verdicts: Vec<_> = faces.iter().map(|face| face.verdict).collect();
    assert_eq!(verdicts, [Verdict::Confident, Verdict::Unknown]);
    assert!(faces.iter().all(|face| face.embedding.is_none() && face.candidates[0].user_id == KNOWN));
    assert_eq!((site.count(Stream::Evidence).await, site.count(Stream::Sightings).await), (0, 0));
    worker.stop(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recognition_of_no_image_is_answered_with_the_reason() {
    let site = Site::open().await;
    let worker = site.work().await;
    let outcome = site.ask(RequestKind::Recognise, None, b"no image").await;
    let OutcomeResult::Failed(Refusal { code, details, .. }) = outcome.result else { panic!("recognised") };
    assert_eq!((code, &details["reason"]), (Code::ValidationFailed, &"unknown_image_format".into()));
    worker.stop(SOON).await.unwrap();
}
