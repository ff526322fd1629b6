//! `/notifications/unsubscribe`: no more e-mails of a kind, with one click and without signing in (RFC 8058). Who and which
//! is said by the ticket in the address, which only this deployment makes; the attendance worker writes it into e-mails.
//!
//! Mail programs send a `POST`. Whoever opens the address in a browser gets a page that does so: what only looks at
//! addresses, such as a scanner of e-mails, must change nothing.

use super::notifications;
use crate::{
    audit::{Act, Audit},
    error::ApiError,
    state::Api,
};
use axum::{
    extract::State,
    response::{Html, IntoResponse, Response},
};
use http::{
    HeaderMap, StatusCode,
    header::{ACCEPT, CACHE_CONTROL},
};
use rollcall_schemas::{
    code::Code,
    id::{GuardianId, UserId},
    notification::{Reader, Topic, UNSUBSCRIBE_PURPOSE, Unsubscription},
};
use rollcall_service::http::{ErrorEnvelope, Problem, Query, Success, SuccessEnvelope};
use rollcall_store::{PgConnection, guardians, users};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::{IntoParams, ToSchema};

const PAGE: &str = include_str!("unsubscribe/page.html");
const ASK: &str = include_str!("unsubscribe/ask.html");
const DONE: &str = include_str!("unsubscribe/done.html");

/// Whose wish, and which.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TicketParams {
    /// The ticket, from an e-mail.
    token: String,
}

/// What is sent no more.
#[derive(Serialize, ToSchema)]
pub(crate) struct UnsubscribedData {
    /// The topics of which the reader gets no more e-mails.
    topics: BTreeSet<Topic>,
}

/// Ask whether e-mails of a kind are to be sent no more: a page for browsers, which changes nothing by itself.
#[utoipa::path(
    get,
    path = "/api/v1/notifications/unsubscribe",
    tag = "users",
    params(TicketParams),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 401, description = "`AUTH_TOKEN_INVALID`: the address is not one of ours", body = ErrorEnvelope),
    )
)]
pub(crate) async fn ask_to_unsubscribe(
    State(api): State<Api>,
    Query(params): Query<TicketParams>,
) -> Result<Response, ApiError> {
    read(&api, &params.token)?;
    Ok(page(ASK))
}

/// Send no more e-mails of a kind to whoever got one (RFC 8058). Other channels and other kinds stay as they are.
#[utoipa::path(
    post,
    path = "/api/v1/notifications/unsubscribe",
    tag = "users",
    params(TicketParams),
    responses(
        (status = 200, description = "They are sent no more; browsers get a page", body = SuccessEnvelope<UnsubscribedData>),
        (status = 401, description = "`AUTH_TOKEN_INVALID`: the address is not one of ours", body = ErrorEnvelope),
    )
)]
pub(crate) async fn unsubscribe(
    State(api): State<Api>,
    audit: Audit,
    headers: HeaderMap,
    Query(params): Query<TicketParams>,
) -> Result<Response, ApiError> {
    let Unsubscription { reader, topics } = read(&api, &params.token)?;
    let mut tx = api.begin().await?;
    let act = match reader {
        Reader::User(user) => of_user(&api, &mut tx, user, &topics).await?,
        Reader::Guardian(guardian) => of_guardian(&api, &mut tx, guardian, &topics).await?,
    };
    // Whoever is gone, or wished so before, is answered like everybody: the address tells nothing of them.
    match act {
        Some(act) => {
            let audit = match reader {
                Reader::User(user) => audit.by(user),
                Reader::Guardian(_) => audit,
            };
            audit.record(&mut tx, act).await?;
            api.commit(tx, vec![]).await?;
        }
        None => audit.changed_nothing(),
    }
    if wants_a_page(&headers) {
        return Ok(page(DONE));
    }
    let data = UnsubscribedData { topics };
    Ok(Success::new(StatusCode::OK, "UNSUBSCRIBED", data).into_response())
}

fn page(content: &str) -> Response {
    ([(CACHE_CONTROL, "no-store")], Html(PAGE.replace("{content}", content))).into_response()
}

fn read(api: &Api, ticket: &str) -> Result<Unsubscription, Problem> {
    let content = api.deps().sealer.read_ticket(UNSUBSCRIBE_PURPOSE, ticket);
    let wish = content.and_then(|content| serde_json::from_slice(&content).ok());
    wish.ok_or_else(|| {
        Problem::new(
            Code::AuthTokenInvalid,
            "this address is none of ours: take the one in the e-mail, whole",
        )
    })
}

async fn of_user(
    api: &Api,
    tx: &mut PgConnection,
    user: UserId,
    topics: &BTreeSet<Topic>,
) -> Result<Option<Act>, ApiError> {
    if users::find(tx, user).await?.is_none() {
        return Ok(None);
    }
    notifications::change(api, tx, user, |wishes| wishes.without_emails(topics)).await
}

async fn of_guardian(
    api: &Api,
    tx: &mut PgConnection,
    id: GuardianId,
    topics: &BTreeSet<Topic>,
) -> Result<Option<Act>, ApiError> {
    let Some(mut guardian) = guardians::lock_by_id(tx, id).await? else { return Ok(None) };
    let before = guardian.topics.clone();
    guardian.topics.retain(|topic| !topics.contains(topic));
    if guardian.topics == before {
        return Ok(None);
    }
    guardian.updated_at = api.clock().now();
    guardians::update(tx, &guardian).await?;
    let shown = |topics: &[Topic]| serde_json::json!({ "topics": topics });
    Ok(Some(Act::of("guardian.updated", id).before(&shown(&before)).after(&shown(&guardian.topics))))
}

/// Mail programs take anything.
fn wants_a_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

#[cfg(test)]
mod tests;
