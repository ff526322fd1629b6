//! The routes: authenticate, admit, read, check, publish, answer. What goes into the log is decided elsewhere.

mod admission;
mod device;
mod frames;
mod refusal;
mod refusals;
mod scans;
mod submission;

use crate::{IngestConfig, IngestDeps, knowledge::Knowledge};
use axum::middleware::from_fn_with_state;
use rollcall_bus::Bus;
use rollcall_schemas::{
    access::{Ownership, Rule, Who},
    role::Role,
};
use rollcall_service::{
    auth::{Authenticator, Principal, User},
    clock::{Clock, Entropy},
    http::Problem,
    limits::{self, Authenticated, Gate, Limiter},
    refusals::RefusalCounts,
};
use std::{sync::Arc, time::Duration};
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Who may call what here. [`admission::may_push`], [`Door::student`] and [`frames`] enforce it.
pub(crate) const RULES: &[Rule] = &[
    Rule::new(
        "POST",
        "/api/v1/cameras/{id}/frames",
        Who::UsersAndCameras(&[Role::Admin, Role::Operator]),
        Ownership::Camera("id"),
    )
    .asked(),
    Rule::new("POST", "/api/v1/images", Who::Users(&[Role::Admin, Role::Operator]), Ownership::Any).asked(),
    Rule::new("POST", "/api/v1/attendance/mark", Who::Users(&[Role::Student]), Ownership::Narrowed).asked(),
];

/// When to come back while ingest is still reading its feeds.
const STARTING: Duration = Duration::from_secs(1);

/// What the routes share.
#[derive(Clone)]
pub(crate) struct Door(Arc<Inner>);

struct Inner {
    config: IngestConfig,
    bus: Bus,
    clock: Clock,
    entropy: Entropy,
    knowledge: Knowledge,
    authenticator: Authenticator,
    limiter: Limiter,
    refusals: RefusalCounts,
}

impl Door {
    pub(crate) fn new(config: IngestConfig, deps: IngestDeps, knowledge: Knowledge) -> Self {
        let IngestDeps { bus, tokens, clock, entropy, limiter, .. } = deps;
        let authenticator = Authenticator::new(knowledge.clone(), tokens, clock.clone());
        let refusals = RefusalCounts::default();
        Self(Arc::new(Inner { config, bus, clock, entropy, knowledge, authenticator, limiter, refusals }))
    }

    pub(crate) fn authenticator(&self) -> &Authenticator {
        &self.0.authenticator
    }

    /// Who is calling. Someone unknown may only be unknown as yet.
    fn caller(&self, Authenticated(caller): Authenticated) -> Result<Principal, Problem> {
        caller.map_err(|problem| self.unless_starting(problem))
    }

    /// The user who is calling.
    fn user(&self, authenticated: Authenticated) -> Result<User, Problem> {
        match self.caller(authenticated)? {
            Principal::User(user) => Ok(user),
            Principal::Camera(_) => Err(Problem::forbidden("a camera may only push its own frames")),
            Principal::Integration(_) => Err(Problem::forbidden("only a user may do this")),
        }
    }

    /// What is not known while the feeds are still being read may be known in a moment.
    fn unless_starting(&self, problem: Problem) -> Problem {
        match self.0.knowledge.missing() {
            Some(_) => Problem::unavailable("starting: not everything is known yet", STARTING),
            None => problem,
        }
    }
}

/// The routes of ingest, under `/api/v1`.
pub(crate) fn router(door: Door) -> OpenApiRouter {
    let gate = Gate { authenticator: door.0.authenticator.clone(), limiter: door.0.limiter.clone() };
    all_routes()
        .route_layer(from_fn_with_state(door.clone(), refusals::tell))
        .route_layer(from_fn_with_state(gate, limits::admit))
        .with_state(door)
}

/// The document of the routes.
pub(crate) fn openapi() -> OpenApi {
    all_routes().into_openapi()
}

fn all_routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new()
        .routes(routes!(frames::push_frame))
        .routes(routes!(frames::upload_image))
        .routes(routes!(scans::mark_attendance))
}
