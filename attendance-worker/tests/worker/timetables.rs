//! Timetables become sessions, and sessions follow them.

use crate::harness::{SOON, School, at};
use anyhow::Result;
use chrono::{NaiveTime, TimeDelta, Timelike, Weekday};
use rollcall_schemas::{
    fact::{AttendanceStatus, SessionState},
    id::{ClassId, SessionId},
    request::{AttendanceCommand, SessionCommand, SessionPlan, StudentRef, Word},
};
use rollcall_store::{lessons, pages::Page, session_views, sessions, timetables};
use rollcall_test_support::eventually;
use rollcall_timetable::{Change, Entry, Exception, Place, Slot, Timetable};
use std::collections::BTreeMap;

const ALL: Page = Page { limit: 1_000, offset: 0 };

/// A lesson at two on every day of the week, from the Monday on which tests begin.
fn daily() -> Timetable {
    let time = |hour| NaiveTime::from_hms_opt(hour, 0, 0).expect("a full hour");
    let entry = |day: u8| Entry {
        weekday: Weekday::try_from(day).expect("a day of the week"),
        starts: time(14),
        ends: time(15),
        room: Some("Lab".into()),
        from: at(0).date_naive(),
        until: None,
        every_weeks: 1,
    };
    Timetable { entries: (0..7).map(entry).collect(), exceptions: vec![] }
}

async fn set(school: &School, timetable: &Timetable) -> Result<()> {
    set_of(school, school.class, (timetable, None)).await
}

async fn set_of(school: &School, class: ClassId, timetable: (&Timetable, Option<&str>)) -> Result<()> {
    let mut tx = school.pool.begin().await?;
    timetables::replace(&mut tx, class, timetable, school.clock.now()).await?;
    tx.commit().await?;
    Ok(())
}

/// Lessons on the Tuesday after the first day, each for an hour, in one room.
fn on_tuesday(hours: &[u32]) -> Timetable {
    let time = |hour| NaiveTime::from_hms_opt(hour, 0, 0).expect("a full hour");
    let tuesday = daily().entries.remove(1);
    let until = Some(at(86_400).date_naive());
    let entry = |hour: &u32| Entry { starts: time(*hour), ends: time(hour + 1), until, ..tuesday.clone() };
    Timetable { entries: hours.iter().map(entry).collect(), exceptions: vec![] }
}

/// The sessions of a class that are not cancelled, by the hour (UTC) at which they begin.
async fn hours(school: &School, class: ClassId) -> Result<BTreeMap<u32, SessionId>> {
    let mut connection = school.pool.acquire().await?;
    let found = session_views::of_class(&mut connection, class, ALL).await?;
    let kept = found.rows.into_iter().filter(|session| session.state != SessionState::Cancelled);
    Ok(kept.map(|session| (session.starts_at.hour(), session.id)).collect())
}

#[tokio::test]
async fn lessons_take_the_places_that_others_leave() -> Result<()> {
    let school = School::open(1).await?;
    let timetable = on_tuesday(&[13, 14, 15]);
    set(&school, &timetable).await?;
    let _worker = school.work();
    planned(&school, 1).await?;
    let before = hours(&school, school.class).await?;
    assert_eq!(before.keys().copied().collect::<Vec<_>>(), [13, 14, 15]);

    // An hour later by the clocks of another zone, and then back: the first or the last is in the way of the next.
    set_of(&school, school.class, (&timetable, Some("Atlantic/Azores"))).await?;
    planned(&school, 2).await?;
    let later = hours(&school, school.class).await?;
    assert_eq!(later, before.iter().map(|(hour, id)| (hour + 1, *id)).collect());
    set_of(&school, school.class, (&timetable, None)).await?;
    planned(&school, 3).await?;
    assert_eq!(hours(&school, school.class).await?, before);

    // The first two change places.
    let date = at(86_400).date_naive();
    let moved = |from: usize, to: usize| {
        let Entry { starts, ends, .. } = timetable.entries[to];
        let place = Place { date, starts, ends, room: Some("Lab".into()) };
        Exception {
            slot: Slot { date, starts: timetable.entries[from].starts },
            change: Change::Moved(place),
        }
    };
    let swapped = Timetable { exceptions: vec![moved(0, 1), moved(1, 0)], ..timetable.clone() };
    set(&school, &swapped).await?;
    planned(&school, 4).await?;
    assert_eq!(
        hours(&school, school.class).await?,
        BTreeMap::from([(13, before[&14]), (14, before[&13]), (15, before[&15])])
    );
    eventually("everything is told", SOON, || async {
        (school.fact_counts().await.ok()?.get("session.changed") == Some(&8)).then_some(())
    })
    .await;
    assert_eq!(school.fact_counts().await?.get("session.cancelled"), None);
    Ok(())
}

