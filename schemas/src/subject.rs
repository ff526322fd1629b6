//! Streams of the log, and the subjects within them.
//!
//! A [`Subject`] is always without prefix; `bus` puts the deployment's [`Namespace`] in front when it talks to the
//! broker, so that tests (and sites) can share one. Retention and sizes of streams belong to `bus`.

use crate::{
    fact::FactEvent,
    id::{ApiKeyId, CameraId, RequestId, SignInId, UserId},
};
use std::fmt;
use uuid::Uuid;

/// A stream of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Image bytes as cameras sent them.
    Frames,
    /// One per frame: the faces in it, with embeddings and candidates.
    Sightings,
    /// Small crops of faces, and nothing larger.
    Evidence,
    /// QR scans.
    Scans,
    /// Work that wants an answer.
    Requests,
    /// The answers, last value per request, for a day.
    Outcomes,
    /// What happened, for the outside. Its sequence is the one cursor of every live feed.
    Facts,
    /// One template per person and pack, last value.
    Gallery,
    /// Camera settings, last value.
    Cameras,
    /// Public keys, key hashes and revocations, last value.
    Auth,
    /// The pause switch, last value.
    Control,
    /// What could not be handled, with its reason.
    Dead,
}

impl Stream {
    /// Every stream.
    pub const ALL: [Stream; 12] = [
        Stream::Frames,
        Stream::Sightings,
        Stream::Evidence,
        Stream::Scans,
        Stream::Requests,
        Stream::Outcomes,
        Stream::Facts,
        Stream::Gallery,
        Stream::Cameras,
        Stream::Auth,
        Stream::Control,
        Stream::Dead,
    ];

    /// The name, without namespace.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Frames => "FRAMES",
            Stream::Sightings => "SIGHTINGS",
            Stream::Evidence => "EVIDENCE",
            Stream::Scans => "SCANS",
            Stream::Requests => "REQUESTS",
            Stream::Outcomes => "OUTCOMES",
            Stream::Facts => "FACTS",
            Stream::Gallery => "GALLERY",
            Stream::Cameras => "CAMERAS",
            Stream::Auth => "AUTH",
            Stream::Control => "CONTROL",
            Stream::Dead => "DEAD",
        }
    }

    /// The stream of that name, without namespace.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stream| stream.name() == name)
    }

    /// The filter that selects everything in the stream.
    pub fn subjects(self) -> Subject {
        Subject(match self {
            Stream::Frames => "frame.captured.v1.*".into(),
            Stream::Sightings => "sighting.v1.*".into(),
            Stream::Evidence => "evidence.v1.*".into(),
            Stream::Scans => "scan.captured.v1".into(),
            Stream::Requests => "request.v1.*".into(),
            Stream::Outcomes => "outcome.v1.*".into(),
            Stream::Facts => "fact.>".into(),
            Stream::Gallery => "gallery.v1.>".into(),
            Stream::Cameras => "camera.v1.*".into(),
            Stream::Auth => "auth.v1.>".into(),
            Stream::Control => "control.v1.*".into(),
            Stream::Dead => "dead.>".into(),
        })
    }
}

/// A subject, or a filter over subjects, without namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject(String);

