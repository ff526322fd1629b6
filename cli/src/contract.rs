//! `rollcall openapi` and `rollcall asyncapi`: the contract, printed.

use rollcall_api::access::RULES;
use rollcall_schemas::contract;
use serde_json::Value;
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

/// The AsyncAPI document of the log, and of the rooms that tell what happens.
pub fn asyncapi() -> Value {
    let mut document = contract::asyncapi();
    join(&mut document, rollcall_api::asyncapi());
    document
}

/// Adds what `part` has and `document` has not; where both have an object, in there.
fn join(document: &mut Value, part: Value) {
    match (document, part) {
        (Value::Object(document), Value::Object(part)) => {
            for (name, value) in part {
                join(document.entry(name).or_insert(Value::Null), value);
            }
        }
        (document @ Value::Null, part) => *document = part,
        _ => {}
    }
}

/// Prints the AsyncAPI document.
///
/// # Errors
/// When the document has no JSON form, or the terminal is gone.
pub fn print_asyncapi() -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(&asyncapi())?)
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
