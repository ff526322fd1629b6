//! An api on a real socket beside an ingest, as `rollcall up` serves them, with a real database and a real log, and a
//! small school in it.

use crate::{Api, ApiConfig, ApiDeps, FirstUser, create_user, docs, openapi, router};
use chrono::TimeDelta;
use rollcall_attendance_worker::{AttendanceConfig, Deps};
use rollcall_bus::{Bus, ConsumerSpec, Delivery, HandleError, Handler, Message};
use rollcall_ingest::{IngestConfig, IngestDeps};
use rollcall_schemas::{
    fact::{AttendanceStatus, Evidence, Fact},
    header::{HeaderSource, REQUEST_ID, SIGHTING_ID},
    id::{AttendanceId, CameraId, ClassId, EnrolmentId, RequestId, ReviewId, SessionId, SightingId, UserId},
    outcome::{Outcome, OutcomeResult},
    request::SessionPlan,
    role::Role,
    sighting::Candidate,
    subject::{self, RequestKind, Stream},
};
use rollcall_service::{
    auth::TokenConfig,
    clock::{Clock, Entropy},
    config::Secret,
    health::HealthRegistry,
    lifecycle::Lifecycle,
    limits::{Limiter, LimitsConfig},
    process::Process,
    seal::Sealer,
    telemetry::RecentLines,
};
use rollcall_store::{
    Pool, Postgres,
    attendance::{self, Mark, Origin, Record},
    classes::{self, NewClass},
    enrolments,
    reviews::{self, Look, Review, Subject},
    sessions,
    users::{self, NewUser},
};
use rollcall_test_support::{Client, TestBroker, TestDatabase, TestEdge, eventually, test_clock};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

/// Long enough for any machine, short enough to fail.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// The least that is a JPEG.
pub(crate) const JPEG: [u8; 5] = [0xff, 0xd8, 0xff, 0xff, 0xd9];

/// What people are created with.
pub(crate) const PASSWORD: &str = "Correct-horse-1";

/// A running api.
pub(crate) struct TestApi {
    pub(crate) api: Api,
    pub(crate) bus: Bus,
    pub(crate) clock: Clock,
    pub(crate) database_url: String,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) edge: TestEdge,
    pub(crate) school: School,
}

/// Two classes, each with its teacher and its student, and a session of the first.
pub(crate) struct School {
    pub(crate) admin: UserId,
    pub(crate) operator: UserId,
    pub(crate) teacher: UserId,
    pub(crate) other_teacher: UserId,
    pub(crate) student: UserId,
    pub(crate) other_student: UserId,
    pub(crate) class: ClassId,
    pub(crate) other_class: ClassId,
    pub(crate) session: SessionId,
}

impl TestApi {
    pub(crate) async fn start() -> Self {
        Self::start_with(ApiConfig::default()).await
    }

    /// Starts with a cheap bcrypt and little patience for workers, and otherwise with `config`.
    pub(crate) async fn start_with(config: ApiConfig) -> Self {
        let (broker, database) = (TestBroker::start().await, TestDatabase::create().await);
        Self::start_on(config, broker.bus().await, database.url()).await
    }

    /// Starts with these limits.
    pub(crate) async fn start_limited(limits: LimitsConfig) -> Self {
        let (broker, database) = (TestBroker::start().await, TestDatabase::create().await);
        let limiter = Limiter::new(limits, &Entropy::seeded(8));
        let change = |deps| ApiDeps { limiter, ..deps };
        Self::start_changed(ApiConfig::default(), broker.bus().await, database.url(), change).await
    }

    /// Starts on servers of the test's own.
    pub(crate) async fn start_on(config: ApiConfig, bus: Bus, database_url: &str) -> Self {
        Self::start_changed(config, bus, database_url, |deps| deps).await
    }

