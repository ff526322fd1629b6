//! The OpenAPI document: generated from the handlers, completed with what the access table knows.

use crate::{
    ApiConfig,
    access::{Ownership, RULES, Rule, Who},
};
use axum::Router;
use rollcall_service::http::ErrorEnvelope;
use utoipa::{
    OpenApi, ToSchema,
    openapi::{
        Content, Ref, RefOr, Response,
        path::{Operation, PathItem},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_swagger_ui::SwaggerUi;

#[derive(OpenApi)]
#[openapi(info(
    title = "Rollcall",
    description = "Attendance from camera frames and QR scans. Every answer is in one of two envelopes: \
                   `{success, code, data, meta, timestamp}` or `{success, error: {code, message, details}, timestamp}`.",
))]
struct Document;

/// The document of the api's own routes.
pub fn openapi() -> utoipa::openapi::OpenApi {
    complete(crate::routes(&ApiConfig::default()).into_openapi())
}

/// Completes a document that was collected from one or several routers: title, security, errors.
fn complete(collected: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    document.merge(collected);
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(
        "token",
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build()),
    );
    components
        .add_security_scheme("apiKey", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))));
    let mut schemas = Vec::new();
    ErrorEnvelope::schemas(&mut schemas);
    schemas.push((ErrorEnvelope::name().into_owned(), <ErrorEnvelope as utoipa::PartialSchema>::schema()));
    components.schemas.extend(schemas);
    for (path, item) in &mut document.paths.paths {
        for rule in RULES.iter().filter(|rule| rule.path == path) {
            if let Some(operation) = operation(item, rule.method) {
                describe(operation, rule);
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

/// Says who may call an operation, and how refusals look.
fn describe(operation: &mut Operation, rule: &Rule) {
    let refusal = Response::builder()
        .description("Refused, in the envelope of errors")
        .content("application/json", Content::new(Some(RefOr::Ref(Ref::from_schema_name("ErrorEnvelope")))))
        .build();
    operation.responses.responses.insert("default".into(), RefOr::T(refusal));
    let Who::Users(roles) = rule.who else { return };
    if operation.security.is_some() {
        return; // The document was completed before and merged with another since.
    }
    let schemes = ["token"].into_iter().chain(rule.scope.map(|_| "apiKey"));
    operation.security =
        Some(schemes.map(|name| SecurityRequirement::new::<_, [&str; 0], &str>(name, [])).collect());
    let roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    let own = match rule.ownership {
        Ownership::Any => "",
        Ownership::Class(_) | Ownership::Session(_) => " Teachers and students: of their own classes.",
        Ownership::Person(_) => " Teachers: students of their own classes. Students: themselves.",
        Ownership::Narrowed => " Narrowed to what the caller may see and do.",
    };
    let key = rule.scope.map(|scope| format!(" API keys: scope `{scope}`.")).unwrap_or_default();
    let who = format!("Roles: {}.{own}{key}", roles.join(", "));
    let description = operation.description.take().filter(|text| !text.is_empty());
    operation.description = Some(description.map_or(who.clone(), |text| format!("{text}\n\n{who}")));
}

/// `/openapi.json` and the pages at `/docs`, for a document collected from every router of the listener.
pub fn docs(collected: utoipa::openapi::OpenApi) -> Router {
    SwaggerUi::new("/docs").url("/openapi.json", complete(collected)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_pinned() {
        insta::assert_json_snapshot!(openapi());
    }

    #[tokio::test]
    async fn the_document_and_its_pages_are_served() {
        let test = crate::testing::TestApi::start().await;
        let client = test.edge.client();
        let get =
            async |path| client.request(http::Method::GET, path).send().await.unwrap().text().await.unwrap();
        let served: serde_json::Value = serde_json::from_str(&get("/openapi.json").await).unwrap();
        assert_eq!(served["paths"]["/api/v1/events"]["get"]["tags"][0], "events");
        assert!(get("/docs/").await.contains("swagger-ui"));
    }

    #[test]
    fn completing_twice_changes_nothing() {
        assert!(complete(openapi()) == openapi());
    }
}
