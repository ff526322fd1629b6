//! The refusals of an operation: those that follow from what it is (it needs a token, it reads a body), and those that
//! its handler names, each code with an example in the envelope of errors.

use rollcall_schemas::{
    access::{Retry, Rule, Who},
    code::Code,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use utoipa::openapi::{
    Content, Ref, RefOr, Response,
    example::ExampleBuilder,
    path::{Operation, ParameterIn},
};

/// What every operation may end in.
const ALWAYS: &[(u16, Code)] = &[
    (414, Code::UriTooLong),
    (431, Code::HeadersTooLarge),
    (429, Code::RateLimited),
    (500, Code::InternalServerError),
    (503, Code::ServiceUnavailable),
    (503, Code::DatabaseError),
];
const OF_CREDENTIALS: &[(u16, Code)] = &[
    (401, Code::AuthUnauthorized),
    (401, Code::AuthTokenInvalid),
    (401, Code::AuthTokenExpired),
    (403, Code::AuthUnauthorized),
];
const OF_PARAMETERS: &[(u16, Code)] = &[(400, Code::InvalidInput), (422, Code::ValidationFailed)];
const OF_A_PATH: &[(u16, Code)] = &[(404, Code::NotFound)];
/// Of a call that is repeated while the first is under way, or with the key of another.
const OF_A_KEY: &[(u16, Code)] = &[(409, Code::Conflict), (422, Code::IdempotencyKeyReused)];
const OF_A_BODY: &[(u16, Code)] = &[
    (400, Code::InvalidInput),
    (400, Code::MissingRequiredField),
    (408, Code::RequestTimeout),
    (413, Code::PayloadTooLarge),
    (415, Code::UnsupportedMediaType),
    (422, Code::ValidationFailed),
];

/// Adds to an operation what it may be refused with. What nothing but the form of an operation says goes to `shared`, by its
/// name: the same few refusals are most of all that there are, and each would be written hundreds of times.
pub(super) fn describe(
    operation: &mut Operation,
    rule: &Rule,
    shared: &mut BTreeMap<String, RefOr<Response>>,
) {
    let mut refusals: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for (status, code) in derived(operation, rule) {
        let codes = refusals.entry(status).or_default();
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    let responses = &mut operation.responses.responses;
    for (status, response) in responses.iter() {
        if let (Ok(status @ 400..), RefOr::T(response)) = (status.parse(), response) {
            let codes = refusals.entry(status).or_default();
            let named = named(&response.description).filter(|code| !codes.contains(code)).collect::<Vec<_>>();
            codes.extend(named);
        }
    }
    for (status, codes) in refusals {
        let refused = match responses.get(&status.to_string()) {
            Some(RefOr::T(response)) => RefOr::T(refusal(response.description.clone(), &codes)),
            _ => {
                let name = shared_name(status, &codes);
                shared.entry(name.clone()).or_insert_with(|| RefOr::T(refusal(meanings(&codes), &codes)));
                RefOr::Ref(Ref::from_response_name(name))
            }
        };
        responses.insert(status.to_string(), refused);
    }
}

/// What follows from the form of the operation.
fn derived(operation: &Operation, rule: &Rule) -> impl Iterator<Item = (u16, Code)> {
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let in_path = parameters.iter().any(
        |parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Path),
    );
    let applies = [
        (ALWAYS, true),
        (OF_CREDENTIALS, rule.who != Who::Anyone),
        (OF_PARAMETERS, !parameters.is_empty()),
        (OF_A_PATH, in_path),
        (OF_A_BODY, operation.request_body.is_some()),
        (OF_A_KEY, matches!(rule.retry, Retry::Kept | Retry::Secret) && rule.who != Who::Anyone),
    ];
    applies.into_iter().filter(|(_, applies)| *applies).flat_map(|(refusals, _)| refusals).copied()
}

/// The codes that a description names.
fn named(description: &str) -> impl Iterator<Item = Code> {
    let quoted = description.split('`').skip(1).step_by(2);
    quoted.filter_map(|name| Code::ALL.iter().copied().find(|code| code.as_str() == name))
}

fn shared_name(status: u16, codes: &[Code]) -> String {
    let codes = codes.iter().map(|code| code.as_str()).collect::<Vec<_>>();
    format!("{status}.{}", codes.join("."))
}

fn meanings(codes: &[Code]) -> String {
    codes.iter().map(|code| format!("`{code}`: {}", code.meaning())).collect::<Vec<_>>().join("; ")
}

fn refusal(description: String, codes: &[Code]) -> Response {
    let mut content = Content::new(Some(RefOr::Ref(Ref::from_schema_name("ErrorEnvelope"))));
    for code in codes {
        let example = ExampleBuilder::new().summary(code.meaning()).value(Some(example(*code))).build();
        content.examples.insert(code.as_str().to_owned(), RefOr::T(example));
    }
    Response::builder().description(description).content("application/json", content).build()
}

fn example(code: Code) -> Value {
    let details = match code {
        Code::ValidationFailed | Code::MissingRequiredField => {
            json!({ "fields": [{ "field": "name", "message": "what is wrong with it, and what is wanted" }] })
        }
        Code::AuthAccountLocked => json!({ "until": "2026-11-20T09:15:00Z" }),
        _ => json!({}),
    };
    json!({
        "success": false,
        "error": { "code": code.as_str(), "message": code.meaning(), "details": details },
        "timestamp": "2026-11-20T09:00:00Z",
    })
}
