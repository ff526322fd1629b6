//! `GET /analytics/class-risk`.

use super::{ClassTotals, FormatParams, Tables, answer, class_totals, reckoning};
use crate::{
    admin::OrganisationConfig,
    error::ApiError,
    extract::Caller,
    spreadsheet::{Cell, Sheet},
    state::Api,
};
use axum::{extract::State, response::Response};
use chrono::NaiveDate;
use rollcall_schemas::id::ClassId;
use rollcall_service::http::{Query, SuccessEnvelope};
use serde::Serialize;
use utoipa::ToSchema;

/// Classes with an attendance below 75 %.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClassRisk {
    /// The lowest first.
    data: Vec<ClassAtRisk>,
}

/// A class with an attendance below 75 %.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ClassAtRisk {
    #[schema(value_type = Uuid)]
    class_id: ClassId,
    class_name: String,
    class_code: String,
    /// Of the total, with two decimals.
    attendance_percentage: f64,
    total_present: i64,
    total_absent: i64,
    total_late: i64,
    /// Without the excused.
    total_students: i64,
    /// The last day on which there was somebody to count.
    last_recorded: NaiveDate,
}

impl From<ClassTotals> for ClassAtRisk {
    fn from(totals: ClassTotals) -> Self {
        Self {
            class_id: totals.class.id,
            class_name: totals.class.name,
            class_code: totals.class.code,
            attendance_percentage: totals.percentage,
            total_present: totals.counts.present,
            total_absent: totals.counts.absent,
            total_late: totals.counts.late,
            total_students: reckoning::total(&totals.counts),
            last_recorded: totals.last_recorded,
        }
    }
}

impl Tables for ClassRisk {
    fn file_name(&self) -> String {
        "class-risk".into()
    }

    fn sheets(&self) -> Vec<Sheet> {
        let row = |class: &ClassAtRisk| {
            vec![
                Cell::Text(class.class_id.to_string()),
                Cell::Text(class.class_name.clone()),
                Cell::Text(class.class_code.clone()),
                Cell::Number(class.attendance_percentage),
                Cell::Count(class.total_present),
                Cell::Count(class.total_absent),
                Cell::Count(class.total_late),
                Cell::Count(class.total_students),
                Cell::Date(class.last_recorded),
            ]
        };
        let columns = &[
            "classId",
            "className",
            "classCode",
            "attendancePercentage",
            "totalPresent",
            "totalAbsent",
            "totalLate",
            "totalStudents",
            "lastRecorded",
        ];
        vec![Sheet { name: "classes at risk", columns, rows: self.data.iter().map(row).collect() }]
    }
}

/// List the classes with an attendance below 75 %; a teacher sees their own.
///
/// A class without records is not among them.
#[utoipa::path(
    get,
    path = "/api/v1/analytics/class-risk",
    tag = "analytics",
    params(FormatParams),
    responses((status = 200, description = "The classes, or a file of them", content(
        (SuccessEnvelope<ClassRisk> = "application/json"),
        (String = "text/csv"),
        (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    )))
)]
pub(crate) async fn class_risk(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<FormatParams>,
) -> Result<Response, ApiError> {
    let mut db = api.connection().await?;
    let reckoning = OrganisationConfig::reckoning(&api, &mut db).await?;
    let mut classes = class_totals(&mut db, &caller, &reckoning).await?;
    classes.retain(|class| reckoning::is_at_risk(class.percentage));
    classes.sort_by(|one, other| one.percentage.total_cmp(&other.percentage));
    answer(ClassRisk { data: classes.into_iter().map(ClassAtRisk::from).collect() }, params.format)
}