    async fn start_changed(
        config: ApiConfig,
        bus: Bus,
        database_url: &str,
        change: impl FnOnce(ApiDeps) -> ApiDeps,
    ) -> Self {
        let (pool, clock) = (rollcall_store::open(database_url, 8).unwrap(), test_clock());
        let lifecycle = Lifecycle::new("test");
        let deps = change(deps(pool.clone(), bus.clone(), clock.clone(), Entropy::seeded(7)));
        let api = start_api(config, deps, &lifecycle).await;
        let door = start_ingest(bus.clone(), clock.clone(), &lifecycle).await;
        let (routes, _) = router(&api).merge(door).split_for_parts();
        let edge = TestEdge::serve(routes.merge(docs(&openapi())), clock.clone()).await;
        let school = School::found(&api, &pool, &clock).await;
        Self { api, bus, clock, database_url: database_url.to_owned(), lifecycle, edge, school }
    }

    /// Starts another api on the same database, and on this log or another.
    pub(crate) async fn start_another(&self, bus: Bus) -> Api {
        let pool = rollcall_store::open(&self.database_url, 8).unwrap();
        let deps = deps(pool, bus, self.clock.clone(), Entropy::seeded(13));
        start_api(ApiConfig::default(), deps, &self.lifecycle).await
    }

    /// A client with a fresh token of this person.
    pub(crate) fn client_of(&self, user: UserId, role: Role) -> Client {
        self.edge.client().with_token(&self.token_of(user, role))
    }

    /// A fresh token of this person.
    pub(crate) fn token_of(&self, user: UserId, role: Role) -> String {
        self.api.signer().issue(user, "somebody@school.example", role).0
    }

    pub(crate) fn admin(&self) -> Client {
        self.client_of(self.school.admin, Role::Admin)
    }

    pub(crate) fn operator(&self) -> Client {
        self.client_of(self.school.operator, Role::Operator)
    }

    pub(crate) fn teacher(&self) -> Client {
        self.client_of(self.school.teacher, Role::Teacher)
    }

    pub(crate) fn student(&self) -> Client {
        self.client_of(self.school.student, Role::Student)
    }

    /// A camera with a key that the api and ingest know.
    pub(crate) async fn camera(&self, name: &str) -> (CameraId, Client) {
        let admin = self.admin();
        let camera = admin.post("/api/v1/cameras", &json!({ "name": name })).await;
        let id: CameraId = camera.data()["camera"]["id"].as_str().unwrap().parse().unwrap();
        let key = admin.post(&format!("/api/v1/cameras/{id}/keys"), &json!({})).await;
        let client = self.edge.client().with_api_key(key.data()["apiKey"].as_str().unwrap());
        // The key takes effect when it has gone through the log.
        eventually("the key is known", SOON, || async {
            let by_api = client.get("/api/v1/auth/me").await;
            let by_ingest = client.post(&format!("/api/v1/cameras/{id}/frames"), &json!({})).await;
            ((by_api.status.as_u16(), by_ingest.status.as_u16()) == (403, 400)).then_some(())
        })
        .await;
        (id, client)
    }

    /// Opens a review about a face that a camera saw now, in the first class's session, with the crop in the log.
    pub(crate) async fn review(&self, student: UserId) -> ReviewId {
        let (camera, _) = self.camera(&student.to_string()).await;
        let sighting_id = SightingId(self.api.entropy().uuid_v4());
        let crop = Message::new(subject::evidence(camera), sighting_id, JPEG.to_vec())
            .with_headers(vec![(SIGHTING_ID, sighting_id.to_string())]);
        let look = Look {
            camera_id: Some(camera),
            sighting_id,
            face_index: Some(0),
            evidence_sequence: Some(self.bus.publish(crop).await.unwrap().sequence),
        };
        let now = self.clock.now();
        let review = Review {
            id: ReviewId(self.api.entropy().uuid_v4()),
            session_id: self.school.session,
            subject: Subject::Face(look),
            student_id: student,
            // The second is in another class.
            candidates: [(student, 0.92), (self.school.other_student, 0.91)]
                .map(|(user_id, similarity)| Candidate { user_id, similarity })
                .into(),
            reason: "uncertain".into(),
            captured_at: now,
            opened_at: now,
            resolution: None,
        };
        let mut db = self.api.connection().await.unwrap();
        assert_eq!(reviews::open(&mut db, std::slice::from_ref(&review)).await.unwrap(), [review.id]);
        review.id
    }

