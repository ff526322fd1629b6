//! Talking to identity providers: discovery, the address to send browsers to, and who came back (OpenID Connect Core,
//! authorization code flow, with PKCE).

use super::config::{OidcConfig, OidcProvider};
use chrono::{DateTime, TimeDelta, Utc};
use openidconnect::{
    AccessToken, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, SubjectIdentifier, TokenResponse,
    core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata, CoreUserInfoClaims},
};
use parking_lot::Mutex;
use rollcall_schemas::code::Code;
use rollcall_service::{
    clock::Clock,
    config::Secret,
    http::{Problem, use_ring},
};
use rollcall_store::identities::Identity;
use std::time::Duration;

/// How long what a provider says of itself is believed.
const DISCOVERED_FOR: TimeDelta = TimeDelta::minutes(10);
/// How long a provider may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// When to come back while a provider is away.
const AWAY: Duration = Duration::from_secs(10);
/// Far more than keys and tokens need.
const MAX_ANSWER_BYTES: usize = 1 << 20;

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The configured providers.
pub(crate) struct Providers {
    list: Vec<Provider>,
    /// Where browsers go on to.
    pub(super) after_sign_in: Option<String>,
}

/// One provider.
pub(super) struct Provider {
    pub(super) config: OidcProvider,
    secret: Secret,
    issuer: IssuerUrl,
    redirect: RedirectUrl,
    http: reqwest::Client,
    clock: Clock,
    discovered: Mutex<Option<(DateTime<Utc>, CoreProviderMetadata)>>,
}

/// What a browser takes along, and what is kept until it comes back.
pub(super) struct Secrets<'a> {
    pub(super) state: &'a str,
    pub(super) nonce: &'a str,
    pub(super) pkce_verifier: &'a str,
}

/// Who came back.
#[derive(Debug)]
pub(super) struct Identified {
    pub(super) identity: Identity,
    /// The address, if the provider says that it is the person's.
    pub(super) verified_email: Option<String>,
    pub(super) name: Option<String>,
}

impl Providers {
    /// # Errors
    /// The mistake in the settings.
    pub(crate) fn new(config: &OidcConfig, clock: &Clock) -> Result<Self, String> {
        if let Some(mistake) = config.mistake() {
            return Err(mistake);
        }
        use_ring();
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            // A provider that redirects could send us anywhere.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| error.to_string())?;
        let base = config.public_url.trim_end_matches('/');
        let provider = |provider: &OidcProvider| {
            let redirect = format!("{base}/api/v1/auth/oidc/{}/callback", provider.name);
            Ok(Provider {
                issuer: IssuerUrl::new(provider.issuer.clone()).map_err(|error| error.to_string())?,
                redirect: RedirectUrl::new(redirect).map_err(|error| error.to_string())?,
                config: provider.clone(),
                secret: provider.secret()?,
                http: http.clone(),
                clock: clock.clone(),
                discovered: Mutex::default(),
            })
        };
        let list = config.providers.iter().map(provider).collect::<Result<_, String>>()?;
        Ok(Self { list, after_sign_in: config.after_sign_in.clone() })
    }

    pub(super) fn all(&self) -> &[Provider] {
        &self.list
    }

    pub(super) fn find(&self, name: &str) -> Result<&Provider, Problem> {
        let found = self.list.iter().find(|provider| provider.config.name == name);
        found.ok_or_else(|| Problem::not_found("identity provider"))
    }
}

impl Provider {
    /// Where to send a browser.
    pub(super) async fn address(&self, secrets: &Secrets<'_>) -> Result<String, Problem> {
        let verifier = PkceCodeVerifier::new(secrets.pkce_verifier.to_owned());
        let (state, nonce) = (secrets.state.to_owned(), secrets.nonce.to_owned());
        let client = self.client().await?;
        let request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                move || CsrfToken::new(state),
                move || Nonce::new(nonce),
            )
            .add_scopes(self.config.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        Ok(request.url().0.into())
    }

