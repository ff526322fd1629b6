//! Scenarios of a school day as tables: what happened to one student, in the order in which it became known, and what the
//! record says in the end.

use super::{
    super::question::Question,
    world::{Arrival, World},
    *,
};
use AttendanceStatus::{Absent, Excused, Late, Present};
use rollcall_schemas::{code::Code, fact::EvidenceRule};

/// Told apart by their seconds, as every scan and every look of one row is.
fn scan(seconds: i64) -> Arrival {
    Arrival::Scan { n: seconds.unsigned_abs().into(), seconds }
}

fn seen(seconds: i64) -> Arrival {
    Arrival::Look { n: seconds.unsigned_abs().into(), seconds, certain: true }
}

fn glimpsed(seconds: i64) -> Arrival {
    Arrival::Look { n: seconds.unsigned_abs().into(), seconds, certain: false }
}

fn end(seconds: i64) -> Arrival {
    Arrival::End { n: 0, seconds }
}

fn say(status: AttendanceStatus, seconds: i64) -> Arrival {
    Arrival::Say { status, seconds }
}

use Arrival::{Reopen, TakeBack};

/// Planned from 0 to 3600, late after 600 seconds, three looks or a certain one, unless a row says otherwise.
struct Row {
    name: &'static str,
    settings: ClassSettings,
    session: Session,
    arrivals: Vec<Arrival>,
    says: Option<(AttendanceStatus, i64, Kind)>,
    asks: Option<&'static str>,
}

fn row(name: &'static str, arrivals: impl Into<Vec<Arrival>>, says: (AttendanceStatus, i64, Kind)) -> Row {
    let (settings, session) = (settings(), session());
    Row { name, settings, session, arrivals: arrivals.into(), says: Some(says), asks: None }
}

impl Row {
    fn grace(mut self, seconds: i32) -> Self {
        self.settings.late_after_seconds = seconds;
        self
    }

    fn by(mut self, rule: EvidenceRule) -> Self {
        self.settings.evidence_rule = rule;
        self
    }

    fn started(mut self, seconds: i64) -> Self {
        self.session.started_at = Some(at(seconds));
        self
    }

    fn asks(mut self, question: &'static str) -> Self {
        self.asks = Some(question);
        self
    }

    fn no_record(mut self) -> Self {
        self.says = None;
        self
    }

    fn check(&self) {
        let mut world = World::new(self.settings, self.session);
        self.arrivals.iter().for_each(|arrival| world.take(*arrival));
        let says =
            world.record.map(|mark| (mark.status, (mark.marked_at - at(0)).num_seconds(), mark.evidence));
        assert_eq!(says, self.says, "{}", self.name);
        let asks = world.open_question().map(Question::as_str);
        assert_eq!(asks, self.asks, "{}", self.name);
    }
}

#[test]
fn in_time_and_late_to_the_second() {
    use Kind::{Face, None as Nothing, Qr};
    let rows = [
        row("in the first moment", [scan(0)], (Present, 0, Qr)),
        row("in the last second of grace", [scan(600)], (Present, 600, Qr)),
        row("a second after it", [scan(601)], (Late, 601, Qr)),
        row("in the last second of all", [scan(3_599)], (Late, 3_599, Qr)),
        row("at the very end", [scan(3_600), end(3_600)], (Absent, 3_600, Nothing)),
        row("before the beginning", [scan(-1), end(3_600)], (Absent, 3_600, Nothing)),
        row("without grace, in the first moment", [scan(0)], (Present, 0, Qr)).grace(0),
        row("without grace, a second later", [scan(1)], (Late, 1, Qr)).grace(0),
        row("grace as long as the session", [scan(3_599)], (Present, 3_599, Qr)).grace(3_600),
        row("begun late: grace counts from then", [scan(720)], (Present, 720, Qr)).started(120),
        row("begun late, and later than that", [scan(721)], (Late, 721, Qr)).started(120),
        row("begun early: grace counts from the planned time", [scan(600)], (Present, 600, Qr)).started(-300),
        row("begun early, and later than that", [scan(601)], (Late, 601, Qr)).started(-300),
        row("begun early, before the planned time", [scan(-299)], (Present, -299, Qr)).started(-300),
        row("a face in the last second of grace", [seen(600)], (Present, 600, Face)),
        row("a face a second after it", [seen(601)], (Late, 601, Face)),
        row(
            "three looks, the first in time",
            [glimpsed(700), glimpsed(650), glimpsed(600)],
            (Present, 600, Face),
        ),
        row("two looks are not enough", [glimpsed(10), glimpsed(20), end(3_600)], (Absent, 3_600, Nothing)),
    ];
    rows.iter().for_each(Row::check);
}

