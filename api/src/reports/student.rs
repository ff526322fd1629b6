//! `GET /attendance/student/{id}/report`: a student's history.

use super::{ReportParams, Tables, Totals, answer, reckoning::Reckoning};
use crate::{
    admin::OrganisationConfig,
    error::ApiError,
    extract::Caller,
    spreadsheet::{Cell, Sheet},
    state::Api,
    students,
};
use axum::{extract::State, response::Response};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use rollcall_schemas::{
    fact::{AttendanceStatus, Evidence},
    id::{ClassId, SessionId, UserId},
};
use rollcall_service::http::{Path, Query, SuccessEnvelope};
use rollcall_store::reports::{self, Counts, StudentRecord};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What the records of a student say.
#[derive(Serialize, ToSchema)]
pub(crate) struct StudentReportData {
    report: StudentReportBody,
    statistics: Totals,
}

/// The records of a student, by class and one by one.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StudentReportBody {
    #[schema(value_type = Uuid)]
    student_id: UserId,
    /// The first day; null when not limited.
    start_date: Option<NaiveDate>,
    /// The last day; null when not limited.
    end_date: Option<NaiveDate>,
    /// By name.
    classes: Vec<ClassLine>,
    /// Newest session first.
    attendance_history: Vec<HistoryLine>,
}

/// A student's records in a class.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ClassLine {
    #[schema(value_type = Uuid)]
    class_id: ClassId,
    class_name: String,
    class_code: String,
    #[serde(flatten)]
    totals: Totals,
}

/// A student's record of a session.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HistoryLine {
    /// The day, in the organisation's time zone.
    date: NaiveDate,
    #[schema(value_type = Uuid)]
    session_id: SessionId,
    #[schema(value_type = Uuid)]
    class_id: ClassId,
    class_name: String,
    class_code: String,
    start_time: DateTime<Utc>,
    /// `present`, `late`, `absent` or `excused`.
    status: AttendanceStatus,
    marked_at: DateTime<Utc>,
    /// `qr`, `face`, `manual` or `none`.
    evidence: Evidence,
}

impl From<StudentRecord> for HistoryLine {
    fn from(record: StudentRecord) -> Self {
        Self {
            date: record.date,
            session_id: record.session_id,
            class_id: record.class_id,
            class_name: record.class_name,
            class_code: record.class_code,
            start_time: record.starts_at,
            status: record.status,
            marked_at: record.marked_at,
            evidence: record.evidence,
        }
    }
}

/// A record, as what counts.
fn counted(record: &StudentRecord) -> Counts {
    let is = |status| i64::from(record.status == status);
    Counts {
        present: is(AttendanceStatus::Present),
        late: is(AttendanceStatus::Late),
        absent: is(AttendanceStatus::Absent),
        excused: is(AttendanceStatus::Excused),
    }
}

fn by_class(records: &[StudentRecord], reckoning: &Reckoning) -> Vec<ClassLine> {
    let mut classes: BTreeMap<(&str, &str, ClassId), Vec<Counts>> = BTreeMap::new();
    for record in records {
        let class = (record.class_name.as_str(), record.class_code.as_str(), record.class_id);
        classes.entry(class).or_default().push(counted(record));
    }
    let line = |((name, code, class_id), counts): ((&str, &str, ClassId), Vec<Counts>)| ClassLine {
        class_id,
        class_name: name.to_owned(),
        class_code: code.to_owned(),
        totals: Totals::of(counts.into_iter().sum(), reckoning),
    };
    classes.into_iter().map(line).collect()
}

impl Tables for StudentReportData {
    fn file_name(&self) -> String {
        format!("student-report-{}", self.report.student_id)
    }

    fn sheets(&self) -> Vec<Sheet> {
        let row = |line: &HistoryLine| {
            vec![
                Cell::Date(line.date),
                Cell::Text(line.start_time.to_rfc3339_opts(SecondsFormat::Secs, true)),
                Cell::Text(line.class_code.clone()),
                Cell::Text(line.class_name.clone()),
                Cell::Text(line.status.as_str().to_owned()),
                Cell::Text(line.marked_at.to_rfc3339_opts(SecondsFormat::Secs, true)),
                Cell::Text(line.evidence.as_str().to_owned()),
            ]
        };
        let columns = &["date", "startTime", "classCode", "className", "status", "markedAt", "evidence"];
        vec![Sheet {
            name: "history",
            columns,
            rows: self.report.attendance_history.iter().map(row).collect(),
        }]
    }
}

/// Report the attendance of a student: by class, and record by record.
///
/// Only sessions that are over count; a teacher sees those of their own classes.
#[utoipa::path(
    get,
    path = "/api/v1/attendance/student/{id}/report",
    tag = "analytics",
    params(("id" = Uuid, Path, description = "The student"), ReportParams),
    responses((status = 200, description = "The report, or a file of the records", content(
        (SuccessEnvelope<StudentReportData> = "application/json"),
        (String = "text/csv"),
        (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    )))
)]
pub(crate) async fn student_report(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<UserId>,
    Query(params): Query<ReportParams>,
) -> Result<Response, ApiError> {
    let days = params.days()?;
    let mut db = api.connection().await?;
    students::find(&mut db, id).await?;
    let reckoning = OrganisationConfig::reckoning(&api, &mut db).await?;
    let whose = (id, caller.as_teacher());
    let records = reports::of_student(&mut db, whose, (days, &reckoning.time_zone)).await?;
    let statistics = Totals::of(records.iter().map(counted).sum(), &reckoning);
    let report = StudentReportBody {
        student_id: id,
        start_date: days.from,
        end_date: days.to,
        classes: by_class(&records, &reckoning),
        attendance_history: records.into_iter().map(HistoryLine::from).collect(),
    };
    answer(StudentReportData { report, statistics }, params.format)
}
