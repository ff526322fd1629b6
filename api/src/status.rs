//! `GET /status`: a summary for everybody. What is wrong in detail is on `/ready`, which proxies keep inside.

use crate::state::Api;
use axum::extract::State;
use rollcall_service::http::{Success, SuccessEnvelope};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(get_status))
}

/// How the deployment is.
#[derive(Serialize, ToSchema)]
pub(crate) struct StatusData {
    /// `ok`, or `degraded` when a part is not ready.
    status: &'static str,
    version: &'static str,
    /// Each part, and whether it is ready.
    parts: BTreeMap<&'static str, bool>,
}

/// How is the service?
#[utoipa::path(
    get,
    path = "/api/v1/status",
    tag = "status",
    responses((status = 200, description = "How it is", body = SuccessEnvelope<StatusData>))
)]
pub(crate) async fn get_status(State(api): State<Api>) -> Success<StatusData> {
    let dependencies = api.health().dependencies().await;
    let parts: BTreeMap<_, _> = dependencies.iter().map(|part| (part.name, part.ready)).collect();
    let status = if parts.values().all(|ready| *ready) { "ok" } else { "degraded" };
    Success::ok(StatusData { status, version: env!("CARGO_PKG_VERSION"), parts })
}

#[cfg(test)]
mod tests {
    use crate::testing::TestApi;
    use serde_json::json;
    use std::time::Duration;

    #[tokio::test]
    async fn anybody_learns_what_is_ready_and_no_reasons() {
        let test = TestApi::start().await;
        let fails = || async { Err::<(), _>("at secret-host:5432") };
        test.api.health().register("postgres", Duration::from_secs(1), fails);
        let status = test.edge.client().get("/api/v1/status").await;
        assert_eq!(status.data()["status"], "degraded");
        assert_eq!(status.data()["parts"], json!({ "postgres": false, "signing-key": true }));
        assert!(!status.body.to_string().contains("secret-host"));
    }
}
