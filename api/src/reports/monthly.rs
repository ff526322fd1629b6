//! `GET /analytics/monthly-summary`.

use super::{Tables, answer, classes_asked_for, reckoning};
use crate::{
    admin::OrganisationConfig,
    error::ApiError,
    extract::Caller,
    spreadsheet::{Cell, FileFormat, Sheet},
    state::Api,
};
use axum::{extract::State, response::Response};
use rollcall_schemas::id::ClassId;
use rollcall_service::http::{ErrorEnvelope, Query, SuccessEnvelope};
use rollcall_store::reports::{self, Days, Period};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which class.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MonthlyParams {
    /// The class; all that the caller may see when absent.
    #[param(value_type = Option<Uuid>)]
    class_id: Option<ClassId>,
    /// A file instead of JSON.
    #[param(inline)]
    format: Option<FileFormat>,
}

/// The attendance of classes month by month.
#[derive(Serialize, ToSchema)]
pub(crate) struct MonthlySummary {
    /// Oldest first.
    data: Vec<ClassMonth>,
}

/// The attendance of a class in one month.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ClassMonth {
    #[schema(value_type = Uuid)]
    class_id: ClassId,
    /// The year and the month.
    #[schema(example = "2026-01")]
    month: String,
    total_present: i64,
    total_absent: i64,
    total_late: i64,
    /// Without the excused.
    total_students: i64,
    /// On how many days there was somebody to count.
    days_recorded: i64,
    /// Of the total, with two decimals.
    average_percentage: f64,
}

impl Tables for MonthlySummary {
    fn file_name(&self) -> String {
        "monthly-summary".into()
    }

    fn sheets(&self) -> Vec<Sheet> {
        let row = |month: &ClassMonth| {
            vec![
                Cell::Text(month.class_id.to_string()),
                Cell::Text(month.month.clone()),
                Cell::Count(month.total_present),
                Cell::Count(month.total_absent),
                Cell::Count(month.total_late),
                Cell::Count(month.total_students),
                Cell::Count(month.days_recorded),
                Cell::Number(month.average_percentage),
            ]
        };
        let columns = &[
            "classId",
            "month",
            "totalPresent",
            "totalAbsent",
            "totalLate",
            "totalStudents",
            "daysRecorded",
            "averagePercentage",
        ];
        vec![Sheet { name: "months", columns, rows: self.data.iter().map(row).collect() }]
    }
}

/// Count the attendance of classes month by month; a teacher sees their own.
#[utoipa::path(
    get,
    path = "/api/v1/analytics/monthly-summary",
    tag = "analytics",
    params(MonthlyParams),
    responses(
        (status = 200, description = "The months, or a file of them", content(
            (SuccessEnvelope<MonthlySummary> = "application/json"),
            (String = "text/csv"),
            (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        )),
        (status = 404, description = "`NOT_FOUND`: no such class", body = ErrorEnvelope),
    )
)]
pub(crate) async fn monthly_summary(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<MonthlyParams>,
) -> Result<Response, ApiError> {
    let mut db = api.connection().await?;
    let classes = classes_asked_for(&mut db, &caller, params.class_id).await?;
    let reckoning = OrganisationConfig::reckoning(&api, &mut db).await?;
    let all = (Days::default(), reckoning.time_zone.as_str());
    let months = reports::of_classes(&mut db, &classes, all, Period::Month).await?;
    let data = months
        .iter()
        .map(|month| ClassMonth {
            class_id: month.class_id,
            month: month.period.format("%Y-%m").to_string(),
            total_present: month.counts.present,
            total_absent: month.counts.absent,
            total_late: month.counts.late,
            total_students: reckoning::total(&month.counts),
            days_recorded: month.days,
            average_percentage: reckoning.percentage(&month.counts),
        })
        .collect();
    answer(MonthlySummary { data }, params.format)
}
