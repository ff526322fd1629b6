//! Writing records: what a decision changes, and the facts that tell of it. Shared by everything that brings evidence.

use crate::{
    error::WorkError,
    facts,
    gathering::Gathering,
    policy::{
        evidence::{absence, stands},
        fusion::{self, Settled, keeps_scans},
        question::{Question, opens_again},
    },
};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    fact::{AttendanceStatus, Fact},
    id::{AttendanceId, ReviewId, SessionId, UserId},
    sighting::Candidate,
};
use rollcall_store::{
    PgConnection, StoreError,
    attendance::{self, Author, Mark, Origin, Record},
    classes::{self, ClassSettings},
    looks,
    reviews::{self, Look, Review, Subject},
    sessions::{self, Session},
};
use std::collections::{BTreeSet, HashMap};
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
            author: None,
            recorded_at: cause.handled_at,
        };
        Self { session, before, record, cause: cause.id }
    }

    /// The same, as a person's word.
    pub(crate) fn by(mut self, author: Author) -> Self {
        self.record.author = Some(author);
        self
    }

    /// What is told of it, if anything: that a scan is kept beside an earlier face is nobody's business.
    pub(crate) fn fact(&self) -> Option<Fact> {
        match &self.before {
            None => Some(facts::recorded(&self.session, &self.record, self.cause)),
            Some(_) if self.only_keeps_scan() => None,
            Some(before) => Some(facts::corrected(&self.session, before.status, &self.record, self.cause)),
        }
    }

    /// A word is a version of its own, even when it says what the record said before.
    fn only_keeps_scan(&self) -> bool {
        let mark = self.record.mark;
        self.record.author.is_none()
            && self.before.is_some_and(|before| Mark { scan: mark.scan, ..before } == mark)
    }

    fn student(&self) -> (SessionId, UserId) {
        (self.record.session_id, self.record.student_id)
    }

    /// Whether what answered the question whether the student was there no longer counts.
    fn is_unknown_again(&self) -> bool {
        self.before.as_ref().is_some_and(is_known) && !is_known(&self.record.mark)
    }
}

/// Whether nobody need be asked whether the student was there.
fn is_known(mark: &Mark) -> bool {
    stands(mark) || matches!(mark.status, AttendanceStatus::Present | AttendanceStatus::Late)
}

/// Writes `changes`, decided from rows that the transaction holds. Nobody need be asked any more about those who are now
/// known to have been there, or of whom a person has spoken.
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
    let known: Vec<_> =
        changes.iter().filter(|change| is_known(&change.record.mark)).map(Change::student).collect();
    let Some(change) = changes.first() else { return Ok(()) };
    reviews::settle(tx, &known, change.record.recorded_at).await?;
    Ok(())
}

/// [`write`] for changes that may take records of `session` back: then the questions about those students are open again.
/// Returns what is to be told of all of it.
///
/// # Errors
/// Like [`write`].
pub(crate) async fn rewrite(
    tx: &mut PgConnection,
    session: &Session,
    changes: &[Change],
) -> Result<Vec<Fact>, WorkError> {
    write(tx, changes).await?;
    let mut facts: Vec<Fact> = changes.iter().filter_map(Change::fact).collect();
    let unknown: Vec<_> =
        changes.iter().filter(|change| change.is_unknown_again()).map(Change::student).collect();
    if let Some(change) = changes.first() {
        facts.extend(reopen(tx, session, &unknown, (change.cause, change.record.recorded_at)).await?);
    }
    Ok(facts)
}

/// Puts the questions again about students of whom it is no longer known whether they were there.
async fn reopen(
    tx: &mut PgConnection,
    session: &Session,
    unknown: &[(SessionId, UserId)],
    cause: (Uuid, DateTime<Utc>),
) -> Result<Vec<Fact>, StoreError> {
    let reopened = reviews::reopen(tx, unknown).await?;
    Ok(reopened.iter().map(|review| facts::review_opened(session, review, cause)).collect())
}

/// Takes the record of a student back, which the transaction holds, so that there is none. Its history stays. Returns what
/// is to be told of it.
///
/// # Errors
/// When the database does not do it.
pub(crate) async fn remove(
    tx: &mut PgConnection,
    session: &Session,
    (student, before): (UserId, &Mark),
    cause: &Cause,
) -> Result<Vec<Fact>, StoreError> {
    attendance::withdraw(tx, AttendanceId::of(session.id, student), cause.id, cause.handled_at).await?;
    let mut facts = vec![facts::withdrawn(session, student, before.status, (cause.id, cause.handled_at))];
    facts.extend(reopen(tx, session, &[(session.id, student)], (cause.id, cause.handled_at)).await?);
    Ok(facts)
}

/// Puts questions, unless they are open or answered for good. Returns what is to be told of it.
///
/// # Errors
/// When the database does not do it.
pub(crate) async fn ask(
    tx: &mut PgConnection,
    session: &Session,
    questions: &[Review],
    cause: &Cause,
) -> Result<Vec<Fact>, StoreError> {
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    let past = reviews::past(tx, &questions.iter().map(|review| review.id).collect::<Vec<_>>()).await?;
    let may_open =
        |review: &&Review| past.get(&review.id).is_none_or(|past| opens_again(past, &review.reason));
    let questions: Vec<Review> = questions.iter().filter(may_open).cloned().collect();
    let opened = reviews::open(tx, &questions).await?;
    let opened = questions.iter().filter(|review| opened.contains(&review.id));
    Ok(opened.map(|review| facts::review_opened(session, review, (cause.id, review.captured_at))).collect())
}

