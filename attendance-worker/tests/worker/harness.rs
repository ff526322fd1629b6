//! A small school: a class with students, somebody who is not in it, a camera that looks at it, and the worker.

use anyhow::{Context, Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_attendance_worker::{AttendanceConfig, Deps, consumer};
use rollcall_bus::{Bus, Message};
use rollcall_schemas::{
    code::Code,
    embedding::Embedding,
    fact::{AttendanceStatus, Evidence, Fact},
    frame::{FrameMeta, FrameSource, ImageType},
    header::TRACEPARENT,
    id::{
        CameraId, ClassId, EnrolmentId, FrameId, OrganisationId, RequestId, ScanId, SessionId, SightingId,
        UserId,
    },
    outcome::{Answer, Outcome, OutcomeResult, PhotoAnswer, SessionAnswer},
    request::{
        AttendanceCommand, AttendanceRequest, SessionCommand, SessionPlan, SessionRequest, StorePhoto,
    },
    role::Role,
    scan::{QrToken, Scan},
    sighting::{BoundingBox, Candidate, Face, Quality, Sighting, Thresholds, Verdict},
    subject::{self, RequestKind, Stream},
};
use rollcall_service::{
    clock::{Clock, Entropy},
    lifecycle::Lifecycle,
    seal::Sealer,
};
use rollcall_store::{
    Pool, Postgres,
    attendance_views::{self, AttendanceView},
    cameras, classes, enrolments, organisations,
    pages::Page,
    review_views::{self, ReviewFilter, ReviewView},
    session_views, users,
};
use rollcall_test_support::{TestBroker, TestDatabase, eventually, monday_morning, test_clock};
use std::{collections::BTreeMap, time::Duration};
use uuid::Uuid;

pub(crate) const SOON: Duration = Duration::from_secs(20);
const ALL: Page = Page { limit: 10_000, offset: 0 };
/// A trace as a client would begin it.
pub(crate) const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

pub(crate) struct School {
    pub(crate) broker: TestBroker,
    pub(crate) bus: Bus,
    pub(crate) pool: Pool<Postgres>,
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) sealer: Sealer,
    pub(crate) teacher: UserId,
    pub(crate) class: ClassId,
    pub(crate) students: Vec<UserId>,
    pub(crate) outsider: UserId,
    pub(crate) camera: CameraId,
}

/// Seconds after nine on a Monday, when the lesson begins.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    monday_morning() + TimeDelta::seconds(seconds)
}

impl School {
    /// A school with a class of `students`, on servers that all tests share.
    pub(crate) async fn open(students: usize) -> Result<Self> {
        let database = TestDatabase::create().await;
        let pool = rollcall_store::open(database.url(), AttendanceConfig::default().connections() + 4)?;
        Self::on(pool, TestBroker::start().await, students).await
    }

    /// A school on a database of the test's own.
    pub(crate) async fn on(pool: Pool<Postgres>, broker: TestBroker, students: usize) -> Result<Self> {
        let entropy = Entropy::seeded(1);
        let bus = broker.bus().await;
        let school = Self {
            broker,
            bus,
            pool,
            clock: test_clock(),
            teacher: entropy.uuid_v4().into(),
            class: entropy.uuid_v4().into(),
            students: (0..students).map(|_| entropy.uuid_v4().into()).collect(),
            outsider: entropy.uuid_v4().into(),
            camera: entropy.uuid_v4().into(),
            entropy,
            sealer: Sealer::default(),
        };
        school.found().await?;
        Ok(school)
    }

