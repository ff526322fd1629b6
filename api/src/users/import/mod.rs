//! `POST /users/import`: many people from a CSV file, all of them or none.
//!
//! [`table`] reads the file, [`plan`] holds it against who is there already. Both say what is wrong line by line, with the
//! number that a text editor shows; nothing is done while anything is.

mod plan;
mod table;

use super::organisation;
use crate::{
    audit::{Act, Audit},
    error::ApiError,
    extract::{Caller, uploaded_file},
    reply::Reply,
    state::Api,
};
use axum::extract::{Request, State};
use plan::{Plan, Surroundings};
use rollcall_schemas::{code::Code, id::UserId};
use rollcall_service::http::{ErrorEnvelope, Problem, Query, Success, SuccessEnvelope};
use rollcall_store::{PgConnection, import};
use serde::{Deserialize, Serialize};
use serde_json::json;
use table::Line;
use utoipa::{IntoParams, ToSchema};

/// More wrong lines than anybody reads at once; `errorCount` tells of all.
const ERRORS_SHOWN: usize = 500;

/// How a file is imported.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportParams {
    /// Only check the file, and say what would be done.
    #[serde(default)]
    #[param(default = false)]
    dry_run: bool,
    /// What becomes of a line whose e-mail address somebody has already.
    #[serde(default)]
    #[param(inline, default = "create")]
    mode: Mode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// The line is wrong.
    #[default]
    Create,
    /// The person gets the name, the roll number and the classes of the line; what it leaves empty stays.
    Upsert,
}

/// The file in a form.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct ImportForm {
    /// The file.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// What is wrong with a line, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct LineError {
    /// The line, from 1, as a text editor counts.
    line: u64,
    /// The column, or `file` where it is about more than one.
    field: String,
    /// What is wrong.
    message: String,
    /// What to do about it.
    remedy: &'static str,
}

impl LineError {
    fn new(line: u64, field: &str, message: impl Into<String>, remedy: &'static str) -> Self {
        Self { line, field: field.to_owned(), message: message.into(), remedy }
    }
}

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ImportedLine {
    /// The line, from 1, as a text editor counts.
    line: u64,
    /// The person; null for one who would be created.
    #[schema(value_type = Option<Uuid>)]
    id: Option<UserId>,
    email: String,
    action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Action {
    Created,
    Updated,
    Unchanged,
}

/// What became, or would become, of a file.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImportReport {
    /// Whether the file was only checked.
    dry_run: bool,
    /// How many people were created.
    created: usize,
    /// How many were changed.
    updated: usize,
    /// How many were as the file says already.
    unchanged: usize,
    /// How many enrolments in classes were added.
    enrolled: usize,
    /// Each line with a person.
    lines: Vec<ImportedLine>,
    /// How many lines have something wrong with them, or how often. Nothing is done unless this is 0.
    error_count: usize,
    /// What is wrong, the first 500.
    errors: Vec<LineError>,
}

/// Add many people from a CSV file, all or none.
///
/// UTF-8, with or without a byte-order mark; columns separated by commas or semicolons (RFC 4180); at most 5,000 lines. The
/// first line names the columns: `email` and `fullName` are needed; `role` (`student` where it is empty), `rollNumber` and
/// `classCodes` (the codes of classes to enrol a student in, separated by `|`) may follow, in any order and case. Passwords
/// are not imported. When anything is wrong nothing is done, and the details report it line by line (`VALIDATION_FAILED`).
/// With an `Idempotency-Key`, send the file itself: forms differ each time.
#[utoipa::path(
    post,
    path = "/api/v1/users/import",
    tag = "users",
    params(ImportParams),
    request_body(
        description = "The file: as it is, or in a form as `file`",
        content((String = "text/csv"), (ImportForm = "multipart/form-data")),
    ),
    responses(
        (status = 200, description = "Imported, or checked", body = SuccessEnvelope<ImportReport>),
        (status = 409, description = "`CONFLICT`: somebody else changed the same people meanwhile", body = ErrorEnvelope),
    )
)]
pub(crate) async fn import_users(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Query(params): Query<ImportParams>,
    request: Request,
) -> Reply<ImportReport> {
    let table = table::read(&uploaded_file(request, "text/csv").await?);
    let now = api.clock().now();
    let mut tx = api.begin().await?;
    let organisation_id = organisation(&mut tx).await?;
    let surroundings = surroundings(&mut tx, organisation_id, &table.lines).await?;
    let mut plan = Plan { errors: table.errors, ..Plan::default() };
    plan.add(&table.lines, &surroundings, (&caller, params.mode), api.entropy());
    let plan = plan.sorted();
    if !plan.errors.is_empty() || params.dry_run {
        audit.changed_nothing();
        return finished_without_effect(plan, params.dry_run);
    }
    import::create(&mut tx, &plan.new_users(organisation_id, now), now).await?;
    import::update(&mut tx, &plan.updates, now).await?;
    import::enrol(&mut tx, &plan.enrolments, now).await?;
    record(&audit, &mut tx, &plan).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::new(http::StatusCode::OK, "USERS_IMPORTED", plan.report(false)))
}

/// A line for each person and each place in a class. A file may say what is so already.
async fn record(audit: &Audit, tx: &mut PgConnection, plan: &Plan) -> Result<(), ApiError> {
    audit.changed_nothing();
    for (id, line) in &plan.creations {
        let after = json!({
            "email": line.email, "fullName": line.full_name, "role": line.role, "rollNumber": line.roll_number,
        });
        audit.record(tx, Act::of("user.created", id).after(&after)).await?;
    }
    for update in &plan.updates {
        let after = json!({ "fullName": update.full_name, "rollNumber": update.roll_number });
        audit.record(tx, Act::of("user.updated", update.id).after(&after)).await?;
    }
    for (_, class_id, student_id) in &plan.enrolments {
        let after = json!({ "studentId": student_id });
        audit.record(tx, Act::of("class.student_added", class_id).after(&after)).await?;
    }
    Ok(())
}

fn finished_without_effect(plan: Plan, dry_run: bool) -> Reply<ImportReport> {
    let report = plan.report(dry_run);
    if dry_run {
        return Ok(Success::new(http::StatusCode::OK, "IMPORT_CHECKED", report));
    }
    let problem = Problem::new(Code::ValidationFailed, "nothing was imported: some lines are not valid");
    Err(problem.with_details(json!(report)).into())
}

/// Who and what the lines speak of, as it is now, held until the end of the transaction.
async fn surroundings(
    tx: &mut PgConnection,
    organisation: rollcall_schemas::id::OrganisationId,
    lines: &[Line],
) -> Result<Surroundings, ApiError> {
    let emails: Vec<String> = lines.iter().map(|line| line.email.to_lowercase()).collect();
    let roll_numbers: Vec<String> = lines.iter().filter_map(|line| line.roll_number.clone()).collect();
    let codes: Vec<String> = lines.iter().flat_map(|line| line.class_codes.clone()).collect();
    // Classes first, as whoever enrols somebody does.
    let classes = import::lock_classes(tx, organisation, &codes).await?;
    let known = import::lock_known(tx, organisation, &emails, &roll_numbers).await?;
    let students: Vec<_> = known.iter().map(|person| person.id).collect();
    let class_ids: Vec<_> = classes.iter().map(|class| class.id).collect();
    let enrolled = import::enrolled(tx, &students, &class_ids).await?.into_iter().collect();
    Ok(Surroundings { known, classes, enrolled })
}

#[cfg(test)]
mod tests;
