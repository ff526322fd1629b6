//! What machines saw of the students of a session, as it is kept: votes, scans in doubt, and every scan where the class wants
//! more than one.

use crate::{
    policy::{fusion::Gathered, protection::ScanDoubt, question::NO_SCAN},
    records::{Cause, Change},
};
use rollcall_schemas::id::UserId;
use rollcall_store::{
    PgConnection, StoreError,
    attendance::Mark,
    looks::{self, KeptScan, Vote},
    reviews,
    sessions::Session,
};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that is kept of these students.
#[derive(Clone, Debug)]
pub(crate) struct Gathering {
    session: Session,
    votes: BTreeMap<UserId, Vec<Vote>>,
    /// Those whose face a person has said is another's.
    refused: BTreeSet<UserId>,
    scans: BTreeMap<UserId, Vec<KeptScan>>,
}

impl Gathering {
    /// Reads what is kept of these students of a session, or of everybody.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn of(
        tx: &mut PgConnection,
        session: &Session,
        students: Option<&[UserId]>,
    ) -> Result<Self, StoreError> {
        let votes = looks::votes(tx, session.id, students).await?;
        let scans = looks::kept_scans(tx, session.id, students).await?;
        let refused = reviews::rejected(tx, (session.id, students), NO_SCAN).await?;
        Ok(Self {
            session: *session,
            votes: by_student(votes, |vote| vote.student_id),
            refused: refused.into_iter().collect(),
            scans: by_student(scans, |kept| kept.student_id),
        })
    }

    /// Those of whom there is something.
    pub(crate) fn students(&self) -> impl Iterator<Item = UserId> {
        self.votes.keys().chain(self.scans.keys()).copied()
    }

    /// What there is of one student, with the scan that the record keeps.
    pub(crate) fn of_student(&self, student: UserId, record: Option<&Mark>) -> Gathered {
        let kept = || self.scans.get(&student).into_iter().flatten();
        let good = kept().filter(|kept| kept.doubt.is_none()).map(|kept| kept.scan);
        let doubted = kept().filter_map(|kept| Some((kept.scan, ScanDoubt::parse(kept.doubt.as_deref()?)?)));
        Gathered {
            scans: good.chain(record.and_then(|mark| mark.scan)).collect(),
            doubted: doubted.collect(),
            votes: self.votes.get(&student).cloned().unwrap_or_default(),
            face_is_refused: self.refused.contains(&student),
        }
    }

    /// Adds a scan.
    pub(crate) fn add(&mut self, scan: KeptScan) {
        self.scans.entry(scan.student_id).or_default().push(scan);
    }

    /// A change of a record that rests on what was gathered: where its scan came from is known.
    pub(crate) fn change(&self, student: UserId, marks: (Option<Mark>, Mark), cause: &Cause) -> Change {
        let mut change = Change::new(self.session, student, marks, cause);
        let scan_id = change.record.mark.scan.map(|scan| scan.scan_id);
        let mut kept = self.scans.get(&student).into_iter().flatten();
        if let Some(kept) = kept.find(|kept| Some(kept.scan.scan_id) == scan_id) {
            change.record.origin.ip = kept.ip;
            change.record.origin.user_agent = kept.user_agent.clone();
        }
        change
    }
}

/// Sorts what was kept by student.
pub(crate) fn by_student<T>(kept: Vec<T>, student: impl Fn(&T) -> UserId) -> BTreeMap<UserId, Vec<T>> {
    let mut grouped = BTreeMap::<_, Vec<_>>::new();
    for item in kept {
        grouped.entry(student(&item)).or_default().push(item);
    }
    grouped
}
