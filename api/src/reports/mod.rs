//! Analytics and reports: records counted anew for each call, as JSON or as a file for spreadsheets.
//!
//! Only sessions that are over count, and each belongs to the day, in the organisation's time zone, on which it was
//! planned to begin. What a percentage is, is said once, in [`reckoning`].

mod class;
mod global;
mod monthly;
mod reckoning;
mod risk;
mod student;
mod trend;

use crate::{
    access::owns_class,
    error::ApiError,
    extract::Caller,
    spreadsheet::{FileFormat, Sheet},
    state::Api,
};
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
pub(crate) use reckoning::Reckoning;
use rollcall_schemas::id::ClassId;
use rollcall_service::http::{Problem, Success};
use rollcall_store::{
    PgConnection,
    reports::{self, ClassCounts, Counts, Days, NamedClass, Period},
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(trend::attendance_trend))
        .routes(routes!(monthly::monthly_summary))
        .routes(routes!(risk::class_risk))
        .routes(routes!(global::global_statistics))
        .routes(routes!(class::class_report))
        .routes(routes!(student::student_report))
}

/// How an answer is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FormatParams {
    /// A file instead of JSON.
    #[param(inline)]
    format: Option<FileFormat>,
}

/// Which days a report is about, and how it is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReportParams {
    /// The first day; the beginning when absent.
    #[param(example = "2026-01-01")]
    start_date: Option<NaiveDate>,
    /// The last day; the end when absent.
    #[param(example = "2026-01-31")]
    end_date: Option<NaiveDate>,
    /// A file instead of JSON.
    #[param(inline)]
    format: Option<FileFormat>,
}

impl ReportParams {
    fn days(&self) -> Result<Days, Problem> {
        let days = Days { from: self.start_date, to: self.end_date };
        in_order(days, "endDate", "startDate")
    }
}

/// Days that end after they begin.
fn in_order(days: Days, last: &'static str, first: &'static str) -> Result<Days, Problem> {
    match days {
        Days { from: Some(from), to: Some(to) } if to < from => {
            Err(Problem::validation([(last, format!("must not be before {first}"))]))
        }
        days => Ok(days),
    }
}

/// Something that can be shown as tables.
trait Tables {
    /// What the file is called, without its ending.
    fn file_name(&self) -> String;
    /// The tables: a CSV file has the first, a workbook all.
    fn sheets(&self) -> Vec<Sheet>;
}

/// The data in the envelope, or as a file.
fn answer<T: Serialize + Tables>(data: T, format: Option<FileFormat>) -> Result<Response, ApiError> {
    match format {
        None => Ok(Success::ok(data).into_response()),
        Some(format) => Ok(format.response(&data.file_name(), &data.sheets())?),
    }
}

/// The totals of a class or a student.
#[derive(Clone, Copy, Serialize, ToSchema)]
struct Totals {
    present: i64,
    absent: i64,
    late: i64,
    excused: i64,
    /// Without the excused.
    total: i64,
    /// With two decimals; 0 where nothing counts.
    percentage: f64,
}

impl Totals {
    fn of(counts: Counts, reckoning: &Reckoning) -> Self {
        Self {
            present: counts.present,
            absent: counts.absent,
            late: counts.late,
            excused: counts.excused,
            total: reckoning::total(&counts),
            percentage: reckoning.percentage(&counts),
        }
    }
}

/// A class over all its days.
struct ClassTotals {
    class: NamedClass,
    counts: Counts,
    percentage: f64,
    last_recorded: NaiveDate,
}

/// The classes that the caller may see and that have records, each over all its days.
async fn class_totals(
    db: &mut PgConnection,
    caller: &Caller,
    reckoning: &Reckoning,
) -> Result<Vec<ClassTotals>, ApiError> {
    let classes = reports::classes(db, caller.as_teacher()).await?;
    let ids: Vec<_> = classes.iter().map(|class| class.id).collect();
    let days = (Days::default(), reckoning.time_zone.as_str());
    let mut of_class: HashMap<ClassId, Vec<ClassCounts>> = HashMap::new();
    for month in reports::of_classes(db, &ids, days, Period::Month).await? {
        of_class.entry(month.class_id).or_default().push(month);
    }
    let total = |class: NamedClass| {
        let months = of_class.remove(&class.id)?;
        let counts = months.iter().map(|month| month.counts).sum();
        let last_recorded = months.iter().map(|month| month.last_day).max()?;
        Some(ClassTotals { class, counts, percentage: reckoning.percentage(&counts), last_recorded })
    };
    Ok(classes.into_iter().filter_map(total).collect())
}

/// The class that is asked for, if the caller may see it, or all that they may.
async fn classes_asked_for(
    db: &mut PgConnection,
    caller: &Caller,
    class: Option<ClassId>,
) -> Result<Vec<ClassId>, ApiError> {
    match class {
        Some(class) => {
            owns_class(db, caller, class).await?;
            Ok(vec![class])
        }
        None => {
            let classes = reports::classes(db, caller.as_teacher()).await?;
            Ok(classes.into_iter().map(|class| class.id).collect())
        }
    }
}

#[cfg(test)]
mod tests;
