use super::super::notify::{
    Circle, Circumstances, Timing, after_quiet_hours, happened_at, is_given_up, next_digest, notify,
    retry_at, topic,
};
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::{America::New_York, Australia::Lord_Howe, Europe::Vienna, Tz};
use proptest::prelude::*;
use rollcall_schemas::{
    fact::{AttendanceStatus, Evidence, Fact, FactEvent, Scope},
    id::{AttendanceId, ClassId, FactId, ReviewId, SessionId, SightingId, UserId, WebhookId},
    notification::{Channel, Digest, Every, Preferences, QuietHours, Topic, Weekday},
};
use uuid::Uuid;

const STUDENT: UserId = UserId(Uuid::from_u128(1));
const CLASS: ClassId = ClassId(Uuid::from_u128(2));
const BOTH: [Channel; 2] = [Channel::Email, Channel::Push];

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn clock(text: &str) -> NaiveTime {
    text.parse().unwrap()
}

fn fact(event: FactEvent) -> Fact {
    let scope =
        Scope { session_id: Some(SessionId(Uuid::from_u128(3))), class_id: Some(CLASS), camera_id: None };
    Fact { fact_id: FactId(Uuid::from_u128(4)), at: utc("2026-03-02T09:00:00Z"), scope, event }
}

fn recorded(status: AttendanceStatus) -> Fact {
    fact(FactEvent::AttendanceRecorded {
        attendance_id: AttendanceId(Uuid::from_u128(5)),
        student_id: STUDENT,
        status,
        marked_at: utc("2026-03-02T09:00:00Z"),
        evidence: Evidence::None,
        similarity: None,
    })
}

fn corrected(from: AttendanceStatus, to: AttendanceStatus) -> Fact {
    fact(FactEvent::AttendanceCorrected {
        attendance_id: AttendanceId(Uuid::from_u128(5)),
        student_id: STUDENT,
        from,
        to,
        marked_at: utc("2026-03-02T09:00:00Z"),
        evidence: Evidence::Manual,
    })
}

#[test]
fn each_fact_concerns_whom_it_concerns() {
    use AttendanceStatus::{Absent, Excused, Late, Present};
    let at = utc("2026-03-02T09:00:00Z");
    let family = Circle::Family(STUDENT);
    let ended = FactEvent::SessionEnded { ended_at: at, present: 1, late: 0, absent: 1, excused: 0 };
    let withdrawn = FactEvent::AttendanceWithdrawn {
        attendance_id: AttendanceId(Uuid::from_u128(5)),
        student_id: STUDENT,
        from: Absent,
    };
    let review = FactEvent::ReviewOpened {
        review_id: ReviewId(Uuid::nil()),
        sighting_id: Some(SightingId(Uuid::nil())),
        face_index: Some(0),
        candidates: vec![STUDENT],
    };
    let disabled = FactEvent::WebhookDisabled { webhook_id: WebhookId(Uuid::nil()), failing_since: at };
    let parked = FactEvent::MessageParked { stream: "SCANS".into(), consumer: "attendance-scans".into() };
    for (fact, wanted) in [
        (recorded(Absent), Some((Topic::Absent, family))),
        (recorded(Late), Some((Topic::Late, family))),
        (recorded(Present), None),
        (recorded(Excused), None),
        (corrected(Absent, Present), Some((Topic::Corrected, family))),
        (corrected(Present, Excused), Some((Topic::Corrected, family))),
        (corrected(Late, Late), None),
        (fact(withdrawn), Some((Topic::Corrected, family))),
        (fact(ended.clone()), Some((Topic::SessionSummary, Circle::Teacher(CLASS)))),
        (Fact { scope: Scope::default(), ..fact(ended) }, None),
        (fact(review), Some((Topic::ReviewOpened, Circle::Teacher(CLASS)))),
        (fact(disabled), Some((Topic::WebhookDisabled, Circle::Administrators))),
        (fact(parked), Some((Topic::MessageParked, Circle::Administrators))),
        (fact(FactEvent::SessionStarted { started_at: at }), None),
    ] {
        assert_eq!(topic(&fact), wanted, "{fact:?}");
    }
}

fn wishes(channels: &[(Topic, &[Channel])]) -> Preferences {
    let channels =
        channels.iter().map(|(topic, channels)| (*topic, channels.iter().copied().collect())).collect();
    Preferences { channels, ..Preferences::default() }
}

