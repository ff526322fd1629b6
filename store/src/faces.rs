//! Faces people were enrolled with: photographs, embeddings, templates. Written by the attendance worker only.

use crate::StoreError;
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    embedding::Embedding,
    id::{ClassId, PhotoId, UserId},
    sighting::Quality,
};
use sqlx::PgConnection;
use std::fmt;

/// A photograph to be kept.
pub struct NewPhoto {
    /// The id.
    pub id: PhotoId,
    /// The person.
    pub user_id: UserId,
    /// SHA-256 of the photograph, in hexadecimal.
    pub sha256: String,
    /// A JPEG of the face.
    pub crop: Vec<u8>,
    /// The sequence of the photograph in REQUESTS.
    pub request_sequence: i64,
    /// The sequence of the crop in EVIDENCE.
    pub evidence_sequence: i64,
    /// What the quality gate measured.
    pub quality: Quality,
    /// Who added it.
    pub added_by: UserId,
    /// When.
    pub added_at: DateTime<Utc>,
}

impl fmt::Debug for NewPhoto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewPhoto({} of {})", self.id, self.user_id)
    }
}

/// A person's template of one pack, after a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// The template; absent when the person has no photograph of the pack.
    pub template: Option<Embedding>,
    /// How many photographs it rests on.
    pub photos: u32,
    /// Grows with every change.
    pub revision: u64,
}

/// Whether a person has an account that has not been deleted, held so that it stays one.
///
/// # Errors
/// When the database does not answer.
pub async fn share_person(tx: &mut PgConnection, user: UserId) -> Result<bool, StoreError> {
    let found = sqlx::query!("SELECT id FROM users WHERE id = $1 AND deleted_at IS NULL FOR SHARE", user.0);
    Ok(found.fetch_optional(tx).await?.is_some())
}

/// Keeps a photograph. `false` when the person has the same one already.
///
/// # Errors
/// When the database does not do it.
pub async fn add_photo(tx: &mut PgConnection, photo: &NewPhoto) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "INSERT INTO face_photos
             (id, user_id, sha256, crop, request_sequence, evidence_sequence, quality, added_by, added_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (user_id, sha256) DO NOTHING",
        photo.id.0,
        photo.user_id.0,
        photo.sha256,
        photo.crop,
        photo.request_sequence,
        photo.evidence_sequence,
        serde_json::to_value(&photo.quality).expect("messages of the contract serialise"),
        photo.added_by.0,
        photo.added_at
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Keeps what `pack` made of a person's photograph. `false` when it is known already.
///
/// # Errors
/// When the database does not do it.
pub async fn add_embedding(
    tx: &mut PgConnection,
    (user, sha256): (UserId, &str),
    pack: &str,
    embedding: &Embedding,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "INSERT INTO face_embeddings (photo_id, pack, embedding)
         SELECT id, $3, $4 FROM face_photos WHERE user_id = $1 AND sha256 = $2
         ON CONFLICT (photo_id, pack) DO NOTHING",
        user.0,
        sha256,
        pack,
        embedding.to_bytes()
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How many photographs a person's template of one pack rests on, with the template held alone, so that two photographs
/// of the same person are added one after the other.
///
/// # Errors
/// When the database does not do it.
pub async fn lock_template(tx: &mut PgConnection, user: UserId, pack: &str) -> Result<u32, StoreError> {
    let photos = sqlx::query_scalar!(
        "INSERT INTO face_templates (user_id, pack, photos, revision) VALUES ($1, $2, 0, 0)
         ON CONFLICT (user_id, pack) DO UPDATE SET revision = face_templates.revision
         RETURNING photos",
        user.0,
        pack
    );
    Ok(photos.fetch_one(tx).await?.unsigned_abs())
}

/// A person's embeddings of one pack.
///
/// # Errors
/// When the database does not answer.
pub async fn embeddings(
    tx: &mut PgConnection,
    user: UserId,
    pack: &str,
) -> Result<Vec<Embedding>, StoreError> {
    let rows = sqlx::query_scalar!(
        "SELECT e.embedding FROM face_embeddings e JOIN face_photos p ON p.id = e.photo_id
         WHERE p.user_id = $1 AND e.pack = $2 ORDER BY p.id",
        user.0,
        pack
    );
    rows.fetch_all(tx).await?.iter().map(|bytes| read("face_embeddings", bytes)).collect()
}

/// Replaces a person's template of one pack, which [`lock_template`] has made and holds.
///
/// # Errors
/// When the database does not do it.
pub async fn set_template(
    tx: &mut PgConnection,
    user: UserId,
    pack: &str,
    (template, photos): (Option<Embedding>, usize),
) -> Result<Template, StoreError> {
    let count = i32::try_from(photos).expect("a person has few photographs");
    let revision = sqlx::query_scalar!(
        "UPDATE face_templates SET template = $3, photos = $4, revision = revision + 1
         WHERE user_id = $1 AND pack = $2 RETURNING revision",
        user.0,
        pack,
        template.as_ref().map(Embedding::to_bytes),
        count
    )
    .fetch_one(tx)
    .await?;
    let revision = u64::try_from(revision).expect("revisions count up from 0");
    Ok(Template { template, photos: count.unsigned_abs(), revision })
}

/// The students enrolled in a class when it was `at`, with their present templates of `pack` where they have one.
///
/// # Errors
/// When the database does not answer.
pub async fn class_templates(
    tx: &mut PgConnection,
    class: ClassId,
    pack: &str,
    at: DateTime<Utc>,
) -> Result<Vec<(UserId, Option<Embedding>)>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT e.student_id, t.template AS "template?" FROM enrolments e
           LEFT JOIN face_templates t ON t.user_id = e.student_id AND t.pack = $2
           WHERE e.class_id = $1 AND e.valid_from <= $3 AND (e.valid_to IS NULL OR e.valid_to > $3)
           ORDER BY e.student_id"#,
        class.0,
        pack,
        at
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            let template = row.template.map(|bytes| read("face_templates", &bytes)).transpose()?;
            Ok((row.student_id.into(), template))
        })
        .collect()
}

fn read(table: &'static str, bytes: &[u8]) -> Result<Embedding, StoreError> {
    Embedding::from_bytes(bytes)
        .ok_or_else(|| StoreError::Corrupt { table, reason: "not a list of finite 32-bit floats".into() })
}
