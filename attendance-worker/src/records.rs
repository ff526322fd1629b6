//! Writing records: what a decision changes, and the facts that tell of it. Shared by everything that brings evidence.

use crate::{
    error::WorkError,
    facts,
    policy::{
        evidence::{Lateness, absence, merge},
        face::tally,
        session::{at_end, span},
    },
};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    fact::{AttendanceStatus, Fact},
    id::{AttendanceId, SessionId, UserId},
};
use rollcall_store::{
    PgConnection, StoreError,
    attendance::{self, Mark, Origin, Record},
    classes::{self, ClassSettings},
    looks::{self, Vote},
    sessions::{self, Session},
};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// The message or timer act that is being handled.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    /// Its id.
    pub(crate) id: Uuid,
    /// The trace it belongs to.
    pub(crate) trace_id: Option<String>,
    /// When it is handled: the worker's clock.
    pub(crate) handled_at: DateTime<Utc>,
}

/// A record that is new, or says something else than before.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) session: Session,
    pub(crate) before: Option<Mark>,
    pub(crate) record: Record,
    pub(crate) cause: Uuid,
}

impl Change {
    pub(crate) fn new(
        session: Session,
        student: UserId,
        (before, mark): (Option<Mark>, Mark),
        cause: &Cause,
    ) -> Self {
        let record = Record {
            id: AttendanceId::of(session.id, student),
            session_id: session.id,
            student_id: student,
            mark,
            origin: Origin { trace_id: cause.trace_id.clone(), ..Origin::default() },
            recorded_at: cause.handled_at,
        };
        Self { session, before, record, cause: cause.id }
    }

    /// What is told of it, if anything: that a scan is kept beside an earlier face is nobody's business.
    pub(crate) fn fact(&self) -> Option<Fact> {
        match &self.before {
            None => Some(facts::recorded(&self.session, &self.record, self.cause)),
            Some(_) if self.only_keeps_scan() => None,
            Some(before) => Some(facts::corrected(&self.session, before.status, &self.record, self.cause)),
        }
    }

    fn only_keeps_scan(&self) -> bool {
        let mark = self.record.mark;
        self.before.is_some_and(|before| Mark { scan: mark.scan, ..before } == mark)
    }

    fn known_present(&self) -> Option<(SessionId, UserId)> {
        let Record { session_id, student_id, mark, .. } = &self.record;
        let is_there = matches!(mark.status, AttendanceStatus::Present | AttendanceStatus::Late);
        is_there.then_some((*session_id, *student_id))
    }
}

/// Writes `changes`, decided from rows that the transaction holds. Nobody need be asked any more about those who are now
/// known to have been there.
///
/// # Errors
/// [`WorkError::Crossed`] when somebody else has added one of the records, or when the database does not do it.
pub(crate) async fn write(tx: &mut PgConnection, changes: &[Change]) -> Result<(), WorkError> {
    let (new, known): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.before.is_none());
    let (kept, revised): (Vec<_>, Vec<_>) = known.into_iter().partition(|change| change.only_keeps_scan());
    let new: Vec<Record> = new.into_iter().map(|change| change.record.clone()).collect();
    if attendance::insert(tx, &new).await? != new.len() {
        return Err(WorkError::Crossed);
    }
    let revised: Vec<(Uuid, Record)> =
        revised.into_iter().map(|change| (change.cause, change.record.clone())).collect();
    attendance::revise(tx, &revised).await?;
    let kept: Vec<Record> = kept.into_iter().map(|change| change.record.clone()).collect();
    attendance::keep_scans(tx, &kept).await?;
    let present: Vec<_> = changes.iter().filter_map(Change::known_present).collect();
    let Some(change) = changes.first() else { return Ok(()) };
    looks::resolve_reviews(tx, &present, change.record.recorded_at).await?;
    Ok(())
}

