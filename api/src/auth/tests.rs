//! Signing in, staying signed in and signing out, and what attackers try.

use crate::{
    ApiConfig,
    config::Registration,
    testing::{PASSWORD, SOON, TestApi},
};
use chrono::TimeDelta;
use http::header::SET_COOKIE;
use rollcall_schemas::{
    feed::AuthEntry,
    id::SignInId,
    subject::{self, Stream},
};
use rollcall_service::auth::{Authenticator, TokenConfig};
use rollcall_test_support::{Answer, Client, eventually};
use serde_json::{Value, json};

const REFRESH: &str = "/api/v1/auth/refresh";
const LOGOUT: &str = "/api/v1/auth/logout";
const ME: &str = "/api/v1/auth/me";

async fn sign_in(test: &TestApi, refresh_in: &str) -> Answer {
    let body = json!({ "email": "admin@school.example", "password": PASSWORD, "refreshIn": refresh_in });
    let answer = test.edge.client().post("/api/v1/auth/login", &body).await;
    answer.data();
    answer
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn with_token(test: &TestApi, answer: &Answer) -> Client {
    test.edge.client().with_token(text(&answer.data()["token"]))
}

/// A call without a body, as a browser makes it.
async fn call(client: &Client, path: &str) -> Answer {
    client.send(http::Method::POST, path, None).await
}

async fn refresh_with(test: &TestApi, token: &str) -> Answer {
    test.edge.client().post(REFRESH, &json!({ "refreshToken": token })).await
}

#[tokio::test]
async fn a_browser_gets_its_tokens_out_of_reach_of_scripts() {
    let test = TestApi::start().await;
    let answer = sign_in(&test, "cookie").await;
    assert!(answer.data()["refreshToken"].is_null());
    let cookies: Vec<_> =
        answer.headers.get_all(SET_COOKIE).iter().map(|cookie| cookie.to_str().unwrap()).collect();
    let refresh = cookies.iter().find(|cookie| cookie.starts_with("__Secure-rollcall-refresh=")).unwrap();
    for attribute in ["HttpOnly", "Secure", "SameSite=Strict", "Path=/api/v1/auth", "Max-Age=604800"] {
        assert!(refresh.split("; ").any(|part| part == attribute), "{attribute} is missing in {refresh}");
    }
    let refreshed = call(&test.edge.client().with_cookies(&answer), REFRESH).await;
    assert!(refreshed.data()["refreshToken"].is_null());
    with_token(&test, &refreshed).get(ME).await.data();
    let again = test.edge.client().with_cookies(&refreshed);
    call(&again, REFRESH).await.data();
}

#[tokio::test]
async fn a_client_without_cookies_gets_them_in_the_body() {
    let test = TestApi::start().await;
    let answer = sign_in(&test, "body").await;
    assert!(!answer.headers.contains_key(SET_COOKIE));
    let refreshed = refresh_with(&test, text(&answer.data()["refreshToken"])).await;
    assert!(!refreshed.headers.contains_key(SET_COOKIE));
    assert_eq!(refreshed.data()["expiresIn"], 86_400);
    with_token(&test, &refreshed).get(ME).await.data();
    refresh_with(&test, text(&refreshed.data()["refreshToken"])).await.data();
    refresh_with(&test, "nobody-ever-issued-this").await.refused(401, "AUTH_TOKEN_INVALID");
    call(&test.edge.client(), REFRESH).await.refused(401, "AUTH_UNAUTHORIZED");
}

#[tokio::test]
async fn another_site_cannot_use_the_cookie() {
    let test = TestApi::start().await;
    let browser = test.edge.client().with_cookies(&sign_in(&test, "cookie").await);
    let cookie = http::header::COOKIE;
    let value = browser.request(http::Method::GET, "/").build().unwrap().headers()[&cookie].clone();
    let other_site = test.edge.client().with_header(cookie, value.to_str().unwrap());
    for path in [REFRESH, LOGOUT] {
        call(&other_site, path).await.refused(403, "AUTH_UNAUTHORIZED");
    }
    call(&browser, REFRESH).await.data();
}

#[tokio::test]
async fn a_used_refresh_token_that_comes_back_ends_the_sign_in() {
    let test = TestApi::start().await;
    let answer = sign_in(&test, "body").await;
    let stolen = text(&answer.data()["refreshToken"]);
    let refreshed = refresh_with(&test, stolen).await;
    let next = text(&refreshed.data()["refreshToken"]);
    // Within seconds it is a race of the same client, which loses nothing but the race.
    refresh_with(&test, stolen).await.refused(409, "CONFLICT");
    let refreshed = refresh_with(&test, next).await;
    let last = text(&refreshed.data()["refreshToken"]);
    test.clock.advance(TimeDelta::seconds(11));
    refresh_with(&test, stolen).await.refused(401, "AUTH_TOKEN_EXPIRED");
    refresh_with(&test, last).await.refused(401, "AUTH_TOKEN_EXPIRED");
    refused_soon(&with_token(&test, &refreshed)).await;
}

async fn refused_soon(client: &Client) {
    eventually("the token is refused", SOON, || async {
        (client.get(ME).await.code() == "AUTH_TOKEN_EXPIRED").then_some(())
    })
    .await;
}

#[tokio::test]
async fn of_a_hundred_that_refresh_at_once_one_wins() {
    let test = TestApi::start().await;
    let answer = sign_in(&test, "body").await;
    let token = text(&answer.data()["refreshToken"]);
    let answers = futures::future::join_all((0..100).map(|_| refresh_with(&test, token))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status.is_success());
    assert_eq!(won.len(), 1);
    for answer in lost {
        answer.refused(409, "CONFLICT");
    }
    refresh_with(&test, text(&won[0].data()["refreshToken"])).await.data();
}

#[tokio::test]
async fn a_sign_in_lasts_as_long_as_it_is_used() {
    let test = TestApi::start().await;
    let mut answer = sign_in(&test, "body").await;
    for _ in 0..3 {
        test.clock.advance(TimeDelta::days(6));
        answer = refresh_with(&test, text(&answer.data()["refreshToken"])).await;
    }
    test.clock.advance(TimeDelta::days(7));
    refresh_with(&test, text(&answer.data()["refreshToken"])).await.refused(401, "AUTH_TOKEN_EXPIRED");
}

#[tokio::test]
async fn signing_out_ends_one_sign_in_at_once_and_everywhere() {
    let test = TestApi::start().await;
    let answer = sign_in(&test, "cookie").await;
    let other = sign_in(&test, "body").await;
    // What ingest knows: the same feed, read apart.
    let feed = test.bus.feed::<AuthEntry>(None, None, test.lifecycle.soft_stop());
    let known = feed.clone();
    let find = move |key: &str| known.get(key).map(|entry| entry.fact.clone());
    let elsewhere = Authenticator::new(find, TokenConfig::default(), test.clock.clone());
    let token = text(&answer.data()["token"]);
    eventually("the key is known", SOON, || async { elsewhere.verify_token(token).ok() }).await;

    let browser = test.edge.client().with_cookies(&answer).with_token(token);
    let out = call(&browser, LOGOUT).await;
    assert_eq!(out.data()["message"], "signed out");
    let removed = out.headers[SET_COOKIE].to_str().unwrap();
    assert!(removed.starts_with("__Secure-rollcall-refresh=;") && removed.contains("Max-Age=0"), "{removed}");
    with_token(&test, &answer).get(ME).await.refused(401, "AUTH_TOKEN_EXPIRED");
    call(&test.edge.client().with_cookies(&answer), REFRESH).await.refused(401, "AUTH_TOKEN_EXPIRED");
    eventually("ingest knows", SOON, || async { elsewhere.verify_token(token).err() }).await;
    with_token(&test, &other).get(ME).await.data();
}

#[tokio::test]
async fn each_credential_alone_signs_out() {
    let test = TestApi::start().await;
    let by_token = sign_in(&test, "body").await;
    call(&with_token(&test, &by_token), LOGOUT).await.data();
    let by_body = sign_in(&test, "body").await;
    let refresh = json!({ "refreshToken": by_body.data()["refreshToken"] });
    // The access token has ended; the sign-in has not.
    test.clock.advance(TimeDelta::hours(25));
    with_token(&test, &by_body).post(LOGOUT, &refresh).await.data();
    let by_cookie = sign_in(&test, "cookie").await;
    call(&test.edge.client().with_cookies(&by_cookie), LOGOUT).await.data();
    for answer in [&by_token, &by_body] {
        let token = text(&answer.data()["refreshToken"]);
        refresh_with(&test, token).await.refused(401, "AUTH_TOKEN_EXPIRED");
    }
    with_token(&test, &by_cookie).get(ME).await.refused(401, "AUTH_TOKEN_EXPIRED");
    call(&test.edge.client(), LOGOUT).await.refused(401, "AUTH_UNAUTHORIZED");
}

#[tokio::test]
async fn a_lost_role_or_account_ends_every_sign_in() {
    let test = TestApi::start().await;
    let new =
        json!({ "email": "new@school.example", "fullName": "N", "role": "teacher", "password": PASSWORD });
    let created = test.admin().post("/api/v1/users", &new).await;
    let path = format!("/api/v1/users/{}", text(&created.data()["user"]["id"]));
    let login = json!({ "email": "new@school.example", "password": PASSWORD, "refreshIn": "body" });
    let sign_in = async || test.edge.client().post("/api/v1/auth/login", &login).await;
    let teacher = sign_in().await;
    let sign_in_id =
        test.api.authenticator().verify_token(text(&teacher.data()["token"])).unwrap().sign_in_id;
    test.admin().put(&path, &json!({ "role": "student" })).await.data();
    refused_soon(&with_token(&test, &teacher)).await;
    // By name, too: a token that another process issues right now may be younger than the revocation.
    eventually("the end of the sign-in is told", SOON, || async {
        test.bus.last(Stream::Auth, &subject::ended_sign_in(sign_in_id)).await.unwrap()
    })
    .await;
    refresh_with(&test, text(&teacher.data()["refreshToken"])).await.refused(401, "AUTH_TOKEN_EXPIRED");
    test.clock.advance(TimeDelta::seconds(1));
    let student = sign_in().await;
    with_token(&test, &student).get(ME).await.data();
    test.admin().delete(&path).await.data();
    refused_soon(&with_token(&test, &student)).await;
    refresh_with(&test, text(&student.data()["refreshToken"])).await.refused(401, "AUTH_TOKEN_EXPIRED");
}

#[tokio::test]
async fn a_new_password_ends_the_other_sign_ins() {
    let test = TestApi::start().await;
    let (mine, other) = (sign_in(&test, "body").await, sign_in(&test, "body").await);
    let client = with_token(&test, &mine);
    let change = async |current: &str, new: &str| {
        client.put("/api/v1/auth/password", &json!({ "currentPassword": current, "newPassword": new })).await
    };
    change("Wrong-horse-1", "Better-horse-2").await.refused(401, "AUTH_INVALID_CREDENTIALS");
    let weak = change(PASSWORD, "horse").await;
    let message = &weak.refused(422, "VALIDATION_FAILED")["fields"][0];
    assert_eq!(message["field"], "newPassword");
    assert!(text(&message["message"]).ends_with("missing: 8 characters, a capital letter, a digit"));
    assert_eq!(change(PASSWORD, "Better-horse-2").await.data()["endedSignIns"], 1);
    client.get(ME).await.data();
    refresh_with(&test, text(&mine.data()["refreshToken"])).await.data();
    refresh_with(&test, text(&other.data()["refreshToken"])).await.refused(401, "AUTH_TOKEN_EXPIRED");
    refused_soon(&with_token(&test, &other)).await;
    let login = |password: &str| json!({ "email": "admin@school.example", "password": password });
    let client = test.edge.client();
    client.post("/api/v1/auth/login", &login(PASSWORD)).await.refused(401, "AUTH_INVALID_CREDENTIALS");
    client.post("/api/v1/auth/login", &login("Better-horse-2")).await.data();
}

#[tokio::test]
async fn a_stolen_access_token_is_no_way_to_guess_the_password() {
    let test = TestApi::start().await;
    let client = with_token(&test, &sign_in(&test, "body").await);
    let guess = json!({ "currentPassword": "Wrong-horse-1", "newPassword": "Better-horse-2" });
    for _ in 0..5 {
        client.put("/api/v1/auth/password", &guess).await.refused(401, "AUTH_INVALID_CREDENTIALS");
    }
    client.put("/api/v1/auth/password", &guess).await.refused(423, "AUTH_ACCOUNT_LOCKED");
    test.teacher().put("/api/v1/auth/password", &guess).await.refused(409, "CONFLICT");
}

#[tokio::test]
async fn what_has_ended_by_itself_is_forgotten() {
    let test = TestApi::start().await;
    let answer = sign_in(&test, "body").await;
    let client = with_token(&test, &answer);
    let id: SignInId =
        test.api.authenticator().verify_token(text(&answer.data()["token"])).unwrap().sign_in_id;
    call(&client, LOGOUT).await.data();
    let told = async || test.bus.last(Stream::Auth, &subject::ended_sign_in(id)).await.unwrap().is_some();
    test.clock.advance(TimeDelta::days(7) - TimeDelta::microseconds(1));
    super::sweep::sweep_once(&test.api).await.unwrap();
    assert!(told().await);
    test.clock.advance(TimeDelta::microseconds(1));
    super::sweep::sweep_once(&test.api).await.unwrap();
    assert!(!told().await);
    let token = text(&answer.data()["refreshToken"]);
    refresh_with(&test, token).await.refused(401, "AUTH_TOKEN_INVALID");
}

async fn with_registration(registration: Registration) -> TestApi {
    TestApi::start_with(ApiConfig { registration, ..ApiConfig::default() }).await
}

async fn register(test: &TestApi, email: &str, more: Value) -> Answer {
    let mut body = json!({ "email": email, "fullName": "Rita", "password": PASSWORD, "refreshIn": "body" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    test.edge.client().post("/api/v1/auth/register", &body).await
}

async fn invite(client: &Client, more: Value) -> Answer {
    client.post("/api/v1/auth/invitations", &more).await
}

#[tokio::test]
async fn nobody_registers_unless_it_is_allowed() {
    let test = TestApi::start().await;
    register(&test, "rita@school.example", json!({})).await.refused(403, "AUTH_UNAUTHORIZED");
    invite(&test.admin(), json!({ "role": "teacher" })).await.refused(409, "CONFLICT");
}

#[tokio::test]
async fn whoever_registers_is_a_student_whatever_they_say() {
    let test = with_registration(Registration::Open).await;
    for role in ["admin", "operator", "teacher"] {
        let refused = register(&test, "rita@school.example", json!({ "role": role })).await;
        refused.refused(403, "AUTH_UNAUTHORIZED");
    }
    register(&test, "rita@school.example", json!({ "isAdmin": true }))
        .await
        .refused(422, "VALIDATION_FAILED");
    let answer = register(&test, "rita@school.example", json!({ "role": "student" })).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (201, "USER_REGISTERED"));
    assert_eq!(answer.data()["user"]["role"], "student");
    assert_eq!(with_token(&test, &answer).get(ME).await.data()["user"]["email"], "rita@school.example");
    refresh_with(&test, text(&answer.data()["refreshToken"])).await.data();
    register(&test, "Rita@school.example", json!({})).await.refused(409, "CONFLICT");
}

#[tokio::test]
async fn an_invitation_says_the_role_and_is_good_once() {
    let test = with_registration(Registration::Invited).await;
    register(&test, "rita@school.example", json!({})).await.refused(403, "AUTH_UNAUTHORIZED");
    let answer = invite(&test.operator(), json!({ "role": "teacher" })).await;
    assert_eq!(answer.code(), "INVITATION_CREATED");
    let invitation = json!({ "invitation": answer.data()["invitation"] });
    // At the same time: one of them.
    let emails = ["rita@school.example", "rosa@school.example"];
    let both = emails.map(|email| register(&test, email, invitation.clone()));
    let both = futures::future::join_all(both).await;
    let (made, refused): (Vec<_>, Vec<_>) = both.iter().partition(|answer| answer.status.is_success());
    assert_eq!((made.len(), &made[0].data()["user"]["role"]), (1, &json!("teacher")));
    refused[0].refused(403, "AUTH_UNAUTHORIZED");

    for role in ["operator", "admin"] {
        invite(&test.operator(), json!({ "role": role })).await.refused(403, "AUTH_UNAUTHORIZED");
        invite(&test.admin(), json!({ "role": role })).await.data();
    }
    for client in [test.teacher(), test.student()] {
        invite(&client, json!({ "role": "student" })).await.refused(403, "AUTH_UNAUTHORIZED");
    }
}

#[tokio::test]
async fn an_invitation_ends_with_its_time_its_address_and_its_host() {
    let test = with_registration(Registration::Invited).await;
    let invited = async |client: &Client, more: Value| json!({ "invitation": invite(client, more).await.data()["invitation"] });
    let refused = async |email: &str, invitation: &Value| {
        register(&test, email, invitation.clone()).await.refused(403, "AUTH_UNAUTHORIZED");
    };
    let personal = invited(&test.admin(), json!({ "role": "student", "email": "Rita@school.example" })).await;
    refused("rosa@school.example", &personal).await;
    register(&test, "rita@school.example", personal).await.data();
    let short = invited(&test.admin(), json!({ "role": "student", "expiresInHours": 1 })).await;
    let orphan = invited(&test.operator(), json!({ "role": "student" })).await;
    test.admin().delete(&format!("/api/v1/users/{}", test.school.operator)).await.data();
    refused("rosa@school.example", &orphan).await;
    test.clock.advance(TimeDelta::hours(1));
    refused("rosa@school.example", &short).await;
    let weak = register(&test, "rosa@school.example", json!({ "password": "weak" })).await;
    assert_eq!(weak.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], "password");
}
