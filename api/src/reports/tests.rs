//! A seeded term, counted here in plain Rust over the rows, beside what the routes say of it.

use crate::testing::TestApi;
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use http::Method;
use rollcall_schemas::{
    fact::{AttendanceStatus, Evidence},
    id::{AttendanceId, ClassId, SessionId, UserId},
    request::SessionPlan,
    role::Role,
};
use rollcall_store::{
    PgConnection,
    attendance::{self, Mark, Origin, Record},
    classes::{self, NewClass},
    sessions,
    users::{self, NewUser},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// One record, as the test knows it.
#[derive(Clone)]
struct Row {
    class: ClassId,
    session: SessionId,
    date: NaiveDate,
    starts_at: DateTime<Utc>,
    student: UserId,
    status: AttendanceStatus,
}

/// Present, absent, late, excused.
type Tally = (i64, i64, i64, i64);

fn tally<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Tally {
    rows.into_iter().fold((0, 0, 0, 0), |(present, absent, late, excused), row| match row.status {
        AttendanceStatus::Present => (present + 1, absent, late, excused),
        AttendanceStatus::Absent => (present, absent + 1, late, excused),
        AttendanceStatus::Late => (present, absent, late + 1, excused),
        AttendanceStatus::Excused => (present, absent, late, excused + 1),
    })
}

/// In whole numbers: hundredths of a percent, rounded.
fn percentage(there: i64, total: i64) -> f64 {
    if total == 0 { 0.0 } else { ((20_000 * there + total) / (2 * total)) as f64 / 100.0 }
}

fn totals((present, absent, late, excused): Tally) -> Value {
    let total = present + absent + late;
    json!({
        "present": present, "absent": absent, "late": late, "excused": excused, "total": total,
        "percentage": percentage(present, total),
    })
}

/// With the fields of `one` and of `other`.
fn joined(one: Value, other: Value) -> Value {
    let (Value::Object(mut one), Value::Object(other)) = (one, other) else { panic!("two objects") };
    one.extend(other);
    one.into()
}

/// A school in Vienna with a term from January to April: sessions early, in the morning and late, so that the days of
/// Vienna are not those of UTC, and the clocks go forward on 29 March.
struct Term {
    test: TestApi,
    /// Two of the first teacher, one of the other.
    classes: Vec<(ClassId, String, String)>,
    students: BTreeMap<UserId, String>,
    /// The records of sessions that are over.
    rows: Vec<Row>,
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// When a clock in Vienna shows this, from October 2025 to October 2026.
fn in_vienna(date: NaiveDate, time: NaiveTime) -> DateTime<Utc> {
    let local = date.and_time(time);
    let is_summer = local >= day("2026-03-29").and_hms_opt(3, 0, 0).unwrap();
    local.and_utc() - TimeDelta::hours(if is_summer { 2 } else { 1 })
}

impl Term {
    async fn held() -> Self {
        let test = TestApi::start().await;
        let zone = json!({ "timeZone": "Europe/Vienna" });
        test.admin().send_json(Method::PATCH, "/api/v1/admin/config-org", &zone).await.data();
        let mut term = Self { test, classes: vec![], students: BTreeMap::new(), rows: vec![] };
        term.fill().await;
        term
    }

    async fn fill(&mut self) {
        let mut db = self.test.api.connection().await.unwrap();
        let school = &self.test.school;
        let admin = users::find(&mut db, school.admin).await.unwrap().unwrap();
        let third = NewClass {
            id: ClassId(self.test.api.entropy().uuid_v4()),
            organisation_id: admin.organisation_id,
            code: "=1+1".into(),
            name: "Class Z".into(),
            description: String::new(),
            teacher_id: school.teacher,
            capacity: None,
            room: None,
            created_at: self.test.clock.now(),
        };
        classes::create(&mut db, &third).await.unwrap();
        self.classes = vec![
            (school.class, "Class A1".into(), "A1".into()),
            (third.id, third.name.clone(), third.code.clone()),
            (school.other_class, "Class B2".into(), "B2".into()),
        ];
        for number in 0..7 {
            let student = NewUser {
                id: UserId(self.test.api.entropy().uuid_v4()),
                organisation_id: admin.organisation_id,
                email: format!("s{number}@school.example"),
                full_name: format!("Student {number}"),
                role: Role::Student,
                roll_number: None,
                password_hash: None,
                created_at: self.test.clock.now(),
            };
            users::create(&mut db, &student).await.unwrap();
            self.students.insert(student.id, student.full_name);
        }
        self.students.insert(school.student, "Sara student".into());
        let classes = self.classes.clone();
        for (number, (class, ..)) in (0..).zip(classes) {
            self.hold(&mut db, (class, number)).await;
        }
    }

    /// Holds the sessions of a class, one every third day.
    async fn hold(&mut self, db: &mut PgConnection, (class, number): (ClassId, usize)) {
        let times = [(0, 30), (9, 0), (23, 30)].map(|(h, m)| NaiveTime::from_hms_opt(h, m, 0).unwrap());
        for step in 0..27_usize {
            let date = day("2026-01-20") + TimeDelta::days(3 * step as i64);
            let starts_at = in_vienna(date, times[(step + number) % 3]);
            let session = self.plan(db, class, starts_at).await;
            sessions::start(db, session, starts_at).await.unwrap();
            for (place, student) in (0_usize..).zip(self.students.clone().into_keys()) {
                // Whoever is in the third class comes seldom; some days hold nothing but excuses.
                let status = match (step * 31 + place * 17 + number * 7) % 20 {
                    _ if step == 5 => AttendanceStatus::Excused,
                    0..9 if number == 1 => AttendanceStatus::Absent,
                    0..2 => AttendanceStatus::Absent,
                    2..4 => AttendanceStatus::Excused,
                    4 => AttendanceStatus::Late,
                    _ => AttendanceStatus::Present,
                };
                // Some come to the class in mid-term.
                if place == 6 && step < 10 {
                    continue;
                }
                self.record(db, Row { class, session, date, starts_at, student, status }).await;
            }
            sessions::end(db, session, starts_at + TimeDelta::hours(1)).await.unwrap();
        }
        self.leave_one_open(db, class).await;
    }

    async fn plan(&self, db: &mut PgConnection, class_id: ClassId, starts_at: DateTime<Utc>) -> SessionId {
        let id = SessionId(self.test.api.entropy().uuid_v4());
        let ends_at = starts_at + TimeDelta::hours(1);
        let plan = SessionPlan { allow_overlap: true, ..SessionPlan::between(starts_at, ends_at) };
        sessions::plan(db, (id, class_id), &plan, starts_at).await.unwrap();
        id
    }

    async fn record(&mut self, db: &mut PgConnection, row: Row) {
        write(db, &row).await;
        self.rows.push(row);
    }

    /// Nobody is absent yet from a session that goes on: it does not count.
    async fn leave_one_open(&self, db: &mut PgConnection, class: ClassId) {
        let date = day("2026-03-03");
        let starts_at = in_vienna(date, NaiveTime::from_hms_opt(15, 0, 0).unwrap());
        let session = self.plan(db, class, starts_at).await;
        sessions::start(db, session, starts_at).await.unwrap();
        let student = *self.students.keys().next().unwrap();
        let status = AttendanceStatus::Present;
        write(db, &Row { class, session, date, starts_at, student, status }).await;
    }

    fn of(&self, class: ClassId) -> Vec<&Row> {
        self.rows.iter().filter(|row| row.class == class).collect()
    }
}

async fn write(db: &mut PgConnection, row: &Row) {
    let record = Record {
        id: AttendanceId::of(row.session, row.student),
        session_id: row.session,
        student_id: row.student,
        mark: Mark {
            status: row.status,
            marked_at: row.starts_at,
            evidence: Evidence::Manual,
            scan: None,
            sighting_id: None,
            similarity: None,
        },
        origin: Origin::default(),
        author: None,
        recorded_at: row.starts_at,
    };
    assert_eq!(attendance::insert(db, &[record]).await.unwrap(), 1);
}

/// The rows by whatever `key` says of them.
fn grouped<'a, K: Ord>(
    rows: impl IntoIterator<Item = &'a Row>,
    key: impl Fn(&Row) -> K,
) -> BTreeMap<K, Vec<&'a Row>> {
    let mut groups: BTreeMap<K, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        groups.entry(key(row)).or_default().push(row);
    }
    groups
}

