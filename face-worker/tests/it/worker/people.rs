//! Who is found follows the gallery's feed, and a sighting says how much of it was known.

use rollcall_face_worker::gallery::IndexKind;
use rollcall_schemas::process::ProcessQuestion;
use rollcall_schemas::sighting::{Sighting, Verdict};
use rollcall_schemas::subject::{Stream, frames_consumer};

use super::*;
use crate::support::photograph;

/// Sends frames of the known person until one is compared with the gallery as of `revision`.
async fn seen_with(site: &Site, revision: u64) -> Sighting {
    let bytes = photograph("obama3.jpg");
    eventually("the gallery has followed", SOON, || async {
        let earlier = site.count(Stream::Frames).await;
        site.frame(&bytes, i64::try_from(earlier).unwrap()).await;
        let sighting = site.sighting(earlier + 1).await;
        (sighting.gallery_revision >= revision).then_some(sighting)
    })
    .await
}

fn names(sighting: &Sighting) -> Vec<UserId> {
    sighting.faces[0].candidates.iter().map(|candidate| candidate.user_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gallery_follows_its_feed() {
    let site = Site::open().await;
    let worker = site.work().await;
    let stranger = seen_with(&site, 0).await;
    assert_eq!((stranger.gallery_revision, stranger.faces[0].verdict), (0, Verdict::Unknown));
    assert!(names(&stranger).is_empty());

    let revision = site.enrol(KNOWN, 5, Some(strange_template())).await;
    let enrolled = seen_with(&site, revision).await;
    assert_eq!((names(&enrolled), enrolled.faces[0].verdict), (vec![KNOWN], Verdict::Unknown));

    let revision = site.enrol(KNOWN, 6, Some(known_template())).await;
    let improved = seen_with(&site, revision).await;
    assert_eq!((names(&improved), improved.faces[0].verdict), (vec![KNOWN], Verdict::Confident));

    let models = site.process.answer(&ProcessQuestion::default()).models.unwrap();
    assert_eq!((models.used.as_str(), models.people, models.is_ready), ("cpu", 1, true));

    let revision = site.enrol(KNOWN, 7, None).await;
    assert!(names(&seen_with(&site, revision).await).is_empty(), "erased");

    site.enrol(KNOWN, 6, Some(known_template())).await;
    let revision = site.enrol(OTHER, 1, Some(strange_template())).await;
    assert_eq!(names(&seen_with(&site, revision).await), [OTHER], "a late revision brings nobody back");
    worker.stop(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_of_another_size_takes_recognition_from_nobody() {
    let site = Site::open().await;
    site.enrol(OTHER, 1, Some(Embedding(vec![1.0, 0.0, 0.0]))).await;
    let revision = site.enrol(KNOWN, 1, Some(known_template())).await;
    let worker = site.work().await;
    assert_eq!(names(&seen_with(&site, revision).await), [KNOWN]);
    worker.stop(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_needs_more_people_leaves_the_search_exact() {
    let site = Site::open().await;
    let config = FaceConfig { index: IndexKind::Inverted { lists: 64, probes: 8 }, ..config() };
    let worker = site.work_as(&config).await;
    let revision = site.enrol(KNOWN, 1, Some(known_template())).await;
    assert_eq!(seen_with(&site, revision).await.faces[0].verdict, Verdict::Confident);
    worker.stop(SOON).await.unwrap();
}

/// One worker cannot read the gallery; another, beside it, shows how far it would have come.
#[tokio::test(flavor = "multi_thread")]
async fn frames_wait_until_the_gallery_has_been_read() {
    let (held, control) = (Site::open().await, Site::open().await);
    held.broker.delete_stream(Stream::Gallery).await;
    let (held_worker, control_worker) = (held.work().await, control.work().await);
    let bytes = photograph("obama3.jpg");
    held.frame(&bytes, 0).await;
    let (_, sequence) = control.frame(&bytes, 0).await;
    control.settled(sequence).await;

    assert_eq!(held.bus.consumer(Stream::Frames, frames_consumer::FACES).await.unwrap(), None);
    assert_eq!(held.count(Stream::Sightings).await, 0);
    let gallery = |dependencies: Vec<rollcall_service::health::Dependency>| {
        dependencies.into_iter().find(|dependency| dependency.name == "gallery").unwrap()
    };
    let waiting = gallery(held.health.dependencies().await);
    assert_eq!((waiting.ready, waiting.reason.as_deref()), (false, Some("still reading the gallery feed")));
    assert!(gallery(control.health.dependencies().await).ready);

    held.bus.ensure_streams().await.unwrap();
    assert_eq!(held.sighting(1).await.frame_sequence, 1);
    held_worker.stop(SOON).await.unwrap();
    control_worker.stop(SOON).await.unwrap();
}
