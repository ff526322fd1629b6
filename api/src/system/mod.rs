//! How the deployment is, for those who run it.

mod health;

use crate::state::Api;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(health::get_system_health))
        .routes(routes!(health::get_admin_system_health))
}
