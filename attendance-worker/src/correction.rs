//! People's words about records, and their answers to reviews: each is a version of a record with its author.

use crate::{
    answers::{self, To},
    deps::{Deps, read, traced, until_uncrossed},
    error::{NotDone, WorkError},
    gathering::Gathering,
    policy::{
        evidence::stands,
        fusion,
        session::is_held_afterwards,
        word::{BadWord, accept, read_words},
    },
    records::{self, Cause, Change},
    trace::Trace,
};
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_bus::{Delivery, HandleError, Handler};
use rollcall_schemas::{
    code::Code,
    fact::{AttendanceStatus, Fact, Resolution, SessionState},
    id::{AttendanceId, ClassId, ReviewId, SessionId, UserId},
    outcome::{Answer, MarksAnswer, ReviewAnswer},
    request::{AttendanceCommand, AttendanceRequest, Verdict, Word},
};
use rollcall_store::{
    PgConnection, StoreError,
    attendance::{self, Author, Mark},
    enrolments, outbox,
    reviews::{self, Answered, Review, Subject},
    sessions::{self, Session},
};
use serde_json::{Value, json};
use std::collections::HashMap;
use tracing::Instrument;

/// Handles the requests of kind `attendance`.
pub(crate) struct CorrectRecords(pub(crate) Deps);

/// The answer to a command, and the facts that follow from it.
type Done = (Answer, Vec<Fact>);

impl CorrectRecords {
    async fn correct(&self, request: &AttendanceRequest, trace: &Trace) -> Result<(), WorkError> {
        let now = self.0.clock.now();
        let cause = Cause { id: request.request_id.0, trace_id: trace.id(), handled_at: now };
        let mut tx = self.0.begin().await?;
        if outbox::begin_handling(&mut tx, cause.id, now).await? {
            let done = Command { request, cause: &cause }.run(&mut tx).await;
            let to = To { request_id: request.request_id, caller: request.requested_by, decided_at: now };
            let (messages, facts) = to.told(done)?;
            outbox::enqueue(&mut tx, cause.id, now, &traced(messages, &trace.headers())).await?;
            tx.commit().await.map_err(StoreError::from)?;
            crate::facts::count(&facts, now);
        }
        Ok(())
    }
}

impl Handler for CorrectRecords {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        let span = tracing::info_span!("correct_records");
        let trace = Trace::take_up(&delivery, &span);
        let request: AttendanceRequest = read(&delivery)?;
        async {
            until_uncrossed(|| self.correct(&request, &trace)).await?;
            self.0.deliver(request.request_id.0).await
        }
        .instrument(span)
        .await?;
        Ok(())
    }
}

/// A command that is being carried out.
struct Command<'a> {
    request: &'a AttendanceRequest,
    cause: &'a Cause,
}

