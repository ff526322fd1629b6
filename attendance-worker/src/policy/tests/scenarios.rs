//! What happens to one student in one session, from the first rule to the last record, as rows: what was scanned when, how
//! the session went, and what is recorded in the end.

use super::{
    super::{
        evidence::absence,
        fusion::{Gathered, settle},
        scan::decide_scan,
        session::{code_ttl, end, following_code},
    },
    *,
};
use chrono::NaiveDateTime;
use rollcall_schemas::code::Code;

/// A session as it went, and what a student did in it. Times are `YYYY-MM-DD HH:MM:SS[.micros]` in UTC.
#[derive(Clone)]
struct Story {
    name: &'static str,
    /// When it was opened, and its planned end.
    opened: (&'static str, &'static str),
    /// When it was closed by hand, if it was.
    closed: Option<&'static str>,
    /// From when to when the code is good.
    code: (&'static str, &'static str),
    late_after_s: i32,
    /// From when to when the student was in the class.
    member: (&'static str, &'static str),
    /// Received when; handled in this order.
    scans: &'static [&'static str],
    /// What each scan is answered.
    answers: &'static [Result<AttendanceStatus, Code>],
    /// What the record says after the end, and as of when.
    record: Option<(AttendanceStatus, &'static str)>,
}

const ALWAYS: (&str, &str) = ("2000-01-01 00:00:00", "2100-01-01 00:00:00");

/// An hour on a Monday, with a code of five minutes, late after ten; nobody scans.
const LESSON: Story = Story {
    name: "nobody scans",
    opened: ("2026-03-02 09:00:00", "2026-03-02 10:00:00"),
    closed: None,
    code: ("2026-03-02 09:00:00", "2026-03-02 09:05:00"),
    late_after_s: 600,
    member: ALWAYS,
    scans: &[],
    answers: &[],
    record: Some((AttendanceStatus::Absent, "2026-03-02 10:00:00")),
};

/// The same with a code for the whole hour.
const LONG: Story = Story { code: ("2026-03-02 09:00:00", "2026-03-02 10:30:00"), ..LESSON };

use AttendanceStatus::{Absent, Late, Present};

