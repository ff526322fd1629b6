//! From a request's headers to who is calling.

use super::{
    api_key::{API_KEY_HEADER, ApiKey},
    key_uses::KeyUses,
    token::{Claims, TokenConfig},
    verified::Verified,
};
use crate::{clock::Clock, http::Problem};
use axum::extract::{FromRef, FromRequestParts};
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, header, request::Parts};
use rollcall_schemas::{
    code::Code,
    feed::AuthFact,
    id::{ApiKeyId, CameraId, SignInId, UserId},
    request::KeyUse,
    role::Role,
    scope::Scope,
};
use std::{collections::HashMap, sync::Arc};

/// How far the clocks of two of our machines may be apart.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);

/// What is known of keys and revocations: the AUTH feed, by the key of its entries (`signing-key/<kid>`,
/// `api-key/<id>`, `revocation/<user>`, `sign-in/<id>`).
pub trait KeySource: Send + Sync + 'static {
    /// The entry of that key.
    fn find(&self, key: &str) -> Option<AuthFact>;
}

impl<F: Fn(&str) -> Option<AuthFact> + Send + Sync + 'static> KeySource for F {
    fn find(&self, key: &str) -> Option<AuthFact> {
        self(key)
    }
}

impl KeySource for HashMap<String, AuthFact> {
    fn find(&self, key: &str) -> Option<AuthFact> {
        self.get(key).cloned()
    }
}

/// A signed-in user. As an extractor it refuses API keys (`403`) and everybody unknown (`401`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user.
    pub user_id: UserId,
    /// Their role when the token was issued.
    pub role: Role,
    /// Their e-mail address.
    pub email: String,
    /// The sign-in that the token belongs to.
    pub sign_in_id: SignInId,
}

impl User {
    /// Passes users of one of these roles only.
    ///
    /// # Errors
    /// `403` for everybody else.
    pub fn require(&self, roles: &[Role]) -> Result<(), Problem> {
        if roles.contains(&self.role) { Ok(()) } else { Err(Problem::forbidden("your role may not do this")) }
    }
}

/// A camera, by its API key. As an extractor it refuses users (`403`) and everybody unknown (`401`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Camera {
    /// The camera.
    pub camera_id: CameraId,
    /// The key it used.
    pub key_id: ApiKeyId,
}

/// Another program, by its API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integration {
    /// The key it used.
    pub key_id: ApiKeyId,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

/// Whoever is calling. As an extractor it refuses everybody unknown (`401`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A user with an access token.
    User(User),
    /// A camera with an API key.
    Camera(Camera),
    /// Another program with an API key.
    Integration(Integration),
}

/// Verifies access tokens and API keys. Clones share the keys, what is noted of their use, and what was verified before.
#[derive(Clone)]
pub struct Authenticator {
    keys: Arc<dyn KeySource>,
    uses: Arc<KeyUses>,
    verified: Arc<Verified>,
    config: Arc<TokenConfig>,
    clock: Clock,
}

impl Authenticator {
    /// Verifies with what `keys` knows, at the time of `clock`.
    pub fn new(keys: impl KeySource, config: TokenConfig, clock: Clock) -> Self {
        Self {
            keys: Arc::new(keys),
            uses: Arc::default(),
            verified: Arc::default(),
            config: Arc::new(config),
            clock,
        }
    }

