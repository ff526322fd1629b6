//! Rooms of Socket.IO: what is told in which.

use rollcall_schemas::{
    fact::{Fact, FactEvent},
    id::{ClassId, SessionId},
};
use std::fmt;

/// What clients watch together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Room {
    /// What happens in one session.
    Session(SessionId),
    /// What happens in a class and in none of its sessions, and which of its sessions are changed, cancelled or begin.
    Class(ClassId),
}

impl Room {
    /// The one room in which a fact is told; `None` for what concerns neither a session nor a class.
    pub(crate) fn of(fact: &Fact) -> Option<Self> {
        let (session, class) =
            (fact.scope.session_id.map(Self::Session), fact.scope.class_id.map(Self::Class));
        match fact.event {
            FactEvent::SessionStarted { .. }
            | FactEvent::SessionChanged { .. }
            | FactEvent::SessionCancelled { .. } => class,
            _ => session.or(class),
        }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Room::Session(id) => write!(f, "session-{id}"),
            Room::Class(id) => write!(f, "class-{id}"),
        }
    }
}
