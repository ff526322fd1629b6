//! Reports on a class of 500 with 200 sessions: each is one statement, answered from the index alone.
#![allow(clippy::unwrap_used, reason = "the lint knows tests by their attribute, and not their helpers")]

use rollcall_schemas::id::ClassId;
use rollcall_store::reports::{self, Counts, Days, Period};
use rollcall_test_support::TestDatabase;
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use std::path::Path;
use uuid::Uuid;

const CLASS: ClassId = ClassId(Uuid::from_u128(1));

/// Two classes of 500 students with 200 sessions each: every tenth record is an absence. Whether rows point to others is not
/// looked at, which would take the most time.
const TERM: &str = "
    BEGIN;
    SET LOCAL session_replication_role = replica;
    INSERT INTO organisations (id, name, created_at) VALUES (lpad('1', 32, '0')::uuid, 'School', now());
    INSERT INTO users (id, organisation_id, email, full_name, role, created_at, updated_at)
        SELECT lpad(n::text, 32, '0')::uuid, lpad('1', 32, '0')::uuid, n || '@school.example', 'Student ' || n, 'student', now(), now()
        FROM generate_series(1, 500) AS n;
    INSERT INTO classes (id, organisation_id, code, name, teacher_id, created_at, updated_at)
        SELECT lpad(c::text, 32, '0')::uuid, lpad('1', 32, '0')::uuid, 'C' || c, 'Class', lpad('1', 32, '0')::uuid, now(), now()
        FROM generate_series(1, 2) AS c;
    INSERT INTO sessions (id, class_id, starts_at, ends_at, state, started_at, ended_at, created_at)
        SELECT lpad((c * 1000 + n)::text, 32, '0')::uuid, lpad(c::text, 32, '0')::uuid,
               at, at + interval '1 hour', 'completed', at, at + interval '1 hour', at
        FROM generate_series(1, 2) AS c, generate_series(1, 200) AS n,
             LATERAL (SELECT timestamptz '2026-01-01 09:00Z' + n * interval '1 day' AS at) AS t;
    INSERT INTO attendance (id, session_id, student_id, status, marked_at, evidence, recorded_at)
        SELECT gen_random_uuid(), s.id, u.id,
               CASE WHEN row_number() OVER () % 10 = 0 THEN 'absent' ELSE 'present' END, s.starts_at, 'manual', s.starts_at
        FROM sessions s, users u;
    COMMIT;
";

async fn term() -> TestDatabase {
    let database = TestDatabase::create().await;
    database.pool().execute(TERM).await.unwrap();
    // What is visible to all is known, so that the index alone can answer.
    database.pool().execute("VACUUM ANALYZE").await.unwrap();
    database
}

/// The statement of `store::reports` that holds this text, as it was prepared.
fn statement(text: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.sqlx");
    let files =
        std::fs::read_dir(folder).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let queries = files.map(|file| serde_json::from_str::<serde_json::Value>(&file).unwrap());
    let mut found = queries
        .filter_map(|query| query["query"].as_str().map(str::to_owned))
        .filter(|query| query.contains(text) && query.contains("attendance a"));
    let statement = found.next().unwrap_or_else(|| panic!("no statement holds {text}"));
    assert_eq!(found.next(), None, "more than one statement holds {text}");
    statement
}

/// How a statement is carried out whatever its parameters are.
async fn plan(connection: &mut PgConnection, statement: &str, parameters: &str) -> String {
    connection.execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
    connection.execute(AssertSqlSafe(format!("PREPARE report AS {statement}"))).await.unwrap();
    let explain = format!("EXPLAIN (COSTS OFF) EXECUTE report({parameters})");
    let lines: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(explain)).fetch_all(&mut *connection).await.unwrap();
    connection.execute("DEALLOCATE report").await.unwrap();
    lines.join("\n")
}

async fn reports_read_the_index_alone(connection: &mut PgConnection) {
    let class = format!("'{CLASS}'::uuid");
    for (text, parameters) in [
        ("CROSS JOIN LATERAL", format!("ARRAY[{class}], 'month', 'Europe/Vienna', NULL, NULL")),
        ("GROUPING SETS", format!("{class}, 'Europe/Vienna', NULL, NULL")),
    ] {
        let plan = plan(connection, &statement(text), &parameters).await;
        for part in [
            "Index Only Scan using attendance_reports on attendance",
            "Index Cond: (session_id = s.id)",
            "sessions_class",
            "Index Cond: ((class_id = ",
        ] {
            assert!(plan.contains(part), "no {part}:\n{plan}");
        }
        assert!(!plan.contains("Seq Scan"), "{plan}");
    }
}

#[tokio::test]
async fn a_class_of_500_with_200_sessions_is_counted() {
    let database = term().await;
    let mut connection = database.pool().acquire().await.unwrap();
    let all = (Days::default(), "UTC");
    let months = reports::of_classes(&mut connection, &[CLASS], all, Period::Month).await.unwrap();
    let year: Counts = months.iter().map(|month| month.counts).sum();
    assert_eq!((year.present, year.absent), (90_000, 10_000));
    assert_eq!(months.iter().map(|month| month.days).sum::<i64>(), 200);
    let report = reports::of_class(&mut connection, CLASS, all).await.unwrap();
    assert_eq!((report.sessions.len(), report.students.len()), (200, 500));
    for total in [
        report.sessions.iter().map(|session| session.counts).sum::<Counts>(),
        report.students.iter().map(|student| student.counts).sum(),
    ] {
        assert_eq!(total, year);
    }
    reports_read_the_index_alone(&mut connection).await;
}
