//! Signing in with a real provider, which runs beside the test, and what attackers try on the way.

use super::{CreateAccounts, OidcConfig, OidcProvider};
use crate::{
    ApiConfig,
    config::Registration,
    testing::{PASSWORD, TestApi},
};
use http::{
    Method,
    header::{COOKIE, LOCATION, SET_COOKIE},
};
use reqwest::{Client, Url, redirect::Policy};
use rollcall_service::config::Secret;
use rollcall_test_support::Answer;
use serde_json::json;
use std::{collections::BTreeMap, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

const PUBLIC_URL: &str = "https://rollcall.school.example";
const START: &str = "/api/v1/auth/oidc/school/start";

/// The provider's process, which ends with the test.
struct Provider {
    issuer: String,
    process: Child,
    /// A process whose output nobody reads any more is ended by its next line.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Provider {
    async fn start() -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oidc-provider");
        let mut process = Command::new("node")
            .args(["provider.mjs", &format!("{PUBLIC_URL}/api/v1/auth/oidc/school/callback")])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("node is installed by scripts/setup test");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let issuer = lines.next_line().await.unwrap();
        let issuer = issuer.expect("the provider starts; scripts/setup test installs what it needs");
        Self { issuer, process, _output: lines }
    }

    fn config(&self) -> OidcProvider {
        OidcProvider {
            name: "school".into(),
            display_name: "The school".into(),
            issuer: self.issuer.clone(),
            client_id: "rollcall".into(),
            client_secret: Some(Secret::new("a-secret-of-the-test")),
            client_secret_file: None,
            scopes: vec!["email".into(), "profile".into()],
            create: CreateAccounts::Never,
            allowed_domains: vec![],
        }
    }
}

/// A provider, and an api that knows it.
struct Site {
    provider: Provider,
    test: TestApi,
}

impl Site {
    async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    async fn start_with(change: impl FnOnce(&mut ApiConfig)) -> Self {
        let provider = Provider::start().await;
        let oidc = OidcConfig {
            public_url: PUBLIC_URL.into(),
            after_sign_in: None,
            providers: vec![provider.config()],
        };
        let mut config = ApiConfig { oidc, ..ApiConfig::default() };
        change(&mut config);
        Self { provider, test: TestApi::start_with(config).await }
    }

    fn browser(&self) -> Browser {
        let http = Client::builder().redirect(Policy::none()).build().unwrap();
        Browser { http, base: self.test.edge.base().to_owned(), ours: String::new(), theirs: BTreeMap::new() }
    }

    /// Signs in at the provider as `name` and comes back.
    async fn sign_in(&self, name: &str) -> Answer {
        let mut browser = self.browser();
        let there = browser.go().await;
        let back = browser.sign_in_at(there, name).await;
        browser.come_back(&back).await
    }
}

/// Somebody's browser, with cookies of ours and of the provider's.
struct Browser {
    http: Client,
    base: String,
    ours: String,
    theirs: BTreeMap<String, String>,
}

impl Browser {
    /// Begins, and gives where the provider is.
    async fn go(&mut self) -> Url {
        let answer = self.http.get(format!("{}{START}", self.base)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 303);
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap();
        for attribute in ["HttpOnly", "Secure", "SameSite=Lax", "Max-Age=600"] {
            assert!(cookie.split("; ").any(|part| part == attribute), "{attribute} is missing in {cookie}");
        }
        self.ours = cookie.split(';').next().unwrap().to_owned();
        Url::parse(answer.headers()[LOCATION].to_str().unwrap()).unwrap()
    }

