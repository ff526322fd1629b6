//! Entries of the last-value feeds: what `ingest` and `face-worker` know without a database.
//!
//! Each entry has a key and a revision; a reader ignores an entry older than the one it has. Removal is an entry that
//! says so (a tombstone), never an absence, so that a reader that resumes from its snapshot forgets too.

use crate::{
    embedding::Embedding,
    id::{ApiKeyId, CameraId, SignInId, UserId},
    limit::Limit,
    scope::Scope,
    subject::{self, Stream, Subject},
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, fmt, ops::Range};

/// What a feed is made of.
pub trait FeedEntry: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The stream that keeps the last value of each key.
    const STREAM: Stream;

    /// What the entry is about, unique within the feed.
    fn key(&self) -> String;

    /// Grows with every change of the key.
    fn revision(&self) -> u64;

    /// Where the entry goes.
    fn subject(&self) -> Subject;

    /// From when until when the entry says something; readers may forget it after that. Most say it for ever.
    fn validity(&self) -> Option<Range<DateTime<Utc>>> {
        None
    }
}

/// A person's template of one pack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GalleryEntry {
    /// The person.
    pub user_id: UserId,
    /// The pack.
    pub pack: String,
    /// Grows with every change.
    pub revision: u64,
    /// The re-normalised mean of the person's embeddings; absent once they are erased.
    pub template: Option<Embedding>,
    /// How many photographs it rests on.
    pub photos: u32,
}

impl FeedEntry for GalleryEntry {
    const STREAM: Stream = Stream::Gallery;

    fn key(&self) -> String {
        format!("{}/{}", self.pack, self.user_id)
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn subject(&self) -> Subject {
        subject::gallery(&self.pack, self.user_id)
    }
}

/// A camera's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CameraEntry {
    /// The camera.
    pub camera_id: CameraId,
    /// Grows with every change.
    pub revision: u64,
    /// What people call it.
    pub name: String,
    /// Whether its frames are taken.
    pub enabled: bool,
    /// Whether it has been deleted: the tombstone.
    pub deleted: bool,
    /// The most frames a second that are taken from it.
    pub max_frames_per_second: u32,
}

impl FeedEntry for CameraEntry {
    const STREAM: Stream = Stream::Cameras;

    fn key(&self) -> String {
        self.camera_id.to_string()
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn subject(&self) -> Subject {
        subject::camera(self.camera_id)
    }
}

/// What authentication needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuthEntry {
    /// Grows with every change.
    pub revision: u64,
    /// What it is.
    #[serde(flatten)]
    pub fact: AuthFact,
}

/// One thing that authentication needs to know.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AuthFact {
    /// A public key that access tokens are verified with (RFC 8037, Ed25519).
    SigningKey {
        /// Its key id.
        kid: String,
        /// The 32 bytes, base64url without padding.
        public_key: String,
        /// From when it may sign; at once when absent. It is taken at any time.
        #[serde(default)]
        signs_from: Option<DateTime<Utc>>,
        /// After this, tokens it signed are no longer taken.
        retires_at: Option<DateTime<Utc>>,
    },
    /// An API key.
    ApiKey {
        /// Its public part.
        key_id: ApiKeyId,
        /// SHA-256 of its secret, in hexadecimal.
        secret_sha256: String,
        /// The camera that it stands for; absent for an integration.
        camera_id: Option<CameraId>,
        /// What it may do. Entries from before there were scopes are those of cameras.
        #[serde(default = "scopes_of_a_camera")]
        scopes: Vec<Scope>,
        /// After this it is no longer taken.
        expires_at: Option<DateTime<Utc>>,
        /// Whether it was revoked: the tombstone.
        revoked: bool,
    },
    /// A user's access tokens issued before a time are no longer taken.
    Revocation {
        /// The user.
        user_id: UserId,
        /// The time.
        issued_before: DateTime<Utc>,
    },
    /// The access tokens of a sign-in are no longer taken: somebody signed out.
    EndedSignIn {
        /// The sign-in.
        sign_in_id: SignInId,
        /// When it ended.
        ended_at: DateTime<Utc>,
        /// When the last of its tokens has ended by itself.
        forget_at: DateTime<Utc>,
    },
}

