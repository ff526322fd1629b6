//! Enrolment photographs and the templates that follow from them.

use crate::harness::{PACK, SOON, School, towards};
use anyhow::{Context, Result};
use rollcall_schemas::{
    embedding::Embedding,
    feed::GalleryEntry,
    subject::{self, Stream},
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
