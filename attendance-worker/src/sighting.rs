//! Sightings become votes, records, questions for a person, and live events. Each also settles its frame's place in the
//! ledger.

use crate::{
    deps::{Deps, read, traced, until_uncrossed},
    error::WorkError,
    facts,
    policy::{
        face::{Doubt, FaceMatch, Seen, is_redundant, match_faces, seen},
        session::span,
    },
    records::{self, Cause, Change},
    trace::Trace,
};
use chrono::TimeDelta;
use rollcall_bus::{Delivery, HandleError, Handler};
use rollcall_schemas::{
    fact::Fact,
    id::{ReviewId, UserId},
    sighting::{Candidate, Face, Sighting},
};
use rollcall_store::{
    PgConnection, StoreError, faces,
    ledger::{self, AcceptedFrame},
    looks::{self, Review, Vote},
    outbox::{self, OutboxMessage},
    sessions::{self, Session},
};
use std::collections::BTreeMap;
use tracing::Instrument;

/// How long before its planned beginning a session already collects votes. They count from the moment the session is
/// opened, so a frame that is handled before the request to open is not lost.
const EARLY: TimeDelta = TimeDelta::minutes(15);

/// Handles SIGHTINGS.
pub(crate) struct RecordSighting(pub(crate) Deps);

impl RecordSighting {
    async fn record(&self, sighting: &Sighting, trace: &Trace) -> Result<(), WorkError> {
        let now = self.0.clock.now();
        let mut tx = self.0.begin().await?;
        // First of all, and for every message: each sequence of FRAMES needs an outcome, a replayed one too.
        ledger::mark_processed(&mut tx, &frame(sighting)).await?;
        let cause = Cause { id: sighting.sighting_id.0, trace_id: trace.id(), handled_at: now };
        let mut facts = Vec::new();
        if !sighting.faces.is_empty() && outbox::begin_handling(&mut tx, cause.id, now).await? {
            facts = decide(&mut tx, sighting, &cause).await?;
            // In the order of their ids, as two sightings may be about to tell of the same people.
            facts.sort_by_key(|fact| fact.fact_id);
            let messages = traced(facts.iter().map(OutboxMessage::fact).collect(), &trace.headers());
            outbox::enqueue(&mut tx, cause.id, now, &messages).await?;
        }
        tx.commit().await.map_err(StoreError::from)?;
        facts::count(&facts, now);
        Ok(())
    }
}

impl Handler for RecordSighting {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        let span = tracing::info_span!("record_sighting");
        let trace = Trace::take_up(&delivery, &span);
        let sighting: Sighting = read(&delivery)?;
        async {
            until_uncrossed(|| self.record(&sighting, &trace)).await?;
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

/// What follows from the faces of a frame, for each class whose session the camera looks at, and for the live feed.
async fn decide(tx: &mut PgConnection, sighting: &Sighting, cause: &Cause) -> Result<Vec<Fact>, WorkError> {
    let mut facts = Vec::new();
    let mut by_class = Vec::new();
    for session in sessions::share_in_view(tx, sighting.camera_id, sighting.captured_at, EARLY).await? {
        let roster =
            faces::class_templates(tx, session.class_id, &sighting.pack, sighting.captured_at).await?;
        let matches = match_faces(&sighting.faces, &roster, &sighting.thresholds);
        facts.extend(vote(tx, &session, (sighting, &matches), cause).await?);
        facts.extend(question(tx, &session, (sighting, &matches), cause).await?);
        by_class.push(matches);
    }
    facts.extend(told(sighting, &by_class));
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
        let stored = records::by_student(looks::votes(tx, session.id, Some(&students)).await?);
        let none = Vec::new();
        votes.retain(|vote| {
            !is_redundant(vote, stored.get(&vote.student_id).unwrap_or(&none), &settings, &span)
        });
    }
    if votes.is_empty() {
        return Ok(Vec::new());
    }
    looks::add_votes(tx, session.id, &votes).await?;
    let changes = records::settle_votes(tx, (session, &settings), Some(&students), cause).await?;
    Ok(changes.iter().map(Change::fact).collect())
}

fn votes(sighting: &Sighting, matches: &[FaceMatch]) -> Vec<Vote> {
    let vote = |found: &FaceMatch| match found {
        FaceMatch::Vote { student, certain } => Some(Vote {
            student_id: student.user_id,
            sighting_id: sighting.sighting_id,
            frame_id: sighting.frame_id,
            captured_at: sighting.captured_at,
            similarity: student.similarity,
            certain: *certain,
        }),
        FaceMatch::Review { .. } | FaceMatch::Nobody => None,
    };
    matches.iter().filter_map(vote).collect()
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
    if reviews.is_empty() {
        return Ok(Vec::new());
    }
    let reviews: Vec<Review> = reviews.into_values().collect();
    let opened = looks::open_reviews(tx, &reviews).await?;
    let opened = reviews.iter().filter(|review| opened.contains(&review.id));
    Ok(opened.map(|review| facts::review_opened(session, review)).collect())
}

fn review(
    session: &Session,
    (sighting, face): (&Sighting, &Face),
    (student_id, candidates, doubt): (UserId, Vec<Candidate>, Doubt),
    cause: &Cause,
) -> Review {
    Review {
        id: ReviewId::derive(&[session.id.0.as_bytes(), student_id.0.as_bytes()]),
        session_id: session.id,
        camera_id: sighting.camera_id,
        sighting_id: sighting.sighting_id,
        face_index: face.index,
        evidence_sequence: face.evidence_sequence,
        student_id,
        candidates,
        reason: doubt.as_str(),
        captured_at: sighting.captured_at,
        opened_at: cause.handled_at,
    }
}

/// Who was seen, for the live feed.
fn told(sighting: &Sighting, by_class: &[Vec<FaceMatch>]) -> Vec<Fact> {
    let tell = |(place, face): (usize, &Face)| {
        let matches = by_class.iter().filter_map(|matches| matches.get(place));
        Some(match seen(face, matches)? {
            Seen::Person(person) => facts::person_seen(sighting, face, person),
            Seen::Stranger => facts::stranger_seen(sighting, face),
        })
    };
    sighting.faces.iter().enumerate().filter_map(tell).collect()
}