    /// A record of the first class's session that says that the student was absent.
    pub(crate) async fn absence(&self, student: UserId) -> AttendanceId {
        let (session_id, now) = (self.school.session, self.clock.now());
        let mark = Mark {
            status: AttendanceStatus::Absent,
            marked_at: now,
            evidence: Evidence::None,
            scan: None,
            sighting_id: None,
            similarity: None,
        };
        let id = AttendanceId::of(session_id, student);
        let origin = Origin::default();
        let record =
            Record { id, session_id, student_id: student, mark, origin, author: None, recorded_at: now };
        let mut db = self.api.connection().await.unwrap();
        assert_eq!(attendance::insert(&mut db, &[record]).await.unwrap(), 1);
        id
    }

    /// Publishes a fact, and gives its sequence.
    pub(crate) async fn tell(&self, fact: &Fact) -> u64 {
        let message = Message::json(fact.subject(), fact.fact_id, fact).unwrap();
        self.bus.publish(message).await.unwrap().sequence
    }

    /// Starts the real worker that decides scans, sessions and erasures.
    pub(crate) fn start_attendance_worker(&self) {
        let connections = AttendanceConfig::default().connections();
        let deps = Deps {
            bus: self.bus.clone(),
            pool: rollcall_store::open(&self.database_url, connections).unwrap(),
            clock: self.clock.clone(),
            entropy: Entropy::seeded(11),
            sealer: sealer(),
        };
        rollcall_attendance_worker::run(AttendanceConfig::default(), &deps, &self.lifecycle).unwrap();
    }

    /// Answers requests of a kind as a worker would.
    pub(crate) fn answer_with(
        &self,
        kind: RequestKind,
        answer: impl Fn(&Delivery) -> OutcomeResult + Send + Sync + 'static,
    ) {
        let spec = ConsumerSpec {
            filter: Some(subject::request(kind)),
            ..ConsumerSpec::new(Stream::Requests, format!("test-{}", kind.name()))
        };
        let worker = Arc::new(Worker { bus: self.bus.clone(), clock: self.clock.clone(), answer });
        let (bus, stop) = (self.bus.clone(), self.lifecycle.soft_stop());
        self.lifecycle.spawn("worker", async move { bus.consume(spec, worker, stop).await });
    }
}

fn deps(pool: Pool<Postgres>, bus: Bus, clock: Clock, entropy: Entropy) -> ApiDeps {
    let process = Process::new("test-api", RecentLines::default(), &clock, &Entropy::seeded(9));
    ApiDeps {
        pool,
        bus,
        clock,
        entropy,
        token: TokenConfig::default(),
        limiter: generous(),
        health: HealthRegistry::default(),
        sealer: sealer(),
        process,
    }
}

/// The same for every process of a deployment.
fn sealer() -> Sealer {
    Sealer::new(&Secret::new("a sealing key of the tests"))
}

/// Tests call more often than anybody.
fn generous() -> Limiter {
    let limits = LimitsConfig::uniform("60000/min burst 60000".parse().unwrap());
    Limiter::new(limits, &Entropy::seeded(8))
}

/// The routes of ingest, which knows its feeds. No worker answers a scan here, so nobody waits for one.
async fn start_ingest(bus: Bus, clock: Clock, lifecycle: &Lifecycle) -> OpenApiRouter {
    let health = HealthRegistry::default();
    let (tokens, entropy) = (TokenConfig::default(), Entropy::seeded(8));
    let config = IngestConfig { scan_deadline_ms: 50, ..IngestConfig::default() };
    let deps = IngestDeps { bus, tokens, clock, entropy, limiter: generous(), health: health.clone() };
    let door = rollcall_ingest::start(config, deps, lifecycle);
    let knows = || async { health.dependencies().await.iter().all(|part| part.ready).then_some(()) };
    eventually("ingest knows its feeds", SOON, knows).await;
    door.router
}