#[tokio::test]
async fn what_was_said_of_a_session_by_hand_stays_when_its_lesson_moves() -> Result<()> {
    let school = School::open(1).await?;
    let mut timetable = on_tuesday(&[13]);
    set(&school, &timetable).await?;
    let _worker = school.work();
    planned(&school, 1).await?;
    let session_id = hours(&school, school.class).await?[&13];
    let plan = SessionPlan { qr_ttl_seconds: Some(5), ..plan_of(&school, session_id).await? };
    school.command(0, SessionCommand::Change { session_id, plan: plan.clone() }).await?;
    timetable.entries[0].room = Some("Hall".into());
    set(&school, &timetable).await?;
    planned(&school, 2).await?;
    assert_eq!(plan_of(&school, session_id).await?, SessionPlan { room: Some("Hall".into()), ..plan });
    Ok(())
}

async fn plan_of(school: &School, session: SessionId) -> Result<SessionPlan> {
    Ok(sessions::plan_of(&mut *school.pool.acquire().await?, session).await?)
}

#[tokio::test]
async fn what_was_said_of_a_lesson_stays_when_the_schedule_shifts_it() -> Result<()> {
    let school = School::open(1).await?;
    let mut timetable = on_tuesday(&[13, 15]);
    set(&school, &timetable).await?;
    let _worker = school.work();
    planned(&school, 1).await?;
    let before = hours(&school, school.class).await?;
    let word = Word {
        student: StudentRef::Id(school.students[0]),
        status: AttendanceStatus::Excused,
        marked_at: None,
        reason: Some("at the dentist".into()),
    };
    school.say(0, AttendanceCommand::Mark { session_id: before[&13], words: vec![word] }).await?;
    for (revision, hour) in [(2, 12), (3, 13)] {
        timetable.entries[0].starts = NaiveTime::from_hms_opt(hour, 5, 0).expect("a time");
        set(&school, &timetable).await?;
        planned(&school, revision).await?;
        let after = hours(&school, school.class).await?;
        assert_eq!(after, BTreeMap::from([(hour, before[&13]), (15, before[&15])]));
    }
    let records = school.records(before[&13]).await?;
    assert_eq!(records[&school.students[0]].0, AttendanceStatus::Excused);
    // Given up and held after all: that is another session of the same lesson.
    let kept = std::mem::take(&mut timetable.entries);
    set(&school, &timetable).await?;
    planned(&school, 4).await?;
    assert_eq!(hours(&school, school.class).await?.len(), 0);
    timetable.entries = kept;
    set(&school, &timetable).await?;
    planned(&school, 5).await?;
    let again = hours(&school, school.class).await?;
    assert_eq!(again.len(), 2);
    assert!(again.values().all(|id| !before.values().any(|known| known == id)));
    let carried = school.rows(again[&13]).await?;
    let [record] = &carried[..] else { panic!("{carried:?}") };
    assert_eq!(
        (record.status, record.reason.as_deref()),
        (AttendanceStatus::Excused, Some("at the dentist"))
    );
    assert_eq!(record.decided_by.as_ref().map(|by| by.id), Some(school.teacher));
    Ok(())
}

#[tokio::test]
async fn a_withheld_lesson_is_planned_when_what_was_in_its_way_goes() -> Result<()> {
    let school = School::open(1).await?;
    let other = school.other_class().await?;
    set_of(&school, other, (&on_tuesday(&[14]), None)).await?;
    let _worker = school.work();
    eventually("the other class is planned", SOON, || async {
        (hours(&school, other).await.ok()?.len() == 1).then_some(())
    })
    .await;
    // In the same room at the same time.
    set(&school, &on_tuesday(&[14, 15])).await?;
    planned(&school, 1).await?;
    assert_eq!(hours(&school, school.class).await?.into_keys().collect::<Vec<_>>(), [15]);
    set_of(&school, other, (&on_tuesday(&[16]), None)).await?;
    eventually("the lesson is planned after all", SOON, || async {
        (hours(&school, school.class).await.ok()?.len() == 2).then_some(())
    })
    .await;
    assert_eq!(hours(&school, other).await?.into_keys().collect::<Vec<_>>(), [16]);
    Ok(())
}

