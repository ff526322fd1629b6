//! `POST /auth/login`.

use super::{
    begin::{RefreshIn, SignedIn, begin},
    lock::Counter,
};
use crate::{
    audit::{Act, Audit},
    error::ApiError,
    extract::Body,
    state::Api,
};
use axum::extract::State;
use axum_extra::extract::CookieJar;
use garde::Validate;
use rollcall_schemas::{code::Code, id::UserId};
use rollcall_service::http::{ErrorEnvelope, Problem, Success, SuccessEnvelope};
use rollcall_store::{
    PgConnection,
    users::{self, User},
};
use serde::Deserialize;
use utoipa::ToSchema;

/// Who wants to sign in, and how they prove it.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "email": "tom@school.example", "password": "Correct-horse-1" }))]
pub(crate) struct Credentials {
    /// The e-mail address, in any case.
    #[garde(length(min = 1, max = 254))]
    email: String,
    /// The password. bcrypt reads 72 bytes; a longer one is refused rather than cut.
    #[garde(length(bytes, min = 1, max = 72))]
    password: String,
    /// Where the refresh token goes: `cookie` unless said otherwise.
    #[garde(skip)]
    #[serde(default)]
    refresh_in: RefreshIn,
}

/// Sign in.
///
/// Several failures in a row lock the account for a while (`AUTH_ACCOUNT_LOCKED`, with the time in the details), but not
/// for devices that its owner has signed in from. An unknown address takes as long and is answered like a wrong
/// password. Where calls come from is limited too (`RATE_LIMITED`).
#[utoipa::path(
    post,
    path = "/api/v1/auth/login",
    tag = "auth",
    request_body = Credentials,
    responses(
        (status = 200, description = "Signed in", body = SuccessEnvelope<SignedIn>),
        (status = 401, description = "`AUTH_INVALID_CREDENTIALS`: the address or the password is wrong", body = ErrorEnvelope),
        (status = 423, description = "`AUTH_ACCOUNT_LOCKED`: too many failures", body = ErrorEnvelope),
    )
)]
pub(crate) async fn login(
    State(api): State<Api>,
    jar: CookieJar,
    audit: Audit,
    Body(credentials): Body<Credentials>,
) -> Result<(CookieJar, Success<SignedIn>), ApiError> {
    let refresh_in = credentials.refresh_in;
    let proven = prove(&api, credentials, &jar).await?;
    let mut tx = api.begin().await?;
    let user = hold(&mut tx, proven).await?;
    audit.by(user.id).record(&mut tx, Act::of("user.signed_in", user.id)).await?;
    let (jar, signed_in) = begin(&api, &mut tx, user, refresh_in, jar).await?;
    api.commit(tx, vec![]).await?;
    count("signed_in");
    Ok((jar, Success::ok(signed_in)))
}

/// Somebody whose password was right, with the hash that it was right for.
struct Proven {
    user: UserId,
    password_hash: String,
}

/// The user as they are now, and stay while the sign-in begins: hashing takes long enough for the password to be changed
/// meanwhile, or for the user to be deleted, and who did that ended the sign-ins that they found.
async fn hold(tx: &mut PgConnection, proven: Proven) -> Result<User, ApiError> {
    if users::hold_password_hash(tx, proven.user).await? != Some(proven.password_hash) {
        count("refused");
        return Err(wrong());
    }
    users::find(tx, proven.user).await?.ok_or_else(wrong)
}

/// Who has this address and this password. No connection is held while the password is hashed.
async fn prove(api: &Api, credentials: Credentials, jar: &CookieJar) -> Result<Proven, ApiError> {
    let Credentials { email, password, .. } = credentials;
    let place = api.passwords().place()?;
    let (account, counter) = {
        let mut db = api.connection().await?;
        let account = users::credentials(&mut db, &email).await?;
        let counter = Counter::of(&mut db, &email, account.as_ref(), jar).await?;
        (account, counter)
    };
    let _turn = counter.turn(api.turns()).await;
    let counted = counter.count(api, &mut *api.connection().await?).await;
    counted.inspect_err(|_| count("locked"))?;
    let known = account.and_then(|account| Some((account.user.id, account.password_hash?)));
    let hash = known.as_ref().map(|(_, hash)| hash.clone());
    let matches = api.passwords().verify(place, password, hash).await?;
    let Some((user, password_hash)) = known.filter(|_| matches) else {
        count("refused");
        return Err(wrong());
    };
    counter.clear(&mut *api.connection().await?).await?;
    Ok(Proven { user, password_hash })
}

fn wrong() -> ApiError {
    Problem::new(Code::AuthInvalidCredentials, "the e-mail address or the password is wrong").into()
}

