//! Which student is in which class, by validity. Written by the api.

use crate::{
    StoreError,
    pages::{Page, Paged},
};
use chrono::{DateTime, Utc};
use rollcall_schemas::id::{ClassId, EnrolmentId, UserId};
use sqlx::PgConnection;

/// A student's present membership of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// The id.
    pub id: EnrolmentId,
    /// The class.
    pub class_id: ClassId,
    /// Its name.
    pub class_name: String,
    /// Its short name.
    pub class_code: String,
    /// The student.
    pub student_id: UserId,
    /// Since when.
    pub enrolled_at: DateTime<Utc>,
}

/// A student as a class sees one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassStudent {
    /// The student.
    pub id: UserId,
    /// The full name.
    pub full_name: String,
    /// The e-mail address.
    pub email: String,
    /// The roll number.
    pub roll_number: Option<String>,
    /// How many face photographs are enrolled.
    pub face_photos: i64,
    /// Since when in the class.
    pub enrolled_at: DateTime<Utc>,
}

/// Everybody who was in a class at some time between `from` and `to`, with their roll numbers.
///
/// # Errors
/// When the database does not answer.
pub async fn members_between(
    conn: &mut PgConnection,
    class: ClassId,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<(UserId, Option<String>)>, StoreError> {
    let rows = sqlx::query!(
        "SELECT DISTINCT u.id, u.roll_number FROM enrolments e JOIN users u ON u.id = e.student_id
         WHERE e.class_id = $1 AND e.valid_from < $3 AND (e.valid_to IS NULL OR e.valid_to > $2)",
        class.0,
        from,
        to
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(|row| (row.id.into(), row.roll_number)).collect())
}

/// Adds a student to a class from `at` on.
///
/// # Errors
/// [`StoreError::Taken`] with `enrolments_current` when already a member, or when the database does not do it.
pub async fn create(
    conn: &mut PgConnection,
    id: EnrolmentId,
    (class, student): (ClassId, UserId),
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO enrolments (id, class_id, student_id, valid_from) VALUES ($1, $2, $3, $4)",
        id.0,
        class.0,
        student.0,
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends a student's memberships from `at` on: of one class, or of all. Returns how many there were.
///
/// # Errors
/// When the database does not do it.
pub async fn end(
    conn: &mut PgConnection,
    student: UserId,
    class: Option<ClassId>,
    at: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let class = class.map(|id| id.0);
    let never = sqlx::query!(
        "DELETE FROM enrolments
         WHERE student_id = $1 AND ($2::uuid IS NULL OR class_id = $2) AND valid_to IS NULL AND valid_from >= $3",
        student.0,
        class,
        at
    )
    .execute(&mut *conn)
    .await?;
    let ended = sqlx::query!(
        "UPDATE enrolments SET valid_to = $3
         WHERE student_id = $1 AND ($2::uuid IS NULL OR class_id = $2) AND valid_to IS NULL",
        student.0,
        class,
        at
    )
    .execute(conn)
    .await?;
    Ok(never.rows_affected() + ended.rows_affected())
}

/// How many students a class has now.
///
/// # Errors
/// When the database does not answer.
pub async fn count(conn: &mut PgConnection, class: ClassId) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM enrolments WHERE class_id = $1 AND valid_to IS NULL"#,
        class.0
    );
    Ok(count.fetch_one(conn).await?)
}

/// Whether a student is in a class now.
///
/// # Errors
/// When the database does not answer.
pub async fn is_enrolled(
    conn: &mut PgConnection,
    class: ClassId,
    student: UserId,
) -> Result<bool, StoreError> {
    let yes = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM enrolments
           WHERE class_id = $1 AND student_id = $2 AND valid_to IS NULL) AS "yes!""#,
        class.0,
        student.0
    );
    Ok(yes.fetch_one(conn).await?)
}

/// Whether a student is in any class of a teacher now.
///
/// # Errors
/// When the database does not answer.
pub async fn is_taught_by(
    conn: &mut PgConnection,
    student: UserId,
    teacher: UserId,
) -> Result<bool, StoreError> {
    let yes = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM enrolments e JOIN classes c ON c.id = e.class_id
           WHERE e.student_id = $1 AND e.valid_to IS NULL AND c.teacher_id = $2 AND c.deleted_at IS NULL) AS "yes!""#,
        student.0,
        teacher.0
    );
    Ok(yes.fetch_one(conn).await?)
}

/// The ids of everybody in a class now.
///
/// # Errors
/// When the database does not answer.
pub async fn student_ids(conn: &mut PgConnection, class: ClassId) -> Result<Vec<UserId>, StoreError> {
    let ids = sqlx::query_scalar!(
        "SELECT student_id FROM enrolments WHERE class_id = $1 AND valid_to IS NULL",
        class.0
    );
    Ok(ids.fetch_all(conn).await?.into_iter().map(UserId::from).collect())
}

/// A page of the students of a class, by name.
///
/// # Errors
/// When the database does not answer.
pub async fn students(
    conn: &mut PgConnection,
    class: ClassId,
    page: Page,
) -> Result<Paged<ClassStudent>, StoreError> {
    let total = count(&mut *conn, class).await?;
    let rows = sqlx::query_as!(
        ClassStudent,
        r#"SELECT u.id, u.full_name, u.email, u.roll_number, e.valid_from AS enrolled_at,
                  (SELECT count(*) FROM face_photos p WHERE p.user_id = u.id) AS "face_photos!"
           FROM enrolments e JOIN users u ON u.id = e.student_id
           WHERE e.class_id = $1 AND e.valid_to IS NULL
           ORDER BY u.full_name, u.id LIMIT $2 OFFSET $3"#,
        class.0,
        page.limit,
        page.offset
    )
    .fetch_all(conn)
    .await?;
    Ok(Paged { rows, total })
}

/// A page of the classes a student is in, by name.
///
/// # Errors
/// When the database does not answer.
pub async fn of_student(
    conn: &mut PgConnection,
    student: UserId,
    page: Page,
) -> Result<Paged<Enrolment>, StoreError> {
    let total = sqlx::query_scalar!(
        r#"SELECT count(*) AS "total!" FROM enrolments e JOIN classes c ON c.id = e.class_id
           WHERE e.student_id = $1 AND e.valid_to IS NULL AND c.deleted_at IS NULL"#,
        student.0
    )
    .fetch_one(&mut *conn)
    .await?;
    let rows = sqlx::query_as!(
        Enrolment,
        "SELECT e.id, e.class_id, c.name AS class_name, c.code AS class_code, e.student_id, e.valid_from AS enrolled_at
         FROM enrolments e JOIN classes c ON c.id = e.class_id
         WHERE e.student_id = $1 AND e.valid_to IS NULL AND c.deleted_at IS NULL
         ORDER BY c.name, e.id LIMIT $2 OFFSET $3",
        student.0,
        page.limit,
        page.offset
    )
    .fetch_all(conn)
    .await?;
    Ok(Paged { rows, total })
}