impl Command<'_> {
    async fn run(&self, tx: &mut PgConnection) -> Result<Done, NotDone> {
        match &self.request.command {
            AttendanceCommand::Mark { session_id, words } => self.mark(tx, *session_id, words).await,
            AttendanceCommand::Withdraw { session_id, student_id, reason } => {
                self.withdraw(tx, (*session_id, *student_id), reason.clone()).await
            }
            AttendanceCommand::Resolve { review_id, verdict, reason } => {
                self.resolve(tx, *review_id, (*verdict, reason.clone())).await
            }
        }
    }

    async fn mark(
        &self,
        tx: &mut PgConnection,
        session_id: SessionId,
        words: &[Word],
    ) -> Result<Done, NotDone> {
        let (session, is_held_afterwards) = self.to_be_marked(tx, session_id, words).await?;
        let settings = records::settings_of(tx, &session).await?;
        let (from, to) = (session.started_at.unwrap_or(session.starts_at), end(&session));
        let members = enrolments::members_between(tx, session.class_id, from, to).await?;
        let marks = read_words(words, &members, (&session, &settings), self.request.requested_at)
            .map_err(|bad| refuse_words(&bad))?;
        let students: Vec<UserId> = marks.iter().map(|(student, _)| *student).collect();
        let before = hold(tx, session_id, &students).await?;
        let changes: Vec<Change> = marks
            .iter()
            .zip(words)
            .map(|((student, mark), word)| {
                let before = before.get(student).copied();
                // What was scanned stays, for when the word is taken back.
                let mark = Mark { scan: before.and_then(|before| before.scan), ..*mark };
                let author = self.author(word.reason.clone());
                Change::new(session, *student, (before, mark), self.cause).by(author)
            })
            .collect();
        let mut facts = records::rewrite(tx, &session, &changes).await?;
        if is_held_afterwards {
            facts.push(crate::facts::session_started(&session, session.starts_at));
            facts.extend(records::close(tx, &session, session.ends_at, self.cause).await?.0);
        }
        let answered = marks.iter().map(|(student, mark)| answers::record(&session, *student, mark));
        Ok((Answer::Marks(MarksAnswer { session_id, records: answered.collect() }), facts))
    }

    /// The session, and whether it is held by being marked, from a list of who was there. Then it is open, for this transaction.
    async fn to_be_marked(
        &self,
        tx: &mut PgConnection,
        id: SessionId,
        words: &[Word],
    ) -> Result<(Session, bool), NotDone> {
        let session = share(tx, id).await?;
        if session.state == SessionState::Cancelled {
            return Err(refuse(Code::Conflict, "The session is cancelled.", json!({ "sessionId": id })));
        }
        let is_held = |session: &Session| is_held_afterwards(session, self.request.requested_at);
        let says_who_was_there = words.iter().any(|word| word.status != AttendanceStatus::Excused);
        if !is_held(&session) || !says_who_was_there {
            return Ok((session, false));
        }
        let session = sessions::lock(tx, id).await?.filter(is_held);
        let session = session.ok_or(WorkError::Crossed)?;
        sessions::start(tx, id, session.starts_at).await?;
        let started_at = Some(session.starts_at);
        Ok((Session { state: SessionState::Active, started_at, ..session }, true))
    }

    async fn withdraw(
        &self,
        tx: &mut PgConnection,
        (session_id, student): (SessionId, UserId),
        reason: Option<String>,
    ) -> Result<Done, NotDone> {
        let session = share(tx, session_id).await?;
        let settings = records::settings_of(tx, &session).await?;
        let before = hold(tx, session_id, &[student]).await?.get(&student).copied();
        let Some(before) = before.filter(stands) else {
            let details = json!({ "sessionId": session_id, "studentId": student });
            return Err(refuse(Code::Conflict, "No person's word stands on this record.", details));
        };
        let gathering = Gathering::of(tx, &session, Some(&[student])).await?;
        let gathered = gathering.of_student(student, Some(&before));
        let ended_with = match session.ended_at {
            Some(ended_at) if was_member(tx, (session.class_id, student), ended_at).await? => Some(ended_at),
            _ => None,
        };
        let (mark, question) = fusion::unsaid((&before, ended_with), &gathered, &settings, &session);
        let change = mark
            .map(|mark| gathering.change(student, (Some(before), mark), self.cause).by(self.author(reason)));
        let mut facts = match mark {
            Some(_) => Vec::new(),
            None => records::remove(tx, &session, (student, &before), self.cause).await?,
        };
        let follows = (change.as_slice(), [(student, question)]);
        facts
            .extend(records::conclude(tx, (&session, &settings), (follows.0, &follows.1), self.cause).await?);
        let records = mark.iter().map(|mark| answers::record(&session, student, mark)).collect();
        Ok((Answer::Marks(MarksAnswer { session_id, records }), facts))
    }

    async fn resolve(
        &self,
        tx: &mut PgConnection,
        id: ReviewId,
        (verdict, reason): (Verdict, Option<String>),
    ) -> Result<Done, NotDone> {
        let Review { session_id, student_id: asked_about, .. } = find_review(tx, id).await?;
        let session = share(tx, session_id).await?;
        let (resolution, student) = match verdict {
            Verdict::Accept => (Resolution::Accepted, asked_about),
            Verdict::Reassign { student_id } if student_id == asked_about => {
                (Resolution::Accepted, asked_about)
            }
            Verdict::Reject => (Resolution::Rejected, asked_about),
            Verdict::Reassign { student_id } => (Resolution::Reassigned, student_id),
        };
        let before = hold(tx, session_id, &[asked_about, student]).await?.get(&student).copied();
        // As it is now that nobody else can answer it.
        let review = find_review(tx, id).await?;
        if let Some(became) = review.resolution {
            let details = json!({ "reviewId": id, "resolution": became });
            return Err(refuse(Code::Conflict, "The review is answered already.", details));
        }
        let mark = match resolution {
            Resolution::Rejected => None,
            _ => self.believed(tx, &session, (&review, student), before.as_ref()).await?,
        };
        let answered = Answered {
            resolution,
            by: self.request.requested_by,
            why: reason.clone(),
            reassigned_to: (resolution == Resolution::Reassigned).then_some(student),
            at: self.request.requested_at,
        };
        reviews::answer(tx, id, &answered).await?;
        let change = mark
            .map(|mark| Change::new(session, student, (before, mark), self.cause).by(self.author(reason)));
        let mut facts = records::rewrite(tx, &session, change.as_slice()).await?;
        facts.push(crate::facts::review_resolved(&session, &review, &answered, self.cause.id));
        if resolution != Resolution::Accepted {
            // What stood behind the question that was answered.
            let settings = records::settings_of(tx, &session).await?;
            let of = (&session, &settings);
            facts.extend(records::settle(tx, of, Some(&[asked_about]), self.cause).await?);
        }
        let record = mark.or(before).map(|mark| answers::record(&session, student, &mark));
        Ok((Answer::Review(ReviewAnswer { review_id: id, resolution, record }), facts))
    }

    /// What the record of `student` says once the evidence of a review is taken for theirs; `None` when it stays.
    async fn believed(
        &self,
        tx: &mut PgConnection,
        session: &Session,
        (review, student): (&Review, UserId),
        before: Option<&Mark>,
    ) -> Result<Option<Mark>, NotDone> {
        if student != review.student_id {
            check_reassignment(tx, session, (review, student)).await?;
        }
        let settings = records::settings_of(tx, session).await?;
        accept(review, student, before, (session, &settings)).map_err(|reason| {
            refuse(Code::Conflict, &format!("It cannot count: {reason}."), json!({ "reviewId": review.id }))
        })
    }

    fn author(&self, reason: Option<String>) -> Author {
        let AttendanceRequest { requested_by: user_id, requested_at: said_at, .. } = *self.request;
        Author { user_id, reason, said_at }
    }
}

