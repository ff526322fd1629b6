//! The worker in small: a session, what was seen of one student, the record and the question about it, changed only by
//! the rules.

use super::{
    super::{
        evidence::{absence, stands},
        face::superfluous,
        fusion::{Gathered, Settled, settle, unsaid},
        protection::{Objection, ScanDoubt},
        question::Question,
        scan::decide_scan,
        session::{end, span},
    },
    *,
};
use rollcall_schemas::code::Code;
use std::collections::BTreeMap;

/// What can reach the record of one student. Seconds are from the planned beginning of the session.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arrival {
    Scan {
        n: u128,
        seconds: i64,
    },
    /// A scan about which a person decides.
    DoubtedScan {
        n: u128,
        seconds: i64,
    },
    Look {
        n: u128,
        seconds: i64,
        certain: bool,
    },
    End {
        n: u128,
        seconds: i64,
    },
    /// The session goes on from `at` until `until`. What happened while it was closed does not count.
    Reopen {
        at: i64,
        until: i64,
    },
    /// A person says so.
    Say {
        status: AttendanceStatus,
        seconds: i64,
    },
    /// And takes it back.
    TakeBack,
}

pub(super) struct World {
    settings: ClassSettings,
    session: Session,
    pub(super) record: Option<Mark>,
    /// Why the scans were refused that were.
    pub(super) refusals: Vec<Code>,
    votes: BTreeMap<u128, Vote>,
    scans: Vec<ScanMark>,
    doubted: Vec<(ScanMark, ScanDoubt)>,
    asked: Option<Question>,
}

impl World {
    pub(super) fn new(settings: ClassSettings, session: Session) -> Self {
        Self {
            settings,
            session,
            record: None,
            refusals: Vec::new(),
            votes: BTreeMap::new(),
            scans: Vec::new(),
            doubted: Vec::new(),
            asked: None,
        }
    }

    pub(super) fn after(settings: ClassSettings, arrivals: &[Arrival]) -> Self {
        let mut world = Self::new(settings, session());
        arrivals.iter().for_each(|arrival| world.take(*arrival));
        world
    }

    pub(super) fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Scan { n, seconds } => self.scan(n, at(seconds), None),
            Arrival::DoubtedScan { n, seconds } => {
                self.scan(n, at(seconds), Some(Objection::Review(ScanDoubt::TooFar)));
            }
            Arrival::Look { n, seconds, certain } => self.look(n, vote(n, at(seconds), certain)),
            Arrival::End { seconds, .. } => {
                let Ok(ended_at) = end(&self.session, at(seconds)) else { return };
                let state = SessionState::Completed;
                self.session = Session { state, ended_at: Some(ended_at), ..self.session };
                self.settle();
                self.record = self.record.or(Some(absence(ended_at)));
            }
            Arrival::Reopen { at: reopened, until } => {
                let closed = span(&self.session).unwrap().end..at(reopened);
                self.votes.retain(|_, vote| !closed.contains(&vote.captured_at));
                let counts = |scan: &ScanMark| !closed.contains(&scan.scanned_at);
                self.scans.retain(counts);
                self.doubted.retain(|(scan, _)| counts(scan));
                let is_absence =
                    |mark: &Mark| (mark.status, mark.evidence) == (AttendanceStatus::Absent, Kind::None);
                let kept = self.record.filter(|mark| !is_absence(mark));
                self.record = kept.map(|mark| Mark { scan: mark.scan.filter(counts), ..mark });
                let ends_at = at(until);
                self.session =
                    Session { state: SessionState::Active, ended_at: None, ends_at, ..self.session };
            }
            Arrival::Say { status, seconds } => {
                let scan = self.record.and_then(|mark| mark.scan);
                self.record = Some(Mark { scan, ..mark(status, at(seconds), Kind::Manual) });
            }
            Arrival::TakeBack => {
                let Some(word) = self.record.filter(stands) else { return };
                let (mark, question) =
                    unsaid((&word, self.session.ended_at), &self.gathered(), &self.settings, &self.session);
                self.record = mark;
                self.ask(question);
            }
        }
    }

    fn scan(&mut self, n: u128, when: DateTime<Utc>, objection: Option<Objection>) {
        let (session, settings) = (self.session, self.settings);
        let context = ScanContext { session, settings, expires_at: when + minutes(1), ..context() };
        let gathered = self.gathered();
        let decision = decide_scan(scan_id(n), when, Some(&context), (self.record.as_ref(), &gathered));
        let decision = decision.held_against(objection, ScanMark { scanned_at: when, scan_id: scan_id(n) });
        self.refusals.extend(decision.refusal);
        match decision.doubt {
            Some(doubt) => self.doubted.extend(decision.kept.map(|scan| (scan, doubt))),
            None => self.scans.extend(decision.kept),
        }
        self.record = decision.change.or(self.record);
        if decision.question.is_some() {
            self.ask(decision.question);
        }
    }

    fn look(&mut self, n: u128, vote: Vote) {
        self.votes.entry(n).or_insert(vote);
        let all: Vec<Vote> = self.votes.values().copied().collect();
        let gone = superfluous(&all, &self.settings, &span(&self.session).unwrap());
        self.votes.retain(|_, vote| !gone.contains(&vote.sighting_id));
        if self.votes.contains_key(&n) {
            self.settle();
        }
    }

    fn settle(&mut self) {
        let gathered = self.gathered();
        // What was seen in an open session of whom nothing is enough makes no record.
        let Settled { change, question } =
            settle(self.record.as_ref(), &gathered, &self.settings, &self.session);
        self.record = change.or(self.record);
        self.ask(question);
    }

    /// A question that has no object any more is taken back, one that is open stays, and none is put before it is due.
    fn ask(&mut self, question: Option<Question>) {
        // The clock stands still: only the end of the session makes a missing face due.
        let of = (&self.session, &self.settings);
        if question.is_none() {
            self.asked = None;
        } else if self.open_question().is_none() {
            self.asked = question.filter(|question| question.is_due(of, at(0))).or(self.asked);
        }
    }

    fn gathered(&self) -> Gathered {
        let kept = self.scans.iter().copied();
        Gathered {
            scans: kept.chain(self.record.and_then(|mark| mark.scan)).collect(),
            doubted: self.doubted.clone(),
            votes: self.votes.values().copied().collect(),
            face_is_refused: false,
        }
    }

    fn is_there(&self) -> bool {
        self.record
            .is_some_and(|mark| matches!(mark.status, AttendanceStatus::Present | AttendanceStatus::Late))
    }

    /// What waits for a person.
    pub(super) fn open_question(&self) -> Option<Question> {
        let span = span(&self.session).unwrap();
        let is_answered = self.is_there() || self.record.as_ref().is_some_and(stands);
        self.asked.filter(|question| !is_answered && span.contains(&question.at()))
    }

    /// What the record says, and the scan it rests on if the student was there. A scan that does not count may be kept.
    pub(super) fn says(&self) -> Option<Mark> {
        let span = span(&self.session).unwrap();
        let counts = |scan: &ScanMark| self.is_there() && span.contains(&scan.scanned_at);
        self.record.map(|mark| Mark { scan: mark.scan.filter(counts), ..mark })
    }
}
