//! Faces people were enrolled with: photographs, embeddings, templates. Written by the attendance worker only.

use crate::StoreError;
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    embedding::Embedding,
    id::{ClassId, PhotoId, UserId},
    sighting::Quality,
    subject::Stream,
};
use sqlx::{PgConnection, PgExecutor, PgPool};
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
    /// What the quality gate measured.
    pub quality: Quality,
    /// Who added it.
    pub added_by: UserId,
    /// Receipt at the api.
    pub received_at: DateTime<Utc>,
    /// When it is written.
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

/// Keeps a photograph. One that the person has already is only noted to have been received again.
///
/// # Errors
/// When the database does not do it.
pub async fn add_photo(tx: &mut PgConnection, photo: &NewPhoto) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO face_photos (id, user_id, sha256, crop, quality, added_by, received_at, added_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (user_id, sha256)
             DO UPDATE SET received_at = greatest(face_photos.received_at, EXCLUDED.received_at)",
        photo.id.0,
        photo.user_id.0,
        photo.sha256,
        photo.crop,
        serde_json::to_value(&photo.quality).expect("messages of the contract serialise"),
        photo.added_by.0,
        photo.received_at,
        photo.added_at
    )
    .execute(tx)
    .await?;
    Ok(())
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

/// Holds a person, deleted or not, so that no photograph of theirs is kept meanwhile. `false` when there is none.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_person(tx: &mut PgConnection, user: UserId) -> Result<bool, StoreError> {
    let found = sqlx::query!("SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE", user.0);
    Ok(found.fetch_optional(tx).await?.is_some())
}

/// Erases a person's photographs received before `before`, with their embeddings, and remembers to. Returns how many there
/// were. Templates are [`set_template`]'s.
///
/// # Errors
/// When the database does not do it.
pub async fn erase(tx: &mut PgConnection, user: UserId, before: DateTime<Utc>) -> Result<u32, StoreError> {
    sqlx::query!(
        "INSERT INTO face_erasures (user_id, erased_before) VALUES ($1, $2)
         ON CONFLICT (user_id)
             DO UPDATE SET erased_before = greatest(face_erasures.erased_before, EXCLUDED.erased_before)",
        user.0,
        before
    )
    .execute(&mut *tx)
    .await?;
    let done =
        sqlx::query!("DELETE FROM face_photos WHERE user_id = $1 AND received_at < $2", user.0, before)
            .execute(tx)
            .await?;
    Ok(u32::try_from(done.rows_affected()).expect("a person has few photographs"))
}

/// Before when a person's photographs are erased, if they are.
///
/// # Errors
/// When the database does not answer.
pub async fn erased_before(
    executor: impl PgExecutor<'_>,
    user: UserId,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let before = sqlx::query_scalar!("SELECT erased_before FROM face_erasures WHERE user_id = $1", user.0);
    Ok(before.fetch_optional(executor).await?)
}

/// The packs that a person has, or had, templates of, each template held alone.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_templates(tx: &mut PgConnection, user: UserId) -> Result<Vec<String>, StoreError> {
    let packs = sqlx::query_scalar!(
        "SELECT pack FROM face_templates WHERE user_id = $1 ORDER BY pack FOR UPDATE",
        user.0
    );
    Ok(packs.fetch_all(tx).await?)
}

/// A message of the log that holds an enrolled face.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaceMessage {
    /// The stream.
    pub stream: Stream,
    /// Its sequence.
    pub sequence: u64,
}

/// Notes which messages hold a person's face.
///
/// # Errors
/// When the database does not do it.
pub async fn note_messages(
    tx: &mut PgConnection,
    user: UserId,
    received_at: DateTime<Utc>,
    messages: &[FaceMessage],
) -> Result<(), StoreError> {
    // No stream comes further than 63 bits.
    let rows = messages.iter().filter_map(|message| {
        Some((message.stream.name().to_owned(), i64::try_from(message.sequence).ok()?))
    });
    let (streams, sequences): (Vec<String>, Vec<i64>) = rows.unzip();
    sqlx::query!(
        "INSERT INTO face_messages (stream, sequence, user_id, received_at)
         SELECT stream, sequence, $1, $2 FROM UNNEST($3::text[], $4::bigint[]) AS message (stream, sequence)
         ON CONFLICT (stream, sequence)
             DO UPDATE SET user_id = EXCLUDED.user_id, received_at = EXCLUDED.received_at",
        user.0,
        received_at,
        &streams,
        &sequences
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The messages that hold a person's face as received before `before`.
///
/// # Errors
/// When the database does not answer.
pub async fn messages_before(
    pool: &PgPool,
    user: UserId,
    before: DateTime<Utc>,
) -> Result<Vec<FaceMessage>, StoreError> {
    let rows = sqlx::query!(
        "SELECT stream, sequence FROM face_messages WHERE user_id = $1 AND received_at < $2",
        user.0,
        before
    );
    rows.fetch_all(pool)
        .await?
        .into_iter()
        .map(|row| {
            let stream = Stream::parse(&row.stream)
                .ok_or_else(|| StoreError::corrupt("face_messages", "stream", &row.stream))?;
            Ok(FaceMessage { stream, sequence: row.sequence.unsigned_abs() })
        })
        .collect()
}

/// Forgets which messages held a person's face as received before `before`: they are erased.
///
/// # Errors
/// When the database does not do it.
pub async fn forget_messages(pool: &PgPool, user: UserId, before: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM face_messages WHERE user_id = $1 AND received_at < $2", user.0, before)
        .execute(pool)
        .await?;
    Ok(())
}

fn read(table: &'static str, bytes: &[u8]) -> Result<Embedding, StoreError> {
    Embedding::from_bytes(bytes)
        .ok_or_else(|| StoreError::Corrupt { table, reason: "not a list of finite 32-bit floats".into() })
}
