//! What a timetable does to sessions.

use crate::policy::timetable::{Moved, NewLesson, Steps, steps};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use proptest::prelude::*;
use rollcall_schemas::{
    fact::SessionState,
    id::{ClassId, SessionId},
};
use rollcall_store::lessons::{KnownLesson, LessonPlan, LessonState, session_id};
use rollcall_timetable::{Lesson, Origin, Place, Slot};
use std::collections::BTreeMap;
use uuid::Uuid;

const CLASS: ClassId = ClassId(Uuid::from_u128(1));
const OTHER: SessionId = SessionId(Uuid::from_u128(2));

fn now() -> DateTime<Utc> {
    "2026-06-01T08:00:00Z".parse().unwrap()
}

fn slot(day: i64) -> Slot {
    let date: NaiveDate = "2026-06-01".parse().unwrap();
    Slot { date: date + TimeDelta::days(day), starts: NaiveTime::from_hms_opt(9, 0, 0).unwrap() }
}

fn plan(day: i64, room: &str) -> LessonPlan {
    let starts_at = now() + TimeDelta::days(day) + TimeDelta::hours(1);
    let room = (!room.is_empty()).then(|| room.to_owned());
    LessonPlan { starts_at, ends_at: starts_at + TimeDelta::hours(1), room }
}

/// The lesson of one day, held on another.
fn lesson(day: i64, held: i64, room: &str) -> Lesson {
    let LessonPlan { starts_at, ends_at, room } = plan(held, room);
    let Slot { date, starts } = slot(held);
    let ends = starts + TimeDelta::hours(1);
    Lesson {
        slot: slot(day),
        place: Place { date, starts, ends, room },
        starts_at,
        ends_at,
        origin: Origin::Regular,
    }
}

fn known(day: i64, state: LessonState, session: Option<(SessionState, LessonPlan)>) -> KnownLesson {
    KnownLesson {
        slot: slot(day),
        state,
        attempt: 3,
        session_id: session_id(CLASS, slot(day), 3),
        plan: plan(day, "R"),
        session,
    }
}

fn planned(day: i64, state: SessionState) -> KnownLesson {
    known(day, LessonState::Planned, Some((state, plan(day, "R"))))
}

/// What is done, in short.
fn told(wanted: &[Lesson], known: Vec<KnownLesson>) -> Vec<String> {
    let day = |slot: &Slot| (slot.date - self::slot(0).date).num_days();
    let Steps { withdrawn, changed, new } = steps(CLASS, (wanted, None), known, now());
    let withdrawn = withdrawn.iter().map(|lesson| format!("withdraw {}", day(&lesson.slot)));
    let changed = changed.iter().map(|Moved { lesson, slot, attempt, plan }| {
        assert_eq!((*slot, *attempt), (lesson.slot, lesson.attempt), "none is known by something else");
        let held = (plan.starts_at - now()).num_days();
        format!("change {} to {held} in {}", day(&lesson.slot), plan.room.as_deref().unwrap_or("-"))
    });
    let new = new.iter().map(|NewLesson { slot, attempt, session_id: id, .. }| {
        assert_eq!(*id, session_id(CLASS, *slot, *attempt));
        format!("plan {} attempt {attempt}", day(slot))
    });
    withdrawn.chain(changed).chain(new).collect()
}

/// What it is about, what the timetable has, what became of it so far, and what is done.
type Case = (&'static str, Vec<Lesson>, Vec<KnownLesson>, Vec<&'static str>);

