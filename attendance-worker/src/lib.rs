//! The attendance worker: sightings and scans become records by pure rules, sessions live their lives, photographs
//! become templates, and every accepted frame is accounted for.
//!
//! What belongs here: what a message means for the tables this worker writes. How messages get here and what happens to
//! those that fail is the business of `bus`; SQL is in `store`.
//!
//! | module | what it handles |
//! |---|---|
//! | [`policy`] | the rules, pure |
//! | `scan`, `guard` | SCANS: records or named refusals |
//! | `sighting` | SIGHTINGS: votes, records, reviews, live events |
//! | `photo` | requests to keep an enrolment photograph |
//! | `erasure` | requests to erase a person's enrolled face |
//! | `correction` | people's words about records, and their answers to reviews |
//! | `session` | requests to plan, open, close a session or replace its code |
//! | `ledger`, `dead` | FRAMES and DEAD: what became of every frame and every question |
//! | `timetable` | the lessons of timetables, as sessions |
//! | `timers` | what happens because its time has come |
//! | `notify` | FACTS: who is told what, and sending it |
//!
//! # Metrics
//! | name | kind | labels |
//! |---|---|---|
//! | `rollcall_attendance_scans_total` | counter | `result` = recorded, kept, or the code of the refusal |
//! | `rollcall_attendance_records_total` | counter | `change` = recorded, corrected; `status`; `evidence` |
//! | `rollcall_attendance_delay_seconds` | histogram: from the evidence to its record | |
//! | `rollcall_attendance_reviews_total` | counter | |
//! | `rollcall_attendance_timer_acts_total` | counter | `act` |
//! | `rollcall_notify_decided_total` | counter: notifications, each once | |
//! | `rollcall_notify_attempts_total` | counter | `channel`; `result` = delivered, retry, failed, cancelled |
//! | `rollcall_notify_attempt_seconds` | histogram | `channel` |
//! | `rollcall_notify_delay_seconds` | histogram: from the decision to the arrival, quiet hours and retries included | `channel` |
//! | `rollcall_notify_webhooks_disabled_total` | counter | |

mod answers;
mod config;
mod correction;
mod dead;
mod deps;
mod erasure;
mod error;
mod facts;
mod gathering;
mod group;
mod guard;
mod ledger;
mod notify;
mod photo;
pub mod policy;
mod records;
mod scan;
mod session;
mod sighting;
mod timers;
mod timetable;
mod trace;
mod waiting;

pub use config::AttendanceConfig;
pub use deps::Deps;
pub use notify::{EmailSecurity, NotifyConfig, NotifyError, PushConfig, SmtpConfig, WebhookConfig};

use rollcall_bus::{BatchSpec, ConsumerSpec, Handler};
use rollcall_schemas::subject::{self, RequestKind, Stream};
use rollcall_service::lifecycle::Lifecycle;
use std::{convert::Infallible, sync::Arc, time::Duration};

/// The most frames that are entered in the ledger together, and how long they are waited for.
const LEDGER_BATCH: usize = 500;
const LEDGER_FILL: Duration = Duration::from_millis(50);

/// The durable consumers, whose names keep their places in the log.
pub mod consumer {
    /// Of SCANS.
    pub const SCANS: &str = "attendance-scans";
    /// Of SIGHTINGS.
    pub const SIGHTINGS: &str = "attendance-sightings";
    /// Of the requests to keep a photograph.
    pub const PHOTOS: &str = "attendance-photos";
    /// Of the requests to erase a face.
    pub const ERASURES: &str = "attendance-erasures";
    /// Of the requests about sessions.
    pub const SESSIONS: &str = "attendance-sessions";
    /// Of people's words about records.
    pub const CORRECTIONS: &str = "attendance-corrections";
    /// Of FRAMES.
    pub const LEDGER: &str = rollcall_schemas::subject::frames_consumer::LEDGER;
    /// Of DEAD.
    pub const DEAD: &str = "attendance-dead";
    /// Of FACTS.
    pub const NOTIFIER: &str = "attendance-notifier";
    /// Of the requests about webhooks.
    pub const WEBHOOKS: &str = "attendance-webhooks";
}

/// Starts the worker's tasks; they end with `lifecycle`. The streams exist, and the schema is up to date.
///
/// # Errors
/// When the settings of a channel of notifications cannot be used.
pub fn run(config: AttendanceConfig, deps: &Deps, lifecycle: &Lifecycle) -> Result<(), NotifyError> {
    notify::start(&config, deps, lifecycle)?;
    let on =
        |stream, durable, max_in_flight| ConsumerSpec { max_in_flight, ..ConsumerSpec::new(stream, durable) };
    let requests = |kind, durable| ConsumerSpec {
        filter: Some(subject::request(kind)),
        ..ConsumerSpec::new(Stream::Requests, durable)
    };
    let scans = on(Stream::Scans, consumer::SCANS, config.scans_in_flight);
    consume(scans, scan::RecordScan::new(deps.clone()), deps, lifecycle);
    let sightings = on(Stream::Sightings, consumer::SIGHTINGS, config.sightings_in_flight);
    consume(sightings, sighting::RecordSighting(deps.clone()), deps, lifecycle);
    let photos = requests(RequestKind::StorePhoto, consumer::PHOTOS);
    consume(photos, photo::KeepPhoto(deps.clone()), deps, lifecycle);
    let erasures = requests(RequestKind::EraseFaces, consumer::ERASURES);
    consume(erasures, erasure::EraseFace(deps.clone()), deps, lifecycle);
    let sessions = requests(RequestKind::Session, consumer::SESSIONS);
    consume(sessions, session::ChangeSession::new(deps.clone()), deps, lifecycle);
    let corrections = requests(RequestKind::Attendance, consumer::CORRECTIONS);
    consume(corrections, correction::CorrectRecords(deps.clone()), deps, lifecycle);
    consume(ConsumerSpec::new(Stream::Dead, consumer::DEAD), dead::SettleDead(deps.clone()), deps, lifecycle);
    enter_frames(deps, lifecycle);
    let timers = Arc::new(timers::Timers::new(deps.clone(), config));
    let (lessons, stop) = (timers.clone(), lifecycle.soft_stop());
    lifecycle.spawn("lessons", async move {
        lessons.plan(stop).await;
        Ok::<_, Infallible>(())
    });
    let stop = lifecycle.soft_stop();
    lifecycle.spawn("timers", async move {
        timers.run(stop).await;
        Ok::<_, Infallible>(())
    });
    Ok(())
}

fn consume(spec: ConsumerSpec, handler: impl Handler, deps: &Deps, lifecycle: &Lifecycle) {
    let (bus, stop, name) = (deps.bus.clone(), lifecycle.soft_stop(), spec.durable.clone());
    lifecycle.spawn(&name, async move { bus.consume(spec, Arc::new(handler), stop).await });
}

fn enter_frames(deps: &Deps, lifecycle: &Lifecycle) {
    let consumer = ConsumerSpec {
        headers_only: true,
        max_in_flight: LEDGER_BATCH,
        ..ConsumerSpec::new(Stream::Frames, consumer::LEDGER)
    };
    let spec = BatchSpec { consumer, fill: LEDGER_FILL };
    let (bus, stop, handler) = (deps.bus.clone(), lifecycle.soft_stop(), ledger::EnterFrames(deps.clone()));
    lifecycle.spawn(consumer::LEDGER, async move { bus.consume_batch(spec, Arc::new(handler), stop).await });
}