    /// Follows the provider until it sends the browser back, and gives where to.
    async fn sign_in_at(&mut self, mut url: Url, name: &str) -> String {
        loop {
            if url.path().starts_with("/interaction/") {
                url.query_pairs_mut().append_pair("as", name);
            }
            let cookies: Vec<_> = self.theirs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let answer = self.http.get(url.clone()).header(COOKIE, cookies.join("; ")).send().await.unwrap();
            for cookie in answer.headers().get_all(SET_COOKIE) {
                let (name, value) =
                    cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
                self.theirs.insert(name.into(), value.into());
            }
            assert!(answer.status().is_redirection(), "{url}: {}", answer.status());
            url = url.join(answer.headers()[LOCATION].to_str().unwrap()).unwrap();
            if url.as_str().starts_with(PUBLIC_URL) {
                return format!("{}?{}", url.path(), url.query().unwrap());
            }
        }
    }

    async fn come_back(&self, back: &str) -> Answer {
        rollcall_test_support::Client::new(&self.base).with_header(COOKIE, &self.ours).get(back).await
    }
}

/// The same address with another value of one parameter.
fn with_parameter(url: &Url, name: &str, value: &str) -> Url {
    let pairs: Vec<(String, String)> = url
        .query_pairs()
        .map(|(key, old)| (key.to_string(), if key == name { value.to_owned() } else { old.to_string() }))
        .collect();
    let mut url = url.clone();
    url.query_pairs_mut().clear().extend_pairs(pairs);
    url
}

fn parameter(address: &str, name: &str) -> String {
    let url = Url::parse(PUBLIC_URL).unwrap().join(address).unwrap();
    url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned()
}

#[tokio::test]
async fn an_account_is_linked_by_its_verified_address_and_stays_linked() {
    let site = Site::start().await;
    let answer = site.sign_in("admin").await;
    assert_eq!(answer.data()["user"]["role"], "admin");
    let token = answer.data()["token"].as_str().unwrap();
    let admin = site.test.edge.client().with_token(token);
    // The same cookies as after a sign-in with a password.
    let browser = site.test.edge.client().with_cookies(&answer);
    browser.send(Method::POST, "/api/v1/auth/refresh", None).await.data();
    admin.put("/api/v1/users/profile", &json!({ "email": "other@school.example" })).await.data();
    assert_eq!(site.sign_in("admin").await.data()["user"]["email"], "other@school.example");
    let listed = site.test.edge.client().get("/api/v1/auth/oidc").await;
    let provider = json!({ "name": "school", "displayName": "The school", "start": START });
    assert_eq!(listed.data()["providers"], json!([provider]));
}

#[tokio::test]
async fn people_without_an_account_get_one_only_where_the_policy_says_so() {
    let site = Site::start().await;
    site.sign_in("nora").await.refused(403, "AUTH_UNAUTHORIZED");
    let site = Site::start_with(|config| config.oidc.providers[0].create = CreateAccounts::Student).await;
    let nora = site.sign_in("nora").await;
    assert_eq!(nora.data()["user"]["role"], "student");
    assert_eq!(nora.data()["user"]["fullName"], "nora of the provider");
    assert_eq!(site.sign_in("nora").await.data()["user"]["id"], nora.data()["user"]["id"]);
    // Whoever is deleted is gone, and the provider's word brings nobody else back.
    let path = format!("/api/v1/users/{}", nora.data()["user"]["id"].as_str().unwrap());
    site.test.admin().delete(&path).await.data();
    assert_ne!(site.sign_in("nora").await.data()["user"]["id"], nora.data()["user"]["id"]);
}

#[tokio::test]
async fn only_verified_addresses_of_allowed_domains_count() {
    let site = Site::start().await;
    site.sign_in("unverified-admin").await.refused(403, "AUTH_UNAUTHORIZED");
    let elsewhere = |config: &mut ApiConfig| {
        config.oidc.providers[0].create = CreateAccounts::Student;
        config.oidc.providers[0].allowed_domains = vec!["other.example".into()];
    };
    let site = Site::start_with(elsewhere).await;
    site.sign_in("admin").await.refused(403, "AUTH_UNAUTHORIZED");
}