#[rustfmt::skip]
const STORIES: &[Story] = &[
    LESSON,
    // The code, at the edge of a second and of a microsecond.
    Story { name: "at the first moment of the code", scans: &["2026-03-02 09:00:00"], answers: &[Ok(Present)], record: Some((Present, "2026-03-02 09:00:00")), ..LESSON },
    Story { name: "in the last second of the code", scans: &["2026-03-02 09:04:59"], answers: &[Ok(Present)], record: Some((Present, "2026-03-02 09:04:59")), ..LESSON },
    Story { name: "in its last microsecond", scans: &["2026-03-02 09:04:59.999999"], answers: &[Ok(Present)], record: Some((Present, "2026-03-02 09:04:59.999999")), ..LESSON },
    Story { name: "at its end", scans: &["2026-03-02 09:05:00"], answers: &[Err(Code::QrTokenExpired)], ..LESSON },
    Story { name: "a microsecond after it", scans: &["2026-03-02 09:05:00.000001"], answers: &[Err(Code::QrTokenExpired)], ..LESSON },
    Story { name: "a photograph of the code, sent around at night", scans: &["2026-03-02 23:00:00"], answers: &[Err(Code::QrTokenExpired)], ..LESSON },
    Story { name: "a code of ten seconds, in time", code: ("2026-03-02 09:00:00", "2026-03-02 09:00:10"), scans: &["2026-03-02 09:00:09.9"], answers: &[Ok(Present)], record: Some((Present, "2026-03-02 09:00:09.9")), ..LESSON },
    Story { name: "a code of ten seconds, passed on", code: ("2026-03-02 09:00:00", "2026-03-02 09:00:10"), scans: &["2026-03-02 09:00:10"], answers: &[Err(Code::QrTokenExpired)], ..LESSON },
    // Late, at the edge.
    Story { name: "the last moment in time", scans: &["2026-03-02 09:10:00"], answers: &[Ok(Present)], record: Some((Present, "2026-03-02 09:10:00")), ..LONG },
    Story { name: "a microsecond late", scans: &["2026-03-02 09:10:00.000001"], answers: &[Ok(Late)], record: Some((Late, "2026-03-02 09:10:00.000001")), ..LONG },
    Story { name: "no grace at all, at the stroke", late_after_s: 0, scans: &["2026-03-02 09:00:00"], answers: &[Ok(Present)], record: Some((Present, "2026-03-02 09:00:00")), ..LONG },
    Story { name: "no grace at all, a second later", late_after_s: 0, scans: &["2026-03-02 09:00:01"], answers: &[Ok(Late)], record: Some((Late, "2026-03-02 09:00:01")), ..LONG },
    Story { name: "late is counted from when it was opened, not from the plan", opened: ("2026-03-02 09:20:00", "2026-03-02 10:00:00"), scans: &["2026-03-02 09:29:00"], answers: &[Ok(Present)], record: Some((Present, "2026-03-02 09:29:00")), ..LONG },
    Story { name: "opened before its time", opened: ("2026-03-02 08:50:00", "2026-03-02 10:00:00"), scans: &["2026-03-02 09:00:01"], answers: &[Ok(Late)], record: Some((Late, "2026-03-02 09:00:01")), ..LONG },
    Story { name: "a minute before the end", scans: &["2026-03-02 09:59:00"], answers: &[Ok(Late)], record: Some((Late, "2026-03-02 09:59:00")), ..LONG },
    // The span of the session.
    Story { name: "at the planned end", scans: &["2026-03-02 10:00:00"], answers: &[Err(Code::SessionNotActive)], ..LONG },
    Story { name: "before it was opened", scans: &["2026-03-02 08:59:59.999999"], answers: &[Err(Code::SessionNotActive)], code: ("2026-03-02 08:00:00", "2026-03-02 10:30:00"), ..LESSON },
    Story { name: "closed by hand, just before", closed: Some("2026-03-02 09:30:00"), scans: &["2026-03-02 09:29:59.999999"], answers: &[Ok(Late)], record: Some((Late, "2026-03-02 09:29:59.999999")), ..LONG },
    Story { name: "closed by hand while the scan was on its way: taken back", closed: Some("2026-03-02 09:30:00"), scans: &["2026-03-02 09:30:00"], answers: &[Ok(Late)], record: Some((Absent, "2026-03-02 09:30:00")), ..LONG },
    Story { name: "closed by hand at once", closed: Some("2026-03-02 09:00:00"), scans: &["2026-03-02 09:00:00"], answers: &[Ok(Present)], record: Some((Absent, "2026-03-02 09:00:00")), ..LONG },
    Story { name: "nobody scans, and it is closed early", closed: Some("2026-03-02 09:30:00"), record: Some((Absent, "2026-03-02 09:30:00")), ..LONG },
    // More than one scan.
    Story { name: "two scans", scans: &["2026-03-02 09:01:00", "2026-03-02 09:02:00"], answers: &[Ok(Present), Err(Code::AlreadyMarkedAttendance)], record: Some((Present, "2026-03-02 09:01:00")), ..LONG },
    Story { name: "two scans, the earlier one handled after the later one", scans: &["2026-03-02 09:20:00", "2026-03-02 09:01:00"], answers: &[Ok(Late), Err(Code::AlreadyMarkedAttendance)], record: Some((Present, "2026-03-02 09:01:00")), ..LONG },
    Story { name: "an expired code first, then a good one", code: ("2026-03-02 09:00:00", "2026-03-02 09:05:00"), scans: &["2026-03-02 09:06:00", "2026-03-02 09:04:00"], answers: &[Err(Code::QrTokenExpired), Ok(Present)], record: Some((Present, "2026-03-02 09:04:00")), ..LESSON },
    Story { name: "twice in the same microsecond", scans: &["2026-03-02 09:01:00", "2026-03-02 09:01:00"], answers: &[Ok(Present), Err(Code::AlreadyMarkedAttendance)], record: Some((Present, "2026-03-02 09:01:00")), ..LONG },
    // In mid-term.
    Story { name: "enrolled while the lesson goes on, before the scan", member: ("2026-03-02 09:03:00", "2100-01-01 00:00:00"), scans: &["2026-03-02 09:03:00"], answers: &[Ok(Present)], record: Some((Present, "2026-03-02 09:03:00")), ..LONG },
    Story { name: "enrolled a microsecond after the scan", member: ("2026-03-02 09:03:00.000001", "2100-01-01 00:00:00"), scans: &["2026-03-02 09:03:00"], answers: &[Err(Code::NotEnrolled)], ..LONG },
    Story { name: "withdrawn before the scan", member: ("2000-01-01 00:00:00", "2026-03-02 09:03:00"), scans: &["2026-03-02 09:03:00"], answers: &[Err(Code::NotEnrolled)], record: None, ..LONG },
    Story { name: "withdrawn after the scan: the record stays", member: ("2000-01-01 00:00:00", "2026-03-02 09:30:00"), scans: &["2026-03-02 09:03:00"], answers: &[Ok(Present)], record: Some((Present, "2026-03-02 09:03:00")), ..LONG },
    Story { name: "withdrawn before the end: not absent", member: ("2000-01-01 00:00:00", "2026-03-02 09:59:59"), record: None, ..LONG },
    Story { name: "enrolled only for the next lesson", member: ("2026-03-03 00:00:00", "2100-01-01 00:00:00"), record: None, ..LONG },
    Story { name: "enrolled a second before the end: absent", member: ("2026-03-02 09:59:59", "2100-01-01 00:00:00"), ..LONG },
    // The calendar.
    Story { name: "a lesson on a leap day", opened: ("2028-02-29 09:00:00", "2028-02-29 10:00:00"), code: ("2028-02-29 09:00:00", "2028-02-29 09:05:00"), scans: &["2028-02-29 09:04:59"], answers: &[Ok(Present)], record: Some((Present, "2028-02-29 09:04:59")), ..LESSON },
    Story { name: "over the midnight of a leap day", opened: ("2028-02-28 23:30:00", "2028-02-29 00:30:00"), code: ("2028-02-28 23:59:00", "2028-02-29 00:04:00"), late_after_s: 1_800, scans: &["2028-02-29 00:00:00"], answers: &[Ok(Present)], record: Some((Present, "2028-02-29 00:00:00")), ..LESSON },
    Story { name: "over the end of a year, late in the next", opened: ("2026-12-31 23:30:00", "2027-01-01 00:30:00"), code: ("2026-12-31 23:59:59", "2027-01-01 00:04:59"), scans: &["2027-01-01 00:00:00"], answers: &[Ok(Late)], record: Some((Late, "2027-01-01 00:00:00")), ..LESSON },
    // The night in which clocks in Europe go from two to three: an hour is an hour.
    Story { name: "the night that lacks an hour", opened: ("2026-03-29 00:30:00", "2026-03-29 01:30:00"), code: ("2026-03-29 00:58:00", "2026-03-29 01:03:00"), late_after_s: 1_800, scans: &["2026-03-29 01:00:00"], answers: &[Ok(Present)], record: Some((Present, "2026-03-29 01:00:00")), ..LESSON },
    Story { name: "the night that has an hour twice", opened: ("2026-10-25 00:30:00", "2026-10-25 01:30:00"), code: ("2026-10-25 00:58:00", "2026-10-25 01:03:00"), scans: &["2026-10-25 01:00:00"], answers: &[Ok(Late)], record: Some((Late, "2026-10-25 01:00:00")), ..LESSON },
];