fn told(wishes: &Preferences, offered: &[Channel], now: &str) -> Vec<(Channel, Timing)> {
    let told_within = TimeDelta::hours(72);
    let circumstances = Circumstances { now: utc(now), zone: Vienna, offered, told_within };
    let at = recorded(AttendanceStatus::Absent).at;
    notify((Topic::Absent, at), wishes, circumstances)
}

#[test]
fn wishes_go_before_what_is_usual_and_digests_before_quiet_hours() {
    use Channel::{Email, Push};
    let now = "2026-03-02T21:30:00Z";
    let at = |time: &str| Timing::At(utc(time));
    let in_digest = |time: &str| Timing::InDigest(utc(time));
    let daily = Some(Digest { every: Every::Day, weekday: Weekday::Monday, hour: 7 });
    let quiet_hours = Some(QuietHours { from: clock("22:00"), to: clock("06:30") });
    let both = wishes(&[(Topic::Absent, &BOTH)]);
    type Row = (&'static str, Preferences, &'static [Channel], Vec<(Channel, Timing)>);
    let table: [Row; 10] = [
        ("by e-mail, as is usual", wishes(&[]), &BOTH, vec![(Email, at(now))]),
        ("by nothing, as wished", wishes(&[(Topic::Absent, &[])]), &BOTH, vec![]),
        ("by another channel", wishes(&[(Topic::Absent, &[Push])]), &BOTH, vec![(Push, at(now))]),
        ("by both", both.clone(), &BOTH, vec![(Email, at(now)), (Push, at(now))]),
        ("by what there is", both.clone(), &[Email], vec![(Email, at(now))]),
        ("by nothing, as there is nothing", both.clone(), &[], vec![]),
        ("of another topic nothing was said", wishes(&[(Topic::Late, &[])]), &BOTH, vec![(Email, at(now))]),
        (
            "quiet hours are waited for",
            Preferences { quiet_hours, ..both.clone() },
            &BOTH,
            vec![(Email, at("2026-03-03T05:30:00Z")), (Push, at("2026-03-03T05:30:00Z"))],
        ),
        (
            "a digest gathers e-mails only",
            Preferences { digest: daily, ..both.clone() },
            &BOTH,
            vec![(Email, in_digest("2026-03-03T06:00:00Z")), (Push, at(now))],
        ),
        (
            "a digest comes at its hour, quiet or not",
            Preferences { digest: daily.map(|digest| Digest { hour: 5, ..digest }), quiet_hours, ..both },
            &BOTH,
            vec![(Email, in_digest("2026-03-03T04:00:00Z")), (Push, at("2026-03-03T05:30:00Z"))],
        ),
    ];
    for (case, wishes, offered, expected) in table {
        assert_eq!(told(&wishes, offered, now), expected, "{case}");
    }
}

#[test]
fn a_correction_is_news_however_old_what_it_corrects() {
    let (fact, published_at) = (recorded(AttendanceStatus::Absent), utc("2026-04-01T00:00:00Z"));
    assert_eq!(happened_at(Topic::Corrected, &fact, published_at), published_at);
    assert_eq!(happened_at(Topic::Absent, &fact, published_at), fact.at);
}

#[test]
fn what_is_long_past_is_told_to_nobody() {
    assert_eq!(told(&wishes(&[]), &BOTH, "2026-03-05T09:00:00Z").len(), 1);
    assert_eq!(told(&wishes(&[]), &BOTH, "2026-03-05T09:00:01Z").len(), 0);
}

