//! How facts are put: which id, which scope, which words. Ids are functions of what happened, so that telling it twice
//! is telling it once.

use chrono::{DateTime, Utc};
use rollcall_schemas::{
    code::Code,
    fact::{AttendanceStatus, Fact, FactEvent, Scope},
    id::{AttendanceId, CameraId, ClassId, FactId, UserId, WebhookId},
    request::SessionPlan,
    scan::Scan,
    sighting::{Candidate, Face, Sighting},
    subject::Stream,
};
use rollcall_store::{
    attendance::{Mark, Record},
    qr_codes::QrCode,
    reviews::{Answered, Review, Subject},
    sessions::{Pause, Session},
};
use uuid::Uuid;

fn fact(parts: &[&[u8]], at: DateTime<Utc>, scope: Scope, event: FactEvent) -> Fact {
    let mut all = vec![event.name().as_bytes()];
    all.extend_from_slice(parts);
    Fact { fact_id: FactId::derive(&all), at, scope, event }
}

fn about(session: &Session) -> Scope {
    Scope { session_id: Some(session.id), class_id: Some(session.class_id), camera_id: None }
}

fn seen_by(camera_id: CameraId) -> Scope {
    Scope { camera_id: Some(camera_id), ..Scope::default() }
}

/// Counts what is committed, for the metrics.
pub(crate) fn count(facts: &[Fact], now: DateTime<Utc>) {
    for fact in facts {
        let (change, status, marked_at, evidence) = match fact.event {
            FactEvent::AttendanceRecorded { status, marked_at, evidence, .. } => {
                ("recorded", status, marked_at, evidence)
            }
            FactEvent::AttendanceCorrected { to, marked_at, evidence, .. } => {
                ("corrected", to, marked_at, evidence)
            }
            FactEvent::ReviewOpened { .. } => {
                metrics::counter!("rollcall_attendance_reviews_total").increment(1);
                continue;
            }
            _ => continue,
        };
        let (status, evidence) = (status.as_str(), evidence.as_str());
        metrics::counter!(
            "rollcall_attendance_records_total", "change" => change, "status" => status, "evidence" => evidence
        )
        .increment(1);
        let delay = (now - marked_at).as_seconds_f64();
        metrics::histogram!("rollcall_attendance_delay_seconds").record(delay.max(0.0));
    }
}

/// `record` is new by `cause`. An absence that was taken back makes room for another one, hence the cause.
pub(crate) fn recorded(session: &Session, record: &Record, cause: Uuid) -> Fact {
    let Mark { status, marked_at, evidence, similarity, .. } = record.mark;
    let event = FactEvent::AttendanceRecorded {
        attendance_id: record.id,
        student_id: record.student_id,
        status,
        marked_at,
        evidence,
        similarity,
    };
    fact(&[record.id.0.as_bytes(), cause.as_bytes()], said_at(record), about(session), event)
}

/// When a record came to say what it says: a person's word when it was said, everything else when the student was there.
fn said_at(record: &Record) -> DateTime<Utc> {
    record.author.as_ref().map_or(record.mark.marked_at, |author| author.said_at)
}

/// `record` said `from` before `cause` changed it.
pub(crate) fn corrected(session: &Session, from: AttendanceStatus, record: &Record, cause: Uuid) -> Fact {
    let Mark { status, marked_at, evidence, .. } = record.mark;
    let event = FactEvent::AttendanceCorrected {
        attendance_id: record.id,
        student_id: record.student_id,
        from,
        to: status,
        marked_at,
        evidence,
    };
    fact(&[record.id.0.as_bytes(), cause.as_bytes()], said_at(record), about(session), event)
}

pub(crate) fn session_started(session: &Session, started_at: DateTime<Utc>) -> Fact {
    fact(&[session.id.0.as_bytes()], started_at, about(session), FactEvent::SessionStarted { started_at })
}

/// `cause` is the request or the act that ended it. Told again when the end turns out to have been earlier, and when the
/// session was opened again.
pub(crate) fn session_ended(
    session: &Session,
    (ended_at, cause): (DateTime<Utc>, Uuid),
    counts: &[(AttendanceStatus, u32)],
) -> Fact {
    let count = |status| counts.iter().find(|(counted, _)| *counted == status).map_or(0, |(_, count)| *count);
    let event = FactEvent::SessionEnded {
        ended_at,
        present: count(AttendanceStatus::Present),
        late: count(AttendanceStatus::Late),
        absent: count(AttendanceStatus::Absent),
        excused: count(AttendanceStatus::Excused),
    };
    fact(&[session.id.0.as_bytes(), cause.as_bytes()], ended_at, about(session), event)
}

pub(crate) fn session_reopened(session: &Session, pause: &Pause, absences_withdrawn: u64) -> Fact {
    let event = FactEvent::SessionReopened {
        reopened_at: pause.reopened_at,
        ends_at: session.ends_at,
        absences_withdrawn: u32::try_from(absences_withdrawn).unwrap_or(u32::MAX),
    };
    fact(&[pause.request_id.0.as_bytes()], pause.reopened_at, about(session), event)
}

/// `cause` is the request that changed it.
pub(crate) fn session_changed(session: &Session, plan: &SessionPlan, at: (DateTime<Utc>, Uuid)) -> Fact {
    let (at, cause) = at;
    let event = FactEvent::SessionChanged {
        starts_at: plan.starts_at,
        ends_at: plan.ends_at,
        room: plan.room.clone(),
    };
    fact(&[session.id.0.as_bytes(), cause.as_bytes()], at, about(session), event)
}

