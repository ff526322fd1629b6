//! Classes, their rules and their cameras. Written by the api.
//!
//! Rules and cameras are kept by validity, so that a decision can read them as of the event.

mod cameras;
mod settings;

pub use cameras::{add_camera, cameras, remove_camera};
pub(crate) use settings::SettingsRow;
pub use settings::{ClassSettings, set_settings, settings};

use crate::{
    StoreError,
    pages::{Page, Paged},
};
use chrono::{DateTime, Utc};
use rollcall_schemas::id::{ClassId, OrganisationId, UserId};
use sqlx::PgConnection;

/// A class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// The id.
    pub id: ClassId,
    /// The short name, unique in the organisation.
    pub code: String,
    /// The name.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// Who teaches it.
    pub teacher_id: UserId,
    /// The teacher's full name.
    pub teacher_name: String,
    /// The most students it takes, if limited.
    pub capacity: Option<i32>,
    /// Where it usually meets.
    pub room: Option<String>,
    /// Whether it takes place at present.
    pub is_active: bool,
    /// Since when it is archived, if it is.
    pub archived_at: Option<DateTime<Utc>>,
    /// How many students are enrolled now.
    pub student_count: i64,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A class to be added.
#[derive(Clone, Debug)]
pub struct NewClass {
    /// The id.
    pub id: ClassId,
    /// The organisation.
    pub organisation_id: OrganisationId,
    /// The short name.
    pub code: String,
    /// The name.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// Who teaches it.
    pub teacher_id: UserId,
    /// The most students it takes, if limited.
    pub capacity: Option<i32>,
    /// Where it usually meets.
    pub room: Option<String>,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// What changes about a class; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct ClassChange {
    /// The short name.
    pub code: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// Who teaches it.
    pub teacher_id: Option<UserId>,
    /// The most students it takes; `Some(None)` is no limit.
    pub capacity: Option<Option<i32>>,
    /// Where it usually meets; `Some(None)` is nowhere in particular.
    pub room: Option<Option<String>>,
    /// Whether it takes place at present.
    pub is_active: Option<bool>,
}

/// Which classes are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClassFilter {
    /// Those of one teacher.
    pub teacher: Option<UserId>,
    /// The archived ones rather than the others.
    pub archived: bool,
}

macro_rules! select_classes {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Class,
            r#"SELECT c.id, c.code, c.name, c.description, c.teacher_id, t.full_name AS teacher_name, c.capacity,
                      c.room, c.is_active, c.deleted_at AS archived_at, c.created_at, c.updated_at,
                      (SELECT count(*) FROM enrolments e WHERE e.class_id = c.id AND e.valid_to IS NULL) AS "student_count!"
               FROM classes c JOIN users t ON t.id = c.teacher_id "# + $rest,
            $($argument),*
        )
    };
}

/// The class of that id, archived or not.
///
/// # Errors
/// When the database does not answer.
pub async fn find(conn: &mut PgConnection, id: ClassId) -> Result<Option<Class>, StoreError> {
    Ok(select_classes!("WHERE c.id = $1", id.0).fetch_optional(conn).await?)
}

/// A page of classes, by name.
///
/// # Errors
/// When the database does not answer.
pub async fn list(
    conn: &mut PgConnection,
    filter: ClassFilter,
    page: Page,
) -> Result<Paged<Class>, StoreError> {
    let teacher = filter.teacher.map(|id| id.0);
    let total = sqlx::query_scalar!(
        r#"SELECT count(*) AS "total!" FROM classes
           WHERE (deleted_at IS NOT NULL) = $2 AND ($1::uuid IS NULL OR teacher_id = $1)"#,
        teacher,
        filter.archived
    )
    .fetch_one(&mut *conn)
    .await?;
    let rows = select_classes!(
        "WHERE (c.deleted_at IS NOT NULL) = $2 AND ($1::uuid IS NULL OR c.teacher_id = $1)
         ORDER BY c.name, c.id LIMIT $3 OFFSET $4",
        teacher,
        filter.archived,
        page.limit,
        page.offset
    )
    .fetch_all(conn)
    .await?;
    Ok(Paged { rows, total })
}

/// Who teaches a class, deleted or not: its events still have a reader.
///
/// # Errors
/// When the database does not answer.
pub async fn teacher(conn: &mut PgConnection, id: ClassId) -> Result<Option<UserId>, StoreError> {
    let teacher = sqlx::query_scalar!("SELECT teacher_id FROM classes WHERE id = $1", id.0)
        .fetch_optional(conn)
        .await?;
    Ok(teacher.map(UserId::from))
}

/// Adds a class.
///
/// # Errors
/// [`StoreError::Taken`] with `classes_code`, or when the database does not do it.
pub async fn create(conn: &mut PgConnection, class: &NewClass) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO classes (id, organisation_id, code, name, description, teacher_id, capacity, room, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
        class.id.0,
        class.organisation_id.0,
        class.code,
        class.name,
        class.description,
        class.teacher_id.0,
        class.capacity,
        class.room,
        class.created_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Changes a class. `false` when there is none of that id.
///
/// # Errors
/// [`StoreError::Taken`] with `classes_code`, or when the database does not do it.
pub async fn update(
    conn: &mut PgConnection,
    id: ClassId,
    change: &ClassChange,
    at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE classes SET code = coalesce($2, code), name = coalesce($3, name),
             description = coalesce($4, description), teacher_id = coalesce($5, teacher_id),
             capacity = CASE WHEN $6 THEN $7 ELSE capacity END, room = CASE WHEN $8 THEN $9 ELSE room END,
             is_active = coalesce($10, is_active), updated_at = $11
         WHERE id = $1 AND deleted_at IS NULL",
        id.0,
        change.code,
        change.name,
        change.description,
        change.teacher_id.map(|id| id.0),
        change.capacity.is_some(),
        change.capacity.flatten(),
        change.room.is_some(),
        change.room.clone().flatten(),
        change.is_active,
        at
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Archives a class and frees its cameras; everything else about it stays. `false` when there is none of that id, or it
/// is archived already.
///
/// # Errors
/// When the database does not do it.
pub async fn archive(conn: &mut PgConnection, id: ClassId, at: DateTime<Utc>) -> Result<bool, StoreError> {
    sqlx::query!(
        "DELETE FROM class_cameras WHERE class_id = $1 AND valid_to IS NULL AND valid_from >= $2",
        id.0,
        at
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("UPDATE class_cameras SET valid_to = $2 WHERE class_id = $1 AND valid_to IS NULL", id.0, at)
        .execute(&mut *conn)
        .await?;
    let done = sqlx::query!(
        "UPDATE classes SET deleted_at = $2, updated_at = $2, is_active = false WHERE id = $1 AND deleted_at IS NULL",
        id.0,
        at
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes a class back from the archive. `false` when there is none of that id in it.
///
/// # Errors
/// [`StoreError::Taken`] with `classes_code` when another class has got its code meanwhile, or when the database does not
/// do it.
pub async fn restore(conn: &mut PgConnection, id: ClassId, at: DateTime<Utc>) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE classes SET deleted_at = NULL, updated_at = $2, is_active = true
         WHERE id = $1 AND deleted_at IS NOT NULL",
        id.0,
        at
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Holds a class until the end of the transaction, so that what is decided about it from its rows stays true.
///
/// # Errors
/// When the database does not do it.
pub async fn lock(conn: &mut PgConnection, id: ClassId) -> Result<(), StoreError> {
    sqlx::query!("SELECT id FROM classes WHERE id = $1 FOR UPDATE", id.0).fetch_optional(conn).await?;
    Ok(())
}
