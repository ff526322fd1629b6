//! The REST interface: sign-in, people, classes, cameras, sessions, records, and the live events.
//!
//! One file per endpoint or small group, each with its body types, its handler and its tests. A handler accepts, calls
//! `store` or asks over the log, and answers: no SQL, no model and no rule of attendance lives here. Who may call what
//! is one table, [`access::RULES`], and nothing is reachable without a row in it.
//!
//! The api writes people, cameras and classes. What belongs to the attendance worker (sessions, records, faces) is asked
//! for over the log. It does no heavy work: it links neither a model runtime nor an index.
//!
//! # Metrics
//! | name | kind | labels |
//! |---|---|---|
//! | `rollcall_api_sign_ins_total` | counter | `result` = signed_in, refused, locked |
//! | `rollcall_api_watchers` | gauge: connections that watch | `transport` = sse, socket_io |
//! | `rollcall_api_behind_total` | counter: watchers of rooms that were too slow, and read the log | |

pub mod access;

mod admin;
mod api_keys;
mod ask;
#[cfg(test)]
mod attacks;
mod attendance;
mod audit;
mod auth;
pub mod bootstrap;
mod caching;
mod cameras;
mod classes;
mod config;
mod error;
mod events;
mod extract;
mod feeds;
mod idempotency;
mod keys;
mod listing;
mod live;
mod openapi;
mod operators;
mod passwords;
mod photos;
mod reply;
mod reports;
mod requests;
mod sessions;
mod signing;
mod spreadsheet;
mod state;
mod status;
mod students;
mod system;
#[cfg(test)]
mod testing;
mod timetable;
mod users;
mod webhooks;

pub use audit::{ExportError, ExportFormat, export as export_audit};
pub use auth::{CreateAccounts, OidcConfig, OidcProvider};
pub use bootstrap::{BootstrapError, FirstUser, create_user};
pub use config::{ApiConfig, Registration};
pub use keys::rotate_keys;
pub use live::contract::asyncapi;
pub use openapi::{collected, complete, docs, openapi};
pub use state::{Api, ApiDeps, StartError};

use axum::middleware::from_fn_with_state;
use rollcall_service::limits;
use tower::ServiceBuilder;
use utoipa_axum::router::OpenApiRouter;

/// Every route of the api, ready to be mounted beside others and finished with `rollcall_service::http::finish`.
pub fn router(api: &Api) -> OpenApiRouter {
    // In the order in which a call meets them: only whose turn it is, and who may call at all, begins a call.
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(api.gate(), limits::admit))
        .layer(from_fn_with_state(api.clone(), access::enforce))
        .layer(from_fn_with_state(api.clone(), idempotency::once));
    routes(api.config()).route_layer(layers).with_state(api.clone()).merge(api.live().routes())
}

fn routes(config: &ApiConfig) -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .merge(auth::routes())
        .merge(users::routes())
        .merge(operators::routes())
        .merge(students::routes(config))
        .merge(classes::routes())
        .merge(cameras::routes())
        .merge(api_keys::routes())
        .merge(webhooks::routes())
        .merge(sessions::routes())
        .merge(attendance::routes())
        .merge(reports::routes())
        .merge(timetable::routes())
        .merge(admin::routes())
        .merge(audit::routes())
        .merge(system::routes())
        .merge(events::routes())
        .merge(requests::routes())
        .merge(status::routes())
}
