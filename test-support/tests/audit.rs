//! The audit in the database: it takes no change, and what somebody does to it all the same is found.
#![allow(clippy::unwrap_used, reason = "the lint knows tests by their attribute, and not their helpers")]

use chrono::DateTime;
use rollcall_schemas::id::UserId;
use rollcall_store::audit::{
    self, Actor, Details, Entry, Outcome, Target,
    chain::{self, Fault, Head},
};
use rollcall_test_support::TestDatabase;
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use std::collections::BTreeSet;
use uuid::Uuid;

const PERSON: UserId = UserId(Uuid::from_u128(7));

fn entry(number: i64) -> Entry {
    Entry {
        at: DateTime::from_timestamp(1_700_000_000 + number, 0).unwrap(),
        actor: Actor::User(PERSON),
        action: "camera.created".into(),
        outcome: Outcome::Done,
        target: Target { kind: "camera".into(), id: Some(number.to_string()) },
        occurrences: 1,
        request_id: None,
        trace_id: None,
        details: Some(Details::new([1; 16], &json!({ "address": "192.0.2.1" }))),
    }
}

/// A database with five chained lines.
async fn chained() -> TestDatabase {
    let database = TestDatabase::create().await;
    let mut tx = database.pool().begin().await.unwrap();
    for number in 1..=5 {
        audit::append(&mut tx, &entry(number)).await.unwrap();
    }
    let (sealed, head) = chain::seal(&mut tx, 100).await.unwrap();
    assert_eq!((sealed, head.position), (5, 5));
    tx.commit().await.unwrap();
    database
}

async fn fault(conn: &mut PgConnection) -> Option<(i64, Fault)> {
    chain::verify(conn).await.unwrap().fault.map(|(_, position, fault)| (position, fault))
}

#[tokio::test]
async fn the_table_takes_no_change() {
    let database = chained().await;
    for statement in [
        "UPDATE audit_entries SET action = 'x.y'",
        "UPDATE audit_entries SET position = NULL, previous_sha256 = NULL, sha256 = NULL",
        "UPDATE audit_entries SET position = position + 10",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries CASCADE",
        "UPDATE audit_details SET details = '{}'",
        "TRUNCATE audit_details",
    ] {
        let refused = database.pool().execute(AssertSqlSafe(statement)).await.unwrap_err().to_string();
        assert!(refused.contains("is append-only"), "{statement}: {refused}");
    }
}

#[tokio::test]
async fn what_an_owner_of_the_database_does_to_it_is_found() {
    for (statement, found) in [
        ("UPDATE audit_entries SET outcome = 'refused' WHERE position = 3", (3, Fault::Changed)),
        ("UPDATE audit_entries SET at = at + interval '1 us' WHERE position = 2", (2, Fault::Changed)),
        ("DELETE FROM audit_details; DELETE FROM audit_entries WHERE position = 1", (2, Fault::Missing)),
        ("DELETE FROM audit_details; DELETE FROM audit_entries WHERE position = 4", (5, Fault::Missing)),
        (
            "UPDATE audit_entries SET position = 6 WHERE position = 4;
             UPDATE audit_entries SET position = 4 WHERE position = 5;
             UPDATE audit_entries SET position = 5 WHERE position = 6",
            (4, Fault::Unlinked),
        ),
        ("UPDATE audit_details SET details = '{}' WHERE entry_id = 2", (2, Fault::DetailsChanged)),
        (
            "INSERT INTO audit_entries (at, actor_kind, action, outcome, target_kind, occurrences, position,
                                        previous_sha256, sha256)
             SELECT at, 'system', action, outcome, target_kind, 1, 6, sha256, sha256
             FROM audit_entries WHERE position = 5",
            (6, Fault::Changed),
        ),
    ] {
        let database = chained().await;
        let mut conn = database.pool().acquire().await.unwrap();
        // What a superuser can do, and nobody else.
        conn.execute("SET session_replication_role = replica").await.unwrap();
        conn.execute(sqlx::raw_sql(AssertSqlSafe(statement))).await.unwrap();
        assert_eq!(fault(&mut conn).await, Some(found), "{statement}");
    }
}

#[tokio::test]
async fn erased_details_are_gone_and_the_chain_holds() {
    let database = chained().await;
    let mut conn = database.pool().acquire().await.unwrap();
    assert_eq!(audit::erase_details(&mut conn, PERSON).await.unwrap(), 5);
    let verified = chain::verify(&mut conn).await.unwrap();
    assert_eq!((verified.fault, verified.erased, verified.head.position), (None, 5, 5));
}

/// Several processes seal, many append, some roll back: every committed line has exactly one place.
#[tokio::test]
async fn lines_of_many_transactions_get_one_place_each() {
    let database = TestDatabase::create().await;
    let append = async |number: i64| {
        let mut tx = database.pool().begin().await.unwrap();
        audit::append(&mut tx, &entry(number)).await.unwrap();
        match number % 5 {
            0 => tx.rollback().await.unwrap(),
            _ => tx.commit().await.unwrap(),
        }
    };
    let seal = async |_: i64| {
        let mut tx = database.pool().begin().await.unwrap();
        chain::seal(&mut tx, 7).await.unwrap();
        tx.commit().await.unwrap();
    };
    for round in 0..10 {
        let appends = futures::future::join_all((0..5).map(|number| append(round * 5 + number)));
        tokio::join!(appends, seal(1), seal(2), seal(3));
    }
    let mut conn = database.pool().acquire().await.unwrap();
    while chain::unsealed_count(&mut conn).await.unwrap() > 0 {
        seal(0).await;
    }
    let verified = chain::verify(&mut conn).await.unwrap();
    assert_eq!((verified.fault, verified.head.position), (None, 40));
    let lines = chain::after(&mut conn, 0, 100).await.unwrap();
    let targets: BTreeSet<_> = lines.iter().map(|line| line.entry.target.id.clone()).collect();
    assert_eq!(targets.len(), 40);
    assert_eq!(chain::hash_at(&mut conn, 41).await.unwrap(), None);
    assert_ne!(verified.head, Head::EMPTY);
}
