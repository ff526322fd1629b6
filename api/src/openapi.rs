//! The OpenAPI document: collected from the handlers, completed with what the access tables know.

mod refusals;

use crate::{ApiConfig, access::RULES, auth::REFRESH_COOKIE, extract::camel_case};
use axum::{Router, body::Bytes, routing::get};
use http::header::CONTENT_TYPE;
use rollcall_schemas::access::{Ownership, Retry, Rule, Who};
use rollcall_service::http::ErrorEnvelope;
use utoipa::{
    OpenApi, PartialSchema, ToSchema,
    openapi::{
        RefOr,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_swagger_ui::{Config, SwaggerUi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Rollcall",
        description = "Attendance from camera frames and QR scans. Every answer is in one of two envelopes: \
                       `{success, code, data, meta, timestamp}` or `{success, error: {code, message, details}, timestamp}`.",
    ),
    tags(
        (name = "auth", description = "Sign-in"),
        (name = "users", description = "People"),
        (name = "admin", description = "Administration"),
        (name = "audit", description = "Audit"),
        (name = "students", description = "Students and faces"),
        (name = "classes", description = "Classes"),
        (name = "cameras", description = "Cameras"),
        (name = "api-keys", description = "Integrations"),
        (name = "frames", description = "Frames and pictures"),
        (name = "webhooks", description = "Other systems that are told what happens"),
        (name = "sessions", description = "Sessions and codes"),
        (name = "attendance", description = "Attendance"),
        (name = "timetable", description = "Timetables and holidays"),
        (name = "analytics", description = "Analytics and reports"),
        (name = "events", description = "Live events"),
        (name = "requests", description = "Requests"),
        (name = "status", description = "Status"),
    ),
)]
struct Document;

/// The document of the api's own routes.
pub fn openapi() -> utoipa::openapi::OpenApi {
    complete(collected(), RULES)
}

/// What the api's handlers say of themselves, to be merged with others' and completed.
pub fn collected() -> utoipa::openapi::OpenApi {
    crate::routes(&ApiConfig::default()).into_openapi()
}

/// Completes a document with what the tables of its routes know: title, security, who may call, every refusal.
pub fn complete(collected: utoipa::openapi::OpenApi, rules: &[Rule]) -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    document.merge(collected);
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(
        "token",
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build()),
    );
    components
        .add_security_scheme("apiKey", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))));
    let cookie = ApiKey::Cookie(ApiKeyValue::new(REFRESH_COOKIE));
    components.add_security_scheme("refreshCookie", SecurityScheme::ApiKey(cookie));
    let mut schemas = vec![(ErrorEnvelope::name().into_owned(), ErrorEnvelope::schema())];
    ErrorEnvelope::schemas(&mut schemas);
    components.schemas.extend(schemas);
    for (path, item) in &mut document.paths.paths {
        for rule in rules.iter().filter(|rule| rule.path == path) {
            if let Some(operation) = operation(item, rule.method) {
                operation.operation_id = operation.operation_id.take().map(|name| camel_case(&name));
                describe_retry(operation, rule);
                refusals::describe(operation, rule, &mut components.responses);
                describe_callers(operation, rule);
            }
        }
    }
    document
}

fn operation<'a>(item: &'a mut PathItem, method: &str) -> Option<&'a mut Operation> {
    match method {
        "GET" => item.get.as_mut(),
        "POST" => item.post.as_mut(),
        "PUT" => item.put.as_mut(),
        "PATCH" => item.patch.as_mut(),
        "DELETE" => item.delete.as_mut(),
        _ => None,
    }
}

/// A call whose answer is kept may be repeated with its key.
fn describe_retry(operation: &mut Operation, rule: &Rule) {
    let is_named =
        |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(it) if it.name == "Idempotency-Key");
    let parameters = operation.parameters.get_or_insert_default();
    if matches!(rule.retry, Retry::Kept | Retry::Secret)
        && rule.who != Who::Anyone
        && !parameters.iter().any(is_named)
    {
        let key = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .description(Some("Repeats a call without repeating its effect"))
            .schema(Some(String::schema()));
        parameters.push(RefOr::T(key.build()));
    }
}

/// Says who may call an operation, and with what.
fn describe_callers(operation: &mut Operation, rule: &Rule) {
    let (roles, cameras) = match rule.who {
        Who::Anyone => {
            // A route that takes no token may take something else, such as a cookie: then it says so itself.
            operation.security.get_or_insert_default();
            return;
        }
        Who::Users(roles) => (roles, false),
        Who::UsersAndCameras(roles) => (roles, true),
    };
    let mut security = vec![SecurityRequirement::new::<_, [&str; 0], &str>("token", [])];
    let with_key = cameras || rule.scope.is_some();
    security.extend(with_key.then(|| SecurityRequirement::new::<_, [&str; 0], &str>("apiKey", [])));
    operation.security = Some(security);
    let mut callers: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    callers.extend(cameras.then_some("camera"));
    let own = match rule.ownership {
        Ownership::Any => "",
        Ownership::Class(_) | Ownership::Session(_) => " Teachers and students: of their own classes.",
        Ownership::Record(_) => " Teachers: in their own classes. Students: their own.",
        Ownership::Review(_) => " Teachers: in their own classes.",
        Ownership::Person(_) => " Teachers: students of their own classes. Students: themselves.",
        Ownership::Camera(_) => " Cameras: themselves.",
        Ownership::Narrowed => " Narrowed to what the caller may see and do.",
    };
    let key = rule.scope.map(|scope| format!(" API keys: scope `{scope}`.")).unwrap_or_default();
    let who = format!("Callers: {}.{own}{key}", callers.join(", "));
    let description = operation.description.take().filter(|text| !text.is_empty());
    operation.description = Some(description.map_or(who.clone(), |text| format!("{text}\n\n{who}")));
}

/// `/openapi.json` and the pages at `/docs`, for a completed document. It is kept as it is sent: as a tree it takes ten times
/// the memory.
pub fn docs(document: &utoipa::openapi::OpenApi) -> Router {
    let json = Bytes::from(document.to_json().expect("the document has a JSON form"));
    let document = get(move || async move { ([(CONTENT_TYPE, "application/json")], json) });
    let pages = SwaggerUi::new("/docs").config(Config::from("/openapi.json"));
    Router::from(pages).route("/openapi.json", document)
}

#[cfg(test)]
mod tests;