/// In Vienna clocks went from 02:00 to 03:00 on 29 March 2026 (01:00 UTC), and from 03:00 to 02:00 on 25 October (01:00
/// UTC). On Lord Howe Island they go by half an hour.
#[test]
fn quiet_hours_end_when_the_clocks_of_the_place_say_so() {
    type Row = (&'static str, Tz, (&'static str, &'static str), &'static str, &'static str);
    let table: [Row; 22] = [
        ("before", Vienna, ("22:00", "06:00"), "2026-01-10T20:59:59Z", "2026-01-10T20:59:59Z"),
        ("at the beginning", Vienna, ("22:00", "06:00"), "2026-01-10T21:00:00Z", "2026-01-11T05:00:00Z"),
        ("at midnight", Vienna, ("22:00", "06:00"), "2026-01-10T23:00:00Z", "2026-01-11T05:00:00Z"),
        ("after midnight", Vienna, ("22:00", "06:00"), "2026-01-11T02:00:00Z", "2026-01-11T05:00:00Z"),
        ("just before the end", Vienna, ("22:00", "06:00"), "2026-01-11T04:59:59Z", "2026-01-11T05:00:00Z"),
        ("at the end", Vienna, ("22:00", "06:00"), "2026-01-11T05:00:00Z", "2026-01-11T05:00:00Z"),
        ("over the new year", Vienna, ("22:00", "06:00"), "2026-12-31T22:30:00Z", "2027-01-01T05:00:00Z"),
        ("into a leap day", Vienna, ("22:00", "06:00"), "2028-02-28T22:30:00Z", "2028-02-29T05:00:00Z"),
        ("at noon", Vienna, ("12:00", "13:30"), "2026-01-10T11:15:00Z", "2026-01-10T12:30:00Z"),
        ("before noon", Vienna, ("12:00", "13:30"), "2026-01-10T10:59:00Z", "2026-01-10T10:59:00Z"),
        ("no quiet hours at all", Vienna, ("08:00", "08:00"), "2026-01-10T07:30:00Z", "2026-01-10T07:30:00Z"),
        ("until midnight", Vienna, ("18:00", "00:00"), "2026-01-10T18:00:00Z", "2026-01-10T23:00:00Z"),
        ("the short night", Vienna, ("22:00", "06:00"), "2026-03-28T21:30:00Z", "2026-03-29T04:00:00Z"),
        ("the long night", Vienna, ("22:00", "06:00"), "2026-10-24T20:30:00Z", "2026-10-25T05:00:00Z"),
        ("an end left out", Vienna, ("22:00", "02:30"), "2026-03-28T23:00:00Z", "2026-03-29T01:00:00Z"),
        (
            "an end that comes twice",
            Vienna,
            ("22:00", "02:30"),
            "2026-10-24T22:00:00Z",
            "2026-10-25T00:30:00Z",
        ),
        // The clocks show 02:10 for the second time: the end of 02:30 is over, and it is not made quiet again.
        ("the hour again", Vienna, ("22:00", "02:30"), "2026-10-25T01:10:00Z", "2026-10-25T01:10:00Z"),
        ("a beginning left out", Vienna, ("02:30", "05:00"), "2026-03-29T01:10:00Z", "2026-03-29T03:00:00Z"),
        ("New York", New_York, ("21:00", "07:00"), "2026-03-08T03:00:00Z", "2026-03-08T11:00:00Z"),
        ("New York, later", New_York, ("21:00", "07:00"), "2026-11-01T02:00:00Z", "2026-11-01T12:00:00Z"),
        ("half an hour", Lord_Howe, ("22:00", "06:00"), "2026-10-03T12:00:00Z", "2026-10-03T19:00:00Z"),
        (
            "an end in half an hour",
            Lord_Howe,
            ("22:00", "02:15"),
            "2026-10-03T12:00:00Z",
            "2026-10-03T15:30:00Z",
        ),
    ];
    for (case, zone, (from, to), now, expected) in table {
        let quiet = QuietHours { from: clock(from), to: clock(to) };
        assert_eq!(after_quiet_hours(quiet, utc(now), zone), utc(expected), "{case}");
    }
}

#[test]
fn digests_come_at_their_hour_by_the_clocks_of_the_place() {
    let daily = |hour| Digest { every: Every::Day, weekday: Weekday::Monday, hour };
    let weekly = |weekday, hour| Digest { every: Every::Week, weekday, hour };
    let table = [
        ("this morning", daily(7), "2026-03-02T05:00:00Z", "2026-03-02T06:00:00Z"),
        ("just now is over", daily(7), "2026-03-02T06:00:00Z", "2026-03-03T06:00:00Z"),
        ("the day of the place", daily(0), "2026-03-01T23:30:00Z", "2026-03-02T23:00:00Z"),
        ("into summer", daily(7), "2026-03-28T07:00:00Z", "2026-03-29T05:00:00Z"),
        ("into winter", daily(7), "2026-10-24T06:00:00Z", "2026-10-25T06:00:00Z"),
        ("an hour left out", daily(2), "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
        ("an hour that comes twice", daily(2), "2026-10-24T12:00:00Z", "2026-10-25T00:00:00Z"),
        ("the second time is no second digest", daily(2), "2026-10-25T00:30:00Z", "2026-10-26T01:00:00Z"),
        ("this week", weekly(Weekday::Friday, 16), "2026-03-02T09:00:00Z", "2026-03-06T15:00:00Z"),
        ("this very day", weekly(Weekday::Monday, 16), "2026-03-02T09:00:00Z", "2026-03-02T15:00:00Z"),
        ("next week", weekly(Weekday::Monday, 7), "2026-03-02T09:00:00Z", "2026-03-09T06:00:00Z"),
        ("over a change", weekly(Weekday::Sunday, 7), "2026-03-22T09:00:00Z", "2026-03-29T05:00:00Z"),
        ("on a leap day", weekly(Weekday::Tuesday, 7), "2028-02-28T09:00:00Z", "2028-02-29T06:00:00Z"),
    ];
    for (case, digest, now, expected) in table {
        assert_eq!(next_digest(&digest, utc(now), Vienna), utc(expected), "{case}");
    }
}

#[test]
fn what_fails_is_tried_for_three_days_and_then_given_up() {
    let start = utc("2026-03-02T09:00:00Z");
    let pauses: Vec<i64> =
        (1..=9).map(|tries| (retry_at(tries, start, 0.0, None).unwrap() - start).num_seconds()).collect();
    assert_eq!(pauses, [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]);
    assert_eq!(retry_at(10, start, 0.0, None), None);
    assert_eq!(retry_at(1, start, 1.0, None), Some(start + TimeDelta::seconds(6)));
    let asked = |seconds| retry_at(1, start, 0.0, Some(TimeDelta::seconds(seconds))).unwrap() - start;
    assert_eq!(asked(1), TimeDelta::seconds(5), "not sooner than we would");
    assert_eq!(asked(60), TimeDelta::seconds(60));
    assert_eq!(asked(i64::from(u32::MAX)), TimeDelta::hours(24), "not for ever");
    assert_eq!(retry_at(10, start, 0.0, Some(TimeDelta::seconds(1))), None, "asking does not begin anew");
}

#[test]
fn a_webhook_is_given_up_after_the_time_set() {
    let since = utc("2026-03-02T09:00:00Z");
    let after = TimeDelta::hours(120);
    assert!(!is_given_up(since, since + after - TimeDelta::seconds(1), after));
    assert!(is_given_up(since, since + after, after));
}

proptest! {
    /// Whatever the hour and the place: not before now, not more than a day and an hour later, and then it is not quiet.
    #[test]
    fn quiet_hours_defer_and_lose_nothing(
        minutes in 0i64..60 * 24 * 800,
        from in 0u32..96,
        to in 0u32..96,
        zone in prop::sample::select(vec![Vienna, New_York, Lord_Howe, Tz::UTC, Tz::Asia__Kolkata]),
    ) {
        let now = utc("2026-01-01T00:00:00Z") + TimeDelta::minutes(minutes);
        let time = |quarters: u32| NaiveTime::from_hms_opt(quarters / 4, quarters % 4 * 15, 0).unwrap();
        let quiet = QuietHours { from: time(from), to: time(to) };
        let told = after_quiet_hours(quiet, now, zone);
        prop_assert!(told >= now && told - now <= TimeDelta::hours(25));
    }

    #[test]
    fn the_next_digest_is_ahead_and_within_its_period(
        minutes in 0i64..60 * 24 * 800,
        hour in 0u8..24,
        weekly in any::<bool>(),
        zone in prop::sample::select(vec![Vienna, New_York, Lord_Howe, Tz::UTC, Tz::Asia__Kolkata]),
    ) {
        let now = utc("2026-01-01T00:00:00Z") + TimeDelta::minutes(minutes);
        let every = if weekly { Every::Week } else { Every::Day };
        let next = next_digest(&Digest { every, weekday: Weekday::Thursday, hour }, now, zone);
        let period = TimeDelta::days(if weekly { 7 } else { 1 });
        prop_assert!(next > now && next - now <= period + TimeDelta::hours(1));
    }
}
