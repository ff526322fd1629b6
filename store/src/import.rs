//! Many people at once, as a file brings them. Written by the api.

use crate::{StoreError, users::NewUser};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    id::{ClassId, EnrolmentId, OrganisationId, UserId},
    role::Role,
};
use sqlx::PgConnection;
use uuid::Uuid;

/// Somebody who is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The id.
    pub id: UserId,
    /// The e-mail address in small letters.
    pub email: String,
    /// The full name.
    pub full_name: String,
    /// The role.
    pub role: Role,
    /// The roll number.
    pub roll_number: Option<String>,
}

/// Those who have one of these addresses (in small letters) or one of these roll numbers, held so that they stay as they
/// are.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_known(
    tx: &mut PgConnection,
    organisation: OrganisationId,
    emails: &[String],
    roll_numbers: &[String],
) -> Result<Vec<Known>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT id, lower(email) AS "email!", full_name, role, roll_number FROM users
           WHERE deleted_at IS NULL
             AND (lower(email) = ANY($2) OR (organisation_id = $1 AND roll_number = ANY($3)))
           ORDER BY id FOR NO KEY UPDATE"#,
        organisation.0,
        emails,
        roll_numbers
    )
    .fetch_all(tx)
    .await?;
    let known = rows.into_iter().map(|row| -> Result<Known, StoreError> {
        Ok(Known {
            id: row.id.into(),
            email: row.email,
            full_name: row.full_name,
            role: Role::parse(&row.role).ok_or_else(|| StoreError::corrupt("users", "role", &row.role))?,
            roll_number: row.roll_number,
        })
    });
    known.collect()
}

/// A class that people are enrolled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenClass {
    /// The id.
    pub id: ClassId,
    /// The short name.
    pub code: String,
    /// Whether it takes place at present.
    pub is_active: bool,
    /// How many more it takes, where that is limited.
    pub places: Option<i64>,
}

/// The classes of these codes, held so that nobody else is enrolled in them meanwhile.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_classes(
    tx: &mut PgConnection,
    organisation: OrganisationId,
    codes: &[String],
) -> Result<Vec<OpenClass>, StoreError> {
    let classes = sqlx::query_as!(
        OpenClass,
        r#"SELECT c.id, c.code, c.is_active, c.capacity - (SELECT count(*) FROM enrolments e
                  WHERE e.class_id = c.id AND e.valid_to IS NULL) AS places
           FROM classes c WHERE c.organisation_id = $1 AND c.code = ANY($2) AND c.deleted_at IS NULL
           ORDER BY c.id FOR UPDATE OF c"#,
        organisation.0,
        codes
    );
    Ok(classes.fetch_all(tx).await?)
}

/// Which of these students are in which of these classes now.
///
/// # Errors
/// When the database does not answer.
pub async fn enrolled(
    tx: &mut PgConnection,
    students: &[UserId],
    classes: &[ClassId],
) -> Result<Vec<(ClassId, UserId)>, StoreError> {
    let students: Vec<Uuid> = students.iter().map(|id| id.0).collect();
    let classes: Vec<Uuid> = classes.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        "SELECT class_id, student_id FROM enrolments
         WHERE student_id = ANY($1) AND class_id = ANY($2) AND valid_to IS NULL",
        &students,
        &classes
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.class_id.into(), row.student_id.into())).collect())
}

/// Adds people who do not sign in yet.
///
/// # Errors
/// [`StoreError::Taken`] with `users_email` or `users_roll_number`, or when the database does not do it.
pub async fn create(tx: &mut PgConnection, people: &[NewUser], at: DateTime<Utc>) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = people.iter().map(|person| person.id.0).collect();
    let organisations: Vec<Uuid> = people.iter().map(|person| person.organisation_id.0).collect();
    let emails: Vec<String> = people.iter().map(|person| person.email.clone()).collect();
    let names: Vec<String> = people.iter().map(|person| person.full_name.clone()).collect();
    let roles: Vec<String> = people.iter().map(|person| person.role.to_string()).collect();
    let roll_numbers: Vec<Option<String>> = people.iter().map(|person| person.roll_number.clone()).collect();
    sqlx::query!(
        "INSERT INTO users (id, organisation_id, email, full_name, role, roll_number, created_at, updated_at)
         SELECT id, organisation_id, email, full_name, role, roll_number, $7, $7
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[])
             AS person (id, organisation_id, email, full_name, role, roll_number)",
        &ids,
        &organisations,
        &emails,
        &names,
        &roles,
        &roll_numbers as &[Option<String>],
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What a file says of somebody who is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Who.
    pub id: UserId,
    /// The full name.
    pub full_name: String,
    /// The roll number; what is absent stays.
    pub roll_number: Option<String>,
}

/// Changes people.
///
/// # Errors
/// [`StoreError::Taken`] with `users_roll_number`, or when the database does not do it.
pub async fn update(tx: &mut PgConnection, people: &[Update], at: DateTime<Utc>) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = people.iter().map(|person| person.id.0).collect();
    let names: Vec<String> = people.iter().map(|person| person.full_name.clone()).collect();
    let roll_numbers: Vec<Option<String>> = people.iter().map(|person| person.roll_number.clone()).collect();
    sqlx::query!(
        "UPDATE users u SET full_name = person.full_name,
             roll_number = coalesce(person.roll_number, u.roll_number), updated_at = $4
         FROM UNNEST($1::uuid[], $2::text[], $3::text[]) AS person (id, full_name, roll_number)
         WHERE u.id = person.id",
        &ids,
        &names,
        &roll_numbers as &[Option<String>],
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Adds students to classes from `at` on.
///
/// # Errors
/// [`StoreError::Taken`] with `enrolments_current`, or when the database does not do it.
pub async fn enrol(
    tx: &mut PgConnection,
    enrolments: &[(EnrolmentId, ClassId, UserId)],
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = enrolments.iter().map(|(id, ..)| id.0).collect();
    let classes: Vec<Uuid> = enrolments.iter().map(|(_, class, _)| class.0).collect();
    let students: Vec<Uuid> = enrolments.iter().map(|(.., student)| student.0).collect();
    sqlx::query!(
        "INSERT INTO enrolments (id, class_id, student_id, valid_from)
         SELECT id, class_id, student_id, $4
         FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[]) AS enrolment (id, class_id, student_id)",
        &ids,
        &classes,
        &students,
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}