impl Subject {
    /// The subject as text, without namespace.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A subject read back from the log or the outbox, as it was built by this module.
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The last token: the camera of a frame or a sighting, the id of a request in its outcome.
    pub fn last_token(&self) -> &str {
        self.0.rsplit('.').next().unwrap_or_default()
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The durable consumers of FRAMES, by the names that keep their places: a frame may go only when both have settled it.
pub mod frames_consumer {
    /// Looks for faces.
    pub const FACES: &str = "face-worker";
    /// Enters what was accepted in the ledger.
    pub const LEDGER: &str = "attendance-ledger";
}

/// The kinds of request, each with a durable consumer of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// A photograph to enrol a person with: image bytes, for the face worker.
    EnrolPhoto,
    /// An image whose faces are to be named, nothing recorded: image bytes, for the face worker.
    Recognise,
    /// An analysed photograph to be kept: for the attendance worker.
    StorePhoto,
    /// A session to be created, started, ended, or given a new code: for the attendance worker.
    Session,
    /// A person's word about records, or the answer to a review: for the attendance worker.
    Attendance,
    /// Everything known of a person's face to be erased: for the attendance worker.
    EraseFaces,
    /// When API keys were used, to be noted: for the api. Nobody waits for an answer.
    KeyUses,
    /// Something to be sent to a webhook: for the attendance worker.
    Webhook,
    /// Calls that were refused, to be put on record: for the api. Nobody waits for an answer.
    Refusals,
}

impl RequestKind {
    /// Every kind.
    pub const ALL: [RequestKind; 9] = [
        RequestKind::EnrolPhoto,
        RequestKind::Recognise,
        RequestKind::StorePhoto,
        RequestKind::Session,
        RequestKind::Attendance,
        RequestKind::EraseFaces,
        RequestKind::KeyUses,
        RequestKind::Webhook,
        RequestKind::Refusals,
    ];

    /// The token in the subject.
    pub fn name(self) -> &'static str {
        match self {
            RequestKind::EnrolPhoto => "enrol-photo",
            RequestKind::Recognise => "recognise",
            RequestKind::StorePhoto => "store-photo",
            RequestKind::Session => "session",
            RequestKind::Attendance => "attendance",
            RequestKind::EraseFaces => "erase-faces",
            RequestKind::KeyUses => "key-uses",
            RequestKind::Webhook => "webhook",
            RequestKind::Refusals => "refusals",
        }
    }
}

/// Where a camera's frames go.
pub fn frame_captured(camera: CameraId) -> Subject {
    Subject(format!("frame.captured.v1.{camera}"))
}

/// Where what was seen in a camera's frames goes.
pub fn sighting(camera: CameraId) -> Subject {
    Subject(format!("sighting.v1.{camera}"))
}

/// Where crops of faces seen by a camera go.
pub fn evidence(camera: CameraId) -> Subject {
    Subject(format!("evidence.v1.{camera}"))
}

/// Where the crop of a person's enrolment photograph goes.
pub fn enrolment_evidence(user: UserId) -> Subject {
    Subject(format!("evidence.v1.{user}"))
}

/// Where scans go.
pub fn scan_captured() -> Subject {
    Subject("scan.captured.v1".into())
}

/// Where requests of a kind go.
pub fn request(kind: RequestKind) -> Subject {
    Subject(format!("request.v1.{}", kind.name()))
}

/// Where the answer to a request goes.
pub fn outcome(request: RequestId) -> Subject {
    Subject(format!("outcome.v1.{request}"))
}

/// Where a fact goes. `scope` is the session, class, camera or person that the fact is first of all about.
pub fn fact(event: &FactEvent, scope: Uuid) -> Subject {
    Subject(format!("fact.{}.v1.{scope}", event.name()))
}

/// Where a person's template of one pack goes.
pub fn gallery(pack: &str, user: UserId) -> Subject {
    Subject(format!("gallery.v1.{}.{user}", token(pack)))
}

/// Every template of one pack.
pub fn gallery_of_pack(pack: &str) -> Subject {
    Subject(format!("gallery.v1.{}.*", token(pack)))
}

/// Where a camera's settings go.
pub fn camera(camera: CameraId) -> Subject {
    Subject(format!("camera.v1.{camera}"))
}

/// Where a token-signing key goes.
pub fn signing_key(kid: &str) -> Subject {
    Subject(format!("auth.v1.signing-key.{}", token(kid)))
}

/// Where an API key's hash goes.
pub fn api_key(key: ApiKeyId) -> Subject {
    Subject(format!("auth.v1.api-key.{key}"))
}

/// Where the end of a user's tokens goes.
pub fn revocation(user: UserId) -> Subject {
    Subject(format!("auth.v1.revocation.{user}"))
}

/// Where the end of a sign-in goes.
pub fn ended_sign_in(sign_in: SignInId) -> Subject {
    Subject(format!("auth.v1.sign-in.{sign_in}"))
}

/// Where the pause switch of the whole deployment goes.
pub fn control() -> Subject {
    Subject("control.v1.all".into())
}

