//! What an API key may do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// One thing that an API key may do. A route names the one scope, if any, that lets a key in.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, ToSchema,
)]
pub enum Scope {
    /// Push frames: for the key of a camera, and for that camera only.
    #[serde(rename = "frames:push")]
    FramesPush,
    /// Read records of attendance.
    #[serde(rename = "attendance:read")]
    AttendanceRead,
    /// Read classes and their sessions.
    #[serde(rename = "classes:read")]
    ClassesRead,
    /// See the codes that students scan: for the displays that show them.
    #[serde(rename = "codes:read")]
    CodesRead,
    /// Watch what happens, as an operator does.
    #[serde(rename = "events:read")]
    EventsRead,
    /// Read people, and who is in which class.
    #[serde(rename = "people:read")]
    PeopleRead,
    /// Add, change and delete teachers and students.
    #[serde(rename = "people:write")]
    PeopleWrite,
}

impl Scope {
    /// Every scope, for tables and tests that must not forget one.
    pub const ALL: [Scope; 7] = [
        Scope::FramesPush,
        Scope::AttendanceRead,
        Scope::ClassesRead,
        Scope::CodesRead,
        Scope::EventsRead,
        Scope::PeopleRead,
        Scope::PeopleWrite,
    ];

    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::FramesPush => "frames:push",
            Scope::AttendanceRead => "attendance:read",
            Scope::ClassesRead => "classes:read",
            Scope::CodesRead => "codes:read",
            Scope::EventsRead => "events:read",
            Scope::PeopleRead => "people:read",
            Scope::PeopleWrite => "people:write",
        }
    }

    /// Reads the name on the wire.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_everywhere() {
        for scope in Scope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
            assert_eq!(Scope::parse(scope.as_str()), Some(scope));
        }
        assert_eq!(Scope::parse("people:*"), None);
    }
}