#[test]
fn only_what_is_still_as_planned_follows_the_timetable() {
    use SessionState::{Active, Cancelled, Completed, Pending, Scheduled};
    let withheld = || known(1, LessonState::Withheld(OTHER), None);
    let withdrawn = || known(1, LessonState::Withdrawn, Some((Cancelled, plan(1, "R"))));
    let by_hand = || known(1, LessonState::Planned, Some((Scheduled, plan(1, "Hall"))));
    let same = lesson(1, 1, "R");
    let table: Vec<Case> = vec![
        ("a new lesson", vec![same.clone()], vec![], vec!["plan 1 attempt 0"]),
        ("a lesson that is planned", vec![same.clone()], vec![planned(1, Scheduled)], vec![]),
        ("another room", vec![lesson(1, 1, "Q")], vec![planned(1, Scheduled)], vec!["change 1 to 1 in Q"]),
        ("another day", vec![lesson(1, 2, "R")], vec![planned(1, Scheduled)], vec!["change 1 to 2 in R"]),
        ("a lesson that is gone", vec![], vec![planned(1, Scheduled)], vec!["withdraw 1"]),
        ("one that begins soon stays", vec![], vec![planned(1, Pending)], vec![]),
        ("one that has begun stays", vec![], vec![planned(1, Active)], vec![]),
        ("one that is over stays", vec![lesson(1, 2, "R")], vec![planned(1, Completed)], vec![]),
        (
            "one that somebody cancelled stays so",
            vec![lesson(1, 1, "Q")],
            vec![planned(1, Cancelled)],
            vec![],
        ),
        ("one that somebody changed stays so", vec![lesson(1, 1, "Q")], vec![by_hand()], vec![]),
        ("and is not given up", vec![], vec![by_hand()], vec![]),
        ("what is past is not planned", vec![lesson(-1, -1, "R")], vec![], vec![]),
        ("what is past stays", vec![lesson(-1, 3, "R")], vec![planned(-1, Scheduled)], vec![]),
        ("a withheld lesson is tried again", vec![same.clone()], vec![withheld()], vec!["plan 1 attempt 3"]),
        ("a withheld lesson that is gone is forgotten", vec![], vec![withheld()], vec!["withdraw 1"]),
        (
            "one that was given up comes back anew",
            vec![same.clone()],
            vec![withdrawn()],
            vec!["plan 1 attempt 4"],
        ),
        ("one that was given up stays so", vec![], vec![withdrawn()], vec![]),
        (
            "room is made before it is taken",
            vec![lesson(2, 3, "R"), lesson(4, 4, "R")],
            vec![planned(1, Scheduled), planned(2, Scheduled)],
            vec!["withdraw 1", "change 2 to 3 in R", "plan 4 attempt 0"],
        ),
    ];
    for (name, wanted, known, steps) in table {
        assert_eq!(told(&wanted, known), steps, "{name}");
    }
}

#[test]
fn a_lesson_without_a_room_is_in_the_room_of_its_class() {
    let steps = steps(CLASS, (&[lesson(1, 1, "")], Some("Class room")), vec![], now());
    let [lesson] = &steps.new[..] else { panic!("{steps:?}") };
    assert_eq!(lesson.plan.room.as_deref(), Some("Class room"));
}

#[test]
fn a_lesson_at_another_time_of_the_same_day_keeps_its_session() {
    let later = |lesson: Lesson| {
        let starts = NaiveTime::from_hms_opt(9, 5, 0).unwrap();
        Lesson {
            slot: Slot { starts, ..lesson.slot },
            starts_at: lesson.starts_at + TimeDelta::minutes(5),
            ..lesson
        }
    };
    let before = planned(1, SessionState::Scheduled);
    let wanted = [later(lesson(1, 1, "R")), later(lesson(2, 2, "R"))];
    let Steps { withdrawn, changed, new } = steps(CLASS, (&wanted, None), vec![before.clone()], now());
    let [moved] = &changed[..] else { panic!("{changed:?}") };
    assert_eq!((&moved.lesson, moved.slot, moved.attempt), (&before, wanted[0].slot, 0));
    assert_eq!((withdrawn, new.len()), (vec![], 1), "the other day's is new");
    // The nearest is the same lesson, and what is far away is none.
    let at_hour = |hours: u32| {
        let (lesson, starts) = (lesson(1, 1, "R"), NaiveTime::from_hms_opt(9 + hours, 0, 0).unwrap());
        let starts_at = lesson.starts_at + TimeDelta::hours(hours.into());
        Lesson { slot: Slot { starts, ..lesson.slot }, starts_at, ..lesson }
    };
    for (hours, kept) in [(vec![2, 1], Some(1)), (vec![3, 2], Some(2)), (vec![3], None)] {
        let wanted: Vec<_> = hours.iter().map(|hours| at_hour(*hours)).collect();
        let changed = steps(CLASS, (&wanted, None), vec![before.clone()], now()).changed;
        let slots: Vec<_> = changed.iter().map(|moved| moved.slot).collect();
        assert_eq!(slots, kept.map(|hours| at_hour(hours).slot).into_iter().collect::<Vec<_>>(), "{hours:?}");
    }
    // What was withheld was no session, and what is withheld is another lesson.
    let withheld = known(1, LessonState::Withheld(OTHER), None);
    let Steps { withdrawn, changed, new } = steps(CLASS, (&wanted[..1], None), vec![withheld.clone()], now());
    assert_eq!((withdrawn.len(), changed, new.len()), (1, vec![], 1));
}

