//! The rules as tables, and what must hold of them whatever comes in whatever order.

mod days;
mod face;
mod fusion;
mod notify;
mod order;
mod protection;
mod question;
mod scan;
mod scenarios;
mod session;
mod timetable;
mod word;
mod world;

use super::face::Roster;
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::{
    embedding::Embedding,
    fact::{AttendanceStatus, Evidence as Kind, SessionState},
    id::{ClassId, FrameId, ScanId, SessionId, SightingId, UserId},
    sighting::{BoundingBox, Candidate, Face, Quality, Thresholds, Verdict},
};
use rollcall_store::{
    attendance::{Mark, ScanContext, ScanMark},
    classes::ClassSettings,
    looks::Vote,
    sessions::Session,
};
use uuid::Uuid;

/// Seconds after the start of the session.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

/// Late after ten minutes, three votes wanted, one certain look enough.
fn settings() -> ClassSettings {
    ClassSettings::default()
}

/// Started at 0, planned to end after an hour, still open.
fn session() -> Session {
    Session {
        id: SessionId(Uuid::from_u128(1)),
        class_id: ClassId(Uuid::from_u128(2)),
        starts_at: at(0),
        ends_at: at(3_600),
        state: SessionState::Active,
        started_at: Some(at(0)),
        reopened_at: None,
        ended_at: None,
        qr_ttl_seconds: None,
    }
}

fn context() -> ScanContext {
    ScanContext {
        valid_from: at(0),
        expires_at: at(4_000),
        session: session(),
        settings: settings(),
        enrolled: true,
        protected: false,
    }
}

fn scan_id(n: u128) -> ScanId {
    ScanId(Uuid::from_u128(n))
}

/// The mark of a scan and nothing else.
fn scanned(status: AttendanceStatus, n: u128, scanned_at: DateTime<Utc>) -> Mark {
    let scan = Some(ScanMark { scanned_at, scan_id: scan_id(n) });
    Mark { scan, ..mark(status, scanned_at, Kind::Qr) }
}

fn user(n: u128) -> UserId {
    UserId(Uuid::from_u128(n))
}

fn vote(n: u128, captured_at: DateTime<Utc>, certain: bool) -> Vote {
    Vote {
        student_id: user(1),
        sighting_id: SightingId(Uuid::from_u128(n)),
        frame_id: FrameId(Uuid::from_u128(n)),
        captured_at,
        similarity: 0.96,
        certain,
        camera_id: None,
        evidence_sequence: None,
    }
}

fn mark(status: AttendanceStatus, marked_at: DateTime<Utc>, evidence: Kind) -> Mark {
    Mark { status, marked_at, evidence, scan: None, sighting_id: None, similarity: None }
}

const THRESHOLDS: Thresholds = Thresholds { uncertain: 0.90, confident: 0.95, certain: 0.98 };

/// A unit vector whose inner product with the axis `axis` is `similarity`, the rest of it on an axis nobody owns.
fn towards(axis: usize, similarity: f32) -> Embedding {
    let mut values = vec![0.0; 8];
    values[axis] = similarity;
    values[7] = (1.0 - similarity * similarity).sqrt();
    Embedding(values)
}

/// Students 1, 2, ... own the axes 0, 1, ...
fn roster(students: usize) -> Box<Roster> {
    (0..students).map(|axis| (user(axis as u128 + 1), Some(towards(axis, 1.0)))).collect()
}

fn face(embedding: Option<Embedding>, candidates: Vec<Candidate>, verdict: Verdict) -> Face {
    Face {
        index: 0,
        bounding_box: BoundingBox { x: 0.0, y: 0.0, width: 50.0, height: 50.0 },
        landmarks: [[0.0; 2]; 5],
        score: 0.9,
        quality: Quality { size_px: 50.0, sharpness: 100.0, yaw_degrees: 0.0, refusal: None },
        embedding,
        candidates,
        verdict,
        evidence_sequence: Some(1),
    }
}

fn minutes(n: i64) -> TimeDelta {
    TimeDelta::minutes(n)
}
