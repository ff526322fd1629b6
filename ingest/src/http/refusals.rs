//! Refusals of authority, told to whoever keeps the audit: ingest itself has no database.

use super::Door;
use ::http::StatusCode;
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use chrono::{DateTime, Utc};
use rollcall_bus::Message;
use rollcall_schemas::{
    code::Code,
    request::{Refusal, Refusals, Refused},
    subject::{self, RequestKind},
};
use rollcall_service::{
    auth::Principal,
    http::{ClientIp, Problem, RequestId},
    limits::Authenticated,
    refusals::TAKE_EVERY,
    telemetry::current_trace_id,
};
use tokio_util::sync::CancellationToken;

/// Tells of a call that is refused for want of authority. What the rules of attendance refuse is told as their outcome.
pub(super) async fn tell(
    State(door): State<Door>,
    path: MatchedPath,
    ClientIp(address): ClientIp,
    request: Request,
    next: Next,
) -> Response {
    let caller = Authenticated::caller(&request).map_or(Refused::Nobody, |caller| match caller {
        Principal::User(user) => Refused::User(user.user_id),
        Principal::Camera(camera) => Refused::ApiKey(camera.key_id),
        Principal::Integration(key) => Refused::ApiKey(key.key_id),
    });
    let route = format!("{} {}", request.method(), path.as_str());
    let (asked, id) = (request.uri().path().to_owned(), request.extensions().get::<RequestId>().cloned());
    let answer = next.run(request).await;
    let reason = answer.extensions().get::<Problem>();
    if answer.status() == StatusCode::FORBIDDEN
        && reason.is_some_and(|problem| problem.code == Code::AuthUnauthorized)
    {
        let refusal = Refusal {
            at: door.0.clock.now(),
            caller,
            route,
            path: asked,
            reason: reason.map(|problem| problem.message.to_string()),
            occurrences: 1,
            address,
            request_id: id.map(|id| id.0.to_string()),
            trace_id: current_trace_id(),
        };
        door.tell(door.0.refusals.add(refusal)).await;
    }
    answer
}

impl Door {
    /// Tells the counts of past minutes until `stop`, and then what is left.
    pub(crate) async fn tell_refusals_until(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(TAKE_EVERY);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let now: DateTime<Utc> = self.0.clock.now();
            self.tell(self.0.refusals.take_over(now)).await;
        }
        self.tell(self.0.refusals.take_all()).await;
    }

    async fn tell(&self, refusals: Vec<Refusal>) {
        if refusals.is_empty() {
            return;
        }
        let count: u32 = refusals.iter().map(|refusal| refusal.occurrences).sum();
        let told = Refusals { id: self.0.entropy.uuid_v4(), refusals };
        let subject = subject::request(RequestKind::Refusals);
        let message = Message::json(subject, told.id, &told).expect("a refusal is plain data");
        if let Err(error) = self.0.bus.publish(message).await {
            tracing::error!(%error, refusals = count, "refusals could not be told to the audit");
        }
    }
}
