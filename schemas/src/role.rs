//! Who a caller can be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// The role of a user. Cameras are principals of their own, without a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, with organisation and system configuration, operators, keys and audit.
    Admin,
    /// People and faces, cameras, replays, alerts, live events.
    Operator,
    /// Own classes, their sessions, codes and attendance.
    Teacher,
    /// Own records, and marking attendance.
    Student,
}

impl Role {
    /// Every role, for tables and tests that must not forget one.
    pub const ALL: [Role; 4] = [Role::Admin, Role::Operator, Role::Teacher, Role::Student];

    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Operator => "operator",
            Role::Teacher => "teacher",
            Role::Student => "student",
        }
    }

    /// Reads the name on the wire.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
