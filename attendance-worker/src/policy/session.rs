//! The life of a session: its states, its span, its codes, and what its end does to records.

use super::{
    evidence::{Basis, Evidence, Lateness, absence, merge, stands},
    face::tally,
};
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::fact::SessionState;
use rollcall_store::{attendance::Mark, classes::ClassSettings, looks::Vote, sessions::Session};
use std::ops::Range;

/// How long before its planned beginning a session is announced as pending.
pub const ANNOUNCED_BEFORE: TimeDelta = TimeDelta::minutes(5);

/// How long a session lasts at most.
pub const MAX_DURATION: TimeDelta = TimeDelta::hours(24);

/// How far from the request a session begins at most.
pub const MAX_DISTANCE: TimeDelta = TimeDelta::days(366);

/// How long before its end a code is replaced at the latest: time for the new one to reach the display.
pub const CODE_LEAD: TimeDelta = TimeDelta::seconds(2);

/// What can happen to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// It is about to begin.
    Announce,
    /// It is opened for attendance.
    Start,
    /// It is closed.
    End,
    /// It gets a new code.
    RotateQr,
}

/// A move that a session's state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllegalMove {
    /// The state does not allow it.
    #[error("the session is {state}")]
    State {
        /// Where the session stands.
        state: SessionState,
    },
    /// Its planned time is over.
    #[error("the session's time is over")]
    Over,
}

/// The state after a move.
///
/// # Errors
/// When the move is not allowed in `state`.
pub fn next_state(state: SessionState, step: Move) -> Result<SessionState, IllegalMove> {
    use SessionState::{Active, Completed, Pending, Scheduled};
    match (state, step) {
        (Scheduled, Move::Announce) => Ok(Pending),
        (Scheduled | Pending, Move::Start) => Ok(Active),
        (Active, Move::RotateQr) => Ok(Active),
        (Active, Move::End) => Ok(Completed),
        (
            Scheduled | Pending | Active | Completed,
            Move::Announce | Move::Start | Move::End | Move::RotateQr,
        ) => Err(IllegalMove::State { state }),
    }
}

/// A plan that breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPlan {
    /// The field of the request.
    pub field: &'static str,
    /// What is wrong with it: a sentence.
    pub reason: &'static str,
}

/// Whether a session may be planned for `planned` by a request made at `at`.
///
/// # Errors
/// When it may not.
pub fn check_plan(planned: &Range<DateTime<Utc>>, at: DateTime<Utc>) -> Result<(), BadPlan> {
    if planned.is_empty() {
        return Err(BadPlan { field: "endsAt", reason: "A session ends after it begins." });
    }
    if planned.end - planned.start > MAX_DURATION {
        return Err(BadPlan { field: "endsAt", reason: "A session lasts for 24 hours at most." });
    }
    if (planned.start - at).abs() > MAX_DISTANCE {
        return Err(BadPlan { field: "startsAt", reason: "A session begins within a year of its planning." });
    }
    Ok(())
}

/// When the session opens that is asked to at `at`: then, unless its time is over.
///
/// # Errors
/// When it may not.
pub fn start(session: &Session, at: DateTime<Utc>) -> Result<DateTime<Utc>, IllegalMove> {
    next_state(session.state, Move::Start)?;
    before_end(session, at)
}

/// When the session gets a new code that is asked for at `at`: then, unless its time is over.
///
/// # Errors
/// When it may not.
pub fn rotate(session: &Session, at: DateTime<Utc>) -> Result<DateTime<Utc>, IllegalMove> {
    next_state(session.state, Move::RotateQr)?;
    before_end(session, at)
}

fn before_end(session: &Session, at: DateTime<Utc>) -> Result<DateTime<Utc>, IllegalMove> {
    if at < session.ends_at { Ok(at) } else { Err(IllegalMove::Over) }
}

/// When the session ends that is asked to at `at`: not before it began, and not after its planned end, at which it ends
/// by itself. Of a session that has ended already, by itself for example while the request was on its way, the end moves
/// to the earlier time.
///
/// # Errors
/// When it is not active, and has not ended later than `at`.
pub fn end(session: &Session, at: DateTime<Utc>) -> Result<DateTime<Utc>, IllegalMove> {
    if session.ended_at.is_some() && span(session).is_some_and(|span| span.contains(&at)) {
        return Ok(at);
    }
    next_state(session.state, Move::End)?;
    Ok(at.min(session.ends_at).max(session.started_at.unwrap_or(at)))
}

/// The span in which evidence counts, its end not included; `None` when the session has not begun. An open session ends
/// at its planned end, whether or not anybody has got round to closing it.
pub fn span(session: &Session) -> Option<Range<DateTime<Utc>>> {
    Some(session.started_at?..session.ended_at.unwrap_or(session.ends_at))
}

/// When the first code of a session that began at `from`, or one that replaces another at `from`, ends.
pub fn code_expiry(from: DateTime<Utc>, settings: &ClassSettings) -> DateTime<Utc> {
    from + TimeDelta::seconds(settings.qr_ttl_seconds.into())
}

/// The span of the code that follows, by itself, one that ends at `expires_at`; `None` when it is not due at `now`.
///
/// It begins a little before the other ends and lasts for one period from that end. Periods that passed while nobody was
/// there to show a code are left out.
pub fn following_code(
    expires_at: DateTime<Utc>,
    settings: &ClassSettings,
    now: DateTime<Utc>,
) -> Option<Range<DateTime<Utc>>> {
    let period = TimeDelta::seconds(settings.qr_ttl_seconds.into());
    let due = expires_at - CODE_LEAD.min(period / 4);
    if now < due {
        return None;
    }
    let missed = (now - due).num_seconds() / period.num_seconds().max(1);
    let skipped = period * i32::try_from(missed).unwrap_or(i32::MAX);
    Some(due + skipped..expires_at + skipped + period)
}

/// What a record becomes when its session turns out to have ended at the end of `span`; `None` when it stays as it is.
/// What was recorded before the end became known may rest on evidence from after it: what is left decides.
pub fn at_end(
    existing: &Mark,
    votes: &[Vote],
    settings: &ClassSettings,
    span: &Range<DateTime<Utc>>,
) -> Option<Mark> {
    if stands(existing) {
        return None;
    }
    let lateness = Lateness::of(span.start, settings);
    let scan = existing.scan.filter(|scan| span.contains(&scan.scanned_at));
    let scan = scan.map(|scan| Evidence { at: scan.scanned_at, basis: Basis::Scan(scan.scan_id) });
    let evidence = scan.into_iter().chain(tally(votes, settings, span));
    let mark = evidence
        .fold(absence(span.end), |mark, evidence| merge(Some(&mark), &evidence, lateness).unwrap_or(mark));
    (mark != *existing).then_some(mark)
}
