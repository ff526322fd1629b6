use super::*;
use crate::{
    clock::{Clock, Entropy},
    config::Secret,
    http::{
        Success,
        testing::{Edge, get},
    },
};
use axum::{Router, extract::FromRef, routing};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use parking_lot::RwLock;
use rollcall_schemas::{
    code::Code,
    feed::{AuthFact, FeedEntry},
    id::{CameraId, UserId},
    request::KeyUse,
    role::Role,
    scope::Scope,
};
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

const USER: UserId = UserId(Uuid::from_u128(7));
const CAMERA: CameraId = CameraId(Uuid::from_u128(9));

/// A signer, and a verifier that knows its key.
struct Site {
    clock: Clock,
    entropy: Entropy,
    signer: TokenSigner,
    pem: Secret,
    feed: Arc<RwLock<HashMap<String, AuthFact>>>,
    authenticator: Authenticator,
}

impl Site {
    fn new() -> Self {
        Self::with_seed(3)
    }

    fn with_seed(seed: u64) -> Self {
        let clock = Clock::manual(DateTime::from_timestamp(1_700_000_000, 0).unwrap());
        let entropy = Entropy::seeded(seed);
        let pem = generate_signing_key(&entropy);
        let signer = TokenSigner::new(&pem, TokenConfig::default(), clock.clone(), entropy.clone()).unwrap();
        let feed = Arc::new(RwLock::new(HashMap::new()));
        let known = feed.clone();
        let source = move |key: &str| known.read().get(key).cloned();
        let authenticator = Authenticator::new(source, TokenConfig::default(), clock.clone());
        let site = Self { clock, entropy, signer, pem, feed, authenticator };
        site.learn(site.signing_key(None));
        site
    }

    /// Puts a fact under the key that the feed itself gives it.
    fn learn(&self, fact: AuthFact) {
        let key = rollcall_schemas::feed::AuthEntry { revision: 1, fact: fact.clone() }.key();
        self.feed.write().insert(key, fact);
    }

    fn signing_key(&self, retires_at: Option<DateTime<Utc>>) -> AuthFact {
        let (kid, public_key) = (self.signer.kid().to_owned(), self.signer.public_key().to_owned());
        AuthFact::SigningKey { kid, public_key, signs_from: None, retires_at }
    }

    fn token(&self) -> String {
        self.signer.issue(USER, "ada@school.example", Role::Teacher).0
    }

    fn refused(&self, token: &str) -> Code {
        let problem = self.authenticator.verify_token(token).expect_err("the token must be refused");
        assert_eq!(problem.status, StatusCode::UNAUTHORIZED);
        problem.code
    }

    /// A token with other claims than ours, signed with our key.
    fn forged(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = serde_json::to_value(self.signer.issue(USER, "a@b.c", Role::Admin).1).unwrap();
        change(&mut claims);
        let header = Header { kid: Some(self.signer.kid().into()), ..Header::new(Algorithm::EdDSA) };
        encode(&header, &claims, &EncodingKey::from_ed_pem(self.pem.reveal().as_bytes()).unwrap()).unwrap()
    }

    fn api_key(&self) -> (ApiKey, AuthFact) {
        let key = ApiKey::generate(&self.entropy);
        let (key_id, secret_sha256) = (key.key_id, key.secret_sha256());
        let fact = AuthFact::ApiKey {
            key_id,
            secret_sha256,
            camera_id: Some(CAMERA),
            scopes: vec![Scope::FramesPush],
            expires_at: None,
            revoked: false,
        };
        (key, fact)
    }
}

#[test]
fn a_token_says_who_it_was_issued_to() {
    let site = Site::new();
    let (token, claims) = site.signer.issue(USER, "ada@school.example", Role::Teacher);
    let user = site.authenticator.verify_token(&token).unwrap();
    let (role, email) = (Role::Teacher, "ada@school.example".into());
    assert_eq!(user, User { user_id: USER, role, email, sign_in_id: claims.sid });
}

#[test]
fn claims_are_named_as_documented() {
    let claims = serde_json::to_value(Site::new().signer.issue(USER, "a@b.c", Role::Student).1).unwrap();
    let mut names: Vec<_> = claims.as_object().unwrap().keys().cloned().collect();
    names.sort();
    assert_eq!(names, ["aud", "email", "exp", "iat", "iss", "jti", "role", "sid", "userId"]);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 24 * 60 * 60);
}

#[test]
fn a_token_ends() {
    let site = Site::new();
    let token = site.token();
    site.clock.advance(TimeDelta::hours(24) - TimeDelta::microseconds(1));
    assert!(site.authenticator.verify_token(&token).is_ok());
    site.clock.advance(TimeDelta::microseconds(1));
    assert_eq!(site.refused(&token), Code::AuthTokenExpired);
}