/// Whether the face of a review may be `student`'s: somebody else, who was in the class then. A scan is its student's.
async fn check_reassignment(
    tx: &mut PgConnection,
    session: &Session,
    (review, student): (&Review, UserId),
) -> Result<(), NotDone> {
    let details = json!({ "reviewId": review.id, "studentId": student });
    if matches!(review.subject, Subject::Scan(_)) {
        return Err(refuse(Code::Conflict, "A scan is by the student who made it.", details));
    }
    if was_member(tx, (session.class_id, student), review.captured_at).await? {
        return Ok(());
    }
    Err(refuse(Code::NotEnrolled, "The student was not in the class at that time.", details))
}

async fn was_member(
    tx: &mut PgConnection,
    (class, student): (ClassId, UserId),
    at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let members = enrolments::members_between(tx, class, at, at + TimeDelta::microseconds(1)).await?;
    Ok(members.iter().any(|(member, _)| *member == student))
}

async fn share(tx: &mut PgConnection, id: SessionId) -> Result<Session, NotDone> {
    let session = sessions::share(tx, id).await?;
    session.ok_or_else(|| refuse(Code::NotFound, "There is no such session.", json!({ "sessionId": id })))
}

async fn find_review(tx: &mut PgConnection, id: ReviewId) -> Result<Review, NotDone> {
    let review = reviews::find(tx, id).await?;
    review.ok_or_else(|| refuse(Code::NotFound, "There is no such review.", json!({ "reviewId": id })))
}

/// Holds the marks of these students alone, and reads what there is of them.
async fn hold(
    tx: &mut PgConnection,
    session: SessionId,
    students: &[UserId],
) -> Result<HashMap<UserId, Mark>, StoreError> {
    let of = |student: &UserId| (AttendanceId::of(session, *student), *student);
    let by_id: HashMap<AttendanceId, UserId> = students.iter().map(of).collect();
    let ids: Vec<AttendanceId> = by_id.keys().copied().collect();
    attendance::hold_marks(tx, &ids).await?;
    let marks = attendance::lock_marks(tx, &ids).await?;
    Ok(marks.into_iter().filter_map(|(id, mark)| Some((*by_id.get(&id)?, mark))).collect())
}

fn end(session: &Session) -> DateTime<Utc> {
    session.ended_at.unwrap_or(session.ends_at)
}

/// All that is wrong with a list, line by line; its fields are named as the api's caller named them.
fn refuse_words(bad: &[BadWord]) -> NotDone {
    let field = |BadWord { place, field, reason }: &BadWord| json!({ "field": format!("records[{place}].{field}"), "message": reason });
    let fields: Vec<Value> = bad.iter().map(field).collect();
    refuse(
        Code::ValidationFailed,
        "Nothing is marked: some lines are not valid.",
        json!({ "fields": fields }),
    )
}

fn refuse(code: Code, message: &str, details: Value) -> NotDone {
    NotDone::Refused(answers::refusal(code, message, details))
}