/// Brings the records of an opened session in line with the votes for these students, or for everybody.
///
/// # Errors
/// Like [`write`].
pub(crate) async fn settle_votes(
    tx: &mut PgConnection,
    (session, settings): (&Session, &ClassSettings),
    students: Option<&[UserId]>,
    cause: &Cause,
) -> Result<Vec<Change>, WorkError> {
    let Some(span) = span(session) else { return Ok(Vec::new()) };
    let lateness = Lateness::of(span.start, settings);
    let evidence: Vec<_> = by_student(looks::votes(tx, session.id, students).await?)
        .into_iter()
        .filter_map(|(student, votes)| Some((student, tally(&votes, settings, &span)?)))
        .collect();
    let ids: Vec<_> = evidence.iter().map(|(student, _)| AttendanceId::of(session.id, *student)).collect();
    let marks: HashMap<_, _> = attendance::lock_marks(tx, &ids).await?.into_iter().collect();
    let changes: Vec<Change> = evidence
        .iter()
        .zip(&ids)
        .filter_map(|((student, evidence), id)| {
            let before = marks.get(id).copied();
            let mark = merge(before.as_ref(), evidence, lateness)?;
            Some(Change::new(*session, *student, (before, mark), cause))
        })
        .collect();
    write(tx, &changes).await?;
    Ok(changes)
}

/// Closes a session that the transaction holds: what rests on evidence from after the end no longer counts, votes that
/// nobody has counted do, and everybody enrolled at the end without a record was absent. Returns the facts to be told, and
/// how many records there are.
///
/// # Errors
/// Like [`write`].
pub(crate) async fn close(
    tx: &mut PgConnection,
    session: &Session,
    ended_at: DateTime<Utc>,
    cause: &Cause,
) -> Result<(Vec<Fact>, u64), WorkError> {
    sessions::end(tx, session.id, ended_at).await?;
    let settings = settings_of(tx, session).await?;
    let session = Session { ended_at: Some(ended_at), ..*session };
    let mut changes = overtaken(tx, (&session, &settings), cause).await?;
    write(tx, &changes).await?;
    changes.extend(settle_votes(tx, (&session, &settings), None, cause).await?);
    let absent = attendance::without_record(tx, session.id, session.class_id, ended_at).await?;
    let absent: Vec<Change> = absent
        .into_iter()
        .map(|student| Change::new(session, student, (None, absence(ended_at)), cause))
        .collect();
    write(tx, &absent).await?;
    changes.extend(absent);
    let counts = attendance::count_by_status(tx, session.id).await?;
    let mut facts: Vec<Fact> = changes.iter().filter_map(Change::fact).collect();
    facts.push(facts::session_ended(&session, (ended_at, cause.id), &counts));
    Ok((facts, counts.iter().map(|(_, count): &(AttendanceStatus, u32)| u64::from(*count)).sum()))
}

/// The records of a session that do not stand now that its end is known.
async fn overtaken(
    tx: &mut PgConnection,
    (session, settings): (&Session, &ClassSettings),
    cause: &Cause,
) -> Result<Vec<Change>, WorkError> {
    let Some(span) = span(session) else { return Ok(Vec::new()) };
    let votes = by_student(looks::votes(tx, session.id, None).await?);
    let marks = attendance::lock_marks_of_session(tx, session.id).await?;
    let change = |(student, before): (UserId, Mark)| {
        let votes = votes.get(&student).map(Vec::as_slice).unwrap_or_default();
        let mark = at_end(&before, votes, settings, &span)?;
        Some(Change::new(*session, student, (Some(before), mark), cause))
    };
    Ok(marks.into_iter().filter_map(change).collect())
}

/// The rules of a session: those of its class when it began, or is planned to.
pub(crate) async fn settings_of(
    tx: &mut PgConnection,
    session: &Session,
) -> Result<ClassSettings, StoreError> {
    classes::settings(tx, session.class_id, session.started_at.unwrap_or(session.starts_at)).await
}

pub(crate) fn by_student(votes: Vec<Vote>) -> BTreeMap<UserId, Vec<Vote>> {
    let mut grouped = BTreeMap::<_, Vec<_>>::new();
    for vote in votes {
        grouped.entry(vote.student_id).or_default().push(vote);
    }
    grouped
}