/// Whoever registers with somebody else's address does not share an account with them later.
#[tokio::test]
async fn an_address_that_nobody_confirmed_is_not_linked() {
    let site = Site::start_with(|config| config.registration = Registration::Open).await;
    let body = json!({ "email": "victim@school.example", "fullName": "Mallory", "password": PASSWORD });
    site.test.edge.client().post("/api/v1/auth/register", &body).await.data();
    site.sign_in("victim").await.refused(409, "CONFLICT");
    site.test
        .student()
        .put("/api/v1/users/profile", &json!({ "email": "tina2@school.example" }))
        .await
        .data();
    site.sign_in("tina2").await.refused(409, "CONFLICT");
}

#[tokio::test]
async fn only_the_browser_that_began_comes_back_and_only_once() {
    let site = Site::start().await;
    let mut browser = site.browser();
    let there = browser.go().await;
    assert_eq!(parameter(there.as_str(), "code_challenge_method"), "S256");
    let back = browser.sign_in_at(there, "admin").await;
    let stray = |answer: Answer| drop(answer.refused(401, "AUTH_TOKEN_INVALID").clone());
    // Another state, another browser, none at all.
    let state = parameter(&back, "state");
    stray(browser.come_back(&back.replace(&state, "another")).await);
    stray(site.browser().come_back(&back).await);
    let mut other = site.browser();
    other.go().await;
    stray(other.come_back(&back).await);
    browser.come_back(&back).await.data();
    stray(browser.come_back(&back).await);
}

#[tokio::test]
async fn a_code_of_another_sign_in_is_refused() {
    let site = Site::start().await;
    let mut victim = site.browser();
    let there = victim.go().await;
    let stolen = parameter(&victim.sign_in_at(there, "admin").await, "code");
    let mut thief = site.browser();
    let there = thief.go().await;
    let back = thief.sign_in_at(there, "nora").await;
    // PKCE: the code is good at the provider, and not for this visit.
    let injected = back.replace(&parameter(&back, "code"), &stolen);
    thief.come_back(&injected).await.refused(401, "AUTH_TOKEN_INVALID");
}

#[tokio::test]
async fn an_identity_token_for_another_nonce_is_refused() {
    let site = Site::start().await;
    let mut browser = site.browser();
    let there = browser.go().await;
    let back = browser.sign_in_at(with_parameter(&there, "nonce", "another"), "admin").await;
    browser.come_back(&back).await.refused(401, "AUTH_TOKEN_INVALID");
}

#[tokio::test]
async fn a_visit_takes_ten_minutes_at_most() {
    let site = Site::start().await;
    let mut browser = site.browser();
    let there = browser.go().await;
    let back = browser.sign_in_at(there, "admin").await;
    site.test.clock.advance(chrono::TimeDelta::minutes(10));
    browser.come_back(&back).await.refused(401, "AUTH_TOKEN_INVALID");
}

#[tokio::test]
async fn the_browser_goes_on_to_the_configured_page() {
    let site = Site::start_with(|config| config.oidc.after_sign_in = Some("/app".into())).await;
    let mut browser = site.browser();
    let there = browser.go().await;
    let back = browser.sign_in_at(there, "admin").await;
    let url = format!("{}{back}", site.test.edge.base());
    let answer = browser.http.get(url).header(COOKIE, &browser.ours).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()[LOCATION].to_str().unwrap()), (303, "/app"));
    let set: Vec<_> = answer.headers().get_all(SET_COOKIE).iter().map(|c| c.to_str().unwrap()).collect();
    assert!(set.iter().any(|cookie| cookie.starts_with("__Secure-rollcall-refresh=")), "{set:?}");
}

#[tokio::test]
async fn a_provider_that_is_away_or_unknown_is_told_apart() {
    let mut site = Site::start().await;
    let client = site.test.edge.client();
    client.get("/api/v1/auth/oidc/nobody/start").await.refused(404, "NOT_FOUND");
    client.get("/api/v1/auth/oidc/nobody/callback?state=x&code=y").await.refused(404, "NOT_FOUND");
    site.provider.process.kill().await.unwrap();
    client.get(START).await.refused(503, "SERVICE_UNAVAILABLE");
}