fn time(text: &str) -> DateTime<Utc> {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").unwrap().and_utc()
}

impl Story {
    fn is_member(&self, at: DateTime<Utc>) -> bool {
        (time(self.member.0)..time(self.member.1)).contains(&at)
    }

    fn plays(&self) {
        let (started_at, ends_at) = (time(self.opened.0), time(self.opened.1));
        let open = Session { starts_at: started_at, ends_at, started_at: Some(started_at), ..session() };
        let settings = ClassSettings { late_after_seconds: self.late_after_s, ..settings() };
        let mut record = None;
        let mut answers = Vec::new();
        for (number, scanned) in self.scans.iter().map(|text| time(text)).enumerate() {
            let context = ScanContext {
                valid_from: time(self.code.0),
                expires_at: time(self.code.1),
                session: open,
                settings,
                enrolled: self.is_member(scanned),
                protected: false,
            };
            let known = (record.as_ref(), &Gathered::default());
            let decision = decide_scan(scan_id(number as u128), scanned, Some(&context), known);
            record = decision.change.or(record);
            let status = record.map(|mark: Mark| mark.status);
            answers.push(decision.refusal.map_or_else(|| Ok(status.unwrap()), Err));
        }
        assert_eq!(answers, self.answers, "{}", self.name);

        let ended_at = end(&open, self.closed.map_or(ends_at, time)).unwrap();
        let closed = Session { state: SessionState::Completed, ended_at: Some(ended_at), ..open };
        let record = match record {
            Some(mark) => {
                let gathered = Gathered { scans: mark.scan.into_iter().collect(), ..Gathered::default() };
                settle(Some(&mark), &gathered, &settings, &closed).change.or(Some(mark))
            }
            None => self.is_member(ended_at).then(|| absence(ended_at)),
        };
        let expected = self.record.map(|(status, at)| (status, time(at)));
        assert_eq!(record.map(|mark| (mark.status, mark.marked_at)), expected, "{}", self.name);
    }
}

#[test]
fn every_story_ends_as_its_row_says() {
    assert!(STORIES.len() >= 30);
    STORIES.iter().for_each(Story::plays);
}

#[test]
fn codes_follow_each_other_with_two_seconds_in_which_both_are_good() {
    let ttl = code_ttl(Some(30), &settings());
    let mut code = at(0)..at(0) + ttl;
    for _ in 0..200 {
        let due = code.end - TimeDelta::seconds(2);
        assert_eq!(following_code(code.end, ttl, due - TimeDelta::microseconds(1)), None);
        let next = following_code(code.end, ttl, due).unwrap();
        assert_eq!((next.start, next.end), (due, code.end + ttl));
        // In the overlap a scan of either is taken; at its end the old one no longer is.
        for (moment, old_is_good) in
            [(due, true), (code.end - TimeDelta::microseconds(1), true), (code.end, false)]
        {
            let good = |range: &std::ops::Range<DateTime<Utc>>| {
                let open = Session { ends_at: at(20_000), ..session() };
                let context = ScanContext {
                    valid_from: range.start,
                    expires_at: range.end,
                    session: open,
                    ..context()
                };
                let known = (None, &Gathered::default());
                decide_scan(scan_id(1), moment, Some(&context), known).refusal.is_none()
            };
            assert_eq!((good(&code), good(&next)), (old_is_good, true), "{moment}");
        }
        code = next;
    }
}
