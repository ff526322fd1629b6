//! Closed lists of names, as facts, records and settings use them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// A closed list of names, as they stand on the wire and in the database.
macro_rules! names {
    ($($(#[$doc:meta])* $kind:ident { $($(#[$variant_doc:meta])* $variant:ident = $wire:tt,)* })*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, ToSchema
        )]
        pub enum $kind { $($(#[$variant_doc])* #[serde(rename = $wire)] $variant,)* }

        impl $kind {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name on the wire and in the database.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $wire,)* }
            }

            /// Reads the name on the wire.
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($wire => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}
pub(crate) use names;

names! {
    /// What a record says of a student.
    AttendanceStatus {
        /// There in time.
        Present = "present",
        /// There after the grace period.
        Late = "late",
        /// Not there when the session ended.
        Absent = "absent",
        /// Absent with leave.
        Excused = "excused",
    }

    /// What a record rests on.
    Evidence {
        /// A scan of the session's code.
        Qr = "qr",
        /// A face seen by a camera.
        Face = "face",
        /// A person's word.
        Manual = "manual",
        /// Nothing by the end of the session.
        None = "none",
    }

    /// What a class wants to see before it takes a student for present.
    EvidenceRule {
        /// A scan or a face: either suffices.
        Either = "either",
        /// A scan and a face.
        Both = "both",
        /// A scan, confirmed by a face seen within some minutes of it.
        QrNeedsFace = "qr_needs_face",
        /// A scan; a face without one is proposed to a person.
        FaceProposes = "face_proposes",
    }

    /// What became of a review.
    Resolution {
        /// A person said that it is the student.
        Accepted = "accepted",
        /// A person said that it is not.
        Rejected = "rejected",
        /// A person said that it is another student.
        Reassigned = "reassigned",
        /// It is known meanwhile, by evidence or by a person's word about the record.
        Known = "known",
        /// What it was about turned out to be outside the session.
        Overtaken = "overtaken",
    }

    /// Where a session stands.
    SessionState {
        /// Planned.
        Scheduled = "scheduled",
        /// About to begin.
        Pending = "pending",
        /// Open for attendance.
        Active = "active",
        /// Closed.
        Completed = "completed",
        /// Given up before it began.
        Cancelled = "cancelled",
    }
}
