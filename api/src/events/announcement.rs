//! A fact as a room is told of it: the four events that clients know by name and data, and every other fact under its
//! own name, as it is in the log.

use super::{
    hub::EventHub,
    room::Room,
    told::{AttendanceMarked, InRoom, QrUpdated, SessionEnded, SessionStarted},
};
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
use serde::Serialize;
use serde_json::Value;

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
    pub(super) async fn of(hub: &EventHub, cursor: u64, fact: &Fact) -> Result<Self, ApiError> {
        let room = Room::of(fact).ok_or_else(|| Problem::internal("it is told in no room"))?.to_string();
        let place = Place { room, cursor };
        match (&fact.event, fact.scope.session_id, fact.scope.class_id) {
            (
                FactEvent::AttendanceRecorded { student_id, status: Present | Late, marked_at, .. },
                Some(session),
                _,
            ) => {
                let told = marked(hub, session, (*student_id, *marked_at)).await?;
                place.announce("attendance-marked", told)
            }
            (FactEvent::QrRotated { qr_token_id, expires_at, .. }, Some(_), _) => {
                let told = updated(hub, *qr_token_id, *expires_at).await?;
                let without_code = QrUpdated { qr_code: None, ..told };
                let with_code = Some(place.clone().data(told)?);
                Ok(Self { with_code, ..place.announce("qr-updated", without_code)? })
            }
            (FactEvent::SessionStarted { started_at }, Some(session), Some(class)) => {
                let told = started(hub, (session, class), *started_at).await?;
                place.announce("session-started", told)
            }
            (FactEvent::SessionEnded { ended_at, present, late, .. }, Some(session_id), _) => {
                let told = SessionEnded { session_id, total_attendance: present + late, end_time: *ended_at };
                place.announce("session-ended", told)
            }
            (other, ..) => place.announce(other.name(), fact),
        }
    }

    /// The data, with the image of a code for those who may show it.
    pub(crate) fn data(&self, may_show_codes: bool) -> &Value {
        self.with_code.as_ref().filter(|_| may_show_codes).unwrap_or(&self.data)
    }
}

/// Where something is told, and when.
#[derive(Clone)]
struct Place {
    room: String,
    cursor: u64,
}

impl Place {
    fn announce(self, name: &'static str, told: impl Serialize) -> Result<Announcement, ApiError> {
        Ok(Announcement { name, data: self.data(told)?, with_code: None })
    }

    fn data(self, told: impl Serialize) -> Result<Value, ApiError> {
        let Self { room, cursor } = self;
        Ok(serde_json::to_value(InRoom { told, room, cursor }).map_err(Problem::internal)?)
    }
}

async fn marked(
    hub: &EventHub,
    session: SessionId,
    (student_id, marked_at): (UserId, DateTime<Utc>),
) -> Result<AttendanceMarked, ApiError> {
    let mut db = hub.connection().await?;
    let student_name = users::find(&mut db, student_id).await?.map(|student| student.full_name);
    let total_present = session_views::find(&mut db, session).await?.map(|session| session.attendance_count);
    Ok(AttendanceMarked { student_id, student_name, marked_at, total_present })
}

async fn started(
    hub: &EventHub,
    (session_id, class): (SessionId, ClassId),
    start_time: DateTime<Utc>,
) -> Result<SessionStarted, ApiError> {
    let class = classes::find(&mut *hub.connection().await?, class).await?;
    Ok(SessionStarted { session_id, class_name: class.map(|class| class.name), start_time })
}

/// A code that has expired is shown to nobody any more.
async fn updated(hub: &EventHub, code: QrTokenId, expires_at: DateTime<Utc>) -> Result<QrUpdated, ApiError> {
    let code = session_views::code(&mut *hub.connection().await?, code).await?;
    let code = code.filter(|code| code.expires_at > hub.clock().now());
    let image = code.map(|code| qr_image::render(&code.token.0.to_string())).transpose();
    let image = image.map_err(Problem::internal)?.map(|image| image.png_data_url);
    Ok(QrUpdated { expires_at, qr_code: Some(image) })
}
