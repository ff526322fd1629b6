//! Days on which nothing of any schedule takes place. Written by the api.

use super::touch_all;
use crate::StoreError;
use chrono::{DateTime, NaiveDate, Utc};
use rollcall_schemas::id::HolidayId;
use rollcall_timetable::Holiday;
use sqlx::PgConnection;

/// Days on which nothing of any schedule takes place, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedHoliday {
    /// The id.
    pub id: HolidayId,
    /// What it is called.
    pub name: String,
    /// The first day.
    pub first_day: NaiveDate,
    /// The last day.
    pub last_day: NaiveDate,
}

impl From<&NamedHoliday> for Holiday {
    fn from(holiday: &NamedHoliday) -> Self {
        Self { from: holiday.first_day, to: holiday.last_day }
    }
}

/// The holidays that reach into these days or beyond, in order.
///
/// # Errors
/// [`StoreError::Unusable`] when a day is out of range, or when the database does not answer.
pub async fn holidays(conn: &mut PgConnection, from: NaiveDate) -> Result<Vec<NamedHoliday>, StoreError> {
    let rows = sqlx::query_as!(
        NamedHoliday,
        "SELECT id, name, first_day, last_day FROM holidays WHERE last_day >= $1 ORDER BY first_day, last_day, id",
        from
    );
    Ok(rows.fetch_all(conn).await?)
}

/// Adds a holiday.
///
/// # Errors
/// [`StoreError::Unusable`] when a day is out of range, or when the database does not do it.
pub async fn add_holiday(
    tx: &mut PgConnection,
    holiday: &NamedHoliday,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO holidays (id, name, first_day, last_day, created_at) VALUES ($1, $2, $3, $4, $5)",
        holiday.id.0,
        holiday.name,
        holiday.first_day,
        holiday.last_day,
        at
    )
    .execute(&mut *tx)
    .await?;
    touch_all(tx, at).await
}

/// Takes a holiday away, and gives it as it was. `None` when there is none of that id.
///
/// # Errors
/// When the database does not do it.
pub async fn remove_holiday(
    tx: &mut PgConnection,
    id: HolidayId,
    at: DateTime<Utc>,
) -> Result<Option<NamedHoliday>, StoreError> {
    let gone = sqlx::query_as!(
        NamedHoliday,
        "DELETE FROM holidays WHERE id = $1 RETURNING id, name, first_day, last_day",
        id.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    if gone.is_some() {
        touch_all(tx, at).await?;
    }
    Ok(gone)
}
