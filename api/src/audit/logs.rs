//! `GET /audit/logs`.

use super::{
    Act, Audit,
    export::{ExportFormat, export},
    line::AuditLine,
};
use crate::{error::ApiError, state::Api};
use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use http::{HeaderValue, header};
use rollcall_service::http::{Problem, Query, Success, SuccessEnvelope};
use rollcall_store::audit::{self, Actor, AuditFilter, Outcome, Seen};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

const PATH: &str = "/api/v1/audit/logs";
const DEFAULT_LIMIT: u32 = 20;
const MAX_LIMIT: u32 = 100;

/// Which lines are wanted, and how.
#[derive(Clone, Deserialize, Serialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogQuery {
    /// Who: the id of a user or an API key, or `anonymous`, `system` or `cli`.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    /// What: `camera.created`, `access.refused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    /// On what: a noun, such as `camera`, or one of them, such as `camera/<id>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// `done` or `refused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    /// From this time on.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<DateTime<Utc>>,
    /// Before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<DateTime<Utc>>,
    /// How many lines a page has.
    #[param(minimum = 1, maximum = 100, default = 20)]
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
    /// Where the page begins: `meta.next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    /// `csv` or `json`: every line that is wanted, as a file instead of a page.
    #[param(value_type = Option<String>)]
    #[serde(skip_serializing)]
    format: Option<ExportFormat>,
}

impl LogQuery {
    fn filter(&self) -> Result<AuditFilter, Problem> {
        let (actor_id, actor_kind) = match self.actor.as_deref() {
            None => (None, None),
            Some(name) if [Actor::Anonymous, Actor::System, Actor::Cli].iter().any(|a| a.kind() == name) => {
                (None, Some(name.to_owned()))
            }
            Some(id) => (Some(id.parse::<Uuid>().map_err(|_| unknown_actor())?), None),
        };
        let outcome = self.outcome.as_deref().map(|name| Outcome::parse(name).ok_or_else(unknown_outcome));
        let (target_kind, target_id) = match self.target.as_deref().map(|target| target.split_once('/')) {
            None => (None, None),
            Some(Some((kind, id))) => (Some(kind.to_owned()), Some(id.to_owned())),
            Some(None) => (self.target.clone(), None),
        };
        Ok(AuditFilter {
            actor_id,
            actor_kind,
            action: self.action.clone(),
            target_kind,
            target_id,
            outcome: outcome.transpose()?,
            from: self.from,
            to: self.to,
        })
    }

    fn limit(&self) -> Result<u32, Problem> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        let is_good = (1..=MAX_LIMIT).contains(&limit);
        is_good
            .then_some(limit)
            .ok_or_else(|| Problem::validation([("limit", format!("must be 1 to {MAX_LIMIT}"))]))
    }

    fn seen(&self) -> Result<Option<Seen>, Problem> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let seen = cursor.split_once('-').and_then(|(at, id)| {
            Some(Seen { at: DateTime::from_timestamp_micros(at.parse().ok()?)?, id: id.parse().ok()? })
        });
        let unknown = || Problem::validation([("cursor", "must be meta.next of a page of this list")]);
        seen.map(Some).ok_or_else(unknown)
    }

    fn link(&self, cursor: Option<String>) -> String {
        let query = serde_html_form::to_string(Self { cursor, ..self.clone() });
        format!("{PATH}?{}", query.expect("plain values can be written as a query"))
    }
}

fn unknown_actor() -> Problem {
    Problem::validation([("actor", "must be the id of a user or a key, or anonymous, system or cli")])
}

fn unknown_outcome() -> Problem {
    Problem::validation([("outcome", "must be done or refused")])
}

fn cursor(seen: Seen) -> String {
    format!("{}-{}", seen.at.timestamp_micros(), seen.id)
}

/// A page of the audit.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogsData {
    logs: Vec<AuditLine>,
}

/// Read the audit, newest first.
///
/// Pages go on from `meta.next`, which stays where it is while lines are added. With `format` the answer is a file with
/// every line that is wanted, written while it is read; that is put on record itself.
#[utoipa::path(
    get,
    path = "/api/v1/audit/logs",
    tag = "audit",
    params(LogQuery),
    responses((status = 200, description = "A page of lines, or a file", content(
        (SuccessEnvelope<LogsData> = "application/json"),
        (String = "text/csv"),
    )))
)]
pub(crate) async fn list_audit_logs(
    State(api): State<Api>,
    audit: Audit,
    Query(query): Query<LogQuery>,
) -> Result<Response, ApiError> {
    let (filter, limit, seen) = (query.filter()?, query.limit()?, query.seen()?);
    let mut db = api.connection().await?;
    if let Some(format) = query.format {
        audit.record(&mut db, Act::on_all("audit.exported").after(&query)).await?;
        return Ok(file(&api, filter, format));
    }
    // One more than is shown says whether there is more.
    let mut found = audit::list(&mut db, &filter, seen, i64::from(limit) + 1).await?;
    let has_more = found.rows.len() > limit as usize;
    found.rows.truncate(limit as usize);
    let next = found.rows.last().filter(|_| has_more).map(|line| cursor(line.seen()));
    let meta = json!({
        "total": found.total,
        "limit": limit,
        "next": next,
        "links": {
            "self": query.link(query.cursor.clone()),
            "first": query.link(None),
            "next": next.map(|next| query.link(Some(next))),
        },
    });
    let logs = found.rows.into_iter().map(AuditLine::try_from).collect::<Result<_, _>>()?;
    Ok(Success::ok(LogsData { logs }).with_meta(meta).into_response())
}

fn file(api: &Api, filter: AuditFilter, format: ExportFormat) -> Response {
    let mut response = Body::from_stream(export(api.pool().clone(), filter, format)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    let name = format!("attachment; filename=\"audit.{}\"", format.ending());
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_str(&name).expect("a plain name"));
    response
}