fn counted<'a>(rows: &[&'a Row]) -> Vec<&'a Row> {
    rows.iter().copied().filter(|row| row.status != AttendanceStatus::Excused).collect()
}

fn trend_of(rows: &[&Row], from: NaiveDate, to: NaiveDate) -> Value {
    let within = rows.iter().copied().filter(|row| from <= row.date && row.date <= to);
    let days = grouped(within, |row| row.date).into_iter().filter_map(|(date, rows)| {
        let (present, absent, late, _) = tally(rows);
        let total = present + absent + late;
        let percentage = percentage(present, total);
        (total > 0).then(|| {
            json!({
                "date": date, "present": present, "absent": absent, "late": late, "total": total,
                "percentage": percentage,
            })
        })
    });
    days.collect::<Vec<_>>().into()
}

fn months_of(rows: &[&Row]) -> Value {
    let months = grouped(counted(rows), |row| (row.date.format("%Y-%m").to_string(), row.class));
    let months = months.into_iter().map(|((month, class), rows)| {
        let days: BTreeSet<_> = rows.iter().map(|row| row.date).collect();
        let (present, absent, late, _) = tally(rows);
        let total = present + absent + late;
        json!({
            "classId": class, "month": month, "totalPresent": present, "totalAbsent": absent, "totalLate": late,
            "totalStudents": total, "daysRecorded": days.len(), "averagePercentage": percentage(present, total),
        })
    });
    months.collect::<Vec<_>>().into()
}