    async fn found(&self) -> Result<()> {
        let founded = at(-86_400);
        let mut tx = self.pool.begin().await?;
        let organisation_id: OrganisationId = self.entropy.uuid_v4().into();
        let organisation = organisations::Organisation { id: organisation_id, name: "School".into() };
        organisations::create(&mut tx, &organisation, founded).await?;
        let people = [(self.teacher, Role::Teacher), (self.outsider, Role::Student)].into_iter();
        for (id, role) in people.chain(self.students.iter().map(|id| (*id, Role::Student))) {
            let user = users::NewUser {
                id,
                organisation_id,
                email: format!("{id}@example.org"),
                full_name: id.to_string(),
                role,
                roll_number: None,
                password_hash: None,
                created_at: founded,
            };
            users::create(&mut tx, &user).await?;
        }
        let class = classes::NewClass {
            id: self.class,
            organisation_id,
            code: "M1".into(),
            name: "Mathematics".into(),
            description: String::new(),
            teacher_id: self.teacher,
            capacity: None,
            room: None,
            created_at: founded,
        };
        classes::create(&mut tx, &class).await?;
        for student in &self.students {
            let id: EnrolmentId = self.entropy.uuid_v4().into();
            enrolments::create(&mut tx, id, (self.class, *student), founded).await?;
        }
        let camera = cameras::NewCamera {
            id: self.camera,
            organisation_id,
            name: "Door".into(),
            enabled: true,
            max_frames_per_second: 10,
            created_at: founded,
        };
        cameras::create(&mut tx, &camera).await?;
        classes::add_camera(&mut tx, self.class, self.camera, founded).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Another class of the same teacher, without students.
    pub(crate) async fn other_class(&self) -> Result<ClassId> {
        let id: ClassId = self.entropy.uuid_v4().into();
        let mut connection = self.pool.acquire().await?;
        let organisation = organisations::find(&mut connection).await?.context("it was founded")?;
        let class = classes::NewClass {
            id,
            organisation_id: organisation.id,
            code: "P1".into(),
            name: "Physics".into(),
            description: String::new(),
            teacher_id: self.teacher,
            capacity: None,
            room: None,
            created_at: at(-86_400),
        };
        classes::create(&mut connection, &class).await?;
        Ok(id)
    }

    /// Starts a worker, which ends with the lifecycle.
    pub(crate) fn work(&self) -> Lifecycle {
        self.work_with(AttendanceConfig { timer_interval_ms: 20, ..AttendanceConfig::default() })
    }

    /// The same with other settings.
    pub(crate) fn work_with(&self, config: AttendanceConfig) -> Lifecycle {
        let lifecycle = Lifecycle::new("test");
        let deps = Deps {
            bus: self.bus.clone(),
            pool: self.pool.clone(),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            sealer: self.sealer.clone(),
        };
        rollcall_attendance_worker::run(config, &deps, &lifecycle).expect("settings that can be used");
        lifecycle
    }

    pub(crate) fn request(&self, seconds: i64, command: SessionCommand) -> SessionRequest {
        SessionRequest {
            request_id: self.entropy.uuid_v4().into(),
            requested_by: self.teacher,
            requested_at: at(seconds),
            command,
        }
    }

    pub(crate) async fn ask(&self, request: &SessionRequest) -> Result<Outcome> {
        let id = request.request_id;
        let message = Message::json(subject::request(RequestKind::Session), id, request)?;
        Ok(self.bus.ask(message, id, SOON).await?)
    }

    pub(crate) async fn command(&self, seconds: i64, command: SessionCommand) -> Result<SessionAnswer> {
        let outcome = self.ask(&self.request(seconds, command)).await?;
        // The answer goes before the facts.
        self.settled(Stream::Requests, consumer::SESSIONS).await;
        match outcome.result {
            OutcomeResult::Succeeded { answer: Answer::Session(answer) } => Ok(answer),
            other => bail!("{other:?}"),
        }
    }

    /// A lesson of an hour, planned.
    pub(crate) async fn plan(&self) -> Result<SessionId> {
        let create =
            SessionCommand::Create { class_id: self.class, plan: SessionPlan::between(at(0), at(3_600)) };
        Ok(self.command(-600, create).await?.session_id)
    }

    /// A lesson of an hour, begun on time.
    pub(crate) async fn lesson(&self) -> Result<SessionId> {
        let session_id = self.plan().await?;
        self.command(0, SessionCommand::Start { session_id }).await?;
        Ok(session_id)
    }

    pub(crate) async fn end(&self, session_id: SessionId, seconds: i64) -> Result<SessionAnswer> {
        self.command(seconds, SessionCommand::End { session_id }).await
    }

    /// A word of the teacher's about records or a review.
    pub(crate) async fn say(&self, seconds: i64, command: AttendanceCommand) -> Result<Answer> {
        let request_id: RequestId = self.entropy.uuid_v4().into();
        let requested_by = self.teacher;
        let request = AttendanceRequest { request_id, requested_by, requested_at: at(seconds), command };
        let message = Message::json(subject::request(RequestKind::Attendance), request_id, &request)?;
        let outcome = self.bus.ask(message, request_id, SOON).await?;
        self.settled(Stream::Requests, consumer::CORRECTIONS).await;
        match outcome.result {
            OutcomeResult::Succeeded { answer } => Ok(answer),
            other => bail!("{other:?}"),
        }
    }

    pub(crate) async fn token(&self, session: SessionId, seconds: i64) -> Result<QrToken> {
        let mut connection = self.pool.acquire().await?;
        let code = session_views::code_at(&mut connection, session, at(seconds)).await?;
        Ok(code.context("the session shows a code")?.token)
    }

    /// A scan of `token` as ingest would publish it.
    pub(crate) fn scan_of(&self, student_id: UserId, token: QrToken, seconds: i64) -> Scan {
        let request_id: RequestId = self.entropy.uuid_v4().into();
        Scan {
            scan_id: ScanId::of(request_id),
            request_id,
            student_id,
            token,
            scanned_at: at(seconds),
            ip: Some([192, 0, 2, 1].into()),
            user_agent: Some("test".into()),
            position: None,
            device_id: None,
        }
    }

    pub(crate) async fn publish_scan(&self, scan: &Scan, message_id: &str) -> Result<()> {
        self.bus.publish(scan_message(scan, message_id)?).await?;
        Ok(())
    }

    /// Scans `token` and waits for the answer: the status, or the code of the refusal.
    pub(crate) async fn scan(
        &self,
        student: UserId,
        token: QrToken,
        seconds: i64,
    ) -> Result<Result<AttendanceStatus, Code>> {
        let outcome = self.ask_scan(&self.scan_of(student, token, seconds)).await?;
        assert_eq!(outcome.caller, student);
        verdict(&outcome)
    }

    /// Publishes a scan and waits for the answer.
    pub(crate) async fn ask_scan(&self, scan: &Scan) -> Result<Outcome> {
        let message = scan_message(scan, &scan.scan_id.to_string())?;
        Ok(self.bus.ask(message, scan.request_id, SOON).await?)
    }

    /// A frame with `faces`, published as camera and face worker would, `seconds` after the lesson began.
    pub(crate) async fn see(&self, seconds: i64, faces: Vec<Face>) -> Result<Sighting> {
        let sequence = self.frame(seconds, format!("{seconds}").as_bytes()).await?;
        let sighting = self.sighting(seconds, sequence, faces);
        self.publish_sighting(&sighting).await?;
        Ok(sighting)
    }

    /// Publishes a frame and returns its sequence.
    pub(crate) async fn frame(&self, seconds: i64, bytes: &[u8]) -> Result<u64> {
        let frame_id = FrameId::of(self.camera, at(seconds), bytes);
        let meta = FrameMeta {
            frame_id,
            camera_id: self.camera,
            captured_at: at(seconds),
            received_at: at(seconds + 1),
            source: FrameSource::Live,
            content_type: ImageType::Jpeg,
            width: 640,
            height: 480,
        };
        let id = self.entropy.uuid_v4();
        let message = Message::new(subject::frame_captured(self.camera), id, bytes.to_vec());
        Ok(self.bus.publish(message.with_headers(meta.to_headers())).await?.sequence)
    }

    pub(crate) fn sighting(&self, seconds: i64, frame_sequence: u64, faces: Vec<Face>) -> Sighting {
        let frame_id = FrameId::of(self.camera, at(seconds), format!("{seconds}").as_bytes());
        Sighting {
            sighting_id: SightingId::of(frame_id, PACK),
            frame_id,
            frame_sequence,
            camera_id: self.camera,
            captured_at: at(seconds),
            received_at: at(seconds + 1),
            source: FrameSource::Live,
            width: 640,
            height: 480,
            pack: PACK.into(),
            gallery_revision: 1,
            thresholds: Thresholds { uncertain: 0.90, confident: 0.95, certain: 0.98 },
            faces,
        }
    }

    pub(crate) async fn publish_sighting(&self, sighting: &Sighting) -> Result<()> {
        self.send_sighting(sighting).await?;
        self.settled(Stream::Sightings, consumer::SIGHTINGS).await;
        Ok(())
    }

    /// Publishes a sighting, and does not wait for what comes of it.
    pub(crate) async fn send_sighting(&self, sighting: &Sighting) -> Result<()> {
        let id = Uuid::new_v5(&sighting.sighting_id.0, &sighting.frame_sequence.to_be_bytes());
        let message = Message::json(subject::sighting(self.camera), id, sighting)?;
        self.bus.publish(message.with_headers(trace_headers())).await?;
        Ok(())
    }

    /// Enrols the student with one photograph.
    pub(crate) async fn enrol(&self, user_id: UserId, embedding: Embedding) -> Result<PhotoAnswer> {
        let sha256 = format!("{:064x}", self.entropy.uuid_v4().as_u128());
        self.store_photo(user_id, embedding, sha256).await
    }

    pub(crate) async fn store_photo(
        &self,
        user_id: UserId,
        embedding: Embedding,
        sha256: String,
    ) -> Result<PhotoAnswer> {
        self.keep(&self.analysed(user_id, embedding, sha256).await?).await
    }

    /// A photograph, published with its crop as api and face worker would, and what the latter then asks.
    pub(crate) async fn analysed(
        &self,
        user_id: UserId,
        embedding: Embedding,
        sha256: String,
    ) -> Result<StorePhoto> {
        let photo = subject::request(RequestKind::EnrolPhoto);
        let photo = Message::new(photo, self.entropy.uuid_v4(), b"photograph".to_vec());
        let crop =
            Message::new(subject::enrolment_evidence(user_id), self.entropy.uuid_v4(), b"crop".to_vec());
        Ok(StorePhoto {
            request_id: self.entropy.uuid_v4().into(),
            requested_by: self.teacher,
            user_id,
            received_at: at(-3_600),
            sha256,
            pack: PACK.into(),
            embedding,
            quality: good(),
            request_sequence: self.bus.publish(photo).await?.sequence,
            evidence_sequence: self.bus.publish(crop).await?.sequence,
        })
    }

    /// Asks for a photograph to be kept.
    pub(crate) async fn keep(&self, request: &StorePhoto) -> Result<PhotoAnswer> {
        let id = request.request_id;
        let message = Message::json(subject::request(RequestKind::StorePhoto), id, request)?;
        match self.bus.ask(message, id, SOON).await?.result {
            OutcomeResult::Succeeded { answer: Answer::Photo(answer) } => Ok(answer),
            other => bail!("{other:?}"),
        }
    }

    /// Waits until everything in `stream` is settled by the consumer `durable`.
    pub(crate) async fn settled(&self, stream: Stream, durable: &str) {
        eventually(&format!("the end of {} by {durable}", stream.name()), SOON, || async move {
            let last = self.bus.stream(stream).await.ok()?.last_sequence;
            let state = self.bus.consumer(stream, durable).await.ok()??;
            // A consumer of one kind of request does not come to the end of the stream.
            let is_at_end = stream == Stream::Requests || state.settled_sequence >= last;
            (state.pending == 0 && state.in_flight == 0 && is_at_end).then_some(())
        })
        .await;
    }

    pub(crate) async fn rows(&self, session: SessionId) -> Result<Vec<AttendanceView>> {
        let mut connection = self.pool.acquire().await?;
        Ok(attendance_views::of_session(&mut connection, session, ALL).await?.rows)
    }

    /// What the records of a session say: status, seconds after the beginning of the lesson, and evidence.
    pub(crate) async fn records(
        &self,
        session: SessionId,
    ) -> Result<BTreeMap<UserId, (AttendanceStatus, i64, Evidence)>> {
        let rows = self.rows(session).await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.student_id, (row.status, (row.marked_at - at(0)).num_seconds(), row.evidence)))
            .collect())
    }

    pub(crate) async fn reviews(&self, session: SessionId) -> Result<Vec<ReviewView>> {
        let mut connection = self.pool.acquire().await?;
        let filter = ReviewFilter { session_id: Some(session), teacher_id: None };
        Ok(review_views::open(&mut connection, filter, ALL).await?.rows)
    }

    /// Everything in FACTS.
    pub(crate) async fn facts(&self) -> Result<Vec<Fact>> {
        let last = self.bus.stream(Stream::Facts).await?.last_sequence;
        let mut facts = Vec::new();
        for sequence in 1..=last {
            let fact = self.bus.get(Stream::Facts, sequence).await?.context("facts are kept")?;
            facts.push(serde_json::from_slice(&fact.payload)?);
        }
        Ok(facts)
    }

    /// How many facts of each type there are.
    pub(crate) async fn fact_counts(&self) -> Result<BTreeMap<&'static str, usize>> {
        let mut counts = BTreeMap::new();
        for fact in self.facts().await? {
            *counts.entry(fact.event.name()).or_default() += 1;
        }
        Ok(counts)
    }
}

