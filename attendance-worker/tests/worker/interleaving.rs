//! A session that many clients start, end, open again and give new codes at once, while its students scan. Whatever comes
//! in whatever order: no move that the state does not allow, nobody recorded twice, and what is recorded follows from when
//! it happened.

use crate::harness::{SOON, School, at, verdict};
use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use rollcall_bus::Message;
use rollcall_schemas::{
    code::Code,
    fact::{AttendanceStatus, Evidence, FactEvent, SessionState},
    id::{SessionId, UserId},
    outcome::{Answer, OutcomeResult},
    request::SessionCommand,
    scan::QrToken,
    subject,
};
use rollcall_store::{
    attendance::{self, ScanQuestion},
    session_views,
    sessions::{self, Pause},
};
use std::{
    collections::{BTreeMap, HashSet},
    sync::atomic::{AtomicI64, Ordering},
};

const STUDENTS: usize = 10;
const CLIENTS: usize = 6;
const ACTS: usize = 11;
/// Seconds between one act and the next, so that some of those who come are late.
const PACE: i64 = 11;
/// Seconds after the beginning from which on a student is late.
const LATE_AFTER: i64 = 600;

/// A lesson that everybody acts on.
struct Lesson<'a> {
    school: &'a School,
    session: SessionId,
    /// Seconds after the beginning: each act happens later than those before it, and may be handled earlier.
    now: AtomicI64,
}

/// A scan that was not refused for what it is: it may count.
struct Scanned {
    student: UserId,
    token: QrToken,
    seconds: i64,
}

/// What was done and not refused.
#[derive(Default)]
struct Done {
    starts: usize,
    ends: usize,
    reopenings: usize,
    scans: Vec<Scanned>,
}

impl Lesson<'_> {
    fn draw(&self, below: usize) -> usize {
        (self.school.entropy.uuid_v4().as_u128() % below as u128) as usize
    }

    async fn client(&self) -> Result<Done> {
        let mut done = Done::default();
        for _ in 0..ACTS {
            let seconds = self.now.fetch_add(PACE, Ordering::Relaxed);
            let session_id = self.session;
            match self.draw(10) {
                0 => done.starts += self.command(seconds, SessionCommand::Start { session_id }).await?,
                1 | 2 => done.ends += self.command(seconds, SessionCommand::End { session_id }).await?,
                3 | 4 => {
                    let reopen = SessionCommand::Reopen { session_id, ends_at: None, reason: "again".into() };
                    done.reopenings += self.command(seconds, reopen).await?;
                }
                5 => drop(self.command(seconds, SessionCommand::RotateQr { session_id }).await?),
                _ => done.scans.extend(self.scan(seconds).await?),
            }
        }
        Ok(done)
    }

    /// 1 when it is carried out; a refusal must be that of an illegal move.
    async fn command(&self, seconds: i64, command: SessionCommand) -> Result<usize> {
        match self.school.ask(&self.school.request(seconds, command)).await?.result {
            OutcomeResult::Succeeded { answer: Answer::Session(_) } => Ok(1),
            OutcomeResult::Failed(refusal) if refusal.code == Code::Conflict => Ok(0),
            other => bail!("{other:?}"),
        }
    }

    async fn scan(&self, seconds: i64) -> Result<Option<Scanned>> {
        let student = self.school.students[self.draw(STUDENTS)];
        let Ok(token) = self.school.token(self.session, seconds).await else { return Ok(None) };
        let scan = self.school.scan_of(student, token, seconds);
        let message = Message::json(subject::scan_captured(), scan.scan_id, &scan)?;
        let outcome = self.school.bus.ask(message, scan.request_id, SOON).await?;
        match verdict(&outcome)? {
            Ok(_) | Err(Code::AlreadyMarkedAttendance) => Ok(Some(Scanned { student, token, seconds })),
            Err(Code::SessionNotActive | Code::QrTokenExpired) => Ok(None),
            Err(code) => bail!("a scan was refused with {code}"),
        }
    }

    /// Those of the scans that happened while the session was open, as it turned out to be, each with whether its code was
    /// good then: a code that is replaced while a scan of it is on its way may still be taken.
    async fn while_open(&self, scans: Vec<Scanned>, pauses: &[Pause]) -> Result<Vec<(Scanned, bool)>> {
        let mut tx = self.school.pool.begin().await?;
        let questions: Vec<_> = scans
            .iter()
            .map(|scan| ScanQuestion { token: scan.token, student_id: scan.student, at: at(scan.seconds) })
            .collect();
        let contexts = attendance::scan_contexts(&mut tx, &questions).await?;
        let mut counted = Vec::new();
        for (scan, context) in scans.into_iter().zip(contexts) {
            let context = context.context("a code that was shown is known")?;
            let ended_at = context.session.ended_at.context("the session has ended")?;
            let when = at(scan.seconds);
            let is_pause = |pause: &Pause| (pause.closed_at..pause.reopened_at).contains(&when);
            if when < ended_at && !pauses.iter().any(is_pause) {
                counted.push((scan, when < context.expires_at));
            }
        }
        Ok(counted)
    }
}

