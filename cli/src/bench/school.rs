//! Whom a deployment is measured with: one class with many students, a camera that looks at it, sessions. Made directly
//! in the database and the feeds, as signing thousands of people up over HTTP would measure something else.

use super::{deployment::Deployment, process::Service};
use crate::client::Client;
use anyhow::{Context, bail};
use chrono::TimeDelta;
use futures::future::try_join_all;
use rollcall_bus::{Bus, Message};
use rollcall_schemas::{
    feed::{AuthEntry, AuthFact, CameraEntry},
    id::{CameraId, ClassId, EnrolmentId, OrganisationId, RequestId, SessionId, UserId},
    outcome::{Answer, OutcomeResult},
    request::{SessionCommand, SessionPlan, SessionRequest},
    role::Role,
    scope::Scope,
    subject::{self, RequestKind},
};
use rollcall_service::{
    auth::ApiKey,
    clock::{Clock, Entropy},
};
use rollcall_store::{
    Pool, Postgres,
    cameras::{self, NewCamera},
    classes::{self, ClassSettings, NewClass},
    enrolments,
    organisations::{self, Organisation},
    session_views,
    users::{self, NewUser},
};
use std::time::Duration;

/// More than any benchmark pushes.
const FRAMES_PER_SECOND: u32 = 1_000_000;
/// Longer than any benchmark runs.
const A_DAY_S: i32 = 24 * 60 * 60;
/// Transactions that make students beside each other.
const MAKERS: usize = 4;
const ANSWER: Duration = Duration::from_secs(30);

/// The class and everybody in it.
pub struct School {
    /// The camera that looks at the class.
    pub camera_id: CameraId,
    /// The camera, as it calls ingest.
    pub camera: Client,
    /// An administrator, as one calls the api; absent without an api.
    pub admin: Option<Client>,
    /// The access token of that administrator.
    pub admin_token: String,
    /// The students, as they call ingest.
    pub students: Vec<Client>,
    /// The class.
    pub class_id: ClassId,
    teacher_id: UserId,
    bus: Bus,
    pool: Pool<Postgres>,
    clock: Clock,
    entropy: Entropy,
}

/// An open session.
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// What its QR code says.
    pub code: String,
}

impl School {
    /// Makes a class with `students` students and a camera. Ingest must be running.
    ///
    /// # Errors
    /// When the database or the log does not do its part.
    pub async fn found(deployment: &Deployment, students: usize) -> anyhow::Result<Self> {
        let Deployment { bus, pool, signer, clock, entropy, .. } = deployment;
        let office = Office { deployment, organisation_id: OrganisationId(entropy.uuid_v4()) };
        let organisation = Organisation { id: office.organisation_id, name: "Bench".into() };
        organisations::create(&mut *pool.acquire().await?, &organisation, clock.now()).await?;
        let admin = office.person(Role::Admin, 0);
        let teacher = office.person(Role::Teacher, 1);
        for person in [&admin, &teacher] {
            users::create(&mut *pool.acquire().await?, person).await?;
        }
        let class_id = office.class(teacher.id).await?;
        let everybody: Vec<_> =
            (2..students + 2).map(|number| office.person(Role::Student, number)).collect();
        let makers =
            everybody.chunks(students.div_ceil(MAKERS).max(1)).map(|some| office.enrol(class_id, some));
        try_join_all(makers).await.context("making students")?;
        let (camera_id, key) = office.camera(class_id).await?;

        let door = Client::new(deployment.address(Service::Ingest))?;
        let token = |person: &NewUser| signer.issue(person.id, &person.email, person.role).0;
        let with_api = deployment.services().iter().any(|process| process.service == Service::Api);
        let desk = with_api.then(|| Client::new(deployment.address(Service::Api))).transpose()?;
        Ok(Self {
            camera_id,
            camera: door.with_api_key(&key),
            admin: desk.map(|desk| desk.with_token(&token(&admin))),
            admin_token: token(&admin),
            students: everybody.iter().map(|student| door.with_token(&token(student))).collect(),
            class_id,
            teacher_id: teacher.id,
            bus: bus.clone(),
            pool: pool.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
        })
    }

    /// Opens a session of the class. The attendance worker must be running.
    ///
    /// # Errors
    /// When it refuses or does not answer.
    pub async fn open_session(&self) -> anyhow::Result<Session> {
        let (starts_at, class_id) = (self.clock.now(), self.class_id);
        let ends_at = starts_at + TimeDelta::seconds(A_DAY_S.into());
        let id = self
            .change(SessionCommand::Create { class_id, plan: SessionPlan::between(starts_at, ends_at) })
            .await?;
        self.change(SessionCommand::Start { session_id: id }).await?;
        let code = session_views::code_at(&mut *self.pool.acquire().await?, id, self.clock.now()).await?;
        Ok(Session { id, code: code.context("an open session has a code")?.token.0.to_string() })
    }

