//! Records of attendance, counted. Read only, and counted anew each time: there is no counter that could drift.
//!
//! Only sessions that are over count, as nobody is absent before. A session's day is the day on which it was planned to
//! begin, in the time zone that the caller names.

use crate::StoreError;
use chrono::{DateTime, NaiveDate, Utc};
use rollcall_schemas::{
    fact::{AttendanceStatus, Evidence},
    id::{ClassId, SessionId, UserId},
};
use sqlx::PgConnection;
use std::iter::Sum;

/// How many records say what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// There in time.
    pub present: i64,
    /// There, but late.
    pub late: i64,
    /// Not there.
    pub absent: i64,
    /// Not there, with a reason that was accepted.
    pub excused: i64,
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, more| Self {
            present: sum.present + more.present,
            late: sum.late + more.late,
            absent: sum.absent + more.absent,
            excused: sum.excused + more.excused,
        })
    }
}

/// Days, both included; without an end where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Days {
    /// The first.
    pub from: Option<NaiveDate>,
    /// The last.
    pub to: Option<NaiveDate>,
}

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// The records of a day.
    Day,
    /// The records of a month.
    Month,
}

impl Period {
    fn as_str(self) -> &'static str {
        match self {
            Period::Day => "day",
            Period::Month => "month",
        }
    }
}

/// The records of one class in one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassCounts {
    /// The class.
    pub class_id: ClassId,
    /// The first day of the period.
    pub period: NaiveDate,
    /// The records; the excused are left out.
    pub counts: Counts,
    /// On how many days there were some.
    pub days: i64,
    /// The last of those days.
    pub last_day: NaiveDate,
}

/// The records of these classes by period, oldest first; periods with nothing but excuses are left out.
///
/// # Errors
/// [`StoreError::Unusable`] when a day is out of range, or when the database does not answer.
pub async fn of_classes(
    conn: &mut PgConnection,
    classes: &[ClassId],
    (days, time_zone): (Days, &str),
    period: Period,
) -> Result<Vec<ClassCounts>, StoreError> {
    let classes: Vec<_> = classes.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"SELECT s.class_id,
                  date_trunc($2, s.starts_at AT TIME ZONE $3)::date AS "period!",
                  sum(c.present)::bigint AS "present!", sum(c.late)::bigint AS "late!",
                  sum(c.absent)::bigint AS "absent!",
                  count(DISTINCT (s.starts_at AT TIME ZONE $3)::date) AS "days!",
                  max((s.starts_at AT TIME ZONE $3)::date) AS "last_day!"
           FROM sessions s
           CROSS JOIN LATERAL (
               SELECT count(*) FILTER (WHERE a.status = 'present') AS present,
                      count(*) FILTER (WHERE a.status = 'late') AS late,
                      count(*) FILTER (WHERE a.status = 'absent') AS absent
               FROM attendance a WHERE a.session_id = s.id) AS c
           WHERE s.class_id = ANY($1) AND s.state = 'completed' AND c.present + c.late + c.absent > 0
             AND s.starts_at >= coalesce($4::date::timestamp AT TIME ZONE $3, '-infinity')
             AND s.starts_at < coalesce(($5::date + 1)::timestamp AT TIME ZONE $3, 'infinity')
           GROUP BY 1, 2 ORDER BY 2, 1"#,
        &classes,
        period.as_str(),
        time_zone,
        days.from,
        days.to
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ClassCounts {
            class_id: row.class_id.into(),
            period: row.period,
            counts: Counts { present: row.present, late: row.late, absent: row.absent, excused: 0 },
            days: row.days,
            last_day: row.last_day,
        })
        .collect())
}

/// The records of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionCounts {
    /// The session.
    pub session_id: SessionId,
    /// Its day.
    pub date: NaiveDate,
    /// When it was planned to begin.
    pub starts_at: DateTime<Utc>,
    /// The records.
    pub counts: Counts,
}

/// The records of one student.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudentCounts {
    /// The student.
    pub student_id: UserId,
    /// The full name.
    pub full_name: String,
    /// The roll number.
    pub roll_number: Option<String>,
    /// The records.
    pub counts: Counts,
}

/// The records of a class, counted both ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassReport {
    /// By session, oldest first.
    pub sessions: Vec<SessionCounts>,
    /// By student, by name.
    pub students: Vec<StudentCounts>,
}

