//! Who is concerned by what happens, and what must be known to tell them. Read only: the tables are those of people,
//! classes, guardians and preferences.

use crate::{StoreError, deliveries::Recipient, guardians, preferences};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    id::{ClassId, GuardianId, SessionId, UserId, WebhookId},
    notification::{Channel, Language, Preferences, Topic},
};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

/// Somebody who may be told, and their wishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Who.
    pub recipient: Recipient,
    /// How they wish to be told. Of a guardian these say of what.
    pub wishes: Preferences,
}

/// Where somebody is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// The full name.
    pub full_name: String,
    /// The e-mail address.
    pub email: String,
    /// What is written to them; the organisation's language when absent.
    pub language: Option<Language>,
}

/// What a notification names: nobody is told an id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The student's name.
    pub student: Option<String>,
    /// The class's name.
    pub class: Option<String>,
    /// When the session was to begin.
    pub starts_at: Option<DateTime<Utc>>,
    /// The webhook's description.
    pub webhook: Option<String>,
}

/// What is to be named.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named {
    /// The student.
    pub student: Option<UserId>,
    /// The class.
    pub class: Option<ClassId>,
    /// The session.
    pub session: Option<SessionId>,
    /// The webhook.
    pub webhook: Option<WebhookId>,
}

/// Students and their guardians, each with the student whom it is about.
///
/// # Errors
/// When the database does not answer.
pub async fn of_students(
    conn: &mut PgConnection,
    students: &[UserId],
) -> Result<Vec<(UserId, Listener)>, StoreError> {
    let ids: Vec<Uuid> = students.iter().map(|id| id.0).collect();
    let own = sqlx::query!(
        r#"SELECT id, preferences AS "preferences?" FROM users
           LEFT JOIN notification_preferences ON user_id = id WHERE id = ANY($1) AND deleted_at IS NULL"#,
        &ids
    );
    let mut listeners = Vec::new();
    for row in own.fetch_all(&mut *conn).await? {
        let wishes = preferences::read(row.preferences)?;
        listeners.push((UserId(row.id), Listener { recipient: Recipient::User(row.id.into()), wishes }));
    }
    let guardians = sqlx::query!(
        "SELECT guardians.id, student_id, topics FROM guardians JOIN users ON users.id = student_id
         WHERE student_id = ANY($1) AND deleted_at IS NULL",
        &ids
    );
    for row in guardians.fetch_all(conn).await? {
        let recipient = Recipient::Guardian(GuardianId(row.id));
        listeners.push((UserId(row.student_id), Listener { recipient, wishes: of_guardian(&row.topics)? }));
    }
    Ok(listeners)
}

/// A guardian wishes e-mails of some topics, and nothing else.
fn of_guardian(topics: &[String]) -> Result<Preferences, StoreError> {
    let wanted = guardians::topics(topics)?;
    let channels = |topic| if wanted.contains(topic) { [Channel::Email].into() } else { [].into() };
    let channels = Topic::ALL.iter().map(|topic| (*topic, channels(topic))).collect();
    Ok(Preferences { channels, ..Preferences::default() })
}

/// The teachers of classes, each with the class.
///
/// # Errors
/// When the database does not answer.
pub async fn teachers_of(
    conn: &mut PgConnection,
    classes: &[ClassId],
) -> Result<Vec<(ClassId, Listener)>, StoreError> {
    let ids: Vec<Uuid> = classes.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"SELECT classes.id AS class_id, users.id, preferences AS "preferences?" FROM classes
           JOIN users ON users.id = teacher_id
           LEFT JOIN notification_preferences ON user_id = users.id
           WHERE classes.id = ANY($1) AND users.deleted_at IS NULL"#,
        &ids
    );
    let listener = |recipient, wishes| -> Result<Listener, StoreError> {
        Ok(Listener { recipient: Recipient::User(recipient), wishes: preferences::read(wishes)? })
    };
    let rows = rows.fetch_all(conn).await?.into_iter();
    rows.map(|row| Ok((ClassId(row.class_id), listener(row.id.into(), row.preferences)?))).collect()
}

/// Every administrator.
///
/// # Errors
/// When the database does not answer.
pub async fn administrators(conn: &mut PgConnection) -> Result<Vec<Listener>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT id, preferences AS "preferences?" FROM users
           LEFT JOIN notification_preferences ON user_id = id WHERE role = 'admin' AND deleted_at IS NULL"#
    );
    let listener = |id: Uuid, wishes| -> Result<Listener, StoreError> {
        Ok(Listener { recipient: Recipient::User(id.into()), wishes: preferences::read(wishes)? })
    };
    rows.fetch_all(conn).await?.into_iter().map(|row| listener(row.id, row.preferences)).collect()
}

/// Where a person is reached; `None` for whoever is gone, and for webhooks.
///
/// # Errors
/// When the database does not answer.
pub async fn address(conn: &mut PgConnection, recipient: Recipient) -> Result<Option<Address>, StoreError> {
    match recipient {
        Recipient::User(id) => {
            let row = sqlx::query!(
                r#"SELECT full_name, email, preferences AS "preferences?: Value" FROM users
                   LEFT JOIN notification_preferences ON user_id = id WHERE id = $1 AND deleted_at IS NULL"#,
                id.0
            );
            let Some(row) = row.fetch_optional(conn).await? else { return Ok(None) };
            let language = preferences::read(row.preferences)?.language;
            Ok(Some(Address { full_name: row.full_name, email: row.email, language }))
        }
        Recipient::Guardian(id) => {
            let row = sqlx::query!(
                "SELECT guardians.full_name, guardians.email, language FROM guardians
                 JOIN users ON users.id = student_id WHERE guardians.id = $1 AND deleted_at IS NULL",
                id.0
            );
            let row = row.fetch_optional(conn).await?;
            Ok(row.map(|row| {
                let language = row.language.as_deref().and_then(Language::parse);
                Address { full_name: row.full_name, email: row.email, language }
            }))
        }
        Recipient::Webhook(_) => Ok(None),
    }
}

/// The names of things.
///
/// # Errors
/// When the database does not answer.
pub async fn names(conn: &mut PgConnection, named: Named) -> Result<Names, StoreError> {
    let names = sqlx::query_as!(
        Names,
        "SELECT (SELECT full_name FROM users WHERE id = $1) AS student,
                (SELECT name FROM classes WHERE id = $2) AS class,
                (SELECT starts_at FROM sessions WHERE id = $3) AS starts_at,
                (SELECT description FROM webhooks WHERE id = $4) AS webhook",
        named.student.map(Uuid::from),
        named.class.map(Uuid::from),
        named.session.map(Uuid::from),
        named.webhook.map(Uuid::from)
    );
    Ok(names.fetch_one(conn).await?)
}
