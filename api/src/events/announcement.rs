//! A fact as a room is told of it: the four events that clients know by name and data, and every other fact under its
//! own name, as it is in the log.

use super::{hub::EventHub, room::Room};
use crate::{error::ApiError, sessions::qr_image};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    fact::{
        AttendanceStatus::{Late, Present},
        Fact, FactEvent,
    },
    id::{ClassId, QrTokenId, SessionId, UserId},
};
use rollcall_service::http::Problem;
use rollcall_store::{classes, session_views, users};
use serde_json::{Value, json};

/// What is said, to whoever may hear it.
#[derive(Debug, PartialEq)]
pub(crate) struct Announcement {
    /// The name of the event.
    pub(crate) name: &'static str,
    /// What everybody is told.
    data: Value,
    /// What those are told who may show the session's code: its image besides.
    with_code: Option<Value>,
}

impl Announcement {
    /// Works out what is said of the fact of that sequence.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn of(hub: &EventHub, sequence: u64, fact: &Fact) -> Result<Self, ApiError> {
        let mut announcement = match (&fact.event, fact.scope.session_id, fact.scope.class_id) {
            (
                FactEvent::AttendanceRecorded { student_id, status: Present | Late, marked_at, .. },
                Some(session),
                _,
            ) => marked(hub, session, (*student_id, *marked_at)).await?,
            (FactEvent::QrRotated { qr_token_id, expires_at, .. }, Some(_), _) => {
                updated(hub, *qr_token_id, *expires_at).await?
            }
            (FactEvent::SessionStarted { started_at }, Some(session), Some(class)) => {
                started(hub, (session, class), *started_at).await?
            }
            (FactEvent::SessionEnded { ended_at, present, late, .. }, Some(session), _) => {
                let data = json!({
                    "sessionId": session,
                    "totalAttendance": present + late,
                    "endTime": ended_at,
                });
                Self::new("session-ended", data)
            }
            (other, ..) => Self::new(other.name(), serde_json::to_value(fact).map_err(Problem::internal)?),
        };
        for data in [&mut announcement.data].into_iter().chain(&mut announcement.with_code) {
            data["cursor"] = sequence.into();
            data["room"] = Room::of(fact).map(|room| room.to_string()).into();
        }
        Ok(announcement)
    }

    fn new(name: &'static str, data: Value) -> Self {
        Self { name, data, with_code: None }
    }

    /// The data, with the image of a code for those who may show it.
    pub(crate) fn data(&self, may_show_codes: bool) -> &Value {
        self.with_code.as_ref().filter(|_| may_show_codes).unwrap_or(&self.data)
    }
}

async fn marked(
    hub: &EventHub,
    session: SessionId,
    (student, marked_at): (UserId, DateTime<Utc>),
) -> Result<Announcement, ApiError> {
    let mut db = hub.connection().await?;
    let name = users::find(&mut db, student).await?.map(|student| student.full_name);
    let present = session_views::find(&mut db, session).await?.map(|session| session.attendance_count);
    let data =
        json!({ "studentId": student, "studentName": name, "markedAt": marked_at, "totalPresent": present });
    Ok(Announcement::new("attendance-marked", data))
}

async fn started(
    hub: &EventHub,
    (session, class): (SessionId, ClassId),
    started_at: DateTime<Utc>,
) -> Result<Announcement, ApiError> {
    let name = classes::find(&mut *hub.connection().await?, class).await?.map(|class| class.name);
    let data = json!({ "sessionId": session, "className": name, "startTime": started_at });
    Ok(Announcement::new("session-started", data))
}

/// A code that has expired is shown to nobody any more.
async fn updated(
    hub: &EventHub,
    code: QrTokenId,
    expires_at: DateTime<Utc>,
) -> Result<Announcement, ApiError> {
    let code = session_views::code(&mut *hub.connection().await?, code).await?;
    let code = code.filter(|code| code.expires_at > hub.clock().now());
    let image = code.map(|code| qr_image::render(&code.token.0.to_string())).transpose();
    let image = image.map_err(Problem::internal)?.map(|image| image.png_data_url);
    let with_code = json!({ "qrCode": image, "expiresAt": expires_at });
    let announcement = Announcement::new("qr-updated", json!({ "expiresAt": expires_at }));
    Ok(Announcement { with_code: Some(with_code), ..announcement })
}
