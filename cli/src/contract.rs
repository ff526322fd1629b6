//! `rollcall openapi` and `rollcall asyncapi`: the contract, printed.

use rollcall_api::access::RULES;
use rollcall_schemas::contract;
use std::io::{self, Write};
use utoipa::openapi::OpenApi;

/// The OpenAPI document of everything that is served over HTTP.
pub fn openapi() -> OpenApi {
    let mut collected = rollcall_api::collected();
    collected.merge(rollcall_ingest::openapi());
    rollcall_api::complete(collected, &[RULES, rollcall_ingest::RULES].concat())
}

/// Prints the OpenAPI document.
///
/// # Errors
/// When the document has no JSON form, or the terminal is gone.
pub fn print_openapi() -> anyhow::Result<()> {
    print(&openapi().to_pretty_json()?)
}

/// Prints the AsyncAPI document of the log.
///
/// # Errors
/// When the document has no JSON form, or the terminal is gone.
pub fn print_asyncapi() -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(&contract::asyncapi())?)
}

/// Prints a document. A reader that has seen enough, such as `head`, is no error.
///
/// # Errors
/// When standard output cannot be written to.
pub fn print(document: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{document}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
