//! Scans become records, or named refusals. Scans that arrive together are decided and committed together.

use crate::{
    answers::{self, To},
    deps::{Deps, publish, read, traced, until_uncrossed},
    error::WorkError,
    facts,
    gathering::Gathering,
    group::Group,
    guard::{self, Checked, Guard},
    policy::{
        evidence::is_settled,
        fusion::keeps_scans,
        protection::ScanDoubt,
        scan::{ScanDecision, decide_scan},
    },
    records::{self, Cause, Change},
    trace::Trace,
};
use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use rollcall_bus::{Delivery, HandleError, Handler};
use rollcall_schemas::{
    code::Code,
    fact::Fact,
    id::{AttendanceId, SessionId, UserId},
    outcome::Outcome,
    scan::Scan,
};
use rollcall_store::{
    PgConnection, StoreError,
    attendance::{self, Mark, ScanContext, ScanMark, ScanQuestion},
    looks::{self, KeptScan},
    outbox::{self, OutboxMessage},
    reviews::{self, Review},
    sessions::{self, Session},
};
use std::collections::{BTreeMap, HashMap, HashSet};
use tracing::Instrument;
use uuid::Uuid;

/// Handles SCANS.
pub(crate) struct RecordScan {
    deps: Deps,
    decisions: Group<Job, Result<Told, HandleError>>,
    marks: Group<Vec<Uuid>, Result<(), HandleError>>,
}

/// A scan to be decided.
#[derive(Clone)]
struct Job {
    scan: Scan,
    trace: Trace,
}

/// What is to be told of a scan whose transaction is committed.
enum Told {
    /// These messages, which nobody has published yet.
    New(Vec<OutboxMessage>),
    /// What is left in the outbox: the scan was decided before.
    Before,
}

impl RecordScan {
    pub(crate) fn new(deps: Deps) -> Self {
        Self { deps, decisions: Group::default(), marks: Group::default() }
    }

    async fn record(&self, job: Job) -> Result<(), HandleError> {
        let scan_id = job.scan.scan_id;
        let told = self.decisions.join(job, |jobs| self.decide_all(jobs)).await;
        match told.unwrap_or_else(|| Err(WorkError::Abandoned.into()))? {
            Told::Before => Ok(self.deps.deliver(scan_id.0).await?),
            Told::New(messages) => {
                let ids = messages.iter().map(|message| message.id).collect();
                let publish = |message| publish(self.deps.bus.clone(), message);
                try_join_all(messages.into_iter().map(publish)).await?;
                let marked = self.marks.join(ids, |groups| self.mark_all(groups)).await;
                marked.unwrap_or_else(|| Err(WorkError::Abandoned.into()))
            }
        }
    }

