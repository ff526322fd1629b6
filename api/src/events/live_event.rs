//! One event as watchers get it: its bytes, rendered once, and what decides who may see it.

use super::{announcement::Announcement, hub::EventHub, room::Room};
use crate::{error::ApiError, extract::Caller};
use bytes::Bytes;
use rollcall_schemas::{
    fact::{Fact, FactEvent},
    id::{CameraId, ClassId, SessionId, UserId},
    role::Role,
};
use std::collections::HashSet;
use tokio::sync::OnceCell;

/// An event of FACTS.
pub(crate) struct LiveEvent {
    /// Its sequence in FACTS, which is the cursor.
    pub(crate) sequence: u64,
    /// As it goes over the wire to a stream of events.
    pub(super) bytes: Bytes,
    /// As rooms are told of it, once somebody in one may hear it.
    announcement: OnceCell<Announcement>,
    fact: Fact,
    audience: Audience,
}

/// Who of a class may see an event of it.
pub(super) enum Audience {
    /// Known: the teacher, and the students where they may see it too.
    Class {
        /// Who teaches it.
        teacher: UserId,
        /// Who is in it, for events of its sessions; empty for others.
        students: HashSet<UserId>,
    },
    /// The event belongs to no class.
    NoClass,
    /// The database could not be asked.
    Unknown,
}

/// Whether a caller may see an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visibility {
    Visible,
    Hidden,
    /// Not known at present: the watcher must come back rather than miss it.
    Unknown,
}

/// Which events a watcher wants.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub(super) session: Option<SessionId>,
    pub(super) class: Option<ClassId>,
    pub(super) camera: Option<CameraId>,
    /// None means all.
    pub(super) types: Vec<&'static str>,
}

impl Filter {
    pub(super) fn wants(&self, event: &LiveEvent) -> bool {
        let scope = &event.fact.scope;
        self.session.is_none_or(|id| scope.session_id == Some(id))
            && self.class.is_none_or(|id| scope.class_id == Some(id))
            && self.camera.is_none_or(|id| scope.camera_id == Some(id))
            && (self.types.is_empty() || self.types.contains(&event.fact.event.name()))
    }
}

impl LiveEvent {
    /// Renders a fact: its JSON, as it is in the log, on one `data` line.
    pub(super) fn new(sequence: u64, fact: Fact, json: &[u8], audience: Audience) -> Self {
        let name = fact.event.name();
        let mut bytes = format!("id: {sequence}\nevent: {name}\ndata: ").into_bytes();
        bytes.extend_from_slice(json);
        bytes.extend_from_slice(b"\n\n");
        Self { sequence, bytes: bytes.into(), announcement: OnceCell::new(), fact, audience }
    }

    /// The room in which it is told.
    pub(crate) fn room(&self) -> Option<Room> {
        Room::of(&self.fact)
    }

    /// What its room is told of it, worked out once for everybody there.
    ///
    /// # Errors
    /// When the database does not answer; the next who asks tries again.
    pub(crate) async fn announcement(&self, hub: &EventHub) -> Result<&Announcement, ApiError> {
        self.announcement.get_or_try_init(|| Announcement::of(hub, self.sequence, &self.fact)).await
    }

    /// Administrators and operators see everything, teachers what happens in their classes, students what is said of
    /// themselves and the sessions of their classes.
    pub(crate) fn visibility(&self, caller: &Caller) -> Visibility {
        let about = self.fact.event.user_id();
        let own = match (caller.role(), &self.audience) {
            (Role::Admin | Role::Operator, _) => true,
            (Role::Student, _) if about.is_some() => about == Some(caller.id()),
            (_, Audience::Unknown) => return Visibility::Unknown,
            (Role::Teacher, Audience::Class { teacher, .. }) => *teacher == caller.id(),
            (Role::Student, Audience::Class { students, .. }) => students.contains(&caller.id()),
            (_, Audience::NoClass) => false,
        };
        if own { Visibility::Visible } else { Visibility::Hidden }
    }
}

/// Whether the students of its class may see an event, though it is about none of them.
pub(super) fn is_for_the_class(event: &FactEvent) -> bool {
    matches!(
        event,
        FactEvent::SessionStarted { .. }
            | FactEvent::SessionEnded { .. }
            | FactEvent::SessionReopened { .. }
            | FactEvent::SessionChanged { .. }
            | FactEvent::SessionCancelled { .. }
            | FactEvent::QrRotated { .. }
    )
}