#[test]
fn coming_twice_and_leaving_early() {
    use Kind::{Face, None as Nothing, Qr};
    let rows = [
        row("two check-ins: the first counts", [scan(30), scan(900)], (Present, 30, Qr)),
        row("two check-ins, the later known first", [scan(900), scan(30)], (Present, 30, Qr)),
        row("the same scan twice", [scan(30), scan(30)], (Present, 30, Qr)),
        row("face, then scan", [seen(20), scan(50)], (Present, 20, Face)),
        row("scan, then face", [scan(20), seen(50)], (Present, 20, Qr)),
        row("scan, then a face of before it", [scan(650), seen(590)], (Present, 590, Face)),
        row("face, then a scan of before it", [seen(650), scan(590)], (Present, 590, Qr)),
        row("gone after five minutes", [seen(10), scan(20), end(3_600)], (Present, 10, Face)),
        row("back again at the end", [scan(10), seen(3_500), end(3_600)], (Present, 10, Qr)),
        row("ended early, scanned before", [scan(990), end(1_000)], (Late, 990, Qr)),
        row("ended early, scanned in that moment", [scan(1_000), end(1_000)], (Absent, 1_000, Nothing)),
        row("the end known first", [end(1_000), scan(990)], (Late, 990, Qr)),
        row("the end known first, too late a scan", [end(1_000), scan(1_000)], (Absent, 1_000, Nothing)),
        row("absent, then a late frame of in time", [end(3_600), seen(30)], (Present, 30, Face)),
        row("absent, then a frame of after the end", [end(1_000), seen(1_000)], (Absent, 1_000, Nothing)),
        row("ended earlier than thought", [scan(250), end(3_600), end(200)], (Absent, 200, Nothing)),
        row(
            "ended earlier, what was before is left",
            [scan(100), seen(10), end(3_600), end(200)],
            (Present, 10, Face),
        ),
        row("ended earlier, the face is left", [seen(100), scan(250), end(200)], (Present, 100, Face)),
    ];
    rows.iter().for_each(Row::check);
}

#[test]
fn words_and_machines() {
    use Kind::{Face, Manual, None as Nothing, Qr};
    let rows = [
        row("a word over an absence", [end(3_600), say(Present, 5)], (Present, 5, Manual)),
        row("a word over a scan", [scan(30), say(Absent, 3_600)], (Absent, 3_600, Manual)),
        row("a scan after a word", [say(Absent, 3_600), scan(30)], (Absent, 3_600, Manual)),
        row("a face after a word", [say(Late, 700), seen(30)], (Late, 700, Manual)),
        row("the end after a word", [say(Present, 5), end(3_600)], (Present, 5, Manual)),
        row("an earlier end after a word", [say(Present, 500), end(100)], (Present, 500, Manual)),
        row("a word over a word", [say(Absent, 3_600), say(Late, 700)], (Late, 700, Manual)),
        row("taken back: the scan stands", [scan(30), say(Absent, 3_600), TakeBack], (Present, 30, Qr)),
        row("taken back: a scan of meanwhile", [say(Absent, 3_600), scan(30), TakeBack], (Present, 30, Qr)),
        row("taken back: a face of meanwhile", [say(Absent, 3_600), seen(30), TakeBack], (Present, 30, Face)),
        row(
            "taken back after the end: nothing was seen",
            [say(Present, 5), end(1_000), TakeBack],
            (Absent, 1_000, Nothing),
        ),
        row("taken back, then seen", [say(Present, 5), TakeBack, seen(30)], (Present, 30, Face)),
        row("excused, then seen", [say(Excused, 3_600), seen(30), scan(40)], (Excused, 3_600, Manual)),
        row("excused ahead, never came", [say(Excused, 3_600), end(3_600)], (Excused, 3_600, Manual)),
        row(
            "excused, seen, the excuse taken back",
            [say(Excused, 3_600), seen(30), end(3_600), TakeBack],
            (Present, 30, Face),
        ),
        row("nothing to take back", [scan(30), TakeBack], (Present, 30, Qr)),
    ];
    rows.iter().for_each(Row::check);
}

