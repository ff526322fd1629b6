//! `GET /timetable`: one's own week.

use super::{
    holidays::HolidayBody,
    lessons::{LessonBody, classes_of, held, today, whose},
    organisation_zone,
};
use crate::{extract::Caller, reply::Reply, state::Api};
use axum::extract::State;
use chrono::{Datelike, Days, NaiveDate, Weekday};
use rollcall_service::http::{Problem, Query, Success, SuccessEnvelope};
use rollcall_store::timetables;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which week.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WeekParams {
    /// A day of the week; today when absent.
    #[param(example = "2026-03-02")]
    date: Option<NaiveDate>,
}

/// A week, from Monday to Sunday.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WeekData {
    /// The Monday.
    date_from: NaiveDate,
    /// The Sunday.
    date_to: NaiveDate,
    /// By whose clocks, unless a class has its own.
    time_zone: String,
    /// In order.
    lessons: Vec<LessonBody>,
    /// The holidays that reach into the week.
    holidays: Vec<HolidayBody>,
}

/// List the lessons of a week: of the classes that one teaches or is in, of every class for the staff.
///
/// Sessions that were made by hand are among them, with the origin `manual`; cancelled ones are not.
#[utoipa::path(
    get,
    path = "/api/v1/timetable",
    tag = "timetable",
    params(WeekParams),
    responses((status = 200, description = "The week", body = SuccessEnvelope<WeekData>))
)]
pub(crate) async fn list_week(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<WeekParams>,
) -> Reply<WeekData> {
    let mut db = api.connection().await?;
    let (zone, time_zone) = organisation_zone(&api, &mut db).await?;
    let (date_from, date_to) = week_of(params.date.unwrap_or_else(|| today(&api, zone)))?;
    let classes = classes_of(&mut db, whose(&caller)).await?;
    let lessons = held(&mut db, classes, date_from..=date_to, zone).await?;
    let holidays = timetables::holidays(&mut db, date_from).await?.into_iter();
    Ok(Success::ok(WeekData {
        date_from,
        date_to,
        time_zone,
        lessons: lessons.into_iter().map(|held| held.body(caller.role())).collect(),
        holidays: holidays.filter(|it| it.first_day <= date_to).map(HolidayBody::from).collect(),
    }))
}

/// From Monday to Sunday.
fn week_of(date: NaiveDate) -> Result<(NaiveDate, NaiveDate), Problem> {
    let is_near = (1970..=2999).contains(&date.year());
    let monday = is_near.then(|| date.week(Weekday::Mon).first_day());
    let week = monday.and_then(|monday| Some((monday, monday.checked_add_days(Days::new(6))?)));
    week.ok_or_else(|| Problem::validation([("date", "must be in the years 1970 to 2999")]))
}
