//! Enrolment photographs and the templates that follow from them.

use crate::harness::{PACK, SOON, School, at, towards};
use anyhow::{Context, Result};
use rollcall_attendance_worker::consumer;
use rollcall_bus::Message;
use rollcall_schemas::{
    embedding::Embedding,
    feed::GalleryEntry,
    id::UserId,
    outcome::{Answer, FacesErasedAnswer, OutcomeResult},
    request::{EraseFaces, StorePhoto},
    subject::{self, RequestKind, Stream},
};

async fn entry(school: &School) -> Result<GalleryEntry> {
    let subject = subject::gallery(PACK, school.students[0]);
    let last = school.bus.last(Stream::Gallery, &subject).await?.context("the gallery knows")?;
    Ok(serde_json::from_slice(&last.payload)?)
}

#[tokio::test]
async fn the_template_is_the_mean_of_the_photographs() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let [first, second] = [towards(0, 1.0), towards(0, 0.8)];
    let kept = school.enrol(school.students[0], first.clone()).await?;
    assert!(kept.photo_id.is_some());
    assert_eq!((kept.refusal, kept.photos), (None, 1));
    let before = entry(&school).await?;
    assert_eq!((before.photos, before.template.as_ref()), (1, Some(&first)));
    assert_eq!(school.enrol(school.students[0], second.clone()).await?.photos, 2);
    let after = entry(&school).await?;
    assert!(after.revision > before.revision);
    assert_eq!((after.photos, after.template), (2, Embedding::template(&[first, second])));
    assert_eq!(school.fact_counts().await?["face.enrolled"], 2);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn the_same_photograph_twice_adds_nothing() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let sha256 = "a".repeat(64);
    school.store_photo(school.students[0], towards(0, 1.0), sha256.clone()).await?;
    let before = entry(&school).await?;
    let again = school.store_photo(school.students[0], towards(0, 1.0), sha256).await?;
    assert_eq!((again.photo_id, again.refusal.as_deref(), again.photos), (None, Some("duplicate"), 1));
    assert_eq!(entry(&school).await?, before);
    Ok(worker.stop(SOON).await?)
}

fn erasure(school: &School, user_id: UserId, seconds: i64) -> EraseFaces {
    let request_id = school.entropy.uuid_v4().into();
    EraseFaces { request_id, requested_by: school.teacher, requested_at: at(seconds), user_id }
}

async fn erase(school: &School, request: &EraseFaces) -> Result<OutcomeResult> {
    let id = request.request_id;
    let message = Message::json(subject::request(RequestKind::EraseFaces), id, request)?;
    Ok(school.bus.ask(message, id, SOON).await?.result)
}

fn erased(user_id: UserId, photos: u32) -> OutcomeResult {
    OutcomeResult::Succeeded { answer: Answer::FacesErased(FacesErasedAnswer { user_id, photos }) }
}

async fn holds(school: &School, stream: Stream, sequence: u64) -> Result<bool> {
    Ok(school.bus.get(stream, sequence).await?.is_some())
}

#[tokio::test]
async fn an_erased_face_is_gone_from_database_and_log() -> Result<()> {
    let school = School::open(2).await?;
    let worker = school.work();
    let [anna, bert] = [school.students[0], school.students[1]];
    let photo = school.analysed(anna, towards(0, 1.0), "a".repeat(64)).await?;
    school.keep(&photo).await?;
    let request_to_keep = school.bus.stream(Stream::Requests).await?.last_sequence;
    // The same photograph once more adds nothing, and yet its messages hold the face.
    let again = school.analysed(anna, towards(0, 1.0), "a".repeat(64)).await?;
    school.keep(&again).await?;
    let other = school.analysed(bert, towards(1, 1.0), "b".repeat(64)).await?;
    school.keep(&other).await?;
    let before = entry(&school).await?;

    assert_eq!(erase(&school, &erasure(&school, anna, -60)).await?, erased(anna, 1));
    let after = entry(&school).await?;
    assert!(after.revision > before.revision);
    assert_eq!((after.template, after.photos), (None, 0));
    for (stream, sequence) in [
        (Stream::Requests, photo.request_sequence),
        (Stream::Requests, request_to_keep),
        (Stream::Evidence, photo.evidence_sequence),
        (Stream::Requests, again.request_sequence),
        (Stream::Evidence, again.evidence_sequence),
    ] {
        assert!(!holds(&school, stream, sequence).await?, "{} {sequence}", stream.name());
    }
    assert!(holds(&school, Stream::Requests, other.request_sequence).await?);
    assert!(holds(&school, Stream::Evidence, other.evidence_sequence).await?);
    assert_eq!(erase(&school, &erasure(&school, anna, -30)).await?, erased(anna, 0));
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_photograph_that_was_on_its_way_does_not_bring_an_erased_face_back() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let anna = school.students[0];
    let request = erasure(&school, anna, -60);
    assert_eq!(erase(&school, &request).await?, erased(anna, 0));

    let late = school.analysed(anna, towards(0, 1.0), "a".repeat(64)).await?;
    let answer = school.keep(&late).await?;
    assert_eq!((answer.photo_id, answer.refusal.as_deref(), answer.photos), (None, Some("erased"), 0));
    school.settled(Stream::Requests, consumer::PHOTOS).await;
    assert!(!holds(&school, Stream::Requests, late.request_sequence).await?);
    assert!(!holds(&school, Stream::Evidence, late.evidence_sequence).await?);

    let since = school.analysed(anna, towards(0, 0.9), "a".repeat(64)).await?;
    let since = StorePhoto { received_at: at(-59), ..since };
    assert_eq!(school.keep(&since).await?.photos, 1);
    // The same erasure again, as after the broker's memory of ids is over.
    let message = Message::json(subject::request(RequestKind::EraseFaces), "again", &request)?;
    school.bus.publish(message).await?;
    school.settled(Stream::Requests, consumer::ERASURES).await;
    assert_eq!(entry(&school).await?.photos, 1);
    assert!(holds(&school, Stream::Evidence, since.evidence_sequence).await?);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn an_erasure_that_comes_late_leaves_what_was_received_since() -> Result<()> {
    let school = School::open(1).await?;
    let worker = school.work();
    let anna = school.students[0];
    let left = towards(0, 0.9);
    school.store_photo(anna, towards(0, 1.0), "a".repeat(64)).await?;
    let since = school.analysed(anna, left.clone(), "b".repeat(64)).await?;
    school.keep(&StorePhoto { received_at: at(-59), ..since }).await?;
    assert_eq!(erase(&school, &erasure(&school, anna, -60)).await?, erased(anna, 1));
    let after = entry(&school).await?;
    assert_eq!((after.photos, after.template), (1, Embedding::template(&[left])));
    Ok(worker.stop(SOON).await?)
}