#[tokio::test]
async fn the_analytics_are_what_the_records_say() {
    let term = Term::held().await;
    let (teacher, admin) = (term.test.teacher(), term.test.admin());
    let [(first, ..), (third, ..), (other, ..)] = &term.classes[..] else { panic!("three classes") };

    // The first day is one on which UTC is a day behind; the clocks change before the last.
    for (from, to) in
        [("2026-01-20", "2026-04-30"), ("2026-02-01", "2026-03-31"), ("2026-03-27", "2026-03-30")]
    {
        for class in [first, third] {
            let path =
                format!("/api/v1/analytics/attendance-trend?classId={class}&dateFrom={from}&dateTo={to}");
            let expected = trend_of(&term.of(*class), day(from), day(to));
            let wanted = json!({ "classId": class, "dateFrom": from, "dateTo": to, "data": expected });
            assert_eq!(teacher.get(&path).await.data(), &wanted, "{path}");
        }
    }

    let own: Vec<_> = term.rows.iter().filter(|row| row.class != *other).collect();
    let summary = teacher.get("/api/v1/analytics/monthly-summary").await;
    assert_eq!(summary.data()["data"], months_of(&own));
    let summary = admin.get(&format!("/api/v1/analytics/monthly-summary?classId={other}")).await;
    assert_eq!(summary.data()["data"], months_of(&term.of(*other)));

    let mut subjects: Vec<(f64, Value, Value)> =
        term.classes.iter().map(|class| subject(&term, class)).collect();
    subjects.sort_by(|one, other| other.0.total_cmp(&one.0));
    let at_risk = subjects.iter().rev().filter(|(percentage, ..)| *percentage < 75.0);
    let at_risk: Vec<_> = at_risk.map(|(_, _, risk)| risk.clone()).collect();
    assert!(!at_risk.is_empty() && at_risk.len() < 3, "{at_risk:?}");
    assert_eq!(admin.get("/api/v1/analytics/class-risk").await.data(), &json!({ "data": at_risk }));
    let (present, absent, late, _) = tally(&term.rows);
    let wanted = json!({
        "overall_attendance": percentage(present, present + absent + late),
        "risk_count": at_risk.len(),
        "top_subjects": subjects.iter().map(|(_, subject, _)| subject).collect::<Vec<_>>(),
    });
    assert_eq!(admin.get("/api/v1/analytics/global").await.data(), &wanted);
    let own = teacher.get("/api/v1/analytics/global").await;
    assert_eq!(own.data()["top_subjects"].as_array().unwrap().len(), 2);
}

