//! The layer before every limited route: who is calling, and whether it is their turn.

use super::{Allowance, Charged, Limiter};
use crate::{
    auth::{Authenticator, Principal},
    http::{ClientIp, Problem},
};
use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{Extensions, Method, request::Parts};
use rollcall_schemas::limit::RouteGroup;

/// What the layer asks.
#[derive(Clone)]
pub struct Gate {
    /// Who is calling.
    pub authenticator: Authenticator,
    /// Whether it is their turn.
    pub limiter: Limiter,
}

/// Who is calling, found out once, before the limits: handlers and access rules take it from here.
#[derive(Clone, Debug)]
pub struct Authenticated(pub Result<Principal, Problem>);

impl Authenticated {
    /// The caller of a request that [`admit`] let through.
    ///
    /// # Errors
    /// `401` when there are no credentials, or they are not good (any more).
    pub fn caller(request: &Request) -> Result<Principal, Problem> {
        Self::find(request.extensions())?.0
    }

    fn find(extensions: &Extensions) -> Result<Self, Problem> {
        let found = extensions.get::<Self>().cloned();
        found.ok_or_else(|| Problem::internal("a route that does not stand behind limits::admit"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::find(&parts.extensions)
    }
}

/// Lets a call through with its [`Authenticated`] when it is its caller's turn, and answers `429` otherwise. Whatever the
/// answer is, it says what is left.
pub async fn admit(
    State(gate): State<Gate>,
    ClientIp(address): ClientIp,
    mut request: Request,
    next: Next,
) -> Response {
    let group = group(request.method(), request.uri().path());
    let caller = gate.authenticator.authenticate(request.headers());
    let charged = match &caller {
        Ok(Principal::User(user)) if group != RouteGroup::SignIn => Charged::User(user.user_id),
        Ok(Principal::Camera(camera)) if group != RouteGroup::SignIn => Charged::Key(camera.key_id),
        Ok(Principal::Integration(key)) if group != RouteGroup::SignIn => Charged::Key(key.key_id),
        _ => Charged::Address(address),
    };
    let allowance = gate.limiter.take(group, charged);
    let mut response = match allowance.as_ref().map_or(Ok(()), Allowance::check) {
        Ok(()) => {
            request.extensions_mut().insert(Authenticated(caller));
            next.run(request).await
        }
        Err(refused) => refused.into_response(),
    };
    if let Some(allowance) = allowance {
        response.headers_mut().extend(allowance.headers());
    }
    response
}

/// The group of a route, by its method and its path.
fn group(method: &Method, path: &str) -> RouteGroup {
    let path = path.strip_prefix("/api/v1/").unwrap_or(path);
    if path == "attendance/mark" {
        RouteGroup::Scans
    } else if path.starts_with("cameras/") && path.ends_with("/frames") {
        RouteGroup::Frames
    } else if path.starts_with("auth/") && !matches!(path, "auth/me" | "auth/verify") {
        RouteGroup::SignIn
    } else if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        RouteGroup::Read
    } else {
        RouteGroup::Write
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_its_group() {
        for (method, path, expected) in [
            (Method::POST, "/api/v1/auth/login", RouteGroup::SignIn),
            (Method::POST, "/api/v1/auth/refresh", RouteGroup::SignIn),
            (Method::GET, "/api/v1/auth/oidc/callback", RouteGroup::SignIn),
            (Method::GET, "/api/v1/auth/me", RouteGroup::Read),
            (Method::GET, "/.well-known/jwks.json", RouteGroup::Read),
            (Method::GET, "/api/v1/classes", RouteGroup::Read),
            (Method::PUT, "/api/v1/classes/1", RouteGroup::Write),
            (Method::POST, "/api/v1/images", RouteGroup::Write),
            (Method::POST, "/api/v1/cameras/1/frames", RouteGroup::Frames),
            (Method::POST, "/api/v1/attendance/mark", RouteGroup::Scans),
        ] {
            assert_eq!(group(&method, path), expected, "{method} {path}");
        }
    }
}