    /// Who is calling, by `Authorization: Bearer` or else by `X-API-Key`.
    ///
    /// # Errors
    /// `401` when there are no credentials, or they are not good (any more).
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, Problem> {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let bearer = value.to_str().ok().and_then(|value| value.split_once(' '));
            let token = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            let (_, token) = token.ok_or_else(|| Problem::unauthenticated("only bearer tokens are taken"))?;
            return self.verify_token(token.trim()).map(Principal::User);
        }
        if let Some(value) = headers.get(API_KEY_HEADER) {
            return self.verify_api_key(value.to_str().unwrap_or_default());
        }
        Err(Problem::unauthenticated("an access token or an API key is needed"))
    }

    /// The user of an access token.
    ///
    /// # Errors
    /// `AUTH_TOKEN_EXPIRED` when it was good once, `AUTH_TOKEN_INVALID` when it never was; both `401`.
    pub fn verify_token(&self, token: &str) -> Result<User, Problem> {
        let now = self.clock.now();
        let key = |kid: &str| self.signing_key(kid, now);
        let signed = self.verified.read(token, key, &self.config).ok_or_else(invalid_token)?;
        let claims = &signed.claims;
        let latest_start = (now + CLOCK_SKEW).timestamp();
        if claims.iat > latest_start || claims.nbf.is_some_and(|start| start > latest_start) {
            return Err(invalid_token());
        }
        // A token is good before its `exp`, not at it (RFC 7519, section 4.1.4).
        if claims.exp <= now.timestamp() || self.is_revoked(claims) {
            return Err(Problem::new(Code::AuthTokenExpired, "the access token is no longer valid"));
        }
        let Claims { user_id, role, ref email, sid: sign_in_id, .. } = *claims;
        Ok(User { user_id, role, email: email.clone(), sign_in_id })
    }

    /// The camera or the integration of an API key.
    ///
    /// # Errors
    /// `401`, the same whether the key is unknown, revoked, expired or has another secret.
    pub fn verify_api_key(&self, text: &str) -> Result<Principal, Problem> {
        let refused = || Problem::new(Code::AuthTokenInvalid, "the API key is not valid");
        let key = ApiKey::parse(text).ok_or_else(refused)?;
        let known = self.keys.find(&format!("api-key/{}", key.key_id));
        let Some(AuthFact::ApiKey { key_id, secret_sha256, camera_id, scopes, expires_at, revoked: false }) =
            known
        else {
            return Err(refused());
        };
        let now = self.clock.now();
        let is_good =
            key_id == key.key_id && key.matches(&secret_sha256) && expires_at.is_none_or(|end| now < end);
        let principal = match camera_id {
            _ if !is_good => None,
            Some(camera_id) => {
                scopes.contains(&Scope::FramesPush).then_some(Principal::Camera(Camera { camera_id, key_id }))
            }
            None => Some(Principal::Integration(Integration { key_id, scopes })),
        };
        let principal = principal.ok_or_else(refused)?;
        self.uses.note(key_id, now);
        Ok(principal)
    }

    /// Which API keys were used since this was last asked, to the minute.
    pub fn take_key_uses(&self) -> Vec<KeyUse> {
        self.uses.take()
    }

    fn signing_key(&self, kid: &str, now: DateTime<Utc>) -> Option<String> {
        match self.keys.find(&format!("signing-key/{kid}"))? {
            AuthFact::SigningKey { public_key, retires_at, .. } if retires_at.is_none_or(|end| now < end) => {
                Some(public_key)
            }
            _ => None,
        }
    }

    /// Whether the sign-in has ended, or all tokens of the user have. Tokens tell the second only: one issued in the very
    /// second of the revocation is refused with the older ones.
    fn is_revoked(&self, claims: &Claims) -> bool {
        self.keys.find(&format!("sign-in/{}", claims.sid)).is_some()
            || match self.keys.find(&format!("revocation/{}", claims.user_id)) {
                Some(AuthFact::Revocation { issued_before, .. }) => claims.iat <= issued_before.timestamp(),
                _ => false,
            }
    }
}

fn invalid_token() -> Problem {
    Problem::new(Code::AuthTokenInvalid, "the access token is not valid")
}

impl<S> FromRequestParts<S> for Principal
where
    S: Send + Sync,
    Authenticator: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Authenticator::from_ref(state).authenticate(&parts.headers)
    }
}

impl<S> FromRequestParts<S> for User
where
    S: Send + Sync,
    Authenticator: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Principal::from_request_parts(parts, state).await? {
            Principal::User(user) => Ok(user),
            Principal::Camera(_) | Principal::Integration(_) => {
                Err(Problem::forbidden("only a user may do this, with an access token"))
            }
        }
    }
}

impl<S> FromRequestParts<S> for Camera
where
    S: Send + Sync,
    Authenticator: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Principal::from_request_parts(parts, state).await? {
            Principal::Camera(camera) => Ok(camera),
            Principal::User(_) | Principal::Integration(_) => {
                Err(Problem::forbidden("only a camera may do this, with its API key"))
            }
        }
    }
}