pub(crate) fn session_cancelled(session: &Session, at: DateTime<Utc>) -> Fact {
    let event = FactEvent::SessionCancelled { starts_at: session.starts_at };
    fact(&[session.id.0.as_bytes()], at, about(session), event)
}

pub(crate) fn qr_rotated(class_id: ClassId, code: &QrCode) -> Fact {
    let QrCode { id, session_id, valid_from, expires_at, .. } = *code;
    let scope = Scope { session_id: Some(session_id), class_id: Some(class_id), camera_id: None };
    let event = FactEvent::QrRotated { qr_token_id: id, valid_from, expires_at };
    fact(&[id.0.as_bytes()], valid_from, scope, event)
}

pub(crate) fn scan_refused(scan: &Scan, code: Code, session: Option<&Session>) -> Fact {
    let event = FactEvent::ScanRefused { scan_id: scan.scan_id, student_id: scan.student_id, code };
    let scope = session.map(about).unwrap_or_default();
    fact(&[scan.scan_id.0.as_bytes()], scan.scanned_at, scope, event)
}

/// Told once for each camera, person and minute.
pub(crate) fn person_seen(sighting: &Sighting, face: &Face, person: Candidate) -> Fact {
    let Candidate { user_id, similarity } = person;
    let event = FactEvent::PersonSeen {
        sighting_id: sighting.sighting_id,
        face_index: face.index,
        user_id,
        similarity,
    };
    let parts: [&[u8]; 3] = [sighting.camera_id.0.as_bytes(), &minute(sighting), user_id.0.as_bytes()];
    fact(&parts, sighting.captured_at, seen_by(sighting.camera_id), event)
}

/// Told once for each camera and minute.
pub(crate) fn stranger_seen(sighting: &Sighting, face: &Face) -> Fact {
    let event = FactEvent::StrangerSeen { sighting_id: sighting.sighting_id, face_index: face.index };
    let parts: [&[u8]; 2] = [sighting.camera_id.0.as_bytes(), &minute(sighting)];
    fact(&parts, sighting.captured_at, seen_by(sighting.camera_id), event)
}

fn minute(sighting: &Sighting) -> [u8; 8] {
    sighting.captured_at.timestamp().div_euclid(60).to_be_bytes()
}

/// `record` is taken back by `cause`, and nothing takes its place.
pub(crate) fn withdrawn(
    session: &Session,
    student_id: UserId,
    from: AttendanceStatus,
    (cause, at): (Uuid, DateTime<Utc>),
) -> Fact {
    let attendance_id = AttendanceId::of(session.id, student_id);
    let event = FactEvent::AttendanceWithdrawn { attendance_id, student_id, from };
    fact(&[attendance_id.0.as_bytes(), cause.as_bytes()], at, about(session), event)
}

/// `cause` is the request that answered it.
pub(crate) fn review_resolved(session: &Session, review: &Review, answer: &Answered, cause: Uuid) -> Fact {
    let event = FactEvent::ReviewResolved {
        review_id: review.id,
        student_id: review.student_id,
        resolution: answer.resolution,
        resolved_by: answer.by,
        reassigned_to: answer.reassigned_to,
    };
    fact(&[review.id.0.as_bytes(), cause.as_bytes()], answer.at, about(session), event)
}

/// `cause` put the question, which is about something that happened at `at`, or put it again at `at`.
pub(crate) fn review_opened(session: &Session, review: &Review, (cause, at): (Uuid, DateTime<Utc>)) -> Fact {
    let look = review.subject.look();
    let whom = match review.subject {
        Subject::Face(_) => review.candidates.iter().map(|candidate| candidate.user_id).collect(),
        Subject::Scan(_) => vec![review.student_id],
    };
    let event = FactEvent::ReviewOpened {
        review_id: review.id,
        sighting_id: look.map(|look| look.sighting_id),
        face_index: look.and_then(|look| look.face_index),
        candidates: whom,
    };
    let scope = Scope { camera_id: look.and_then(|look| look.camera_id), ..about(session) };
    fact(&[review.id.0.as_bytes(), cause.as_bytes()], at, scope, event)
}

/// `cause` is the request that brought the photograph.
pub(crate) fn face_enrolled(
    at: DateTime<Utc>,
    cause: Uuid,
    (user_id, pack): (UserId, &str),
    photos: u32,
) -> Fact {
    let event = FactEvent::FaceEnrolled { user_id, pack: pack.to_owned(), photos };
    fact(&[user_id.0.as_bytes(), pack.as_bytes(), cause.as_bytes()], at, Scope::default(), event)
}

/// Told once for each time that it is given up.
pub(crate) fn webhook_disabled(
    webhook_id: WebhookId,
    failing_since: DateTime<Utc>,
    disabled_at: DateTime<Utc>,
) -> Fact {
    let micros = failing_since.timestamp_micros().to_be_bytes();
    let event = FactEvent::WebhookDisabled { webhook_id, failing_since };
    fact(&[webhook_id.0.as_bytes(), &micros], disabled_at, Scope::default(), event)
}

/// Told once for each consumer and hour.
pub(crate) fn message_parked(stream: Stream, consumer: &str, at: DateTime<Utc>) -> Fact {
    let hour = at.timestamp().div_euclid(3_600).to_be_bytes();
    let event = FactEvent::MessageParked { stream: stream.name().to_owned(), consumer: consumer.to_owned() };
    fact(&[stream.name().as_bytes(), consumer.as_bytes(), &hour], at, Scope::default(), event)
}