fn scopes_of_a_camera() -> Vec<Scope> {
    vec![Scope::FramesPush]
}

impl fmt::Debug for AuthFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuthFact::SigningKey { kid, .. } => write!(f, "SigningKey({kid})"),
            AuthFact::ApiKey { key_id, scopes, .. } => write!(f, "ApiKey({key_id} for {scopes:?})"),
            AuthFact::Revocation { user_id, issued_before } => {
                write!(f, "Revocation({user_id} before {issued_before})")
            }
            AuthFact::EndedSignIn { sign_in_id, .. } => write!(f, "EndedSignIn({sign_in_id})"),
        }
    }
}

impl FeedEntry for AuthEntry {
    const STREAM: Stream = Stream::Auth;

    fn key(&self) -> String {
        match &self.fact {
            AuthFact::SigningKey { kid, .. } => format!("signing-key/{kid}"),
            AuthFact::ApiKey { key_id, .. } => format!("api-key/{key_id}"),
            AuthFact::Revocation { user_id, .. } => format!("revocation/{user_id}"),
            AuthFact::EndedSignIn { sign_in_id, .. } => format!("sign-in/{sign_in_id}"),
        }
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn subject(&self) -> Subject {
        match &self.fact {
            AuthFact::SigningKey { kid, .. } => subject::signing_key(kid),
            AuthFact::ApiKey { key_id, .. } => subject::api_key(*key_id),
            AuthFact::Revocation { user_id, .. } => subject::revocation(*user_id),
            AuthFact::EndedSignIn { sign_in_id, .. } => subject::ended_sign_in(*sign_in_id),
        }
    }

    fn validity(&self) -> Option<Range<DateTime<Utc>>> {
        match &self.fact {
            AuthFact::EndedSignIn { ended_at, forget_at, .. } => Some(*ended_at..*forget_at),
            _ => None,
        }
    }
}

/// The pause switch of the whole deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ControlEntry {
    /// Grows with every change.
    pub revision: u64,
    /// Whether frames are refused for the time being.
    pub paused: bool,
}

impl FeedEntry for ControlEntry {
    const STREAM: Stream = Stream::Control;

    fn key(&self) -> String {
        "all".into()
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn subject(&self) -> Subject {
        subject::control()
    }
}

/// Where the chain of the audit ends, told to the log so that lines cut off its end are missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditHead {
    /// How many lines are chained.
    pub position: u64,
    /// The hash of the last one, in hexadecimal.
    pub sha256: String,
}

impl FeedEntry for AuditHead {
    const STREAM: Stream = Stream::Control;

    fn key(&self) -> String {
        "audit".into()
    }

    fn revision(&self) -> u64 {
        self.position
    }

    fn subject(&self) -> Subject {
        subject::audit_head()
    }
}

/// The version of the system configuration: whoever has the database reads it anew there. What also concerns those who
/// have none is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigurationEntry {
    /// The version.
    pub revision: u64,
    /// Limits that were set, by the names of their settings: `scan_user`. The others are those of the configuration file.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub limits: BTreeMap<String, Limit>,
}

impl FeedEntry for ConfigurationEntry {
    const STREAM: Stream = Stream::Control;

    fn key(&self) -> String {
        "configuration".into()
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn subject(&self) -> Subject {
        subject::configuration()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_from_before_there_were_scopes_is_a_cameras() {
        let id = uuid::Uuid::nil();
        let stored = serde_json::json!({
            "revision": 1, "kind": "api_key", "key_id": id, "secret_sha256": "00", "camera_id": id,
            "expires_at": null, "revoked": false,
        });
        let AuthEntry { fact: AuthFact::ApiKey { camera_id, scopes, .. }, .. } =
            serde_json::from_value(stored).unwrap()
        else {
            panic!("it is a key");
        };
        assert_eq!((camera_id, scopes), (Some(CameraId(id)), vec![Scope::FramesPush]));
    }
}
