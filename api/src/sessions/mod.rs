//! Sessions: planned, opened, closed, and their codes. The attendance worker writes them; the api asks it to.

mod change;
mod list;
mod one;
mod qr;
mod qr_files;
pub(crate) mod qr_image;
mod reopen;
mod scan_checks;

use crate::{error::ApiError, state::Api};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    fact::SessionState,
    id::{ClassId, SessionId},
};
use rollcall_service::http::Problem;
use rollcall_store::{
    PgConnection,
    session_views::{self, SessionView},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(change::create_session))
        .routes(routes!(list::list_sessions))
        .routes(routes!(one::get_session, one::change_session, one::cancel_session))
        .routes(routes!(change::start_session))
        .routes(routes!(change::end_session))
        .routes(routes!(reopen::reopen_session))
        .routes(routes!(scan_checks::list_scan_checks))
        .routes(routes!(qr::get_code, qr::rotate_code))
        .routes(routes!(qr_files::code_as_png))
        .routes(routes!(qr_files::code_as_svg))
}

/// A session as the api shows one.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionBody {
    #[schema(value_type = Uuid)]
    id: SessionId,
    #[schema(value_type = Uuid)]
    class_id: ClassId,
    /// When it is planned to begin.
    start_time: DateTime<Utc>,
    /// When it is planned to end.
    end_time: DateTime<Utc>,
    /// The room, if it has one.
    room: Option<String>,
    /// Whether another session of the class, or in the room, may take place at the same time.
    allow_overlap: bool,
    /// How long its codes are valid, in seconds; null when as long as its class says.
    qr_ttl_seconds: Option<i32>,
    /// `scheduled`, `pending`, `active`, `completed` or `cancelled`.
    status: SessionState,
    /// When it was opened.
    started_at: Option<DateTime<Utc>>,
    /// When it was opened again last, after it had been closed.
    reopened_at: Option<DateTime<Utc>>,
    /// When it was closed.
    ended_at: Option<DateTime<Utc>>,
    /// How many students were there, in time or late.
    attendance_count: i64,
    created_at: DateTime<Utc>,
}

impl From<SessionView> for SessionBody {
    fn from(session: SessionView) -> Self {
        Self {
            id: session.id,
            class_id: session.class_id,
            start_time: session.starts_at,
            end_time: session.ends_at,
            room: session.room,
            allow_overlap: session.allow_overlap,
            qr_ttl_seconds: session.qr_ttl_seconds,
            status: session.state,
            started_at: session.started_at,
            reopened_at: session.reopened_at,
            ended_at: session.ended_at,
            attendance_count: session.attendance_count,
            created_at: session.created_at,
        }
    }
}

/// One session.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionData {
    session: SessionBody,
}

/// A session that must exist.
pub(crate) async fn find(db: &mut PgConnection, id: SessionId) -> Result<SessionView, ApiError> {
    Ok(session_views::find(db, id).await?.ok_or_else(|| Problem::not_found("session"))?)
}

#[cfg(test)]
mod tests;