#[test]
fn a_session_that_goes_on() {
    use Kind::{None as Nothing, Qr};
    let again = Reopen { at: 3_700, until: 7_200 };
    let rows = [
        row("absent, then there", [end(3_600), again, scan(4_000)], (Late, 4_000, Qr)),
        row("absent all the same", [end(3_600), again, end(7_200)], (Absent, 7_200, Nothing)),
        row("there before, and still", [scan(30), end(3_600), again, end(7_200)], (Present, 30, Qr)),
        row(
            "a scan of while it was closed",
            [scan(250), end(200), again, end(7_200)],
            (Absent, 7_200, Nothing),
        ),
        row(
            "a word is taken back, over a scan of while it was closed",
            [scan(250), end(200), say(Present, 5), again, end(7_200), TakeBack],
            (Absent, 7_200, Nothing),
        ),
        row(
            "a word stays",
            [end(3_600), say(Excused, 3_600), again, scan(4_000)],
            (Excused, 3_600, Kind::Manual),
        ),
    ];
    rows.iter().for_each(Row::check);
}

#[test]
fn classes_that_want_more() {
    use EvidenceRule::{Both, FaceProposes, QrNeedsFace};
    use Kind::{Face, Manual, None as Nothing, Qr};
    let nothing = (Absent, 3_600, Nothing);
    let rows = [
        row("both: a scan, and the lesson lasts", [scan(30)], nothing).by(Both).no_record(),
        row("both: a scan alone", [scan(30), end(3_600)], nothing).by(Both),
        row("both: a face alone", [seen(30), end(3_600)], nothing).by(Both),
        row("both: in time by both", [scan(30), seen(90)], (Present, 90, Face)).by(Both),
        row("both: late by the later", [scan(30), seen(700)], (Late, 700, Face)).by(Both),
        row("both: the face known after the end", [scan(30), end(3_600), seen(20)], (Present, 30, Qr))
            .by(Both),
        row("both: the scan known after the end", [seen(20), end(3_600), scan(30)], (Present, 30, Qr))
            .by(Both),
        row("both: the face after the end", [scan(30), seen(300), end(200)], (Absent, 200, Nothing)).by(Both),
        row("near: a scan, and the lesson lasts", [scan(30)], nothing).by(QrNeedsFace).no_record(),
        row("near: a scan without a face", [scan(30), end(3_600)], nothing).by(QrNeedsFace).asks("no_face"),
        row("near: a face too far", [scan(30), seen(1_500), end(3_600)], nothing)
            .by(QrNeedsFace)
            .asks("no_face"),
        row("near: a second scan by the face", [scan(30), seen(1_500), scan(1_600)], (Late, 1_600, Qr))
            .by(QrNeedsFace),
        row("near: seen all the time", [seen(30), seen(1_500), scan(1_600)], (Late, 1_600, Qr))
            .by(QrNeedsFace),
        row("near: the face known after the end", [scan(30), end(3_600), seen(20)], (Present, 30, Qr))
            .by(QrNeedsFace),
        row("near: a face alone", [seen(30), end(3_600)], nothing).by(QrNeedsFace),
        row("near: a word answers", [scan(30), end(3_600), say(Present, 30)], (Present, 30, Manual))
            .by(QrNeedsFace),
        row("proposed: a face alone", [seen(30), end(3_600)], nothing).by(FaceProposes).asks("no_scan"),
        row("proposed: asked at once", [seen(30)], nothing).by(FaceProposes).no_record().asks("no_scan"),
        row("proposed: the scan answers", [seen(30), scan(90)], (Present, 30, Face)).by(FaceProposes),
        row("proposed: a scan alone", [scan(90), end(3_600)], (Present, 90, Qr)).by(FaceProposes),
        row("proposed: the scan is taken back", [seen(30), scan(250), end(200)], (Absent, 200, Nothing))
            .by(FaceProposes)
            .asks("no_scan"),
        row("proposed: a face of after the end", [seen(250), end(200)], (Absent, 200, Nothing))
            .by(FaceProposes),
        row("proposed: a word, taken back", [seen(30), say(Absent, 3_600), end(3_600), TakeBack], nothing)
            .by(FaceProposes)
            .asks("no_scan"),
    ];
    rows.iter().for_each(Row::check);
}