pub(crate) const PACK: &str = "test-pack";

pub(crate) fn trace_headers() -> Vec<(&'static str, String)> {
    vec![(TRACEPARENT, format!("00-{TRACE_ID}-00f067aa0ba902b7-01"))]
}

fn scan_message(scan: &Scan, message_id: &str) -> Result<Message> {
    Ok(Message::json(subject::scan_captured(), message_id, scan)?.with_headers(trace_headers()))
}

/// What an outcome says of a scan.
pub(crate) fn verdict(outcome: &Outcome) -> Result<Result<AttendanceStatus, Code>> {
    match &outcome.result {
        OutcomeResult::Succeeded { answer: Answer::Attendance(answer) } => Ok(Ok(answer.status)),
        OutcomeResult::Failed(refusal) => Ok(Err(refusal.code)),
        other => bail!("{other:?}"),
    }
}

pub(crate) fn good() -> Quality {
    Quality { size_px: 80.0, sharpness: 200.0, yaw_degrees: 0.0, refusal: None }
}

/// A unit vector of the given similarity to the axis `axis`, the rest of it on an axis nobody owns.
pub(crate) fn towards(axis: usize, similarity: f32) -> Embedding {
    let mut values = vec![0.0; 8];
    values[axis] = similarity;
    values[7] = (1.0 - similarity * similarity).sqrt();
    Embedding(values)
}

/// A face at that similarity to the person of `axis`, whom the search did not know.
pub(crate) fn face(axis: usize, similarity: f32) -> Face {
    face_with(towards(axis, similarity), Vec::new(), Verdict::Unknown)
}

pub(crate) fn face_with(embedding: Embedding, candidates: Vec<Candidate>, verdict: Verdict) -> Face {
    Face {
        index: 0,
        bounding_box: BoundingBox { x: 10.0, y: 10.0, width: 80.0, height: 80.0 },
        landmarks: [[0.0; 2]; 5],
        score: 0.99,
        quality: good(),
        embedding: Some(embedding),
        candidates,
        verdict,
        evidence_sequence: Some(1),
    }
}
