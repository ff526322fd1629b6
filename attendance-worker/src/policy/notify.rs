//! Who is told what, by which channel and when. What a person wishes goes before what is usual; a digest goes before quiet
//! hours; what is quiet is told later, never not at all.

use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc,
    Weekday as ChronoWeekday,
};
use chrono_tz::Tz;
use rollcall_schemas::{
    fact::{AttendanceStatus, Fact, FactEvent},
    id::{ClassId, UserId},
    notification::{Channel, Digest, Every, Preferences, QuietHours, Topic, Weekday},
};

/// How long after an attempt that failed the next one is made, by the number of tries so far; after the last, it is given
/// up. The schedule that Standard Webhooks recommends: about three days in all.
const RETRY_AFTER: [TimeDelta; 9] = [
    TimeDelta::seconds(5),
    TimeDelta::minutes(5),
    TimeDelta::minutes(30),
    TimeDelta::hours(2),
    TimeDelta::hours(5),
    TimeDelta::hours(10),
    TimeDelta::hours(14),
    TimeDelta::hours(20),
    TimeDelta::hours(24),
];

/// A pause is up to this part longer than the schedule says, so that what failed together does not come back together.
const JITTER: f64 = 0.2;

/// The longest that a receiver may ask us to wait (`Retry-After`).
const MAX_ASKED_PAUSE: TimeDelta = TimeDelta::hours(24);

/// The furthest that clocks were ever put forward: places that changed the side of the date line.
const LONGEST_LEAP_MINUTES: i64 = 24 * 60;

/// Who is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circle {
    /// A student, and their guardians.
    Family(UserId),
    /// Whoever teaches the class.
    Teacher(ClassId),
    /// Every administrator.
    Administrators,
}

/// When something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// By itself, at this time.
    At(DateTime<Utc>),
    /// Together with others, in the digest of this time.
    InDigest(DateTime<Utc>),
}

/// What is the same for everybody who is told of a fact.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The time.
    pub now: DateTime<Utc>,
    /// The clocks of the organisation.
    pub zone: Tz,
    /// The channels to people that this deployment has.
    pub offered: &'a [Channel],
    /// What happened longer ago is told to nobody.
    pub told_within: TimeDelta,
}

/// What people are told because of a fact, and who, if anybody.
pub fn topic(fact: &Fact) -> Option<(Topic, Circle)> {
    let teacher = || fact.scope.class_id.map(Circle::Teacher);
    match &fact.event {
        FactEvent::AttendanceRecorded { student_id, status, .. } => {
            let topic = match status {
                AttendanceStatus::Absent => Topic::Absent,
                AttendanceStatus::Late => Topic::Late,
                AttendanceStatus::Present | AttendanceStatus::Excused => return None,
            };
            Some((topic, Circle::Family(*student_id)))
        }
        FactEvent::AttendanceCorrected { student_id, from, to, .. } => {
            (from != to).then_some((Topic::Corrected, Circle::Family(*student_id)))
        }
        FactEvent::AttendanceWithdrawn { student_id, .. } => {
            Some((Topic::Corrected, Circle::Family(*student_id)))
        }
        FactEvent::SessionEnded { .. } => Some((Topic::SessionSummary, teacher()?)),
        FactEvent::ReviewOpened { .. } => Some((Topic::ReviewOpened, teacher()?)),
        FactEvent::WebhookDisabled { .. } => Some((Topic::WebhookDisabled, Circle::Administrators)),
        FactEvent::MessageParked { .. } => Some((Topic::MessageParked, Circle::Administrators)),
        _ => None,
    }
}

/// When what is told happened: a correction when it was told to the log, however old what it corrects.
pub fn happened_at(topic: Topic, fact: &Fact, published_at: DateTime<Utc>) -> DateTime<Utc> {
    if topic == Topic::Corrected { published_at } else { fact.at }
}