/// One question for each session and student.
pub(crate) fn review_id(session: SessionId, student: UserId) -> ReviewId {
    ReviewId::derive(&[session.0.as_bytes(), student.0.as_bytes()])
}

/// A question about evidence of `student` that is not enough by itself.
pub(crate) fn review(session: &Session, student: UserId, question: Question, cause: &Cause) -> Review {
    let (subject, candidates) = match question {
        Question::NoFace(scan) | Question::Doubted(scan, _) => (Subject::Scan(scan.scan_id), Vec::new()),
        Question::NoScan(vote) => {
            let look = Look {
                camera_id: vote.camera_id,
                sighting_id: vote.sighting_id,
                face_index: None,
                evidence_sequence: vote.evidence_sequence,
            };
            (Subject::Face(look), vec![Candidate { user_id: student, similarity: vote.similarity }])
        }
    };
    Review {
        id: review_id(session.id, student),
        session_id: session.id,
        subject,
        student_id: student,
        candidates,
        reason: question.as_str().to_owned(),
        captured_at: question.at(),
        opened_at: cause.handled_at,
        resolution: None,
    }
}

/// Brings the records of an opened session in line with what was gathered of these students, or of everybody, and puts
/// the questions that follow. Returns what is to be told of it.
///
/// # Errors
/// Like [`write`].
pub(crate) async fn settle(
    tx: &mut PgConnection,
    (session, settings): (&Session, &ClassSettings),
    students: Option<&[UserId]>,
    cause: &Cause,
) -> Result<Vec<Fact>, WorkError> {
    let gathering = Gathering::of(tx, session, students).await?;
    let marks = lock_marks(tx, session.id, students).await?;
    let concerned: BTreeSet<UserId> = gathering.students().chain(marks.keys().copied()).collect();
    let (mut changes, mut questions) = (Vec::new(), Vec::new());
    for student in concerned {
        let before = marks.get(&student).copied();
        let gathered = gathering.of_student(student, before.as_ref());
        let Settled { change, question } = fusion::settle(before.as_ref(), &gathered, settings, session);
        changes.extend(change.map(|mark| gathering.change(student, (before, mark), cause)));
        questions.push((student, question));
    }
    conclude(tx, (session, settings), (&changes, &questions), cause).await
}

/// Writes what follows from all that was gathered of some students of a session: changes, and for each of them what a
/// person should be asked, if anything. Returns what is to be told of it.
///
/// # Errors
/// Like [`write`].
pub(crate) async fn conclude(
    tx: &mut PgConnection,
    (session, settings): (&Session, &ClassSettings),
    (changes, questions): (&[Change], &[(UserId, Option<Question>)]),
    cause: &Cause,
) -> Result<Vec<Fact>, WorkError> {
    let mut facts = rewrite(tx, session, changes).await?;
    if keeps_scans(settings) {
        let unquestioned = questions.iter().filter(|(_, question)| question.is_none());
        let unquestioned: Vec<UserId> = unquestioned.map(|(student, _)| *student).collect();
        reviews::withdraw(tx, session.id, &unquestioned, cause.handled_at).await?;
    }
    let due = questions.iter().filter_map(|(student, question)| {
        let question = question.filter(|it| it.is_due((session, settings), cause.handled_at))?;
        Some(review(session, *student, question, cause))
    });
    facts.extend(ask(tx, session, &due.collect::<Vec<_>>(), cause).await?);
    Ok(facts)
}

async fn lock_marks(
    tx: &mut PgConnection,
    session: SessionId,
    students: Option<&[UserId]>,
) -> Result<HashMap<UserId, Mark>, StoreError> {
    let Some(students) = students else {
        return Ok(attendance::lock_marks_of_session(tx, session).await?.into_iter().collect());
    };
    let by_id: HashMap<AttendanceId, UserId> =
        students.iter().map(|student| (AttendanceId::of(session, *student), *student)).collect();
    let ids: Vec<AttendanceId> = by_id.keys().copied().collect();
    let marks = attendance::lock_marks(tx, &ids).await?;
    Ok(marks.into_iter().filter_map(|(id, mark)| Some((*by_id.get(&id)?, mark))).collect())
}

/// Closes a session that the transaction holds: what rests on evidence from after the end no longer counts, what nobody
/// has counted does, and everybody enrolled at the end without a record was absent. Returns the facts to be told, and how
/// many were there.
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
    reviews::overtake(tx, session.id, ended_at, cause.handled_at).await?;
    let mut facts = settle(tx, (&session, &settings), None, cause).await?;
    looks::take_due(tx, session.id, DateTime::<Utc>::MAX_UTC).await?;
    let absent = attendance::without_record(tx, session.id, session.class_id, ended_at).await?;
    let absent: Vec<Change> = absent
        .into_iter()
        .map(|student| Change::new(session, student, (None, absence(ended_at)), cause))
        .collect();
    write(tx, &absent).await?;
    facts.extend(absent.iter().filter_map(Change::fact));
    let counts = attendance::count_by_status(tx, session.id).await?;
    facts.push(facts::session_ended(&session, (ended_at, cause.id), &counts));
    let was_there =
        |status: &AttendanceStatus| matches!(status, AttendanceStatus::Present | AttendanceStatus::Late);
    let there = counts.iter().filter(|(status, _)| was_there(status)).map(|(_, count)| u64::from(*count));
    Ok((facts, there.sum()))
}

/// The rules of a session: those of its class when it began, or is planned to.
pub(crate) async fn settings_of(
    tx: &mut PgConnection,
    session: &Session,
) -> Result<ClassSettings, StoreError> {
    classes::settings(tx, session.class_id, session.started_at.unwrap_or(session.starts_at)).await
}