async fn start_api(config: ApiConfig, deps: ApiDeps, lifecycle: &Lifecycle) -> Api {
    let config = ApiConfig { bcrypt_cost: 4, ask_deadline_ms: config.ask_deadline_ms.min(2_000), ..config };
    let api = Api::start(config, deps, lifecycle).await.unwrap();
    tokio::time::timeout(SOON, api.ready()).await.expect("the signing key is published");
    api
}

struct Worker<F> {
    bus: Bus,
    clock: Clock,
    answer: F,
}

impl<F: Fn(&Delivery) -> OutcomeResult + Send + Sync + 'static> Handler for Worker<F> {
    async fn handle(&self, delivery: Delivery) -> Result<(), HandleError> {
        let request_id: RequestId = delivery.parsed(REQUEST_ID).expect("every question names its request");
        let outcome = Outcome {
            request_id,
            caller: UserId(Uuid::nil()),
            decided_at: self.clock.now(),
            result: (self.answer)(&delivery),
        };
        let message =
            Message::json(subject::outcome(request_id), format!("{request_id}-outcome"), &outcome).unwrap();
        self.bus.publish(message).await.unwrap();
        Ok(())
    }
}

impl School {
    async fn found(api: &Api, pool: &Pool<Postgres>, clock: &Clock) -> Self {
        let admin = FirstUser {
            organisation: "Test School".into(),
            email: "admin@school.example".into(),
            full_name: "Ada Admin".into(),
            role: Role::Admin,
            password: Secret::new(PASSWORD),
            bcrypt_cost: 4,
        };
        let admin = create_user(pool, clock, api.entropy(), admin).await.unwrap();
        let mut db = api.connection().await.unwrap();
        let organisation_id = users::find(&mut db, admin).await.unwrap().unwrap().organisation_id;
        let mut add = async |name: &str, role| {
            let user = NewUser {
                id: UserId(api.entropy().uuid_v4()),
                organisation_id,
                email: format!("{}@school.example", name.to_lowercase()),
                full_name: format!("{name} {role}"),
                role,
                roll_number: (role == Role::Student).then(|| format!("R-{name}")),
                password_hash: None,
                created_at: clock.now(),
            };
            users::create(&mut db, &user).await.unwrap();
            user.id
        };
        let operator = add("Olga", Role::Operator).await;
        let teacher = add("Tom", Role::Teacher).await;
        let other_teacher = add("Tina", Role::Teacher).await;
        let student = add("Sara", Role::Student).await;
        let other_student = add("Sven", Role::Student).await;
        let mut open = async |code: &str, teacher_id, student_id| {
            let class = NewClass {
                id: ClassId(api.entropy().uuid_v4()),
                organisation_id,
                code: code.into(),
                name: format!("Class {code}"),
                description: String::new(),
                teacher_id,
                capacity: None,
                room: None,
                created_at: clock.now(),
            };
            classes::create(&mut db, &class).await.unwrap();
            let enrolment = EnrolmentId(api.entropy().uuid_v4());
            enrolments::create(&mut db, enrolment, (class.id, student_id), clock.now()).await.unwrap();
            class.id
        };
        let class = open("A1", teacher, student).await;
        let other_class = open("B2", other_teacher, other_student).await;
        let session = SessionId(api.entropy().uuid_v4());
        let plan = SessionPlan::between(clock.now(), clock.now() + TimeDelta::hours(1));
        sessions::plan(&mut db, (session, class), &plan, clock.now()).await.unwrap();
        Self { admin, operator, teacher, other_teacher, student, other_student, class, other_class, session }
    }
}