/// Where processes tell each other which calls they let through. Belongs to no stream: nobody keeps it.
pub fn calls_taken() -> Subject {
    Subject("limit.taken.v1".into())
}

/// Where processes are asked what they are. Belongs to no stream: nobody keeps it.
pub fn processes() -> Subject {
    Subject("process.ask.v1".into())
}

/// Where the version of the system configuration goes.
pub fn configuration() -> Subject {
    Subject("control.v1.configuration".into())
}

/// Where the end of the audit's chain goes.
pub fn audit_head() -> Subject {
    Subject("control.v1.audit".into())
}

/// Where what `consumer` could not handle goes.
pub fn dead(stream: Stream, consumer: &str) -> Subject {
    Subject(format!("dead.{}.{}", stream.name(), token(consumer)))
}

/// Everything of one stream that could not be handled.
pub fn dead_of_stream(stream: Stream) -> Subject {
    Subject(format!("dead.{}.*", stream.name()))
}

/// One token of a subject: what the broker treats as syntax becomes a dash.
fn token(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '.' | '*' | '>') || c.is_whitespace() { '-' } else { c }).collect()
}

/// What sets one deployment's names apart from another's on the same broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace(Option<String>);

impl Namespace {
    /// Names begin with `prefix`: letters, digits and dashes only.
    ///
    /// # Errors
    /// When the prefix is empty or holds other characters.
    pub fn new(prefix: &str) -> Result<Self, InvalidNamespace> {
        if prefix.is_empty() || !prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(InvalidNamespace(prefix.to_owned()));
        }
        Ok(Self(Some(prefix.to_owned())))
    }

    /// The name of a stream on the broker.
    pub fn stream(&self, stream: Stream) -> String {
        match &self.0 {
            Some(prefix) => format!("{prefix}_{}", stream.name()),
            None => stream.name().to_owned(),
        }
    }

    /// The subject on the broker.
    pub fn subject(&self, subject: &Subject) -> String {
        match &self.0 {
            Some(prefix) => format!("{prefix}.{subject}"),
            None => subject.0.clone(),
        }
    }

    /// The subject without namespace, or `None` when it is another namespace's.
    pub fn strip(&self, subject: &str) -> Option<Subject> {
        match &self.0 {
            Some(prefix) => {
                subject.strip_prefix(prefix.as_str())?.strip_prefix('.').map(|rest| Subject(rest.to_owned()))
            }
            None => Some(Subject(subject.to_owned())),
        }
    }
}

/// A namespace that the broker could not tell from syntax.
#[derive(Debug, thiserror::Error)]
#[error("namespace {0:?} is not usable: use letters, digits and dashes only")]
pub struct InvalidNamespace(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaced_subjects_come_back() {
        let namespace = Namespace::new("t1").unwrap();
        let subject = frame_captured(CameraId(Uuid::nil()));
        let full = namespace.subject(&subject);
        assert_eq!(full, "t1.frame.captured.v1.00000000-0000-0000-0000-000000000000");
        assert_eq!(namespace.strip(&full), Some(subject));
        assert_eq!(Namespace::new("t2").unwrap().strip(&full), None);
    }

    #[test]
    fn a_namespace_is_one_token() {
        for bad in ["", "a.b", "a b", "*", ">"] {
            assert!(Namespace::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn foreign_text_cannot_break_a_subject() {
        assert_eq!(gallery_of_pack("v1.2 >").as_str(), "gallery.v1.v1-2--.*");
    }

    #[test]
    fn what_nobody_keeps_is_in_no_stream() {
        let first = |subject: Subject| subject.0.split('.').next().map(str::to_owned);
        for stream in Stream::ALL {
            assert_ne!(first(stream.subjects()), first(calls_taken()), "{stream:?}");
            assert_ne!(first(stream.subjects()), first(processes()), "{stream:?}");
        }
    }

    #[test]
    fn stream_names_round_trip() {
        for stream in Stream::ALL {
            assert_eq!(Stream::parse(stream.name()), Some(stream));
        }
    }
}
