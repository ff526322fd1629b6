//! `GET /attendance/class/{id}/report`.

use super::{ReportParams, Tables, Totals, answer};
use crate::{
    admin::OrganisationConfig,
    classes,
    error::ApiError,
    spreadsheet::{Cell, Sheet},
    state::Api,
};
use axum::{extract::State, response::Response};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use rollcall_schemas::id::{ClassId, SessionId, UserId};
use rollcall_service::http::{Path, Query, SuccessEnvelope};
use rollcall_store::reports;
use serde::Serialize;
use utoipa::ToSchema;

/// What the records of a class say.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClassReportData {
    report: ClassReportBody,
    statistics: Statistics,
}

/// The records of a class by session and by student.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ClassReportBody {
    #[schema(value_type = Uuid)]
    class_id: ClassId,
    class_name: String,
    class_code: String,
    /// The first day; null when not limited.
    start_date: Option<NaiveDate>,
    /// The last day; null when not limited.
    end_date: Option<NaiveDate>,
    /// The sessions that are over, oldest first.
    dates: Vec<SessionLine>,
    /// The students with records, by name.
    students: Vec<StudentLine>,
}

/// The records of a session.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SessionLine {
    /// The day, in the organisation's time zone.
    date: NaiveDate,
    #[schema(value_type = Uuid)]
    session_id: SessionId,
    start_time: DateTime<Utc>,
    #[serde(flatten)]
    totals: Totals,
}

/// The records of a student.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StudentLine {
    #[schema(value_type = Uuid)]
    student_id: UserId,
    student_name: String,
    roll_number: Option<String>,
    #[serde(flatten)]
    totals: Totals,
}

/// The records of all sessions and students of the report.
#[derive(Serialize, ToSchema)]
struct Statistics {
    sessions: usize,
    students: usize,
    #[serde(flatten)]
    totals: Totals,
}

fn cells(totals: &Totals) -> [Cell; 6] {
    [
        Cell::Count(totals.present),
        Cell::Count(totals.absent),
        Cell::Count(totals.late),
        Cell::Count(totals.excused),
        Cell::Count(totals.total),
        Cell::Number(totals.percentage),
    ]
}

impl Tables for ClassReportData {
    fn file_name(&self) -> String {
        format!("class-report-{}", self.report.class_id)
    }

    fn sheets(&self) -> Vec<Sheet> {
        let student = |line: &StudentLine| {
            let who =
                [&line.student_name, line.roll_number.as_ref().unwrap_or(&String::new())].map(Clone::clone);
            who.into_iter().map(Cell::Text).chain(cells(&line.totals)).collect()
        };
        let session = |line: &SessionLine| {
            let start = line.start_time.to_rfc3339_opts(SecondsFormat::Secs, true);
            [Cell::Date(line.date), Cell::Text(start)].into_iter().chain(cells(&line.totals)).collect()
        };
        vec![
            Sheet {
                name: "students",
                columns: &[
                    "studentName",
                    "rollNumber",
                    "present",
                    "absent",
                    "late",
                    "excused",
                    "total",
                    "percentage",
                ],
                rows: self.report.students.iter().map(student).collect(),
            },
            Sheet {
                name: "dates",
                columns: &[
                    "date",
                    "startTime",
                    "present",
                    "absent",
                    "late",
                    "excused",
                    "total",
                    "percentage",
                ],
                rows: self.report.dates.iter().map(session).collect(),
            },
        ]
    }
}

/// Report the attendance of a class by session and by student.
///
/// Only sessions that are over count. As a file it is a table of the students; a workbook has the sessions too.
#[utoipa::path(
    get,
    path = "/api/v1/attendance/class/{id}/report",
    tag = "analytics",
    params(("id" = Uuid, Path, description = "The class"), ReportParams),
    responses((status = 200, description = "The report, or a file", content(
        (SuccessEnvelope<ClassReportData> = "application/json"),
        (String = "text/csv"),
        (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    )))
)]
pub(crate) async fn class_report(
    State(api): State<Api>,
    Path(id): Path<ClassId>,
    Query(params): Query<ReportParams>,
) -> Result<Response, ApiError> {
    let days = params.days()?;
    let mut db = api.connection().await?;
    let class = classes::find(&mut db, id).await?;
    let reckoning = OrganisationConfig::reckoning(&api, &mut db).await?;
    let found = reports::of_class(&mut db, id, (days, &reckoning.time_zone)).await?;
    let statistics = Statistics {
        sessions: found.sessions.len(),
        students: found.students.len(),
        totals: Totals::of(found.sessions.iter().map(|session| session.counts).sum(), &reckoning),
    };
    let session = |session: reports::SessionCounts| SessionLine {
        date: session.date,
        session_id: session.session_id,
        start_time: session.starts_at,
        totals: Totals::of(session.counts, &reckoning),
    };
    let student = |student: reports::StudentCounts| StudentLine {
        student_id: student.student_id,
        student_name: student.full_name,
        roll_number: student.roll_number,
        totals: Totals::of(student.counts, &reckoning),
    };
    let report = ClassReportBody {
        class_id: id,
        class_name: class.name,
        class_code: class.code,
        start_date: days.from,
        end_date: days.to,
        dates: found.sessions.into_iter().map(session).collect(),
        students: found.students.into_iter().map(student).collect(),
    };
    answer(ClassReportData { report, statistics }, params.format)
}