    async fn decide_all(&self, jobs: Vec<Job>) -> Vec<Result<Told, HandleError>> {
        let decided = until_uncrossed(|| self.decide(&jobs)).await;
        match decided {
            Ok(told) => told.into_iter().map(Ok).collect(),
            // One bad scan must not take the others with it.
            Err(WorkError::Store(error))
                if jobs.len() > 1 && !matches!(error, StoreError::Unavailable(_)) =>
            {
                let mut results = Vec::with_capacity(jobs.len());
                for job in jobs {
                    results.push(Box::pin(self.decide_all(vec![job])).await.remove(0));
                }
                results
            }
            Err(error) => {
                let error = HandleError::from(error);
                jobs.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }

    /// Decides about all `jobs` in one transaction.
    async fn decide(&self, jobs: &[Job]) -> Result<Vec<Told>, WorkError> {
        let now = self.deps.clock.now();
        let mut tx = self.deps.begin().await?;
        let ids: Vec<Uuid> = jobs.iter().map(|job| job.scan.scan_id.0).collect();
        let mut fresh: HashSet<Uuid> =
            outbox::begin_handling_each(&mut tx, &ids, now).await?.into_iter().collect();
        // The same scan twice in one group is one scan, told by the first of the two.
        let mut open: Vec<&Job> = jobs.iter().filter(|job| fresh.remove(&job.scan.scan_id.0)).collect();
        // By time, so that of two scans in one group the earlier one is the record, whichever came first.
        open.sort_by_key(|job| (job.scan.scanned_at, job.scan.scan_id));
        let mut decided = decide_open(&mut tx, &open, now).await?;
        let changes: Vec<Change> = decided.iter().filter_map(|decided| decided.change.clone()).collect();
        records::write(&mut tx, &changes).await?;
        let kept: Vec<KeptScan> = decided.iter().filter_map(|decided| decided.kept.clone()).collect();
        looks::keep_scans(&mut tx, &kept).await?;
        for (job, decided) in open.iter().zip(&mut decided) {
            if let Some((session, review)) = decided.review.take() {
                let id = review.id;
                decided.facts.extend(records::ask(&mut tx, &session, &[review], &job.cause(now)).await?);
                // A person has said no to it before: nobody is asked, and nobody should wait for an answer.
                if decided.doubt.is_some() && reviews::is_answered(&mut tx, id).await? {
                    decided.refuse(job, &session, now);
                }
            }
        }
        let messages: Vec<(Uuid, OutboxMessage)> = open
            .iter()
            .zip(&decided)
            .flat_map(|(job, decided)| {
                decided.messages(job).into_iter().map(|message| (job.scan.scan_id.0, message))
            })
            .collect();
        let added: HashSet<Uuid> = outbox::enqueue_each(&mut tx, now, &messages).await?.into_iter().collect();
        tx.commit().await.map_err(StoreError::from)?;
        for decided in &decided {
            decided.count(now);
        }
        let mut new = HashMap::<Uuid, Vec<OutboxMessage>>::new();
        for (scan_id, message) in messages.into_iter().filter(|(_, message)| added.contains(&message.id)) {
            new.entry(scan_id).or_default().push(message);
        }
        Ok(ids.iter().map(|id| new.remove(id).map_or(Told::Before, Told::New)).collect())
    }

    async fn mark_all(&self, groups: Vec<Vec<Uuid>>) -> Vec<Result<(), HandleError>> {
        let ids = groups.concat();
        let marked = outbox::mark_published(&self.deps.pool, &ids).await;
        let result = marked.map_err(|error| HandleError::from(WorkError::from(error)));
        groups.iter().map(|_| result.clone()).collect()
    }
}

impl Handler for RecordScan {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        let span = tracing::info_span!("record_scan");
        let trace = Trace::take_up(&delivery, &span);
        let scan: Scan = read(&delivery)?;
        self.record(Job { scan, trace }).instrument(span).await
    }
}

/// What came of one scan.
struct Decided {
    change: Option<Change>,
    kept: Option<KeptScan>,
    review: Option<(Session, Review)>,
    /// Why it is no evidence, if it is kept all the same.
    doubt: Option<ScanDoubt>,
    refusal: Option<Code>,
    /// Whether it was held against its class's rules against codes that are passed on.
    was_held: bool,
    facts: Vec<Fact>,
    outcome: Outcome,
}

/// Decides about scans in the order of their times, each knowing what those before it changed.
async fn decide_open(
    tx: &mut PgConnection,
    jobs: &[&Job],
    now: DateTime<Utc>,
) -> Result<Vec<Decided>, StoreError> {
    let tokens: Vec<Uuid> = jobs.iter().map(|job| job.scan.token.0).collect();
    sessions::share_of_tokens(tx, &tokens).await?;
    let questions: Vec<ScanQuestion> = jobs.iter().map(|job| job.question()).collect();
    let contexts = attendance::scan_contexts(tx, &questions).await?;
    let ids: Vec<AttendanceId> =
        jobs.iter().zip(&contexts).filter_map(|(job, context)| job.record_id(context.as_ref())).collect();
    let scans: Vec<(&Scan, Option<&ScanContext>)> =
        jobs.iter().zip(&contexts).map(|(job, context)| (&job.scan, context.as_ref())).collect();
    let locks: Vec<AttendanceId> = ids.iter().copied().chain(guard::locks(&scans)).collect();
    attendance::hold_marks(tx, &locks).await?;
    let mut marks: HashMap<AttendanceId, Mark> =
        attendance::lock_marks(tx, &ids).await?.into_iter().collect();
    let mut guard = Guard::of(tx, &scans).await?;
    let mut gatherings = gather(tx, jobs, &contexts).await?;
    let mut all = Vec::with_capacity(jobs.len());
    for (place, (job, context)) in jobs.iter().zip(&contexts).enumerate() {
        let context = context.as_ref();
        let id = job.record_id(context);
        let before = id.and_then(|id| marks.get(&id).copied());
        let checked = guard.check(place, &job.scan, context);
        let gathering = context.and_then(|context| gatherings.get_mut(&context.session.id));
        let decided = job.decide((context, before), gathering.as_deref(), checked.as_ref(), now);
        marks.extend(id.zip(decided.change.as_ref().map(|change| change.record.mark)));
        if let Some((gathering, scan)) = gathering.zip(decided.kept.clone()) {
            gathering.add(scan);
        }
        if let Some(checked) = checked.filter(|_| decided.was_held) {
            guard.note(checked, decided.refusal.is_none());
        }
        all.push(decided);
    }
    guard.keep(tx).await?;
    Ok(all)
}

/// What else was seen of those who scanned, in the sessions whose class wants more than a scan.
async fn gather(
    tx: &mut PgConnection,
    jobs: &[&Job],
    contexts: &[Option<ScanContext>],
) -> Result<HashMap<SessionId, Gathering>, StoreError> {
    let mut wanted = BTreeMap::<SessionId, (&ScanContext, Vec<UserId>)>::new();
    for (job, context) in jobs.iter().zip(contexts) {
        if let Some(context) = context.as_ref().filter(|context| keeps_scans(&context.settings)) {
            let (_, students) = wanted.entry(context.session.id).or_insert((context, Vec::new()));
            students.push(job.scan.student_id);
        }
    }
    let mut gatherings = HashMap::new();
    for (id, (context, students)) in wanted {
        gatherings.insert(id, Gathering::of(tx, &context.session, Some(&students)).await?);
    }
    Ok(gatherings)
}

impl Job {
    fn question(&self) -> ScanQuestion {
        let Scan { token, student_id, scanned_at, .. } = self.scan;
        ScanQuestion { token, student_id, at: scanned_at }
    }

