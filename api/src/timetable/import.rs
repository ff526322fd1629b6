//! `POST /classes/{id}/timetable/import`: a calendar file becomes the timetable of a class, or nothing does.

use super::{Replacement, body::TimetableBody, organisation_zone, zone_of};
use crate::{audit::Audit, classes, extract::uploaded_file, reply::Reply, state::Api};
use axum::extract::{Request, State};
use http::StatusCode;
use rollcall_schemas::{code::Code, id::ClassId};
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Query, Success, SuccessEnvelope};
use rollcall_store::timetables::{self, Kept};
use rollcall_timetable::ics::{self, Import};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

/// How a file is imported.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportParams {
    /// Only check the file, and say what would be done.
    #[serde(default)]
    #[param(default = false)]
    dry_run: bool,
}

/// The file in a form.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct CalendarForm {
    /// The file.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// What became of an event.
#[derive(Serialize, ToSchema)]
struct EventLine {
    /// The line on which it begins, from 1, as a text editor counts.
    line: usize,
    summary: String,
    /// How many entries of the schedule it became.
    entries: usize,
    /// How many exceptions it became.
    exceptions: usize,
}

/// What is wrong with an event.
#[derive(Serialize, ToSchema)]
struct EventError {
    /// The line on which it begins, from 1, as a text editor counts.
    line: usize,
    message: String,
}

/// What became, or would become, of a calendar file.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CalendarReport {
    /// Whether the file was only checked.
    dry_run: bool,
    timetable: TimetableBody,
    /// Each event that was read.
    lines: Vec<EventLine>,
    /// What is wrong. Nothing is done unless this is empty.
    errors: Vec<EventError>,
}

/// Make a calendar file (RFC 5545) the timetable of a class, instead of what it had.
///
/// Weekly rules become entries; single events, dates that are left out (`EXDATE`) and events that stand for others
/// (`RECURRENCE-ID`) become exceptions. A rule that is not weekly is wrong. Whatever comes again must be by the clocks of
/// the class. When anything is wrong nothing is done, and the details report
/// it line by line (`VALIDATION_FAILED`).
#[utoipa::path(
    post,
    path = "/api/v1/classes/{id}/timetable/import",
    tag = "timetable",
    params(("id" = Uuid, Path, description = "The class"), ImportParams),
    request_body(
        description = "The file: as it is, or in a form as `file`",
        content((String = "text/calendar"), (CalendarForm = "multipart/form-data")),
    ),
    responses(
        (status = 200, description = "Imported, or checked", body = SuccessEnvelope<CalendarReport>),
        (status = 409, description = "`CONFLICT`: the class is archived", body = ErrorEnvelope),
    )
)]
pub(crate) async fn import_timetable(
    State(api): State<Api>,
    audit: Audit,
    Path(id): Path<ClassId>,
    Query(params): Query<ImportParams>,
    request: Request,
) -> Reply<CalendarReport> {
    let bytes = uploaded_file(request, "text/calendar").await?;
    let text = String::from_utf8(bytes.into())
        .map_err(|_| Problem::invalid_input("the file is not UTF-8: save it as such"))?;
    let mut tx = api.begin().await?;
    classes::find(&mut tx, id).await?;
    let (zone, name) = organisation_zone(&api, &mut tx).await?;
    let before = timetables::of_class(&mut tx, id).await?;
    let zone = zone_of(before.time_zone.as_deref(), zone);
    let import =
        tokio::task::spawn_blocking(move || ics::read(&text, zone)).await.map_err(Problem::internal)?;
    if params.dry_run || !import.errors.is_empty() {
        audit.changed_nothing();
        let kept = Kept { timetable: import.timetable.clone(), ..before };
        return without_effect(report(import, TimetableBody::new(id, &kept, &name), params.dry_run));
    }
    let replacement = Replacement {
        class: id,
        timetable: &import.timetable,
        time_zone: before.time_zone.as_deref(),
        of_organisation: &name,
        at: api.clock().now(),
    };
    let timetable = replacement.make(&mut tx, &audit).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::new(StatusCode::OK, "TIMETABLE_IMPORTED", report(import, timetable, false)))
}

fn without_effect(report: CalendarReport) -> Reply<CalendarReport> {
    if report.dry_run {
        return Ok(Success::new(StatusCode::OK, "IMPORT_CHECKED", report));
    }
    let problem = Problem::new(Code::ValidationFailed, "nothing was imported: some events are not valid");
    Err(problem.with_details(json!(report)).into())
}

fn report(import: Import, timetable: TimetableBody, dry_run: bool) -> CalendarReport {
    let line = |event: ics::ReadEvent| EventLine {
        line: event.line,
        summary: event.summary,
        entries: event.entries,
        exceptions: event.exceptions,
    };
    let error = |error: ics::LineError| EventError { line: error.line, message: error.message };
    CalendarReport {
        dry_run,
        timetable,
        lines: import.events.into_iter().map(line).collect(),
        errors: import.errors.into_iter().map(error).collect(),
    }
}