#[test]
fn tokens_for_others_are_refused() {
    let site = Site::new();
    for claim in ["aud", "iss"] {
        assert_eq!(
            site.refused(&site.forged(|claims| claims[claim] = "other".into())),
            Code::AuthTokenInvalid
        );
    }
    for claim in ["aud", "iss", "exp", "iat", "sid", "userId", "role"] {
        let without = site.forged(|claims| drop(claims.as_object_mut().unwrap().remove(claim)));
        assert_eq!(site.refused(&without), Code::AuthTokenInvalid, "without {claim}");
    }
    for claim in ["iat", "nbf"] {
        let early = site.forged(|claims| claims[claim] = (site.clock.now().timestamp() + 3_600).into());
        assert_eq!(site.refused(&early), Code::AuthTokenInvalid, "{claim} lies ahead");
    }
    assert!(site.authenticator.verify_token(&site.forged(|_| ())).is_ok(), "the forger's baseline must pass");
}

#[test]
fn only_our_algorithm_is_taken() {
    let site = Site::new();
    let token = site.token();
    let (_, rest) = token.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let kid = site.signer.kid();
    for alg in ["none", "None", "HS256", "ES256", "RS256"] {
        let header =
            BASE64_URL_SAFE_NO_PAD.encode(json!({ "alg": alg, "typ": "JWT", "kid": kid }).to_string());
        for signature in [signature, ""] {
            assert_eq!(
                site.refused(&format!("{header}.{claims}.{signature}")),
                Code::AuthTokenInvalid,
                "{alg}"
            );
        }
    }
    // The classic confusion: the public key, which everybody has, as the secret of a symmetric signature.
    let claims = site.signer.issue(USER, "a@b.c", Role::Admin).1;
    let public_key = BASE64_URL_SAFE_NO_PAD.decode(site.signer.public_key()).unwrap();
    for secret in [public_key.as_slice(), site.signer.public_key().as_bytes()] {
        let header = Header { kid: Some(kid.into()), ..Header::new(Algorithm::HS256) };
        let token = encode(&header, &claims, &EncodingKey::from_secret(secret)).unwrap();
        assert_eq!(site.refused(&token), Code::AuthTokenInvalid);
    }
}