    /// Closes it.
    ///
    /// # Errors
    /// When the attendance worker refuses or does not answer.
    pub async fn close_session(&self, session: Session) -> anyhow::Result<()> {
        self.change(SessionCommand::End { session_id: session.id }).await.map(|_| ())
    }

    async fn change(&self, command: SessionCommand) -> anyhow::Result<SessionId> {
        let request_id = RequestId(self.entropy.uuid_v4());
        let request = SessionRequest {
            request_id,
            requested_by: self.teacher_id,
            requested_at: self.clock.now(),
            command,
        };
        let message = Message::json(subject::request(RequestKind::Session), request_id, &request)?;
        match self.bus.ask(message, request_id, ANSWER).await?.result {
            OutcomeResult::Succeeded { answer: Answer::Session(session) } => Ok(session.session_id),
            other => bail!("the session was not changed: {other:?}"),
        }
    }
}

/// Makes people and things.
struct Office<'a> {
    deployment: &'a Deployment,
    organisation_id: OrganisationId,
}

impl Office<'_> {
    fn person(&self, role: Role, number: usize) -> NewUser {
        NewUser {
            id: UserId(self.deployment.entropy.uuid_v4()),
            organisation_id: self.organisation_id,
            email: format!("person{number}@bench.example"),
            full_name: format!("Person {number}"),
            role,
            roll_number: (role == Role::Student).then(|| number.to_string()),
            password_hash: None,
            created_at: self.deployment.clock.now(),
        }
    }

    async fn class(&self, teacher_id: UserId) -> anyhow::Result<ClassId> {
        let Deployment { pool, clock, entropy, .. } = self.deployment;
        let now = clock.now();
        let class = NewClass {
            id: ClassId(entropy.uuid_v4()),
            organisation_id: self.organisation_id,
            code: "BENCH".into(),
            name: "Bench".into(),
            description: String::new(),
            teacher_id,
            capacity: None,
            room: None,
            created_at: now,
        };
        let mut tx = pool.begin().await?;
        classes::create(&mut tx, &class).await?;
        let settings =
            ClassSettings { qr_ttl_seconds: A_DAY_S, late_after_seconds: A_DAY_S, ..Default::default() };
        classes::set_settings(&mut tx, class.id, settings, now).await?;
        tx.commit().await?;
        Ok(class.id)
    }

    async fn enrol(&self, class_id: ClassId, students: &[NewUser]) -> anyhow::Result<()> {
        let Deployment { pool, entropy, .. } = self.deployment;
        let mut tx = pool.begin().await?;
        for student in students {
            users::create(&mut tx, student).await?;
            let id = EnrolmentId(entropy.uuid_v4());
            enrolments::create(&mut tx, id, (class_id, student.id), student.created_at).await?;
        }
        Ok(tx.commit().await?)
    }

    /// The camera, and its key as it sends it.
    async fn camera(&self, class_id: ClassId) -> anyhow::Result<(CameraId, String)> {
        let Deployment { bus, pool, signer, clock, entropy, .. } = self.deployment;
        let camera = NewCamera {
            id: CameraId(entropy.uuid_v4()),
            organisation_id: self.organisation_id,
            name: "Bench".into(),
            enabled: true,
            max_frames_per_second: FRAMES_PER_SECOND.try_into()?,
            created_at: clock.now(),
        };
        let mut tx = pool.begin().await?;
        cameras::create(&mut tx, &camera).await?;
        classes::add_camera(&mut tx, class_id, camera.id, camera.created_at).await?;
        tx.commit().await?;

        let entry = CameraEntry {
            camera_id: camera.id,
            revision: 1,
            name: camera.name,
            enabled: true,
            deleted: false,
            max_frames_per_second: FRAMES_PER_SECOND,
        };
        bus.publish(Message::entry(&entry)?).await?;
        let key = ApiKey::generate(entropy);
        let known_key = AuthFact::ApiKey {
            key_id: key.key_id,
            secret_sha256: key.secret_sha256(),
            camera_id: Some(camera.id),
            scopes: vec![Scope::FramesPush],
            expires_at: None,
            revoked: false,
        };
        let signing_key = AuthFact::SigningKey {
            kid: signer.kid().to_owned(),
            public_key: signer.public_key().to_owned(),
            signs_from: None,
            retires_at: None,
        };
        for fact in [known_key, signing_key] {
            bus.publish(Message::entry(&AuthEntry { revision: 1, fact })?).await?;
        }
        Ok((camera.id, key.reveal()))
    }
}
