//! Timetables: weekly schedules, what differs from them on single days, holidays, and what teachers fill schedules up with.
//!
//! The api keeps them; the attendance worker makes sessions of their lessons, and says which it could not make.

mod address;
mod body;
mod class;
mod holidays;
mod ics;
mod import;
mod lessons;
mod schedule;
mod settings;
mod week;

use crate::{
    admin::OrganisationConfig,
    audit::{Act, Audit},
    error::ApiError,
    state::Api,
};
use body::TimetableBody;
use chrono::{DateTime, Utc};
use rollcall_schemas::id::ClassId;
use rollcall_service::http::Problem;
use rollcall_store::{PgConnection, timetables};
use rollcall_timetable::{Timetable, Tz};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(class::get_timetable, class::set_timetable))
        .routes(routes!(import::import_timetable))
        .routes(routes!(ics::class_calendar))
        .routes(routes!(week::list_week))
        .routes(routes!(ics::own_calendar))
        .routes(routes!(address::create_address, address::delete_address))
        .routes(routes!(
            settings::get_own_settings,
            settings::change_own_settings,
            settings::set_own_settings
        ))
        .routes(routes!(schedule::get_schedule, schedule::set_schedule))
        .routes(routes!(holidays::list_holidays, holidays::add_holiday))
        .routes(routes!(holidays::delete_holiday))
}

/// Whose clocks the organisation goes by, and its name for them.
async fn organisation_zone(api: &Api, db: &mut PgConnection) -> Result<(Tz, String), ApiError> {
    let name = OrganisationConfig::reckoning(api, db).await?.time_zone;
    let zone =
        name.parse().map_err(|_| Problem::conflict(format!("the time zone {name} is not known here")))?;
    Ok((zone, name))
}

/// Whose clocks a class goes by.
fn zone_of(own: Option<&str>, of_organisation: Tz) -> Tz {
    own.and_then(|name| name.parse().ok()).unwrap_or(of_organisation)
}

/// A change of the timetable of a class.
struct Replacement<'a> {
    class: ClassId,
    timetable: &'a Timetable,
    time_zone: Option<&'a str>,
    of_organisation: &'a str,
    at: DateTime<Utc>,
}

impl Replacement<'_> {
    /// Puts it in place, and on record.
    async fn make(self, tx: &mut PgConnection, audit: &Audit) -> Result<TimetableBody, ApiError> {
        let Self { class, timetable, time_zone, of_organisation, at } = self;
        crate::classes::find_current(tx, class).await?;
        let shown = |kept| TimetableBody::new(class, &kept, of_organisation);
        let before = shown(timetables::of_class(tx, class).await?);
        timetables::replace(tx, class, (timetable, time_zone), at).await?;
        let after = shown(timetables::of_class(tx, class).await?);
        audit.record(tx, Act::of("timetable.replaced", class).before(&before).after(&after)).await?;
        Ok(after)
    }
}

#[cfg(test)]
mod tests;