/// The percentage of a class, as one of the subjects, and as one at risk.
fn subject(term: &Term, (class, name, code): &(ClassId, String, String)) -> (f64, Value, Value) {
    let rows = counted(&term.of(*class));
    let last = rows.iter().map(|row| row.date).max();
    let (present, absent, late, _) = tally(rows);
    let total = present + absent + late;
    let percentage = percentage(present, total);
    let totals = json!({
        "attendancePercentage": percentage, "totalPresent": present, "totalAbsent": absent, "totalLate": late,
        "totalStudents": total,
    });
    let subject = json!({ "subjectId": class, "subjectName": name, "subjectCode": code });
    let risk = json!({ "classId": class, "className": name, "classCode": code, "lastRecorded": last });
    (percentage, joined(subject, totals.clone()), joined(risk, totals))
}

#[tokio::test]
async fn the_reports_are_what_the_records_say() {
    let term = Term::held().await;
    let (class, name, code) = &term.classes[0];
    let (from, to) = (day("2026-02-01"), day("2026-03-31"));
    let rows: Vec<_> = term.of(*class).into_iter().filter(|row| from <= row.date && row.date <= to).collect();
    let dates = grouped(rows.iter().copied(), |row| (row.starts_at, row.session, row.date));
    let dates: Vec<_> = dates
        .into_iter()
        .map(|((start, session, date), rows)| {
            let line = json!({ "date": date, "sessionId": session, "startTime": start });
            joined(line, totals(tally(rows)))
        })
        .collect();
    let students = grouped(rows.iter().copied(), |row| (term.students[&row.student].clone(), row.student));
    let students: Vec<_> = students
        .into_iter()
        .map(|((name, id), rows)| {
            let roll_number = (id == term.test.school.student).then_some("R-Sara");
            let line = json!({ "studentId": id, "studentName": name, "rollNumber": roll_number });
            joined(line, totals(tally(rows)))
        })
        .collect();
    let counts = json!({ "sessions": dates.len(), "students": students.len() });
    let wanted = json!({
        "report": {
            "classId": class, "className": name, "classCode": code, "startDate": from, "endDate": to,
            "dates": dates, "students": students,
        },
        "statistics": joined(counts, totals(tally(rows))),
    });
    let path = format!("/api/v1/attendance/class/{class}/report?startDate={from}&endDate={to}");
    assert_eq!(term.test.teacher().get(&path).await.data(), &wanted);

    let student = term.test.school.student;
    let path = format!("/api/v1/attendance/student/{student}/report");
    let own: Vec<_> = term.rows.iter().filter(|row| row.student == student).collect();
    let report = term.test.student().get(&path).await;
    assert_eq!(report.data()["statistics"], totals(tally(own.iter().copied())));
    let mut newest_first = own.clone();
    newest_first.sort_by_key(|row| (std::cmp::Reverse(row.starts_at), row.session));
    let history: Vec<_> = newest_first.iter().map(|row| json!([row.session, row.date, row.status])).collect();
    let told = report.data()["report"]["attendanceHistory"].as_array().unwrap().iter();
    let told: Vec<_> = told.map(|line| json!([line["sessionId"], line["date"], line["status"]])).collect();
    assert_eq!(told, history);
    let taught: Vec<_> = own.into_iter().filter(|row| row.class != term.classes[2].0).collect();
    let report = term.test.teacher().get(&path).await;
    assert_eq!(report.data()["statistics"], totals(tally(taught)));
}

