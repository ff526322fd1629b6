//! The cookies of sign-in: set for the routes of sign-in only, out of reach for scripts, over TLS only.

use super::token::OpaqueToken;
use axum_extra::extract::CookieJar;
use cookie::{Cookie, CookieBuilder, SameSite, time::Duration};
use http::HeaderMap;
use rollcall_service::http::Problem;

/// The refresh token.
pub(crate) const REFRESH: &str = "__Secure-rollcall-refresh";
/// What names the device.
const DEVICE: &str = "__Secure-rollcall-device";
/// What ties a visit to an identity provider to the browser.
const VISIT: &str = "__Secure-rollcall-visit";
const PATH: &str = "/api/v1/auth";
/// Another site can make a browser send our cookies, but not this header: for that it would have to ask first (CORS).
const CSRF_HEADER: &str = "x-requested-with";

pub(super) fn with_refresh(jar: CookieJar, token: &OpaqueToken, lifetime_s: u32) -> CookieJar {
    jar.add(cookie(REFRESH, token, lifetime_s).same_site(SameSite::Strict))
}

pub(super) fn without_refresh(jar: CookieJar) -> CookieJar {
    jar.remove(attributes(Cookie::build(REFRESH)))
}

/// The refresh token of a browser. A call that carries one must be the browser's own doing.
///
/// # Errors
/// `403` when the call lacks the header that other sites cannot send.
pub(super) fn refresh(jar: &CookieJar, headers: &HeaderMap) -> Result<Option<OpaqueToken>, Problem> {
    let token = find(jar, REFRESH);
    if token.is_some() && !headers.contains_key(CSRF_HEADER) {
        return Err(Problem::forbidden(
            "a call with the cookie of sign-in needs the header X-Requested-With",
        ));
    }
    Ok(token)
}

pub(super) fn with_device(jar: CookieJar, token: &OpaqueToken, lifetime_s: u32) -> CookieJar {
    jar.add(cookie(DEVICE, token, lifetime_s).same_site(SameSite::Strict))
}

pub(super) fn device(jar: &CookieJar) -> Option<OpaqueToken> {
    find(jar, DEVICE)
}

/// The provider sends the browser back from its own site, so `Lax`: a link that is followed, and nothing else.
pub(super) fn with_visit(jar: CookieJar, token: &OpaqueToken, lifetime_s: u32) -> CookieJar {
    jar.add(cookie(VISIT, token, lifetime_s).same_site(SameSite::Lax))
}

pub(super) fn without_visit(jar: CookieJar) -> CookieJar {
    jar.remove(attributes(Cookie::build(VISIT)))
}

pub(super) fn visit(jar: &CookieJar) -> Option<OpaqueToken> {
    find(jar, VISIT)
}

fn find(jar: &CookieJar, name: &str) -> Option<OpaqueToken> {
    jar.get(name).map(|cookie| OpaqueToken::of(cookie.value()))
}

fn cookie(name: &'static str, token: &OpaqueToken, lifetime_s: u32) -> CookieBuilder<'static> {
    let cookie = Cookie::build((name, token.reveal().to_owned()));
    attributes(cookie).max_age(Duration::seconds(lifetime_s.into()))
}

/// Browsers take a cookie of such a name, and its removal, with these only.
fn attributes(cookie: CookieBuilder<'static>) -> CookieBuilder<'static> {
    cookie.path(PATH).http_only(true).secure(true)
}