/// By which channels, and when, somebody with these wishes is told of a topic of what happened at `at`.
pub fn notify(
    (topic, at): (Topic, DateTime<Utc>),
    wishes: &Preferences,
    circumstances: Circumstances<'_>,
) -> Vec<(Channel, Timing)> {
    let Circumstances { now, zone, offered, told_within } = circumstances;
    if now - at > told_within {
        return Vec::new();
    }
    let is_wanted = |channel: &Channel| match wishes.channels.get(&topic) {
        Some(wanted) => wanted.contains(channel),
        None => *channel == Channel::Email,
    };
    let timing = |channel| match wishes.digest {
        Some(digest) if channel == Channel::Email => Timing::InDigest(next_digest(&digest, now, zone)),
        _ => Timing::At(wishes.quiet_hours.map_or(now, |quiet| after_quiet_hours(quiet, now, zone))),
    };
    offered.iter().filter(|channel| is_wanted(channel)).map(|channel| (*channel, timing(*channel))).collect()
}

/// `now`, or the end of the quiet hours that it falls into.
pub fn after_quiet_hours(quiet: QuietHours, now: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
    let QuietHours { from, to } = quiet;
    if from == to {
        return now;
    }
    let local = now.with_timezone(&zone).naive_local();
    let (date, time) = (local.date(), local.time());
    let end = match (from < to, time >= from, time < to) {
        (true, true, true) | (false, false, true) => date,
        (false, true, _) => date + Days::new(1),
        _ => return now,
    };
    instant(end.and_time(to), zone).max(now)
}

/// The first time after `now` at which a digest is sent.
pub fn next_digest(digest: &Digest, now: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
    let hour = NaiveTime::from_hms_opt(digest.hour.min(23).into(), 0, 0).expect("an hour of the day");
    let is_its_day = |date: &NaiveDate| match digest.every {
        Every::Day => true,
        Every::Week => date.weekday() == weekday(digest.weekday),
    };
    let today = now.with_timezone(&zone).date_naive();
    // Today's may be over, and then a week's is the same day of the next.
    let mut times =
        today.iter_days().take(9).filter(is_its_day).map(|date| instant(date.and_time(hour), zone));
    times.find(|time| *time > now).expect("every day comes again within eight days")
}

/// The instant at which the clocks of a place first show a time; where they leap over it, the leap.
fn instant(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    let shown = |minutes| zone.from_local_datetime(&(local + TimeDelta::minutes(minutes))).earliest();
    (0..=LONGEST_LEAP_MINUTES).find_map(shown).map_or_else(|| local.and_utc(), |time| time.to_utc())
}

fn weekday(day: Weekday) -> ChronoWeekday {
    match day {
        Weekday::Monday => ChronoWeekday::Mon,
        Weekday::Tuesday => ChronoWeekday::Tue,
        Weekday::Wednesday => ChronoWeekday::Wed,
        Weekday::Thursday => ChronoWeekday::Thu,
        Weekday::Friday => ChronoWeekday::Fri,
        Weekday::Saturday => ChronoWeekday::Sat,
        Weekday::Sunday => ChronoWeekday::Sun,
    }
}

/// When what has failed `tries` times is tried again; `None` when it is given up. `draw` is a random number from 0 to 1.
/// `asked` is the pause that the receiver asked for: never shorter than ours, and not without end.
pub fn retry_at(
    tries: u32,
    failed_at: DateTime<Utc>,
    draw: f64,
    asked: Option<TimeDelta>,
) -> Option<DateTime<Utc>> {
    let pause = *RETRY_AFTER.get(usize::try_from(tries.checked_sub(1)?).ok()?)?;
    let drawn = pause.as_seconds_f64() * (1.0 + JITTER * draw.clamp(0.0, 1.0));
    let millis = TimeDelta::milliseconds((drawn * 1_000.0) as i64);
    Some(failed_at + asked.unwrap_or_default().min(MAX_ASKED_PAUSE).max(millis))
}

/// Whether a webhook that has failed since then is given up.
pub fn is_given_up(failing_since: DateTime<Utc>, now: DateTime<Utc>, disable_after: TimeDelta) -> bool {
    now - failing_since >= disable_after
}