#[tokio::test]
async fn files_hold_the_same_figures_and_no_formulas() {
    let term = Term::held().await;
    let file = async |path: &str| {
        let answer = term.test.admin().request(Method::GET, path).send().await.unwrap();
        let kept = answer.headers()["content-disposition"].to_str().unwrap().to_owned();
        (kept, answer.bytes().await.unwrap())
    };
    let (name, csv) = file("/api/v1/analytics/global?format=csv").await;
    assert_eq!(name, "attachment; filename=\"attendance.csv\"");
    let text = String::from_utf8(csv.to_vec()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[0].starts_with(r#""subjectId","subjectName","subjectCode","attendancePercentage","#));
    assert!(text.contains(r#","Class Z","'=1+1","#), "{text}");
    let answer = term.test.admin().get("/api/v1/analytics/global").await;
    for subject in answer.data()["top_subjects"].as_array().unwrap() {
        let line = format!("{},{}", subject["attendancePercentage"], subject["totalPresent"]);
        assert!(text.contains(&line), "{line} is not in {text}");
    }
    let class = term.test.school.class;
    for path in [
        format!("/api/v1/attendance/class/{class}/report?format=xlsx"),
        format!("/api/v1/attendance/student/{}/report?format=xlsx", term.test.school.student),
        "/api/v1/analytics/class-risk?format=xlsx".into(),
        "/api/v1/analytics/monthly-summary?format=xlsx".into(),
    ] {
        let (name, workbook) = file(&path).await;
        assert!(name.ends_with(".xlsx\"") && workbook.starts_with(b"PK\x03\x04"), "{path}: {name}");
    }
}

#[tokio::test]
async fn late_counts_as_present_where_the_organisation_says_so() {
    let term = Term::held().await;
    let late = json!({ "lateCountsAsPresent": true });
    term.test.admin().send_json(Method::PATCH, "/api/v1/admin/config-org", &late).await.data();
    let (present, absent, late, _) = tally(&term.rows);
    let told = term.test.admin().get("/api/v1/analytics/global").await;
    let wanted = percentage(present + late, present + absent + late);
    assert_eq!(told.data()["overall_attendance"], wanted);
}

#[tokio::test]
async fn what_is_not_ones_own_is_not_counted_and_bad_days_are_named() {
    let test = TestApi::start().await;
    let teacher = test.teacher();
    let (own, other) = (test.school.class, test.school.other_class);
    let days = "dateFrom=2026-01-01&dateTo=2026-01-31";
    let trend = |class| format!("/api/v1/analytics/attendance-trend?classId={class}&{days}");
    teacher.get(&trend(other)).await.refused(403, "AUTH_UNAUTHORIZED");
    let monthly = format!("/api/v1/analytics/monthly-summary?classId={other}");
    teacher.get(&monthly).await.refused(403, "AUTH_UNAUTHORIZED");
    let nothing = json!({ "overall_attendance": 0.0, "risk_count": 0, "top_subjects": [] });
    assert_eq!(teacher.get("/api/v1/analytics/global").await.data(), &nothing);
    let missing = teacher.get("/api/v1/analytics/attendance-trend").await;
    assert_eq!(missing.refused(400, "MISSING_REQUIRED_FIELD")["fields"][0]["field"], "classId");
    for (path, field) in [
        (
            format!("/api/v1/analytics/attendance-trend?classId={own}&dateTo=2026-01-01&dateFrom=x"),
            "dateFrom",
        ),
        (
            format!("/api/v1/analytics/attendance-trend?classId={own}&dateFrom=2026-02-01&dateTo=2026-01-31"),
            "dateTo",
        ),
        (format!("/api/v1/attendance/class/{own}/report?startDate=2026-02-01&endDate=2026-01-31"), "endDate"),
        ("/api/v1/analytics/global?format=pdf".to_owned(), "format"),
    ] {
        let refused = teacher.get(&path).await;
        assert_eq!(refused.status, 422, "{path}: {}", refused.body);
        assert!(refused.body["error"]["details"].to_string().contains(field), "{path}: {}", refused.body);
    }
}
