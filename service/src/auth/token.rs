//! Access tokens: JWTs signed with Ed25519 (RFC 8037), and the JSON Web Key Set that publishes the keys.

use crate::{
    clock::{Clock, Entropy},
    config::Secret,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use ed25519_dalek::{
    SigningKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, spki::der::pem::LineEnding},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use rollcall_schemas::{
    id::{SignInId, UserId},
    role::Role,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What access tokens say of themselves. Whoever verifies must be told the same as whoever signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenConfig {
    /// Who issued it.
    pub issuer: String,
    /// Whom it is for.
    pub audience: String,
    /// Seconds that it is good for, at most: an administrator may shorten it at run time.
    pub lifetime_s: u32,
}

impl Default for TokenConfig {
    fn default() -> Self {
        Self { issuer: "rollcall".into(), audience: "rollcall".into(), lifetime_s: 24 * 60 * 60 }
    }
}

/// The claims of an access token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// The user it was issued to.
    pub user_id: UserId,
    /// Their e-mail address.
    pub email: String,
    /// Their role at the time.
    pub role: Role,
    /// The sign-in that it belongs to: it ends with it.
    pub sid: SignInId,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// Before this it is not good yet, in seconds since 1970. Ours are good from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// Who issued it.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
    /// Its own id.
    pub jti: Uuid,
}

/// Why a signing key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the signing key is not an Ed25519 private key in PKCS#8 PEM")]
pub struct SigningKeyError;

/// Draws a signing key, as PKCS#8 PEM.
pub fn generate_signing_key(entropy: &Entropy) -> Secret {
    let key = SigningKey::from_bytes(&entropy.bytes());
    let pem = key.to_pkcs8_pem(LineEnding::LF).expect("every 32 bytes are an Ed25519 key");
    Secret::new(pem.as_str())
}

/// Whom a token is issued to.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    /// The user.
    pub user_id: UserId,
    /// Their e-mail address.
    pub email: &'a str,
    /// Their role.
    pub role: Role,
    /// Seconds that the token is good for, never more than configured.
    pub lifetime_s: u32,
}

/// Issues access tokens.
pub struct TokenSigner {
    key: EncodingKey,
    kid: String,
    public_key: String,
    config: TokenConfig,
    clock: Clock,
    entropy: Entropy,
}

impl TokenSigner {
    /// Signs with the key in `pem`.
    ///
    /// # Errors
    /// When `pem` is no Ed25519 private key in PKCS#8.
    pub fn new(
        pem: &Secret,
        config: TokenConfig,
        clock: Clock,
        entropy: Entropy,
    ) -> Result<Self, SigningKeyError> {
        let key = SigningKey::from_pkcs8_pem(pem.reveal()).map_err(|_| SigningKeyError)?;
        let der = key.to_pkcs8_der().map_err(|_| SigningKeyError)?;
        let public_key = BASE64_URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
        let key = EncodingKey::from_ed_der(der.as_bytes());
        Ok(Self { key, kid: thumbprint(&public_key), public_key, config, clock, entropy })
    }

    /// The id of the key: its thumbprint (RFC 7638).
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public key, 32 bytes in base64url.
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// Issues a token of a new sign-in, which nobody can refresh.
    pub fn issue(&self, user_id: UserId, email: &str, role: Role) -> (String, Claims) {
        let sign_in_id = SignInId(self.entropy.uuid_v4());
        let lifetime_s = self.config.lifetime_s;
        self.issue_within(sign_in_id, Holder { user_id, email, role, lifetime_s })
    }

    /// Issues a token of a sign-in.
    pub fn issue_within(&self, sid: SignInId, holder: Holder<'_>) -> (String, Claims) {
        let now = self.clock.now();
        let Holder { user_id, email, role, lifetime_s } = holder;
        let lifetime_s = lifetime_s.min(self.config.lifetime_s);
        let claims = Claims {
            user_id,
            email: email.to_owned(),
            role,
            sid,
            iat: now.timestamp(),
            exp: (now + TimeDelta::seconds(lifetime_s.into())).timestamp(),
            nbf: None,
            iss: self.config.issuer.clone(),
            aud: self.config.audience.clone(),
            jti: self.entropy.uuid_v4(),
        };
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        let token =
            encode(&header, &claims, &self.key).expect("plain claims are signed by a key that was read");
        (token, claims)
    }
}

/// The keys as a JSON Web Key Set (RFC 7517), from pairs of key id and public key in base64url.
pub fn jwks<'a>(keys: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let key = |(kid, x)| json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": x });
    json!({ "keys": keys.into_iter().map(key).collect::<Vec<_>>() })
}

/// RFC 7638 over the members that RFC 8037 names for this kind of key, in their lexical order.
fn thumbprint(public_key: &str) -> String {
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{public_key}"}}"#);
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(members))
}

/// Reads the claims of a token that `public_key` signed. Times are the caller's to check, against its own clock.
pub(super) fn signed_claims(token: &str, public_key: &str, config: &TokenConfig) -> Option<Claims> {
    let key = BASE64_URL_SAFE_NO_PAD.decode(public_key).ok().filter(|key| key.len() == 32)?;
    // Exactly one algorithm: a token that names another, or none, is refused before its signature is looked at.
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[&config.issuer]);
    validation.set_audience(&[&config.audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation.validate_exp = false;
    decode(token, &DecodingKey::from_ed_der(&key), &validation).ok().map(|data| data.claims)
}
