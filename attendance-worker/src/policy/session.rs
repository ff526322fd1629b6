//! The life of a session: its states, its span, its codes. What its end does to records is in `fusion`.

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::{fact::SessionState, request::SessionPlan};
use rollcall_store::{classes::ClassSettings, sessions::Session};
use std::ops::Range;

/// How long before its planned beginning a session is announced as pending.
pub const ANNOUNCED_BEFORE: TimeDelta = TimeDelta::minutes(5);

/// How long before its planned beginning a session may be opened: earlier, somebody has taken it for another.
pub const OPENS_BEFORE: TimeDelta = TimeDelta::hours(1);

/// How long a session lasts at most.
pub const MAX_DURATION: TimeDelta = TimeDelta::hours(24);

/// How far from the request a session begins at most.
pub const MAX_DISTANCE: TimeDelta = TimeDelta::days(366);

/// How long before its end a code is replaced at the latest: time for the new one to reach the display, in which both
/// are good. Of codes that last for less than four of it, half of their time.
pub const CODE_OVERLAP: TimeDelta = TimeDelta::seconds(2);

/// What can happen to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Its plan changes.
    Change,
    /// It is given up.
    Cancel,
    /// It is about to begin.
    Announce,
    /// It is opened for attendance.
    Start,
    /// It gets a new code.
    RotateQr,
    /// It is closed.
    End,
    /// It is opened again.
    Reopen,
}

impl Move {
    /// Every move.
    pub const ALL: [Move; 7] =
        [Move::Change, Move::Cancel, Move::Announce, Move::Start, Move::RotateQr, Move::End, Move::Reopen];
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
    /// It is not due for long.
    #[error("it begins in more than an hour; if it is this one, change its time first")]
    TooSoon,
    /// Its planned time is over.
    #[error("the session's time is over")]
    Over,
    /// It was asked for before the session ended, and came after it.
    #[error("the session ended only afterwards")]
    Early,
    /// It was asked for before the session was opened, and came after it.
    #[error("the session was opened only afterwards")]
    Unopened,
}

/// The state after a move.
///
/// # Errors
/// When the move is not allowed in `state`.
pub fn next_state(state: SessionState, step: Move) -> Result<SessionState, IllegalMove> {
    use SessionState::{Active, Cancelled, Completed, Pending, Scheduled};
    match (state, step) {
        (Scheduled, Move::Announce) => Ok(Pending),
        (Scheduled | Pending, Move::Change) => Ok(Scheduled),
        (Scheduled | Pending, Move::Cancel) => Ok(Cancelled),
        (Scheduled | Pending, Move::Start) => Ok(Active),
        (Active, Move::RotateQr) => Ok(Active),
        (Active, Move::End) => Ok(Completed),
        (Completed, Move::Reopen) => Ok(Active),
        _ => Err(IllegalMove::State { state }),
    }
}

/// A plan that breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPlan {
    /// The field of the call.
    pub field: &'static str,
    /// What is wrong with it: a sentence.
    pub reason: &'static str,
}

/// Whether a session may be planned like this by a request made at `at`.
///
/// # Errors
/// When it may not.
pub fn check_plan(plan: &SessionPlan, at: DateTime<Utc>) -> Result<(), BadPlan> {
    if plan.ends_at <= plan.starts_at {
        return Err(BadPlan { field: "endTime", reason: "A session ends after it begins." });
    }
    if plan.ends_at - plan.starts_at > MAX_DURATION {
        return Err(BadPlan { field: "endTime", reason: "A session lasts for 24 hours at most." });
    }
    if (plan.starts_at - at).abs() > MAX_DISTANCE {
        return Err(BadPlan {
            field: "startTime",
            reason: "A session begins within a year of its planning.",
        });
    }
    Ok(())
}

/// Why a session is not opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReopened {
    /// Its state does not allow it.
    Illegal(IllegalMove),
    /// The end that is asked for breaks a rule.
    BadEnd(BadPlan),
    /// It ended too long ago.
    TooLate,
}

