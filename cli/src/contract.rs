//! `rollcall openapi` and `rollcall asyncapi`: the contract, printed.

use rollcall_schemas::contract;
use std::io::{self, Write};
use utoipa::openapi::OpenApi;

/// The OpenAPI document of everything that is served over HTTP.
pub fn openapi() -> OpenApi {
    let mut document = rollcall_api::openapi();
    document.merge(rollcall_ingest::openapi());
    document
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
