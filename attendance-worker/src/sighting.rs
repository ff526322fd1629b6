//! Sightings become votes, records, questions for a person, and live events. Each also settles its frame's place in the
//! ledger.

use crate::{
    deps::{Deps, read, traced, until_uncrossed},
    error::WorkError,
    facts,
    gathering::by_student,
    policy::{
        face::{Doubt, FaceMatch, Seen, match_faces, seen, superfluous},
        session::span,
    },
    records::{self, Cause},
    trace::Trace,
    waiting,
};
use chrono::TimeDelta;
use rollcall_bus::{Delivery, HandleError, Handler};
use rollcall_schemas::{
    fact::Fact,
    id::{AttendanceId, SightingId, UserId},
    sighting::{Candidate, Face, Sighting},
};
use rollcall_store::{
    PgConnection, StoreError, attendance, faces,
    ledger::{self, AcceptedFrame},
    looks::{self, Vote},
    outbox::{self, OutboxMessage},
    reviews::{Look, Review, Subject},
    sessions::{self, Session},
};
use std::collections::{BTreeMap, HashSet};
use tracing::Instrument;

/// How long before its planned beginning a session already collects votes. They count from the moment the session is
/// opened, so a frame that is handled before the request to open is not lost.
const EARLY: TimeDelta = TimeDelta::minutes(15);

/// Handles SIGHTINGS.
pub(crate) struct RecordSighting(pub(crate) Deps);

/// What is known of the sessions that a camera looked at.
#[derive(Clone, Copy, PartialEq)]
enum Sessions {
    /// An earlier request may still be about to open one.
    Perhaps,
    /// Every earlier request is handled.
    Known,
}

impl RecordSighting {
    /// Records the sighting, unless it has faces of a class without a session, and an earlier request that nobody has
    /// handled yet may be about to open one: then it must wait, or nobody would remember them.
    async fn record_in_turn(
        &self,
        delivery: &Delivery,
        sighting: &Sighting,
        trace: &Trace,
    ) -> Result<(), WorkError> {
        if until_uncrossed(|| self.record(sighting, trace, Sessions::Perhaps)).await? {
            return Ok(());
        }
        if waiting::for_session_requests(&self.0.bus, delivery.published_at).await? {
            return Err(WorkError::Early);
        }
        // Read again, as the last of the requests may have been handled since.
        until_uncrossed(|| self.record(sighting, trace, Sessions::Known)).await?;
        Ok(())
    }

    /// `false` when nothing is recorded, as a session may be missing.
    async fn record(
        &self,
        sighting: &Sighting,
        trace: &Trace,
        sessions: Sessions,
    ) -> Result<bool, WorkError> {
        let now = self.0.clock.now();
        let mut tx = self.0.begin().await?;
        // First of all, and for every message: each sequence of FRAMES needs an outcome, a replayed one too.
        ledger::mark_processed(&mut tx, &frame(sighting)).await?;
        let cause = Cause { id: sighting.sighting_id.0, trace_id: trace.id(), handled_at: now };
        let mut facts = Vec::new();
        if !sighting.faces.is_empty() && outbox::begin_handling(&mut tx, cause.id, now).await? {
            let in_view = in_view(&mut tx, sighting).await?;
            if sessions == Sessions::Perhaps && lacks_session(&mut tx, sighting, &in_view).await? {
                return Ok(false);
            }
            facts = decide(&mut tx, (sighting, &in_view), &cause).await?;
            // In the order of their ids, as two sightings may be about to tell of the same people.
            facts.sort_by_key(|fact| fact.fact_id);
            let messages = traced(facts.iter().map(OutboxMessage::fact).collect(), &trace.headers());
            outbox::enqueue(&mut tx, cause.id, now, &messages).await?;
        }
        tx.commit().await.map_err(StoreError::from)?;
        facts::count(&facts, now);
        Ok(true)
    }
}

impl Handler for RecordSighting {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        let span = tracing::info_span!("record_sighting");
        let trace = Trace::take_up(&delivery, &span);
        let sighting: Sighting = read(&delivery)?;
        async {
            self.record_in_turn(&delivery, &sighting, &trace).await?;
            if !sighting.faces.is_empty() {
                self.0.deliver(sighting.sighting_id.0).await?;
            }
            Ok::<_, WorkError>(())
        }
        .instrument(span)
        .await?;
        Ok(())
    }
}

fn frame(sighting: &Sighting) -> AcceptedFrame {
    AcceptedFrame {
        sequence: sighting.frame_sequence,
        camera_id: sighting.camera_id,
        frame_id: sighting.frame_id,
        received_at: sighting.received_at,
    }
}

/// A session that the camera looks at, and what each face means for its class.
type InView = (Session, Vec<FaceMatch>);

async fn in_view(tx: &mut PgConnection, sighting: &Sighting) -> Result<Vec<InView>, WorkError> {
    let mut in_view = Vec::new();
    for session in sessions::share_in_view(tx, sighting.camera_id, sighting.captured_at, EARLY).await? {
        let roster =
            faces::class_templates(tx, session.class_id, &sighting.pack, sighting.captured_at).await?;
        in_view.push((session, match_faces(&sighting.faces, &roster, &sighting.thresholds)));
    }
    Ok(in_view)
}

/// Whether the camera looks at a class that has no session.
async fn lacks_session(
    tx: &mut PgConnection,
    sighting: &Sighting,
    in_view: &[InView],
) -> Result<bool, StoreError> {
    let classes = sessions::classes_in_view(tx, sighting.camera_id, sighting.captured_at).await?;
    Ok(classes.iter().any(|class| in_view.iter().all(|(session, _)| session.class_id != *class)))
}

