//! `GET` and `POST /settings/holidays`, `DELETE /settings/holidays/{id}`: of the organisation.

use crate::{
    audit::{Act, Audit},
    extract::Body,
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use chrono::{Datelike, NaiveDate};
use garde::Validate;
use http::StatusCode;
use rollcall_schemas::id::HolidayId;
use rollcall_service::http::{Path, Problem, Success, SuccessEnvelope};
use rollcall_store::timetables::{self, NamedHoliday};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Days on which nothing of any schedule takes place.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HolidayBody {
    #[schema(value_type = Uuid)]
    id: HolidayId,
    name: String,
    /// The first day.
    date_from: NaiveDate,
    /// The last day.
    date_to: NaiveDate,
}

impl From<NamedHoliday> for HolidayBody {
    fn from(holiday: NamedHoliday) -> Self {
        let NamedHoliday { id, name, first_day, last_day } = holiday;
        Self { id, name, date_from: first_day, date_to: last_day }
    }
}

/// Every holiday.
#[derive(Serialize, ToSchema)]
pub(crate) struct HolidaysData {
    /// In order.
    holidays: Vec<HolidayBody>,
}

/// One holiday.
#[derive(Serialize, ToSchema)]
pub(crate) struct HolidayData {
    holiday: HolidayBody,
}

/// A holiday to be added.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "name": "Christmas", "dateFrom": "2026-12-24", "dateTo": "2027-01-06" }))]
pub(crate) struct NewHoliday {
    /// What it is called.
    #[garde(length(chars, min = 1, max = 200))]
    name: String,
    /// The first day.
    #[garde(custom(is_near))]
    date_from: NaiveDate,
    /// The last day; the first when absent.
    #[garde(inner(custom(is_near)))]
    date_to: Option<NaiveDate>,
}

fn is_near(date: &NaiveDate, (): &()) -> garde::Result {
    let near = (1970..=2999).contains(&date.year());
    if near { Ok(()) } else { Err(garde::Error::new("must be in the years 1970 to 2999")) }
}

/// List the holidays of the organisation.
#[utoipa::path(
    get,
    path = "/api/v1/settings/holidays",
    tag = "timetable",
    responses((status = 200, description = "The holidays", body = SuccessEnvelope<HolidaysData>))
)]
pub(crate) async fn list_holidays(State(api): State<Api>) -> Reply<HolidaysData> {
    let holidays = timetables::holidays(&mut *api.connection().await?, NaiveDate::default()).await?;
    Ok(Success::ok(HolidaysData { holidays: holidays.into_iter().map(HolidayBody::from).collect() }))
}

/// Add a holiday: the lessons of schedules do not take place on it. Those that were moved to it or added do.
#[utoipa::path(
    post,
    path = "/api/v1/settings/holidays",
    tag = "timetable",
    request_body = NewHoliday,
    responses((status = 201, description = "Added", body = SuccessEnvelope<HolidayData>))
)]
pub(crate) async fn add_holiday(
    State(api): State<Api>,
    audit: Audit,
    Body(new): Body<NewHoliday>,
) -> Reply<HolidayData> {
    let last_day = new.date_to.unwrap_or(new.date_from);
    if last_day < new.date_from {
        return Err(Problem::validation([("dateTo", "must not be before dateFrom")]).into());
    }
    let id = HolidayId(api.entropy().uuid_v4());
    let holiday = NamedHoliday { id, name: new.name, first_day: new.date_from, last_day };
    let mut tx = api.begin().await?;
    timetables::add_holiday(&mut tx, &holiday, api.clock().now()).await?;
    let holiday = HolidayBody::from(holiday);
    audit.record(&mut tx, Act::of("holiday.created", id).after(&holiday)).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::created("HOLIDAY_CREATED", HolidayData { holiday }))
}

/// Take a holiday away: lessons take place on it again.
#[utoipa::path(
    delete,
    path = "/api/v1/settings/holidays/{id}",
    tag = "timetable",
    params(("id" = Uuid, Path, description = "The holiday")),
    responses((status = 200, description = "The holiday as it was", body = SuccessEnvelope<HolidayData>))
)]
pub(crate) async fn delete_holiday(
    State(api): State<Api>,
    audit: Audit,
    Path(id): Path<HolidayId>,
) -> Reply<HolidayData> {
    let mut tx = api.begin().await?;
    let gone = timetables::remove_holiday(&mut tx, id, api.clock().now()).await?;
    let holiday = HolidayBody::from(gone.ok_or_else(|| Problem::not_found("holiday"))?);
    audit.record(&mut tx, Act::of("holiday.deleted", id).before(&holiday)).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::new(StatusCode::OK, "HOLIDAY_DELETED", HolidayData { holiday }))
}
