//! People: accounts, sign-in, students. Written by the api.
//!
//! A deleted person stays as a row, because records point to it, and is invisible to everything here.

use crate::{
    StoreError,
    pages::{Page, Paged},
};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    id::{OrganisationId, UserId},
    role::Role,
};
use sqlx::PgConnection;
use std::fmt;
use uuid::Uuid;

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The organisation.
    pub organisation_id: OrganisationId,
    /// The e-mail address, unique whatever the case.
    pub email: String,
    /// The full name.
    pub full_name: String,
    /// The role.
    pub role: Role,
    /// The roll number, for students.
    pub roll_number: Option<String>,
    /// How many face photographs are enrolled.
    pub face_photos: i64,
    /// When the account was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// When it was deleted, if it was.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// A person to be added.
#[derive(Clone)]
pub struct NewUser {
    /// The id.
    pub id: UserId,
    /// The organisation.
    pub organisation_id: OrganisationId,
    /// The e-mail address.
    pub email: String,
    /// The full name.
    pub full_name: String,
    /// The role.
    pub role: Role,
    /// The roll number, for students.
    pub roll_number: Option<String>,
    /// The bcrypt hash; absent for people who do not sign in.
    pub password_hash: Option<String>,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// What changes about a person; what is absent stays.
#[derive(Clone, Default)]
pub struct UserChange {
    /// The e-mail address.
    pub email: Option<String>,
    /// The full name.
    pub full_name: Option<String>,
    /// The role.
    pub role: Option<Role>,
    /// The roll number.
    pub roll_number: Option<String>,
    /// The bcrypt hash.
    pub password_hash: Option<String>,
}

/// Which people are wanted.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// Those who were deleted, instead of those who were not.
    pub deleted: bool,
    /// Those whose name, address or roll number has this in it, whatever the case.
    pub search: Option<String>,
    /// Those of one role.
    pub role: Option<Role>,
    /// Those enrolled now in a class of this teacher.
    pub taught_by: Option<UserId>,
}

/// What a sign-in is checked against.
pub struct SignIn {
    /// The person.
    pub user: User,
    /// The bcrypt hash, if the person may sign in.
    pub password_hash: Option<String>,
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignIn({})", self.user.id)
    }
}

struct Row {
    id: Uuid,
    organisation_id: Uuid,
    email: String,
    full_name: String,
    role: String,
    roll_number: Option<String>,
    face_photos: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for User {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.into(),
            organisation_id: row.organisation_id.into(),
            role: Role::parse(&row.role).ok_or_else(|| StoreError::corrupt("users", "role", &row.role))?,
            email: row.email,
            full_name: row.full_name,
            roll_number: row.roll_number,
            face_photos: row.face_photos,
            created_at: row.created_at,
            updated_at: row.updated_at,
            deleted_at: row.deleted_at,
        })
    }
}

macro_rules! select_users {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT u.id, u.organisation_id, u.email, u.full_name, u.role, u.roll_number, u.created_at, u.updated_at,
                      u.deleted_at,
                      (SELECT count(*) FROM face_photos p WHERE p.user_id = u.id) AS "face_photos!"
               FROM users u "# + $rest,
            $($argument),*
        )
    };
}

/// The person of that id.
///
/// # Errors
/// When the database does not answer.
pub async fn find(conn: &mut PgConnection, id: UserId) -> Result<Option<User>, StoreError> {
    let row = select_users!("WHERE u.id = $1 AND u.deleted_at IS NULL", id.0).fetch_optional(conn).await?;
    row.map(User::try_from).transpose()
}

/// A page of people, by name.
///
/// # Errors
/// When the database does not answer.
pub async fn list(
    conn: &mut PgConnection,
    filter: UserFilter,
    page: Page,
) -> Result<Paged<User>, StoreError> {
    let role = filter.role.map(Role::as_str);
    let taught_by = filter.taught_by.map(Uuid::from);
    let search = filter.search.as_deref().map(containing);
    let total = sqlx::query_scalar!(
        r#"SELECT count(*) AS "total!" FROM users u
           WHERE (u.deleted_at IS NOT NULL) = $3 AND ($1::text IS NULL OR u.role = $1)
             AND ($2::uuid IS NULL OR u.id IN (SELECT e.student_id FROM enrolments e JOIN classes c ON c.id = e.class_id
                 WHERE c.teacher_id = $2 AND c.deleted_at IS NULL AND e.valid_to IS NULL))
             AND ($4::text IS NULL
                  OR lower(u.full_name || ' ' || u.email || ' ' || coalesce(u.roll_number, '')) LIKE $4)"#,
        role,
        taught_by,
        filter.deleted,
        search
    )
    .fetch_one(&mut *conn)
    .await?;
    let rows = select_users!(
        "WHERE (u.deleted_at IS NOT NULL) = $3 AND ($1::text IS NULL OR u.role = $1)
           AND ($2::uuid IS NULL OR u.id IN (SELECT e.student_id FROM enrolments e JOIN classes c ON c.id = e.class_id
               WHERE c.teacher_id = $2 AND c.deleted_at IS NULL AND e.valid_to IS NULL))
           AND ($4::text IS NULL
                OR lower(u.full_name || ' ' || u.email || ' ' || coalesce(u.roll_number, '')) LIKE $4)
         ORDER BY u.full_name, u.id LIMIT $5 OFFSET $6",
        role,
        taught_by,
        filter.deleted,
        search,
        page.limit,
        page.offset
    )
    .fetch_all(conn)
    .await?;
    Ok(Paged { rows: rows.into_iter().map(User::try_from).collect::<Result<_, _>>()?, total })
}

