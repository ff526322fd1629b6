//! The audit of every call: what handlers record, what refusals leave, and how it is read.
//!
//! A handler that changes something, or shows biometric data, takes [`Audit`] and records an [`Act`] in the transaction
//! of the change, so that neither is there without the other. Refusals are recorded by `access::enforce`. The chain is
//! made afterwards, by the sealer.

mod export;
mod line;
mod logs;
mod record;
mod refusals;
mod sealer;

pub use export::{ExportError, ExportFormat, export};
pub(crate) use record::{Act, Audit};
pub(crate) use refusals::RecordRefusals;

use crate::state::Api;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(logs::list_audit_logs))
}

#[cfg(test)]
mod tests;
