//! `GET /analytics/attendance-trend`.

use super::{Tables, answer, classes_asked_for, in_order, reckoning};
use crate::{
    admin::OrganisationConfig,
    error::ApiError,
    extract::Caller,
    spreadsheet::{Cell, FileFormat, Sheet},
    state::Api,
};
use axum::{extract::State, response::Response};
use chrono::NaiveDate;
use rollcall_schemas::id::ClassId;
use rollcall_service::http::{ErrorEnvelope, Query, SuccessEnvelope};
use rollcall_store::reports::{self, Days, Period};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which class and which days.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TrendParams {
    /// The class.
    #[param(value_type = Uuid)]
    class_id: ClassId,
    /// The first day.
    #[param(example = "2026-01-01")]
    date_from: NaiveDate,
    /// The last day.
    #[param(example = "2026-01-31")]
    date_to: NaiveDate,
    /// A file instead of JSON.
    #[param(inline)]
    format: Option<FileFormat>,
}

/// The attendance of a class day by day.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Trend {
    #[schema(value_type = Uuid)]
    class_id: ClassId,
    date_from: NaiveDate,
    date_to: NaiveDate,
    /// The days on which there was somebody to count, oldest first.
    data: Vec<TrendDay>,
}

/// The attendance of a class on one day.
#[derive(Serialize, ToSchema)]
struct TrendDay {
    date: NaiveDate,
    present: i64,
    absent: i64,
    late: i64,
    /// Without the excused.
    total: i64,
    /// Of the total, with two decimals.
    percentage: f64,
}

impl Tables for Trend {
    fn file_name(&self) -> String {
        format!("attendance-trend-{}-{}", self.date_from, self.date_to)
    }

    fn sheets(&self) -> Vec<Sheet> {
        let row = |day: &TrendDay| {
            vec![
                Cell::Date(day.date),
                Cell::Count(day.present),
                Cell::Count(day.absent),
                Cell::Count(day.late),
                Cell::Count(day.total),
                Cell::Number(day.percentage),
            ]
        };
        let columns = &["date", "present", "absent", "late", "total", "percentage"];
        vec![Sheet { name: "trend", columns, rows: self.data.iter().map(row).collect() }]
    }
}

/// Count the attendance of a class day by day.
///
/// Only sessions that are over count, each on the day on which it was planned to begin, in the organisation's time zone.
#[utoipa::path(
    get,
    path = "/api/v1/analytics/attendance-trend",
    tag = "analytics",
    params(TrendParams),
    responses(
        (status = 200, description = "The days, or a file of them", content(
            (SuccessEnvelope<Trend> = "application/json"),
            (String = "text/csv"),
            (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        )),
        (status = 404, description = "`NOT_FOUND`: no such class", body = ErrorEnvelope),
    )
)]
pub(crate) async fn attendance_trend(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<TrendParams>,
) -> Result<Response, ApiError> {
    let TrendParams { class_id, date_from, date_to, format } = params;
    let days = in_order(Days { from: Some(date_from), to: Some(date_to) }, "dateTo", "dateFrom")?;
    let mut db = api.connection().await?;
    let classes = classes_asked_for(&mut db, &caller, Some(class_id)).await?;
    let reckoning = OrganisationConfig::reckoning(&api, &mut db).await?;
    let days = reports::of_classes(&mut db, &classes, (days, &reckoning.time_zone), Period::Day).await?;
    let data = days
        .iter()
        .map(|day| TrendDay {
            date: day.period,
            present: day.counts.present,
            absent: day.counts.absent,
            late: day.counts.late,
            total: reckoning::total(&day.counts),
            percentage: reckoning.percentage(&day.counts),
        })
        .collect();
    answer(Trend { class_id, date_from, date_to, data }, format)
}
