//! `POST /auth/login`.

use crate::{error::ApiError, extract::Body, reply::Reply, state::Api, users::UserBody};
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use garde::Validate;
use rollcall_schemas::code::Code;
use rollcall_service::http::{ClientIp, Problem, Success, SuccessEnvelope};
use rollcall_store::users::{self, LockRule};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

/// Who wants to sign in, and how they prove it.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// The e-mail address, in any case.
    #[garde(length(min = 1, max = 254))]
    email: String,
    /// The password. bcrypt reads 72 bytes; a longer one is refused rather than cut.
    #[garde(length(bytes, min = 1, max = 72))]
    password: String,
}

/// A token and whose it is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignedIn {
    /// The access token: a JWT signed with Ed25519, sent as `Authorization: Bearer`.
    token: String,
    /// The user.
    user: UserBody,
    /// Seconds until the token ends.
    expires_in: u32,
}

/// Sign in.
///
/// Several failures in a row lock the account for a while (`AUTH_ACCOUNT_LOCKED`, with the time in the details). An
/// unknown address takes as long and is answered like a wrong password. Where calls come from is limited too
/// (`RATE_LIMITED`).
#[utoipa::path(
    post,
    path = "/api/v1/auth/login",
    tag = "auth",
    request_body = Credentials,
    responses((status = 200, description = "Signed in", body = SuccessEnvelope<SignedIn>))
)]
pub(crate) async fn login(
    State(api): State<Api>,
    ClientIp(address): ClientIp,
    Body(Credentials { email, password }): Body<Credentials>,
) -> Reply<SignedIn> {
    api.sign_in_rates().take(address)?;
    let place = api.passwords().place()?;
    let now = api.clock().now();
    // No connection is held while the password is hashed.
    let attempt =
        users::begin_sign_in(&mut *api.connection().await?, &email, now, lock_rule(&api, now)).await?;
    let hash = attempt.as_ref().and_then(|attempt| attempt.password_hash.clone());
    let matches = api.passwords().verify(place, password, hash).await?;
    let mut db = api.connection().await?;
    let Some(attempt) = attempt else {
        return Err(match users::locked_until(&mut db, &email, now).await? {
            Some(until) => locked(until),
            None => wrong(),
        });
    };
    if !matches {
        return Err(wrong());
    }
    users::sign_in_succeeded(&mut db, attempt.user.id).await?;
    let user = attempt.user;
    count("signed_in");
    tracing::info!(user_id = %user.id, "signed in");
    let (token, _) = api.signer().issue(user.id, &user.email, user.role);
    Ok(Success::ok(SignedIn { token, user: user.into(), expires_in: api.token_lifetime_s() }))
}

fn lock_rule(api: &Api, now: DateTime<Utc>) -> LockRule {
    LockRule {
        failures: api.config().lock_after_failures.into(),
        locked_until: now + TimeDelta::seconds(api.config().lock_s.into()),
    }
}

fn wrong() -> ApiError {
    count("refused");
    Problem::new(Code::AuthInvalidCredentials, "the e-mail address or the password is wrong").into()
}

fn locked(until: DateTime<Utc>) -> ApiError {
    count("locked");
    Problem::new(Code::AuthAccountLocked, "too many failed sign-ins; the account is locked for a while")
        .with_details(json!({ "until": until }))
        .into()
}

fn count(result: &'static str) {
    metrics::counter!("rollcall_api_sign_ins_total", "result" => result).increment(1);
}

#[cfg(test)]
mod tests {
    use crate::{
        ApiConfig,
        testing::{PASSWORD, TestApi},
    };
    use rollcall_test_support::Answer;
    use serde_json::json;
    use std::num::NonZeroU32;