/// What the steps leave behind, where nothing is in the way.
fn carried_out(known: Vec<KnownLesson>, steps: Steps) -> Vec<KnownLesson> {
    let withdrawn = steps.withdrawn.into_iter().map(|lesson| {
        let session = lesson.session.clone().map(|(_, plan)| (SessionState::Cancelled, plan));
        KnownLesson { state: LessonState::Withdrawn, session, ..lesson }
    });
    let changed = steps.changed.into_iter().flat_map(|Moved { lesson, slot, attempt, plan }| {
        let session = Some((SessionState::Scheduled, plan.clone()));
        let session_id = lesson.session_id;
        let gone = (slot != lesson.slot).then(|| KnownLesson {
            state: LessonState::Withdrawn,
            attempt: lesson.attempt + 1,
            session_id: self::session_id(CLASS, lesson.slot, lesson.attempt + 1),
            session: None,
            ..lesson
        });
        let kept = KnownLesson { slot, state: LessonState::Planned, attempt, session_id, session, plan };
        gone.into_iter().chain([kept])
    });
    let new = steps.new.into_iter().map(|NewLesson { slot, session_id, attempt, plan, .. }| {
        let session = Some((SessionState::Scheduled, plan.clone()));
        KnownLesson { slot, state: LessonState::Planned, attempt, session_id, session, plan }
    });
    let lessons = known.into_iter().chain(withdrawn).chain(changed).chain(new);
    lessons.map(|it| (it.slot, it)).collect::<BTreeMap<Slot, KnownLesson>>().into_values().collect()
}

fn timetables() -> impl Strategy<Value = Vec<Lesson>> {
    let days = proptest::collection::btree_map(0..10_i64, (0..10_i64, 0..3_usize), 0..8);
    days.prop_map(|days| {
        days.into_iter().map(|(day, (held, room))| lesson(day, held, ["", "R", "Q"][room])).collect()
    })
}

proptest! {
    /// However often a timetable changes: planning once is planning twice, what is wanted is there, and the rest is not.
    #[test]
    fn what_is_planned_is_what_is_wanted(changes in proptest::collection::vec(timetables(), 1..5)) {
        let mut known = Vec::new();
        for wanted in &changes {
            let planned = steps(CLASS, (wanted, None), known.clone(), now());
            known = carried_out(known, planned);
            prop_assert_eq!(steps(CLASS, (wanted, None), known.clone(), now()), Steps::default());
            let there: BTreeMap<_, _> = known.iter()
                .filter(|lesson| lesson.state == LessonState::Planned)
                .map(|lesson| (lesson.slot, lesson.plan.starts_at)).collect();
            let wanted: BTreeMap<_, _> = wanted.iter().map(|it| (it.slot, it.starts_at)).collect();
            prop_assert_eq!(there, wanted);
            let mut ids: Vec<_> = known.iter().map(|lesson| lesson.session_id).collect();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), known.len());
        }
    }
}