#[tokio::test]
async fn whoever_acts_on_a_session_at_once_it_stays_whole() -> Result<()> {
    for round in 0..2 {
        let school = School::open(STUDENTS).await?;
        // Another course of events each time.
        for _ in 0..round {
            school.entropy.uuid_v4();
        }
        let workers = [school.work(), school.work()];
        let lesson = Lesson { school: &school, session: school.lesson().await?, now: AtomicI64::new(PACE) };
        let done = try_join_all((0..CLIENTS).map(|_| lesson.client())).await?;
        let last = lesson.now.load(Ordering::Relaxed);
        // Whether or not somebody has ended it already.
        let last_end = lesson.command(last, SessionCommand::End { session_id: lesson.session }).await?;
        for worker in workers {
            worker.stop(SOON).await?;
        }

        let total = |count: fn(&Done) -> usize| done.iter().map(count).sum::<usize>();
        assert_eq!(total(|done| done.starts), 0, "it was started before");
        let told = school.fact_counts().await?;
        let counted = |name: &str| told.get(name).copied().unwrap_or_default();
        assert_eq!(counted("session.started"), 1);
        assert_eq!(counted("session.ended"), total(|done| done.ends) + last_end);
        assert_eq!(counted("session.reopened"), total(|done| done.reopenings));
        assert!(total(|done| done.reopenings) > 0, "nothing was tried");

        let mut connection = school.pool.acquire().await?;
        let session = session_views::find(&mut connection, lesson.session).await?.context("it is there")?;
        assert_eq!(session.state, SessionState::Completed);
        let pauses = sessions::pauses(&mut connection, lesson.session).await?;
        assert_eq!(pauses.len(), total(|done| done.reopenings));
        let times = pauses.iter().flat_map(|pause| [pause.closed_at, pause.reopened_at]);
        let times: Vec<_> = session.started_at.into_iter().chain(times).chain(session.ended_at).collect();
        assert!(times.is_sorted(), "it was closed and opened in turn: {times:?}");

        let scans: Vec<_> = done.into_iter().flat_map(|done| done.scans).collect();
        let scans = lesson.while_open(scans, &pauses).await?;
        let end = (session.ended_at.context("it has ended")? - at(0)).num_seconds();
        let records = school.records(lesson.session).await?;
        assert_eq!(school.rows(lesson.session).await?.len(), STUDENTS, "everybody has one record");
        for student in &school.students {
            let own = || scans.iter().filter(|(scan, _)| scan.student == *student);
            let good = own().filter(|(_, is_good)| *is_good).map(|(scan, _)| scan.seconds).min();
            let (status, seconds, evidence) = records[student];
            if evidence == Evidence::None {
                assert_eq!((status, seconds, good), (AttendanceStatus::Absent, end, None));
                continue;
            }
            let by_time =
                if seconds > LATE_AFTER { AttendanceStatus::Late } else { AttendanceStatus::Present };
            assert_eq!((status, evidence), (by_time, Evidence::Qr));
            assert!(own().any(|(scan, _)| scan.seconds == seconds), "a record rests on a scan that counts");
            assert!(
                good.is_none_or(|good| seconds <= good),
                "an earlier scan counts: {good:?}, not {seconds}"
            );
        }
        each_record_was_told(&school, &records).await?;
    }
    Ok(())
}

/// What the records say was told, and nothing was told twice.
async fn each_record_was_told(
    school: &School,
    records: &BTreeMap<UserId, (AttendanceStatus, i64, Evidence)>,
) -> Result<()> {
    let facts = school.facts().await?;
    let ids: HashSet<_> = facts.iter().map(|fact| fact.fact_id).collect();
    assert_eq!(ids.len(), facts.len(), "a fact was told twice");
    let told: HashSet<_> = facts
        .iter()
        .filter_map(|fact| match fact.event {
            FactEvent::AttendanceRecorded { student_id, status, .. }
            | FactEvent::AttendanceCorrected { student_id, to: status, .. } => Some((student_id, status)),
            _ => None,
        })
        .collect();
    for (student, (status, ..)) in records {
        assert!(told.contains(&(*student, *status)), "{student} is {status}, and nobody was told");
    }
    Ok(())
}
