//! `GET /analytics/global`.

use super::{ClassTotals, FormatParams, Tables, answer, class_totals, reckoning};
use crate::{
    admin::OrganisationConfig,
    error::ApiError,
    extract::Caller,
    spreadsheet::{Cell, Sheet},
    state::Api,
};
use axum::{extract::State, response::Response};
use rollcall_schemas::id::ClassId;
use rollcall_service::http::{Query, SuccessEnvelope};
use serde::Serialize;
use utoipa::ToSchema;

/// Everything that the caller may see, in a few figures.
#[derive(Serialize, ToSchema)]
pub(crate) struct GlobalStatistics {
    /// Over the records of all classes, with two decimals; 0 while there are none.
    overall_attendance: f64,
    /// How many classes are below 75 %.
    risk_count: usize,
    /// Every class with records, the highest attendance first.
    top_subjects: Vec<Subject>,
}

/// A class among the others.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Subject {
    #[schema(value_type = Uuid)]
    subject_id: ClassId,
    subject_name: String,
    subject_code: String,
    /// Of the total, with two decimals.
    attendance_percentage: f64,
    total_present: i64,
    total_absent: i64,
    total_late: i64,
    /// Without the excused.
    total_students: i64,
}

impl From<ClassTotals> for Subject {
    fn from(totals: ClassTotals) -> Self {
        Self {
            subject_id: totals.class.id,
            subject_name: totals.class.name,
            subject_code: totals.class.code,
            attendance_percentage: totals.percentage,
            total_present: totals.counts.present,
            total_absent: totals.counts.absent,
            total_late: totals.counts.late,
            total_students: reckoning::total(&totals.counts),
        }
    }
}

impl Tables for GlobalStatistics {
    fn file_name(&self) -> String {
        "attendance".into()
    }

    fn sheets(&self) -> Vec<Sheet> {
        let row = |subject: &Subject| {
            vec![
                Cell::Text(subject.subject_id.to_string()),
                Cell::Text(subject.subject_name.clone()),
                Cell::Text(subject.subject_code.clone()),
                Cell::Number(subject.attendance_percentage),
                Cell::Count(subject.total_present),
                Cell::Count(subject.total_absent),
                Cell::Count(subject.total_late),
                Cell::Count(subject.total_students),
            ]
        };
        let columns = &[
            "subjectId",
            "subjectName",
            "subjectCode",
            "attendancePercentage",
            "totalPresent",
            "totalAbsent",
            "totalLate",
            "totalStudents",
        ];
        vec![Sheet { name: "classes", columns, rows: self.top_subjects.iter().map(row).collect() }]
    }
}

/// Sum up the attendance of all classes; a teacher sees their own.
#[utoipa::path(
    get,
    path = "/api/v1/analytics/global",
    tag = "analytics",
    params(FormatParams),
    responses((status = 200, description = "The figures, or a file of the classes", content(
        (SuccessEnvelope<GlobalStatistics> = "application/json"),
        (String = "text/csv"),
        (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    )))
)]
pub(crate) async fn global_statistics(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<FormatParams>,
) -> Result<Response, ApiError> {
    let mut db = api.connection().await?;
    let reckoning = OrganisationConfig::reckoning(&api, &mut db).await?;
    let mut classes = class_totals(&mut db, &caller, &reckoning).await?;
    classes.sort_by(|one, other| other.percentage.total_cmp(&one.percentage));
    let statistics = GlobalStatistics {
        overall_attendance: reckoning.percentage(&classes.iter().map(|class| class.counts).sum()),
        risk_count: classes.iter().filter(|class| reckoning::is_at_risk(class.percentage)).count(),
        top_subjects: classes.into_iter().map(Subject::from).collect(),
    };
    answer(statistics, params.format)
}