fn count(result: &'static str) {
    metrics::counter!("rollcall_api_sign_ins_total", "result" => result).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PASSWORD, TestApi};
    use futures::StreamExt;
    use rollcall_service::limits::LimitsConfig;
    use rollcall_test_support::Answer;
    use serde_json::json;
    use std::collections::BTreeSet;

    async fn sign_in(test: &TestApi, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password });
        test.edge.client().post("/api/v1/auth/login", &body).await
    }

    #[tokio::test]
    async fn a_password_that_changes_while_it_is_checked_is_wrong() {
        let test = TestApi::start().await;
        let credentials = || Credentials {
            email: "admin@school.example".into(),
            password: PASSWORD.into(),
            refresh_in: RefreshIn::Body,
        };
        let jar = CookieJar::new();
        let (kept, late) = (
            prove(&test.api, credentials(), &jar).await.unwrap(),
            prove(&test.api, credentials(), &jar).await.unwrap(),
        );
        let mut tx = test.api.begin().await.unwrap();
        assert_eq!(hold(&mut tx, kept).await.unwrap().email, "admin@school.example");
        drop(tx);
        let change = json!({ "currentPassword": PASSWORD, "newPassword": "Another-horse-2" });
        test.admin().put("/api/v1/auth/password", &change).await.data();
        assert!(hold(&mut test.api.begin().await.unwrap(), late).await.is_err());
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
    async fn an_address_without_an_account_locks_like_one_with() {
        let test = TestApi::start().await;
        for _ in 0..5 {
            sign_in(&test, "Nobody@school.example", "Wrong-horse-1")
                .await
                .refused(401, "AUTH_INVALID_CREDENTIALS");
        }
        sign_in(&test, "nobody@school.example", PASSWORD).await.refused(423, "AUTH_ACCOUNT_LOCKED");
    }

    #[tokio::test]
    async fn nobody_is_locked_out_of_a_device_of_theirs_by_others() {
        let test = TestApi::start().await;
        let at_home =
            test.edge.client().with_cookies(&sign_in(&test, "admin@school.example", PASSWORD).await);
        let from_home = async |password: &str| {
            let body = json!({ "email": "admin@school.example", "password": password });
            at_home.post("/api/v1/auth/login", &body).await
        };
        for _ in 0..5 {
            sign_in(&test, "admin@school.example", "Wrong-horse-1")
                .await
                .refused(401, "AUTH_INVALID_CREDENTIALS");
        }
        sign_in(&test, "admin@school.example", PASSWORD).await.refused(423, "AUTH_ACCOUNT_LOCKED");
        from_home(PASSWORD).await.data();
        // The device is no way around the lock: it has one of its own.
        for _ in 0..5 {
            from_home("Wrong-horse-1").await.refused(401, "AUTH_INVALID_CREDENTIALS");
        }
        from_home(PASSWORD).await.refused(423, "AUTH_ACCOUNT_LOCKED");
        // Nor is it one for another account.
        let body = json!({ "email": "nobody@school.example", "password": PASSWORD });
        at_home.post("/api/v1/auth/login", &body).await.refused(401, "AUTH_INVALID_CREDENTIALS");
    }

    #[tokio::test]
    async fn tries_while_a_lock_holds_do_not_prolong_it() {
        let test = TestApi::start().await;
        for _ in 0..5 {
            sign_in(&test, "admin@school.example", "Wrong-horse-1")
                .await
                .refused(401, "AUTH_INVALID_CREDENTIALS");
        }
        test.clock.advance(chrono::TimeDelta::minutes(14));
        let locked = sign_in(&test, "admin@school.example", "Wrong-horse-1").await;
        assert_eq!(locked.refused(423, "AUTH_ACCOUNT_LOCKED")["until"], "2026-03-02T09:15:00Z");
        test.clock.advance(chrono::TimeDelta::minutes(1));
        sign_in(&test, "admin@school.example", PASSWORD).await.data();
    }

    #[tokio::test]
    async fn failures_long_ago_are_forgotten() {
        let test = TestApi::start().await;
        for _ in 0..10 {
            sign_in(&test, "admin@school.example", "Wrong-horse-1")
                .await
                .refused(401, "AUTH_INVALID_CREDENTIALS");
            test.clock.advance(chrono::TimeDelta::minutes(16));
        }
    }

    #[tokio::test]
    async fn a_hundred_together_are_each_signed_in_on_their_own() {
        let test = TestApi::start().await;
        let answers: Vec<_> = futures::stream::iter(0..100)
            .map(|_| sign_in(&test, "admin@school.example", PASSWORD))
            .buffer_unordered(16)
            .collect()
            .await;
        let tokens: BTreeSet<_> =
            answers.iter().map(|answer| answer.data()["token"].as_str().unwrap()).collect();
        assert_eq!(tokens.len(), 100);
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
        let three = "3/min burst 3".parse().unwrap();
        let limits = LimitsConfig { sign_in_address: three, ..LimitsConfig::default() };
        let test = TestApi::start_limited(limits).await;
        for name in ["olga", "tom", "tina"] {
            let email = format!("{name}@school.example");
            sign_in(&test, &email, "Wrong-horse-1").await.refused(401, "AUTH_INVALID_CREDENTIALS");
        }
        let limited = sign_in(&test, "admin@school.example", PASSWORD).await;
        limited.refused(429, "RATE_LIMITED");
        assert!(limited.headers.contains_key("retry-after"));
        // Whoever is signed in already is not kept waiting by it.
        test.admin().get("/api/v1/auth/me").await.data();
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
