//! Reports of a large class over a school year, beside the statement that each rests on, by itself and on a connection
//! of its own. What is lost is what it costs to reckon and to write the answer down. Nothing is counted in advance, so
//! this is what a report costs each time.

use super::{
    Scope,
    deployment::{self, Deployment},
    latency::Delays,
    postgres,
    process::Service,
    report::{Figure, Report},
    school::School,
};
use crate::{client::Client, config::Config};
use anyhow::Context;
use chrono::{NaiveDate, TimeDelta};
use rollcall_schemas::id::ClassId;
use rollcall_store::{
    PgConnection,
    reports::{self, Days, Period},
};
use std::time::Instant;

const NAME: &str = "reports";
const STUDENTS: usize = 500;
const SESSIONS: i64 = 200;
/// Of the organisation, which has said nothing else.
const TIME_ZONE: &str = "UTC";

/// Runs it.
pub async fn run(scope: Scope, config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let (rounds, each) = if scope.quick { (2, 5) } else { (10, 50) };
    deployment::with(config, &[Service::Ingest, Service::Api], async |deployment| {
        let school = School::found(deployment, STUDENTS).await?;
        hold_sessions(deployment, school.class_id).await?;
        let last = deployment.clock.now().date_naive();
        let term = (last - TimeDelta::days(SESSIONS), last);
        let desk = school.admin.as_ref().context("an api")?;
        let mut db = deployment.pool.acquire().await?;
        for asked in Asked::all(school.class_id, term) {
            asked.again(desk, &mut db, each, &mut Beside::new()).await?;
            let mut beside = Beside::new();
            for _ in 0..rounds {
                asked.again(desk, &mut db, each, &mut beside).await?;
            }
            for (part, percent) in [("median", 50.0), ("p99", 99.0)] {
                let Beside { ours, alone } = &beside;
                let figure =
                    Figure::new(NAME, format!("{}, {part}", asked.name), ours.percentile_ms(percent), "ms");
                let figure = figure.beside("its statement alone", alone.percentile_ms(percent), None);
                report.add(
                    figure.note(format!("{STUDENTS} students, {SESSIONS} sessions, {} calls", ours.count())),
                );
            }
        }
        Ok(())
    })
    .await
}

/// A report, and what it rests on.
struct Asked {
    name: &'static str,
    path: String,
    statement: Statement,
}

/// What counts the records.
#[derive(Clone, Copy)]
enum Statement {
    OfClass(ClassId),
    OfClasses(ClassId, Days, Period),
}

/// How long the answers took, and the statements.
struct Beside {
    ours: Delays,
    alone: Delays,
}

impl Beside {
    fn new() -> Self {
        Self { ours: Delays::new(), alone: Delays::new() }
    }
}

impl Asked {
    fn all(class: ClassId, (first, last): (NaiveDate, NaiveDate)) -> [Self; 5] {
        let days = Days { from: Some(first), to: Some(last) };
        let by_month = Statement::OfClasses(class, Days::default(), Period::Month);
        let asked = |name, path: String, statement| Self { name, path: format!("/api/v1{path}"), statement };
        [
            asked("class report", format!("/attendance/class/{class}/report"), Statement::OfClass(class)),
            asked(
                "attendance-trend",
                format!("/analytics/attendance-trend?classId={class}&dateFrom={first}&dateTo={last}"),
                Statement::OfClasses(class, days, Period::Day),
            ),
            asked("monthly-summary", format!("/analytics/monthly-summary?classId={class}"), by_month),
            asked("class-risk", "/analytics/class-risk".into(), by_month),
            asked("global", "/analytics/global".into(), by_month),
        ]
    }

    /// Runs the statement so many times, and then asks as often.
    async fn again(
        &self,
        desk: &Client,
        db: &mut PgConnection,
        times: usize,
        beside: &mut Beside,
    ) -> anyhow::Result<()> {
        for _ in 0..times {
            let begun = Instant::now();
            self.statement.run(db).await?;
            beside.alone.record(begun.elapsed());
        }
        for _ in 0..times {
            let begun = Instant::now();
            desk.get(&self.path).await?.data().context(self.name)?;
            beside.ours.record(begun.elapsed());
        }
        Ok(())
    }
}

impl Statement {
    async fn run(self, db: &mut PgConnection) -> anyhow::Result<()> {
        match self {
            Self::OfClass(class) => {
                reports::of_class(db, class, (Days::default(), TIME_ZONE)).await?;
            }
            Self::OfClasses(class, days, period) => {
                reports::of_classes(db, &[class], (days, TIME_ZONE), period).await?;
            }
        }
        Ok(())
    }
}

/// A session on each of the days that were, with a record of every student, as if all of that had happened.
async fn hold_sessions(deployment: &Deployment, class: ClassId) -> anyhow::Result<()> {
    let sessions = format!(
        "INSERT INTO sessions (id, class_id, starts_at, ends_at, state, started_at, ended_at, created_at)
         SELECT gen_random_uuid(), '{class}', at, at + interval '1 hour', 'completed', at, at + interval '1 hour', at
         FROM generate_series(1, {SESSIONS}) AS day, LATERAL (SELECT now() - day * interval '1 day' AS at) AS time"
    );
    let records = format!(
        "INSERT INTO attendance (id, session_id, student_id, status, marked_at, evidence, recorded_at)
         SELECT gen_random_uuid(), s.id, e.student_id,
                (ARRAY['present', 'present', 'present', 'late', 'absent', 'excused'])[1 + floor(random() * 6)],
                s.starts_at, 'manual', s.ended_at
         FROM sessions s JOIN enrolments e ON e.class_id = s.class_id WHERE s.class_id = '{class}'"
    );
    // As autovacuum leaves a table that has been there for a while: what indices hold need not be looked up in it.
    for sql in [sessions.as_str(), &records, "VACUUM ANALYZE sessions", "VACUUM ANALYZE attendance"] {
        postgres::query(deployment, sql).await.context("making a year of sessions")?;
    }
    Ok(())
}