    /// Who came back with this code.
    pub(super) async fn identify(
        &self,
        code: String,
        nonce: String,
        pkce_verifier: String,
    ) -> Result<Identified, Problem> {
        let client = self.client().await?;
        let http = self.sender();
        let tokens = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(refused)?
            .set_pkce_verifier(PkceCodeVerifier::new(pkce_verifier))
            .request_async(&http)
            .await
            .map_err(|error| match error {
                RequestTokenError::Request(error) => away(error),
                error => refused(error),
            })?;
        let clock = self.clock.clone();
        let verifier = client.id_token_verifier().set_time_fn(move || clock.now());
        let token = tokens.id_token().ok_or_else(|| refused("no identity token"))?;
        let claims = token.claims(&verifier, &Nonce::new(nonce)).map_err(refused)?;
        let subject = claims.subject().clone();
        let mut who = Identified {
            identity: Identity { issuer: claims.issuer().to_string(), subject: subject.to_string() },
            verified_email: claims
                .email()
                .filter(|_| claims.email_verified() == Some(true))
                .map(|e| e.to_string()),
            name: claims.name().and_then(|name| name.get(None)).map(|name| name.to_string()),
        };
        if claims.email().is_none() {
            self.ask_more(&client, tokens.access_token().clone(), subject, &mut who).await?;
        }
        Ok(who)
    }

    /// Providers need not put more than the subject into the token itself (OpenID Connect Core, section 5.4).
    async fn ask_more(
        &self,
        client: &Client,
        token: AccessToken,
        subject: SubjectIdentifier,
        who: &mut Identified,
    ) -> Result<(), Problem> {
        let Ok(request) = client.user_info(token, Some(subject)) else { return Ok(()) };
        let claims: CoreUserInfoClaims = request.request_async(&self.sender()).await.map_err(refused)?;
        who.verified_email =
            claims.email().filter(|_| claims.email_verified() == Some(true)).map(|email| email.to_string());
        who.name = claims.name().and_then(|name| name.get(None)).map(|name| name.to_string());
        Ok(())
    }

    async fn client(&self) -> Result<Client, Problem> {
        let id = ClientId::new(self.config.client_id.clone());
        let secret = ClientSecret::new(self.secret.reveal().to_owned());
        let client = CoreClient::from_provider_metadata(self.metadata().await?, id, Some(secret));
        Ok(client.set_redirect_uri(self.redirect.clone()))
    }

    async fn metadata(&self) -> Result<CoreProviderMetadata, Problem> {
        let now = self.clock.now();
        let known = self.discovered.lock().clone();
        if let Some((_, metadata)) = known.filter(|(at, _)| now < *at + DISCOVERED_FOR) {
            return Ok(metadata);
        }
        let found = CoreProviderMetadata::discover_async(self.issuer.clone(), &self.sender()).await;
        let metadata = found.map_err(away)?;
        *self.discovered.lock() = Some((now, metadata.clone()));
        Ok(metadata)
    }

    fn sender(&self) -> impl Fn(HttpRequest) -> SendFuture {
        let http = self.http.clone();
        move |request| Box::pin(send(http.clone(), request))
    }
}

type SendFuture = std::pin::Pin<Box<dyn Future<Output = Result<HttpResponse, SendError>> + Send>>;

/// Why a provider did not answer.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error("the answer is too large")]
    TooLarge,
}

async fn send(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, SendError> {
    let mut response = http.execute(request.try_into()?).await?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER_BYTES {
            return Err(SendError::TooLarge);
        }
    }
    let mut answer = HttpResponse::new(body);
    *answer.status_mut() = response.status();
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    Ok(answer)
}

fn away(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Problem {
    Problem::unavailable("the identity provider does not answer", AWAY).caused_by(error)
}

fn refused(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Problem {
    Problem::new(Code::AuthTokenInvalid, "what the identity provider sent is not good; start again")
        .caused_by(error)
}