/// What follows from the faces of a frame, for each session that the camera looks at, and for the live feed.
async fn decide(
    tx: &mut PgConnection,
    (sighting, in_view): (&Sighting, &[InView]),
    cause: &Cause,
) -> Result<Vec<Fact>, WorkError> {
    // One student's votes are counted by one sighting at a time: two that each knew only their own would record nothing.
    let concerned = in_view.iter().flat_map(|(session, matches)| {
        let students = matches.iter().filter_map(FaceMatch::student);
        students.map(|student| AttendanceId::of(session.id, student))
    });
    attendance::hold_marks(tx, &concerned.collect::<Vec<_>>()).await?;
    let mut facts = Vec::new();
    for (session, matches) in in_view {
        facts.extend(vote(tx, session, (sighting, matches), cause).await?);
        facts.extend(question(tx, session, (sighting, matches), cause).await?);
    }
    facts.extend(told(sighting, in_view));
    Ok(facts)
}

/// Adds the votes of a frame to a session, where they can still matter, and brings its records in line.
async fn vote(
    tx: &mut PgConnection,
    session: &Session,
    (sighting, matches): (&Sighting, &[FaceMatch]),
    cause: &Cause,
) -> Result<Vec<Fact>, WorkError> {
    let mut votes = votes(sighting, matches);
    if votes.is_empty() {
        return Ok(Vec::new());
    }
    let students: Vec<UserId> = votes.iter().map(|vote| vote.student_id).collect();
    let settings = records::settings_of(tx, session).await?;
    if let Some(span) = span(session) {
        let stored = looks::votes(tx, session.id, Some(&students)).await?;
        let all = by_student(stored.iter().chain(&votes).copied().collect(), |vote: &Vote| vote.student_id);
        let gone: HashSet<(UserId, SightingId)> = all
            .iter()
            .flat_map(|(student, votes)| {
                superfluous(votes, &settings, &span).into_iter().map(|sighting| (*student, sighting))
            })
            .collect();
        let is_gone = |vote: &Vote| gone.contains(&(vote.student_id, vote.sighting_id));
        votes.retain(|vote| !is_gone(vote));
        if votes.is_empty() {
            return Ok(Vec::new());
        }
        let gone = stored.iter().filter(|vote| is_gone(vote));
        let gone: Vec<_> = gone.map(|vote| (vote.student_id, vote.sighting_id)).collect();
        looks::remove_votes(tx, session.id, &gone).await?;
    }
    looks::add_votes(tx, session.id, &votes).await?;
    records::settle(tx, (session, &settings), Some(&students), cause).await
}

fn votes(sighting: &Sighting, matches: &[FaceMatch]) -> Vec<Vote> {
    let vote = |(face, found): (&Face, &FaceMatch)| match found {
        FaceMatch::Vote { student, certain } => Some(Vote {
            student_id: student.user_id,
            sighting_id: sighting.sighting_id,
            frame_id: sighting.frame_id,
            captured_at: sighting.captured_at,
            similarity: student.similarity,
            certain: *certain,
            camera_id: Some(sighting.camera_id),
            evidence_sequence: face.evidence_sequence,
        }),
        FaceMatch::Review { .. } | FaceMatch::Nobody => None,
    };
    sighting.faces.iter().zip(matches).filter_map(vote).collect()
}

/// Opens reviews for the faces in doubt, once the session has begun.
async fn question(
    tx: &mut PgConnection,
    session: &Session,
    (sighting, matches): (&Sighting, &[FaceMatch]),
    cause: &Cause,
) -> Result<Vec<Fact>, WorkError> {
    if span(session).is_none() {
        return Ok(Vec::new());
    }
    let mut reviews = BTreeMap::new();
    for (face, found) in sighting.faces.iter().zip(matches) {
        if let FaceMatch::Review { student, candidates, doubt } = found {
            let review = review(session, (sighting, face), (*student, candidates.clone(), *doubt), cause);
            reviews.entry(*student).or_insert(review);
        }
    }
    let reviews: Vec<Review> = reviews.into_values().collect();
    Ok(records::ask(tx, session, &reviews, cause).await?)
}

fn review(
    session: &Session,
    (sighting, face): (&Sighting, &Face),
    (student_id, candidates, doubt): (UserId, Vec<Candidate>, Doubt),
    cause: &Cause,
) -> Review {
    let look = Look {
        camera_id: Some(sighting.camera_id),
        sighting_id: sighting.sighting_id,
        face_index: Some(face.index),
        evidence_sequence: face.evidence_sequence,
    };
    Review {
        id: records::review_id(session.id, student_id),
        session_id: session.id,
        subject: Subject::Face(look),
        student_id,
        candidates,
        reason: doubt.as_str().to_owned(),
        captured_at: sighting.captured_at,
        opened_at: cause.handled_at,
        resolution: None,
    }
}

/// Who was seen, for the live feed.
fn told(sighting: &Sighting, in_view: &[InView]) -> Vec<Fact> {
    let tell = |(place, face): (usize, &Face)| {
        let matches = in_view.iter().filter_map(|(_, matches)| matches.get(place));
        Some(match seen(face, matches)? {
            Seen::Person(person) => facts::person_seen(sighting, face, person),
            Seen::Stranger => facts::stranger_seen(sighting, face),
        })
    };
    sighting.faces.iter().enumerate().filter_map(tell).collect()
}