/// Until when the session is open that is opened again at `at`: until `ends_at`, or its planned end. It must have ended no
/// longer than `within` ago.
///
/// # Errors
/// When it has not ended by then, or too long ago, or the new end is over or too far away.
pub fn reopen(
    session: &Session,
    ends_at: Option<DateTime<Utc>>,
    at: DateTime<Utc>,
    within: TimeDelta,
) -> Result<DateTime<Utc>, NotReopened> {
    next_state(session.state, Move::Reopen).map_err(NotReopened::Illegal)?;
    if session.ended_at.is_some_and(|ended_at| at < ended_at) {
        return Err(NotReopened::Illegal(IllegalMove::Early));
    }
    if session.ended_at.is_some_and(|ended_at| at - ended_at > within) {
        return Err(NotReopened::TooLate);
    }
    let bad = |reason| Err(NotReopened::BadEnd(BadPlan { field: "endTime", reason }));
    let until = ends_at.unwrap_or(session.ends_at);
    if until <= at {
        return bad("Say until when: the session's planned time is over.");
    }
    if until <= session.starts_at {
        return bad("A session ends after its planned beginning.");
    }
    if until - at > MAX_DURATION {
        return bad("A session is opened again for 24 hours at most.");
    }
    Ok(until)
}

/// When the session opens that is asked to at `at`: then, unless its time is over, or far away.
///
/// # Errors
/// When it may not.
pub fn start(session: &Session, at: DateTime<Utc>) -> Result<DateTime<Utc>, IllegalMove> {
    next_state(session.state, Move::Start)?;
    if session.starts_at - at > OPENS_BEFORE {
        return Err(IllegalMove::TooSoon);
    }
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

/// Whether a session is held by what is said at `at` of who was there: nobody opened it, and its time is over, so that it can
/// only have taken place as planned.
pub fn is_held_afterwards(session: &Session, at: DateTime<Utc>) -> bool {
    let was_never_opened = matches!(session.state, SessionState::Scheduled | SessionState::Pending);
    was_never_opened && at >= session.ends_at
}

fn before_end(session: &Session, at: DateTime<Utc>) -> Result<DateTime<Utc>, IllegalMove> {
    if at < session.ends_at { Ok(at) } else { Err(IllegalMove::Over) }
}

/// When the session ends that is asked to at `at`: not before it began, and not after its planned end, at which it ends
/// by itself. Of a session that has ended already, by itself for example while the request was on its way, the end moves
/// to the earlier time, but not to before it was opened last.
///
/// # Errors
/// When it is not active, or was not when it was asked to, and has not ended later than `at`.
pub fn end(session: &Session, at: DateTime<Utc>) -> Result<DateTime<Utc>, IllegalMove> {
    let opened_at = session.reopened_at.or(session.started_at).unwrap_or(at);
    if session.ended_at.is_some_and(|ended_at| (opened_at..ended_at).contains(&at)) {
        return Ok(at);
    }
    next_state(session.state, Move::End)?;
    if at < opened_at {
        return Err(IllegalMove::Unopened);
    }
    Ok(at.min(session.ends_at))
}

/// The span in which evidence counts, its end not included; `None` when the session has not begun. An open session ends
/// at its planned end, whether or not anybody has got round to closing it. Of a session that was opened again, what
/// happened while it was closed never gets here: the codes of before end where it was closed, and looks from then are
/// not kept.
pub fn span(session: &Session) -> Option<Range<DateTime<Utc>>> {
    Some(session.started_at?..session.ended_at.unwrap_or(session.ends_at))
}

/// How long a code is valid: as long as the session says, or else its class.
pub fn code_ttl(of_session: Option<i32>, settings: &ClassSettings) -> TimeDelta {
    TimeDelta::seconds(of_session.unwrap_or(settings.qr_ttl_seconds).into())
}

/// The span of the code that follows, by itself, one that ends at `expires_at`; `None` when it is not due at `now`.
///
/// It begins [`CODE_OVERLAP`] before the other ends and lasts for one period from that end. Periods that passed while
/// nobody was there to show a code are left out.
pub fn following_code(
    expires_at: DateTime<Utc>,
    ttl: TimeDelta,
    now: DateTime<Utc>,
) -> Option<Range<DateTime<Utc>>> {
    let due = expires_at - CODE_OVERLAP.min(ttl / 2);
    if now < due {
        return None;
    }
    let missed = (now - due).num_seconds() / ttl.num_seconds().max(1);
    let skipped = ttl * i32::try_from(missed).unwrap_or(i32::MAX);
    Some(due + skipped..expires_at + skipped + ttl)
}
