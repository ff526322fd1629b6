//! Guardians: who is told of a student beside the student. Written by the api only.

use crate::StoreError;
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    id::{GuardianId, UserId},
    notification::{Language, Topic},
};
use sqlx::PgConnection;
use uuid::Uuid;

/// Somebody who is told of a student.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guardian {
    /// The id.
    pub id: GuardianId,
    /// The student.
    pub student_id: UserId,
    /// The full name.
    pub full_name: String,
    /// The e-mail address, once for each student.
    pub email: String,
    /// What is written to them; the organisation's language when absent.
    pub language: Option<Language>,
    /// Of what they are told.
    pub topics: Vec<Topic>,
    /// When they were added.
    pub created_at: DateTime<Utc>,
    /// When they last changed.
    pub updated_at: DateTime<Utc>,
}

struct Row {
    id: Uuid,
    student_id: Uuid,
    full_name: String,
    email: String,
    language: Option<String>,
    topics: Vec<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<Row> for Guardian {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.into(),
            student_id: row.student_id.into(),
            full_name: row.full_name,
            email: row.email,
            language: row.language.as_deref().map(language).transpose()?,
            topics: topics(&row.topics)?,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

fn language(name: &str) -> Result<Language, StoreError> {
    Language::parse(name).ok_or_else(|| StoreError::corrupt("guardians", "language", name))
}

pub(crate) fn topics(names: &[String]) -> Result<Vec<Topic>, StoreError> {
    let topic =
        |name: &String| Topic::parse(name).ok_or_else(|| StoreError::corrupt("guardians", "topics", name));
    names.iter().map(topic).collect()
}

fn topic_names(guardian: &Guardian) -> Vec<String> {
    guardian.topics.iter().map(ToString::to_string).collect()
}

/// The guardians of a student, by name.
///
/// # Errors
/// When the database does not answer.
pub async fn of_student(conn: &mut PgConnection, student: UserId) -> Result<Vec<Guardian>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, student_id, full_name, email, language, topics, created_at, updated_at
         FROM guardians WHERE student_id = $1 ORDER BY full_name, id",
        student.0
    );
    rows.fetch_all(conn).await?.into_iter().map(Guardian::try_from).collect()
}

/// Adds a guardian.
///
/// # Errors
/// [`StoreError::Taken`] with `guardians_email` when the student has one of that address, or when the database does not do
/// it.
pub async fn create(conn: &mut PgConnection, guardian: &Guardian) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO guardians (id, student_id, full_name, email, language, topics, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        guardian.id.0,
        guardian.student_id.0,
        guardian.full_name,
        guardian.email,
        guardian.language.map(Language::as_str),
        &topic_names(guardian),
        guardian.created_at,
        guardian.updated_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A guardian of a student, held so that they stay as they are.
///
/// # Errors
/// When the database does not answer.
pub async fn lock(
    conn: &mut PgConnection,
    student: UserId,
    id: GuardianId,
) -> Result<Option<Guardian>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, student_id, full_name, email, language, topics, created_at, updated_at
         FROM guardians WHERE id = $1 AND student_id = $2 FOR UPDATE",
        id.0,
        student.0
    );
    row.fetch_optional(conn).await?.map(Guardian::try_from).transpose()
}

/// A guardian of any student, held so that they stay as they are.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_by_id(conn: &mut PgConnection, id: GuardianId) -> Result<Option<Guardian>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, student_id, full_name, email, language, topics, created_at, updated_at
         FROM guardians WHERE id = $1 FOR UPDATE",
        id.0
    );
    row.fetch_optional(conn).await?.map(Guardian::try_from).transpose()
}

/// Puts the guardian of that id as given.
///
/// # Errors
/// Like [`create`].
pub async fn update(conn: &mut PgConnection, guardian: &Guardian) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE guardians SET full_name = $2, email = $3, language = $4, topics = $5, updated_at = $6 WHERE id = $1",
        guardian.id.0,
        guardian.full_name,
        guardian.email,
        guardian.language.map(Language::as_str),
        &topic_names(guardian),
        guardian.updated_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes a guardian.
///
/// # Errors
/// When the database does not do it.
pub async fn delete(conn: &mut PgConnection, id: GuardianId) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM guardians WHERE id = $1", id.0).execute(conn).await?;
    Ok(())
}