#[test]
fn a_second_check_in_is_told_so() {
    let refusals = |settings, arrivals: &[Arrival]| World::after(settings, arrivals).refusals;
    let already = Code::AlreadyMarkedAttendance;
    assert_eq!(refusals(settings(), &[scan(30), scan(900)]), [already]);
    assert_eq!(refusals(settings(), &[say(Excused, 3_600), scan(30)]), [already]);
    assert_eq!(refusals(settings(), &[end(3_600), scan(30)]), []);
    let both = ClassSettings { evidence_rule: EvidenceRule::Both, ..settings() };
    assert_eq!(refusals(both, &[scan(30), scan(40)]), [], "nothing is recorded yet");
    assert_eq!(refusals(both, &[scan(30), seen(35), scan(40)]), [already]);
}

/// Wall clocks are set, instants are not: what counts is how much time went by since the session began.
#[test]
fn nights_on_which_clocks_are_set_and_days_that_are_rare() {
    struct Night(&'static str, &'static str, &'static str, AttendanceStatus);
    let nights = [
        // Berlin, 2026-03-29: after 01:59:59 comes 03:00:00.
        Night("spring, before the change", "2026-03-29T01:55:00+01:00", "2026-03-29T01:59:59+01:00", Present),
        Night("spring, across it", "2026-03-29T01:55:00+01:00", "2026-03-29T03:05:00+02:00", Present),
        Night("spring, across it, late", "2026-03-29T01:55:00+01:00", "2026-03-29T03:05:01+02:00", Late),
        // Berlin, 2026-10-25: after 02:59:59 comes 02:00:00 once more.
        Night("autumn, across it", "2026-10-25T02:55:00+02:00", "2026-10-25T02:05:00+01:00", Present),
        Night("autumn, across it, late", "2026-10-25T02:55:00+02:00", "2026-10-25T02:05:01+01:00", Late),
        Night("autumn, the first 02:05", "2026-10-25T02:00:00+02:00", "2026-10-25T02:05:00+02:00", Present),
        Night("autumn, the second 02:05", "2026-10-25T02:00:00+02:00", "2026-10-25T02:05:00+01:00", Late),
        // New York, 2026-03-08.
        Night("New York, across it", "2026-03-08T01:58:00-05:00", "2026-03-08T03:08:00-04:00", Present),
        Night("New York, across it, late", "2026-03-08T01:58:00-05:00", "2026-03-08T03:08:01-04:00", Late),
        // Lord Howe Island sets its clocks by half an hour.
        Night("half an hour, across it", "2026-04-05T01:55:00+11:00", "2026-04-05T01:35:00+10:30", Present),
        Night(
            "half an hour, across it, late",
            "2026-04-05T01:55:00+11:00",
            "2026-04-05T01:35:01+10:30",
            Late,
        ),
        Night("into a leap day", "2028-02-28T23:55:00+01:00", "2028-02-29T00:05:00+01:00", Present),
        Night("into a leap day, late", "2028-02-28T23:55:00+01:00", "2028-02-29T00:05:01+01:00", Late),
        Night("out of a leap day", "2028-02-29T23:55:00+01:00", "2028-03-01T00:05:00+01:00", Present),
        Night("no leap day in 2100", "2100-02-28T23:55:00+00:00", "2100-03-01T00:05:00+00:00", Present),
        Night("into a new year", "2026-12-31T23:55:00+01:00", "2027-01-01T00:05:00+01:00", Present),
        Night("into a new year, late", "2026-12-31T23:55:00+01:00", "2027-01-01T00:05:01+01:00", Late),
    ];
    let instant = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().to_utc();
    for Night(name, begins, scanned, status) in nights {
        let starts_at = instant(begins);
        let ends_at = starts_at + TimeDelta::hours(2);
        let session = Session { starts_at, ends_at, started_at: Some(starts_at), ..session() };
        let mut world = World::new(settings(), session);
        world.take(Arrival::Scan { n: 1, seconds: (instant(scanned) - at(0)).num_seconds() });
        assert_eq!(world.record.map(|mark| mark.status), Some(status), "{name}");
    }
}