#[test]
fn a_changed_token_is_refused() {
    let site = Site::new();
    let token = site.token();
    let (head, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = head.split_once('.').unwrap();
    let claims = serde_json::to_string(&site.signer.issue(USER, "a@b.c", Role::Admin).1).unwrap();
    let claims = BASE64_URL_SAFE_NO_PAD.encode(claims);
    for changed in [
        format!("{header}.{claims}.{signature}"),
        head.to_owned(),
        format!("{head}."),
        String::new(),
        "a.b.c".into(),
    ] {
        assert_eq!(site.refused(&changed), Code::AuthTokenInvalid, "{changed}");
    }
}

#[test]
fn a_key_must_be_known_and_not_retired() {
    let site = Site::new();
    let other = generate_signing_key(&site.entropy);
    let stranger =
        TokenSigner::new(&other, TokenConfig::default(), site.clock.clone(), site.entropy.clone()).unwrap();
    let foreign = stranger.issue(USER, "a@b.c", Role::Admin).0;
    assert_eq!(site.refused(&foreign), Code::AuthTokenInvalid, "unknown kid");

    let kid = stranger.kid().to_owned();
    let public_key = site.signer.public_key().to_owned();
    site.learn(AuthFact::SigningKey { kid: kid.clone(), public_key, signs_from: None, retires_at: None });
    assert_eq!(site.refused(&foreign), Code::AuthTokenInvalid, "another key under its kid");
    site.learn(AuthFact::SigningKey { kid, public_key: "AAAA".into(), signs_from: None, retires_at: None });
    assert_eq!(site.refused(&foreign), Code::AuthTokenInvalid, "a key that is none");

    let token = site.token();
    site.learn(site.signing_key(Some(site.clock.now() + TimeDelta::hours(1))));
    assert!(site.authenticator.verify_token(&token).is_ok());
    site.clock.advance(TimeDelta::hours(1));
    assert_eq!(site.refused(&token), Code::AuthTokenInvalid, "retired");
}

#[test]
fn a_revocation_ends_older_tokens_only() {
    let site = Site::new();
    let old = site.token();
    site.learn(AuthFact::Revocation { user_id: USER, issued_before: site.clock.now() });
    assert_eq!(site.refused(&old), Code::AuthTokenExpired);
    site.clock.advance(TimeDelta::seconds(1));
    assert!(site.authenticator.verify_token(&site.token()).is_ok());
}

#[test]
fn the_end_of_a_sign_in_ends_its_tokens_only() {
    let site = Site::new();
    let (token, claims) = site.signer.issue(USER, "ada@school.example", Role::Teacher);
    let other = site.token();
    let (ended_at, forget_at) = (site.clock.now(), site.clock.now() + TimeDelta::hours(24));
    site.learn(AuthFact::EndedSignIn { sign_in_id: claims.sid, ended_at, forget_at });
    assert_eq!(site.refused(&token), Code::AuthTokenExpired);
    assert!(site.authenticator.verify_token(&other).is_ok());
}

/// Another deployment has the same issuer and audience where nobody changed them, and never the same key.
#[test]
fn a_token_of_another_deployment_is_refused() {
    let (ours, theirs) = (Site::new(), Site::with_seed(4));
    let token = theirs.token();
    assert!(theirs.authenticator.verify_token(&token).is_ok());
    assert_eq!(ours.refused(&token), Code::AuthTokenInvalid);
}

/// A good signature of ours, on other claims of ours.
#[test]
fn a_swapped_signature_is_refused() {
    let site = Site::new();
    let student = site.signer.issue(USER, "a@b.c", Role::Student).0;
    let admin = site.signer.issue(USER, "a@b.c", Role::Admin).0;
    let (claims, _) = admin.rsplit_once('.').unwrap();
    let (_, signature) = student.rsplit_once('.').unwrap();
    assert_eq!(site.refused(&format!("{claims}.{signature}")), Code::AuthTokenInvalid);
}

#[test]
fn the_key_set_verifies_what_was_signed() {
    let site = Site::new();
    let set = jwks([(site.signer.kid(), site.signer.public_key())]);
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_value(set).unwrap();
    let key = set.find(site.signer.kid()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(Algorithm::EdDSA);
    validation.set_audience(&["rollcall"]);
    validation.validate_exp = false;
    let key = jsonwebtoken::DecodingKey::from_jwk(key).unwrap();
    assert_eq!(jsonwebtoken::decode::<Claims>(site.token(), &key, &validation).unwrap().claims.user_id, USER);
}

#[test]
fn the_key_id_is_the_thumbprint_of_rfc_8037() {
    // RFC 8037, appendix A.1 (the key) and A.3 (its thumbprint).
    let secret = BASE64_URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let der =
        [b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".as_slice(), &secret].concat();
    let base64 = base64::prelude::BASE64_STANDARD.encode(der);
    let pem = Secret::new(format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n"));
    let signer = TokenSigner::new(&pem, TokenConfig::default(), Clock::real(), Entropy::real()).unwrap();
    assert_eq!(signer.public_key(), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    assert_eq!(signer.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn only_an_ed25519_key_signs() {
    for pem in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        let signer =
            TokenSigner::new(&Secret::new(pem), TokenConfig::default(), Clock::real(), Entropy::real());
        assert!(signer.is_err());
    }
}

#[test]
fn an_api_key_stands_for_its_camera() {
    let site = Site::new();
    let (key, fact) = site.api_key();
    let refused = |text: &str| site.authenticator.verify_api_key(text).expect_err("must be refused").code;
    assert_eq!(refused(&key.reveal()), Code::AuthTokenInvalid, "unknown");
    site.learn(fact);
    let camera = site.authenticator.verify_api_key(&key.reveal()).unwrap();
    assert_eq!(camera, Principal::Camera(Camera { camera_id: CAMERA, key_id: key.key_id }));

    let (other, _) = site.api_key();
    let id = key.key_id.0.simple().to_string();
    let secret = key.reveal()[37..].to_owned();
    let mixed = other.reveal().replace(&other.key_id.0.simple().to_string(), &id);
    for bad in [
        mixed,
        other.reveal(),
        key.reveal() + "x",
        key.reveal()[..79].to_owned(),
        key.reveal().replace("rck_", "RCK_"),
        format!("rck_{id}_"),
        format!("rck_{secret}"),
        format!("rck_{}_{secret}", "é".repeat(16)),
        String::new(),
    ] {
        assert_eq!(refused(&bad), Code::AuthTokenInvalid, "{bad}");
    }
}

#[test]
fn an_api_key_expires_and_can_be_revoked() {
    let site = Site::new();
    let (key, fact) = site.api_key();
    let AuthFact::ApiKey { key_id, secret_sha256, camera_id, scopes, .. } = fact else { unreachable!() };
    let with = |expires_at, revoked| {
        let (secret_sha256, scopes) = (secret_sha256.clone(), scopes.clone());
        site.learn(AuthFact::ApiKey { key_id, secret_sha256, camera_id, scopes, expires_at, revoked });
        site.authenticator.verify_api_key(&key.reveal()).is_ok()
    };
    assert!(with(Some(site.clock.now() + TimeDelta::seconds(1)), false));
    assert!(!with(Some(site.clock.now()), false));
    assert!(!with(None, true));
}

#[test]
fn a_key_without_a_camera_is_an_integration_with_its_scopes() {
    let site = Site::new();
    let (key, mut fact) = site.api_key();
    let AuthFact::ApiKey { camera_id, scopes, .. } = &mut fact else { unreachable!() };
    (*camera_id, *scopes) = (None, vec![Scope::PeopleRead]);
    site.learn(fact.clone());
    let integration = Integration { key_id: key.key_id, scopes: vec![Scope::PeopleRead] };
    let verify = || site.authenticator.verify_api_key(&key.reveal());
    assert_eq!(verify().unwrap(), Principal::Integration(integration));

    let AuthFact::ApiKey { camera_id, .. } = &mut fact else { unreachable!() };
    *camera_id = Some(CAMERA);
    site.learn(fact);
    assert!(verify().is_err(), "a camera's key that may push no frames is good for nothing");
}

#[test]
fn uses_of_good_keys_are_noted_to_the_minute() {
    let site = Site::new();
    let (key, fact) = site.api_key();
    let verify = || site.authenticator.verify_api_key(&key.reveal()).is_ok();
    assert!(!verify());
    assert_eq!(site.authenticator.take_key_uses(), [], "an unknown key is nobody's");
    site.learn(fact);
    let minute = DateTime::from_timestamp(1_699_999_980, 0).unwrap();
    assert!(verify() && verify());
    assert_eq!(site.authenticator.take_key_uses(), [KeyUse { key_id: key.key_id, used_at: minute }]);
    assert_eq!(site.authenticator.take_key_uses(), []);
}

#[test]
fn secrets_are_not_shown() {
    let key = ApiKey::generate(&Entropy::seeded(1));
    assert!(!format!("{key:?}").contains(&key.reveal()[37..]));
    assert_eq!(ApiKey::parse(&key.reveal()).unwrap(), key);
}

#[derive(Clone)]
struct State(Authenticator);

impl FromRef<State> for Authenticator {
    fn from_ref(state: &State) -> Self {
        state.0.clone()
    }
}

#[tokio::test]
async fn routes_are_closed_to_everybody_who_may_not_enter() {
    let site = Site::new();
    let (key, fact) = site.api_key();
    site.learn(fact);
    let router = Router::new()
        .route("/any", routing::get(|_: Principal| async { Success::ok(()) }))
        .route("/user", routing::get(|user: User| async move { Success::ok(user.user_id) }))
        .route("/camera", routing::get(|camera: Camera| async move { Success::ok(camera.camera_id) }))
        .route(
            "/admin",
            routing::get(|user: User| async move { user.require(&[Role::Admin]).map(|()| Success::ok(())) }),
        )
        .with_state(State(site.authenticator.clone()));
    let edge = Edge::new(router);
    let (token, key) = (format!("Bearer {}", site.token()), key.reveal());
    for (path, header, value, status, code) in [
        ("/any", "x-none", "", 401, "AUTH_UNAUTHORIZED"),
        ("/any", "authorization", "Basic YTpi", 401, "AUTH_UNAUTHORIZED"),
        ("/any", "authorization", "Bearer x", 401, "AUTH_TOKEN_INVALID"),
        ("/any", "x-api-key", "rck_x", 401, "AUTH_TOKEN_INVALID"),
        ("/any", "authorization", &token, 200, "OK"),
        ("/any", "x-api-key", &key, 200, "OK"),
        ("/user", "authorization", &token, 200, "OK"),
        ("/user", "x-api-key", &key, 403, "AUTH_UNAUTHORIZED"),
        ("/camera", "x-api-key", &key, 200, "OK"),
        ("/camera", "authorization", &token, 403, "AUTH_UNAUTHORIZED"),
        ("/admin", "authorization", &token, 403, "AUTH_UNAUTHORIZED"),
    ] {
        let mut request = get(path);
        request.headers_mut().insert(header, value.parse().unwrap());
        let (answered, body) = edge.call(request).await;
        let said = body["error"]["code"].as_str().or(body["code"].as_str());
        assert_eq!((answered.as_u16(), said), (status, Some(code)), "{path} {header}");
    }
}