/// The day after the first, and where each session stands.
type Days = BTreeMap<i64, (SessionId, SessionState, Option<String>)>;

async fn days(school: &School) -> Result<Days> {
    let mut connection = school.pool.acquire().await?;
    let found = session_views::of_class(&mut connection, school.class, ALL).await?;
    let kept = found.rows.into_iter().filter(|session| session.state != SessionState::Cancelled);
    Ok(kept
        .map(|session| {
            let day = (session.starts_at.date_naive() - at(0).date_naive()).num_days();
            (day, (session.id, session.state, session.room))
        })
        .collect())
}

/// Waits until the timetable of that revision is planned.
async fn planned(school: &School, revision: i64) -> Result<Days> {
    eventually(&format!("revision {revision} is planned"), SOON, || async {
        let mut connection = school.pool.acquire().await.ok()?;
        let planned = lessons::planned_through(&mut connection, school.class).await.ok()??;
        (planned.revision == revision).then_some(())
    })
    .await;
    days(school).await
}

#[tokio::test]
async fn two_workers_plan_each_lesson_once_and_again_is_nothing() -> Result<()> {
    let school = School::open(1).await?;
    set(&school, &daily()).await?;
    let _workers = (school.work(), school.work());
    let first = planned(&school, 1).await?;
    assert_eq!(first.keys().copied().collect::<Vec<_>>(), (0..=14).collect::<Vec<_>>());
    set(&school, &daily()).await?;
    assert_eq!(planned(&school, 2).await?, first);
    assert_eq!(school.fact_counts().await?.get("session.changed"), None);
    // A day later there is one more.
    school.clock.advance(TimeDelta::days(1));
    eventually("the next day is planned", SOON, || async {
        days(&school).await.ok()?.contains_key(&15).then_some(())
    })
    .await;
    let later = days(&school).await?;
    let session_ids = |days: &Days| days.values().map(|(id, ..)| *id).collect::<Vec<_>>();
    assert_eq!(session_ids(&later)[..15], session_ids(&first));
    Ok(())
}

#[tokio::test]
async fn what_has_begun_or_was_changed_by_hand_does_not_follow() -> Result<()> {
    let school = School::open(1).await?;
    set(&school, &daily()).await?;
    let _worker = school.work();
    let before = planned(&school, 1).await?;
    let (begun, cancelled) = (before[&0].0, before[&1].0);
    school.command(5 * 3_600, SessionCommand::Start { session_id: begun }).await?;
    school.command(5 * 3_600, SessionCommand::Cancel { session_id: cancelled }).await?;

    let mut timetable = daily();
    for entry in &mut timetable.entries {
        entry.room = Some("Hall".into());
    }
    let day = |days| Slot {
        date: (at(0) + TimeDelta::days(days)).date_naive(),
        starts: timetable.entries[0].starts,
    };
    timetable.exceptions = vec![Exception { slot: day(3), change: Change::Cancelled }];
    set(&school, &timetable).await?;
    let after = planned(&school, 2).await?;
    assert_eq!((after[&0].0, after[&0].2.as_deref()), (begun, Some("Lab")));
    assert!(!after.contains_key(&1) && !after.contains_key(&3));
    assert_eq!((after[&2].0, after[&2].2.as_deref()), (before[&2].0, Some("Hall")));
    // Facts leave after the transaction that they are told by.
    eventually("everything is told", SOON, || async {
        let counts = school.fact_counts().await.ok()?;
        let told = (counts.get("session.changed").copied(), counts.get("session.cancelled").copied());
        (told == (Some(12), Some(2))).then_some(())
    })
    .await;

    // The day is held after all: as another session, since the first was told to be cancelled.
    timetable.exceptions.clear();
    set(&school, &timetable).await?;
    let again = planned(&school, 3).await?;
    assert_ne!(again[&3].0, before[&3].0);
    Ok(())
}

#[tokio::test]
async fn a_lesson_past_midnight_is_one_session() -> Result<()> {
    let school = School::open(1).await?;
    let mut timetable = on_tuesday(&[22]);
    timetable.entries[0].ends = NaiveTime::from_hms_opt(6, 0, 0).expect("a full hour");
    set(&school, &timetable).await?;
    let _worker = school.work();
    planned(&school, 1).await?;
    let session = hours(&school, school.class).await?[&22];
    let plan = plan_of(&school, session).await?;
    let hour = |hours: i64| at(86_400 + (hours - 9) * 3_600);
    assert_eq!((plan.starts_at, plan.ends_at), (hour(22), hour(30)));
    Ok(())
}
