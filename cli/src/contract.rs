//! `rollcall openapi` and `rollcall asyncapi`: the contract, printed.

use rollcall_schemas::contract;
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
/// When the document has no JSON form.
pub fn print_openapi() -> anyhow::Result<()> {
    println!("{}", openapi().to_pretty_json()?);
    Ok(())
}

/// Prints the AsyncAPI document of the log.
///
/// # Errors
/// When the document has no JSON form.
pub fn print_asyncapi() -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(&contract::asyncapi())?);
    Ok(())
}