/// The pattern of `LIKE` for texts with this in them; `%` and `_` stand for themselves.
fn containing(part: &str) -> String {
    let literal = part.to_lowercase().replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
    format!("%{literal}%")
}

/// Adds a person.
///
/// # Errors
/// [`StoreError::Taken`] with `users_email` or `users_roll_number`, or when the database does not do it.
pub async fn create(conn: &mut PgConnection, user: &NewUser) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO users (id, organisation_id, email, full_name, role, roll_number, password_hash, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
        user.id.0,
        user.organisation_id.0,
        user.email,
        user.full_name,
        user.role.as_str(),
        user.roll_number,
        user.password_hash,
        user.created_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Changes a person. `false` when there is none of that id.
///
/// # Errors
/// [`StoreError::Taken`] with `users_email` or `users_roll_number`, or when the database does not do it.
pub async fn update(
    conn: &mut PgConnection,
    id: UserId,
    change: &UserChange,
    at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE users SET email = coalesce($2, email), full_name = coalesce($3, full_name), role = coalesce($4, role),
             roll_number = coalesce($5, roll_number), password_hash = coalesce($6, password_hash), updated_at = $7
         WHERE id = $1 AND deleted_at IS NULL",
        id.0,
        change.email,
        change.full_name,
        change.role.map(Role::as_str),
        change.roll_number,
        change.password_hash,
        at
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Marks a person as deleted. `false` when there is none of that id.
///
/// # Errors
/// When the database does not do it.
pub async fn delete(conn: &mut PgConnection, id: UserId, at: DateTime<Utc>) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE users SET deleted_at = $2, updated_at = $2, password_hash = NULL WHERE id = $1 AND deleted_at IS NULL",
        id.0,
        at
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The person of that id who was deleted, held so that they stay so.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_deleted(conn: &mut PgConnection, id: UserId) -> Result<Option<User>, StoreError> {
    let row = select_users!("WHERE u.id = $1 AND u.deleted_at IS NOT NULL FOR UPDATE OF u", id.0);
    row.fetch_optional(conn).await?.map(User::try_from).transpose()
}

/// Brings a deleted person back. `false` when there is none of that id.
///
/// # Errors
/// [`StoreError::Taken`] with `users_email` or `users_roll_number` when somebody else has the address or the number by
/// now, or when the database does not do it.
pub async fn restore(conn: &mut PgConnection, id: UserId, at: DateTime<Utc>) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE users SET deleted_at = NULL, updated_at = $2 WHERE id = $1 AND deleted_at IS NOT NULL",
        id.0,
        at
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What whoever signs in with this address is checked against.
///
/// # Errors
/// When the database does not answer.
pub async fn credentials(conn: &mut PgConnection, email: &str) -> Result<Option<SignIn>, StoreError> {
    let found = sqlx::query!(
        "SELECT id, password_hash FROM users WHERE lower(email) = lower($1) AND deleted_at IS NULL",
        email
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(found) = found else { return Ok(None) };
    let user = find(conn, found.id.into()).await?;
    Ok(user.map(|user| SignIn { user, password_hash: found.password_hash }))
}

/// The hash of a person's password, if they have one.
///
/// # Errors
/// When the database does not answer.
pub async fn password_hash(conn: &mut PgConnection, id: UserId) -> Result<Option<String>, StoreError> {
    let hash =
        sqlx::query_scalar!("SELECT password_hash FROM users WHERE id = $1 AND deleted_at IS NULL", id.0);
    Ok(hash.fetch_optional(conn).await?.flatten())
}

/// The hash of a person's password, which stays what it is until the transaction ends; so does the person.
///
/// # Errors
/// When the database does not answer.
pub async fn hold_password_hash(conn: &mut PgConnection, id: UserId) -> Result<Option<String>, StoreError> {
    let hash = sqlx::query_scalar!(
        "SELECT password_hash FROM users WHERE id = $1 AND deleted_at IS NULL FOR SHARE",
        id.0
    );
    Ok(hash.fetch_optional(conn).await?.flatten())
}

/// Notes whether somebody we trust said that the address is this person's.
///
/// # Errors
/// When the database does not do it.
pub async fn confirm_email(
    conn: &mut PgConnection,
    id: UserId,
    is_confirmed: bool,
) -> Result<(), StoreError> {
    sqlx::query!("UPDATE users SET email_confirmed = $2 WHERE id = $1", id.0, is_confirmed)
        .execute(conn)
        .await?;
    Ok(())
}