/// The records of a class by session and by student, in one statement.
///
/// # Errors
/// Like [`of_classes`].
pub async fn of_class(
    conn: &mut PgConnection,
    class: ClassId,
    (days, time_zone): (Days, &str),
) -> Result<ClassReport, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT r.session_id AS "session_id?", r.starts_at AS "starts_at?",
                  (r.starts_at AT TIME ZONE $2)::date AS date,
                  r.student_id AS "student_id?", u.full_name AS "full_name?", u.roll_number AS "roll_number?",
                  r.present AS "present!", r.late AS "late!", r.absent AS "absent!", r.excused AS "excused!"
           FROM (SELECT s.id AS session_id, s.starts_at, a.student_id,
                        count(*) FILTER (WHERE a.status = 'present') AS present,
                        count(*) FILTER (WHERE a.status = 'late') AS late,
                        count(*) FILTER (WHERE a.status = 'absent') AS absent,
                        count(*) FILTER (WHERE a.status = 'excused') AS excused
                 FROM sessions s JOIN attendance a ON a.session_id = s.id
                 WHERE s.class_id = $1 AND s.state = 'completed'
                   AND s.starts_at >= coalesce($3::date::timestamp AT TIME ZONE $2, '-infinity')
                   AND s.starts_at < coalesce(($4::date + 1)::timestamp AT TIME ZONE $2, 'infinity')
                 GROUP BY GROUPING SETS ((s.id, s.starts_at), (a.student_id))) AS r
           LEFT JOIN users u ON u.id = r.student_id
           ORDER BY r.starts_at, r.session_id, u.full_name, r.student_id"#,
        class.0,
        time_zone,
        days.from,
        days.to
    )
    .fetch_all(conn)
    .await?;
    let mut report = ClassReport::default();
    for row in rows {
        let counts =
            Counts { present: row.present, late: row.late, absent: row.absent, excused: row.excused };
        if let (Some(session_id), Some(date), Some(starts_at)) = (row.session_id, row.date, row.starts_at) {
            report.sessions.push(SessionCounts { session_id: session_id.into(), date, starts_at, counts });
        } else if let (Some(student_id), Some(full_name)) = (row.student_id, row.full_name) {
            let student_id = student_id.into();
            report.students.push(StudentCounts {
                student_id,
                full_name,
                roll_number: row.roll_number,
                counts,
            });
        }
    }
    Ok(report)
}

/// One record of a student.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudentRecord {
    /// The session.
    pub session_id: SessionId,
    /// Its class.
    pub class_id: ClassId,
    /// The class's short name.
    pub class_code: String,
    /// The class's name.
    pub class_name: String,
    /// The session's day.
    pub date: NaiveDate,
    /// When it was planned to begin.
    pub starts_at: DateTime<Utc>,
    /// What the record says.
    pub status: AttendanceStatus,
    /// Event time of the evidence; the end of the session for the absent.
    pub marked_at: DateTime<Utc>,
    /// By what evidence.
    pub evidence: Evidence,
}

/// The records of a student, newest session first: all, or those in a teacher's classes.
///
/// # Errors
/// Like [`of_classes`].
pub async fn of_student(
    conn: &mut PgConnection,
    (student, teacher): (UserId, Option<UserId>),
    (days, time_zone): (Days, &str),
) -> Result<Vec<StudentRecord>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT s.id, s.class_id, c.code, c.name, (s.starts_at AT TIME ZONE $3)::date AS "date!", s.starts_at,
                  a.status, a.marked_at, a.evidence
           FROM attendance a JOIN sessions s ON s.id = a.session_id JOIN classes c ON c.id = s.class_id
           WHERE a.student_id = $1 AND ($2::uuid IS NULL OR c.teacher_id = $2) AND s.state = 'completed'
             AND s.starts_at >= coalesce($4::date::timestamp AT TIME ZONE $3, '-infinity')
             AND s.starts_at < coalesce(($5::date + 1)::timestamp AT TIME ZONE $3, 'infinity')
           ORDER BY s.starts_at DESC, s.id"#,
        student.0,
        teacher.map(|id| id.0),
        time_zone,
        days.from,
        days.to
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(StudentRecord {
                session_id: row.id.into(),
                class_id: row.class_id.into(),
                class_code: row.code,
                class_name: row.name,
                date: row.date,
                starts_at: row.starts_at,
                status: AttendanceStatus::parse(&row.status)
                    .ok_or_else(|| StoreError::corrupt("attendance", "status", &row.status))?,
                marked_at: row.marked_at,
                evidence: Evidence::parse(&row.evidence)
                    .ok_or_else(|| StoreError::corrupt("attendance", "evidence", &row.evidence))?,
            })
        })
        .collect()
}

/// A class as reports name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedClass {
    /// The id.
    pub id: ClassId,
    /// The short name.
    pub code: String,
    /// The name.
    pub name: String,
}

/// The classes that reports are about: all, or those of one teacher.
///
/// # Errors
/// When the database does not answer.
pub async fn classes(
    conn: &mut PgConnection,
    teacher: Option<UserId>,
) -> Result<Vec<NamedClass>, StoreError> {
    let rows = sqlx::query_as!(
        NamedClass,
        "SELECT id, code, name FROM classes
         WHERE deleted_at IS NULL AND ($1::uuid IS NULL OR teacher_id = $1) ORDER BY name, id",
        teacher.map(|id| id.0)
    );
    Ok(rows.fetch_all(conn).await?)
}