    fn record_id(&self, context: Option<&ScanContext>) -> Option<AttendanceId> {
        Some(AttendanceId::of(context?.session.id, self.scan.student_id))
    }

    fn cause(&self, now: DateTime<Utc>) -> Cause {
        Cause { id: self.scan.scan_id.0, trace_id: self.trace.id(), handled_at: now }
    }

    fn decide(
        &self,
        (context, before): (Option<&ScanContext>, Option<Mark>),
        gathering: Option<&Gathering>,
        checked: Option<&Checked>,
        now: DateTime<Utc>,
    ) -> Decided {
        let Scan { scan_id, scanned_at, request_id, student_id, .. } = self.scan;
        let gathered = gathering.map(|gathering| gathering.of_student(student_id, before.as_ref()));
        let known = (before.as_ref(), &gathered.unwrap_or_default());
        let decision = decide_scan(scan_id, scanned_at, context, known);
        let was_held = decision.is_good();
        let objection = checked.and_then(|checked| checked.objection);
        let ScanDecision { change, refusal, kept, doubt, question } =
            decision.held_against(objection, ScanMark { scanned_at, scan_id });
        let to = To { request_id, caller: student_id, decided_at: now };
        let outcome = match (refusal, context, change) {
            (None, Some(context), Some(mark)) if is_settled(&mark) => {
                to.succeeded(answers::attendance(&context.session, &self.scan, &mark))
            }
            (None, Some(context), _) => {
                to.succeeded(answers::scan_kept(&context.session, &self.scan, doubt.is_some()))
            }
            (refusal, ..) => {
                let code = refusal.unwrap_or(Code::AlreadyMarkedAttendance);
                to.failed(answers::scan_refusal(code, context, change.or(before).as_ref()))
            }
        };
        let session = context.map(|context| context.session);
        let change = session.zip(change).map(|(session, mark)| self.change(session, (before, mark), now));
        let refused = refusal.map(|code| facts::scan_refused(&self.scan, code, session.as_ref()));
        let facts = change.iter().filter_map(Change::fact).chain(refused).collect();
        let (asked, ask_at) = match question.zip(context) {
            None => (None, None),
            Some((question, context)) if question.is_due((&context.session, &context.settings), now) => {
                (session.map(|it| (it, records::review(&it, student_id, question, &self.cause(now)))), None)
            }
            Some((question, context)) => (None, question.waits_until(&context.settings)),
        };
        let kept = session.zip(kept).map(|(session, scan)| KeptScan {
            ask_at,
            doubt: doubt.map(|doubt| doubt.as_str().to_owned()),
            ..self.kept(&session, scan)
        });
        Decided { change, kept, review: asked, doubt, refusal, was_held, facts, outcome }
    }

    fn change(&self, session: Session, marks: (Option<Mark>, Mark), now: DateTime<Utc>) -> Change {
        let mut change = Change::new(session, self.scan.student_id, marks, &self.cause(now));
        change.record.origin.ip = self.scan.ip;
        change.record.origin.user_agent = self.scan.user_agent.clone();
        change
    }

    fn kept(&self, session: &Session, scan: ScanMark) -> KeptScan {
        KeptScan {
            session_id: session.id,
            student_id: self.scan.student_id,
            scan,
            ip: self.scan.ip,
            user_agent: self.scan.user_agent.clone(),
            ask_at: None,
            doubt: None,
        }
    }
}

impl Decided {
    /// Refuses a scan for the doubt about it.
    fn refuse(&mut self, job: &Job, session: &Session, now: DateTime<Utc>) {
        let Some(code) = self.doubt.map(ScanDoubt::code) else { return };
        let Scan { request_id, student_id, .. } = job.scan;
        let to = To { request_id, caller: student_id, decided_at: now };
        self.outcome = to.failed(answers::scan_doubted(code, session));
        self.facts.push(facts::scan_refused(&job.scan, code, Some(session)));
        self.refusal = Some(code);
    }

    /// The facts and the answer.
    fn messages(&self, job: &Job) -> Vec<OutboxMessage> {
        let mut messages: Vec<_> = self.facts.iter().map(OutboxMessage::fact).collect();
        messages.push(OutboxMessage::outcome(&self.outcome));
        traced(messages, &job.trace.headers())
    }

    fn count(&self, now: DateTime<Utc>) {
        facts::count(&self.facts, now);
        let accepted = if self.change.is_some() { "recorded" } else { "kept" };
        let result = self.refusal.map_or(accepted, Code::as_str);
        metrics::counter!("rollcall_attendance_scans_total", "result" => result).increment(1);
    }
}