    async fn sign_in(test: &TestApi, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password });
        test.edge.client().post("/api/v1/auth/login", &body).await
    }

    #[tokio::test]
    async fn a_token_says_who_signed_in_and_the_key_set_verifies_it() {
        let test = TestApi::start().await;
        let answer = sign_in(&test, "ADMIN@school.example", PASSWORD).await;
        let data = answer.data();
        assert_eq!((answer.code(), &data["expiresIn"]), ("OK", &json!(86_400)));
        assert_eq!(data["user"]["email"], "admin@school.example");
        let client = test.edge.client().with_token(data["token"].as_str().unwrap());
        assert_eq!(client.get("/api/v1/auth/me").await.data()["user"]["role"], "admin");
        assert_eq!(client.get("/api/v1/auth/verify").await.data()["valid"], true);

        let keys = client.request(http::Method::GET, "/.well-known/jwks.json").send().await.unwrap();
        let keys: serde_json::Value = serde_json::from_str(&keys.text().await.unwrap()).unwrap();
        assert_eq!(keys["keys"][0]["kid"], test.api.signer().kid());
    }

    #[tokio::test]
    async fn a_wrong_password_and_an_unknown_address_are_told_alike() {
        let test = TestApi::start().await;
        let wrong = sign_in(&test, "admin@school.example", "Wrong-horse-1").await;
        let unknown = sign_in(&test, "nobody@school.example", "Wrong-horse-1").await;
        let without_password = sign_in(&test, "tom@school.example", "Wrong-horse-1").await;
        for answer in [&wrong, &unknown, &without_password] {
            answer.refused(401, "AUTH_INVALID_CREDENTIALS");
            assert_eq!(answer.body["error"], wrong.body["error"]);
        }
    }

    #[tokio::test]
    async fn five_failures_lock_the_account_for_a_while() {
        let test = TestApi::start().await;
        // At the same time, so that none of them is counted twice or not at all.
        let failures = (0..5).map(|_| sign_in(&test, "admin@school.example", "Wrong-horse-1"));
        for answer in futures::future::join_all(failures).await {
            answer.refused(401, "AUTH_INVALID_CREDENTIALS");
        }
        let locked = sign_in(&test, "admin@school.example", PASSWORD).await;
        assert_eq!(locked.refused(423, "AUTH_ACCOUNT_LOCKED")["until"], "2026-03-02T09:15:00Z");
        test.clock.advance(chrono::TimeDelta::minutes(15));
        sign_in(&test, "admin@school.example", PASSWORD).await.data();
    }

    #[tokio::test]
    async fn a_success_forgets_the_failures_before_it() {
        let test = TestApi::start().await;
        for _ in 0..2 {
            for _ in 0..4 {
                sign_in(&test, "admin@school.example", "Wrong-horse-1")
                    .await
                    .refused(401, "AUTH_INVALID_CREDENTIALS");
            }
            sign_in(&test, "admin@school.example", PASSWORD).await.data();
        }
    }

    #[tokio::test]
    async fn an_address_that_tries_too_often_waits_and_no_account_is_counted() {
        let config = ApiConfig { login_per_minute: NonZeroU32::new(3).unwrap(), ..ApiConfig::default() };
        let test = TestApi::start_with(config).await;
        for name in ["olga", "tom", "tina"] {
            let email = format!("{name}@school.example");
            sign_in(&test, &email, "Wrong-horse-1").await.refused(401, "AUTH_INVALID_CREDENTIALS");
        }
        let limited = sign_in(&test, "admin@school.example", PASSWORD).await;
        limited.refused(429, "RATE_LIMITED");
        assert!(limited.headers.contains_key("retry-after"));
    }

    #[tokio::test]
    async fn a_null_character_is_the_callers_mistake() {
        let test = TestApi::start().await;
        sign_in(&test, "admin\0@school.example", PASSWORD).await.refused(400, "INVALID_INPUT");
    }

    #[tokio::test]
    async fn what_bcrypt_would_cut_is_refused() {
        let test = TestApi::start().await;
        let answer = sign_in(&test, "admin@school.example", &"x".repeat(73)).await;
        assert_eq!(answer.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], "password");
    }
}
