//! The device that a scan comes from: what the client calls it, or a cookie that a browser gets with its first scan. Neither
//! proves anything; together with a class's rule they make it laborious to scan for somebody else.

use ::http::{HeaderMap, HeaderValue, header};
use cookie::{Cookie, SameSite, time::Duration};
use rollcall_schemas::id::DeviceId;
use rollcall_service::{clock::Entropy, http::Problem};

const COOKIE: &str = "__Secure-rollcall-scanner";
const PATH: &str = "/api/v1/attendance/mark";
const LIFETIME: Duration = Duration::days(365);
/// Most characters of what a client calls its device.
const MAX_NAME: usize = 128;

/// A device, and the cookie that it is to be known by next time, where it is new.
pub(super) struct Device {
    pub(super) id: DeviceId,
    pub(super) cookie: Option<HeaderValue>,
}

impl Device {
    /// The device that calls itself `name`, or that carries our cookie, or a new one.
    ///
    /// # Errors
    /// When the name is too long or empty.
    pub(super) fn of(name: Option<&str>, headers: &HeaderMap, entropy: &Entropy) -> Result<Self, Problem> {
        if let Some(name) = name {
            if !(1..=MAX_NAME).contains(&name.chars().count()) {
                return Err(Problem::validation([(
                    "deviceId",
                    format!("must be 1 to {MAX_NAME} characters"),
                )]));
            }
            return Ok(Self { id: DeviceId::of(name), cookie: None });
        }
        if let Some(name) = known(headers) {
            return Ok(Self { id: DeviceId::of(&name), cookie: None });
        }
        let name = entropy.uuid_v4().to_string();
        Ok(Self { id: DeviceId::of(&name), cookie: Some(cookie(&name)) })
    }
}

fn known(headers: &HeaderMap) -> Option<String> {
    let sent = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut cookies = sent.flat_map(Cookie::split_parse).flatten();
    cookies.find(|cookie| cookie.name() == COOKIE).map(|cookie| cookie.value().to_owned())
}

fn cookie(name: &str) -> HeaderValue {
    let cookie = Cookie::build((COOKIE, name))
        .path(PATH)
        .max_age(LIFETIME)
        .http_only(true)
        .secure(true)
        .same_site(SameSite::Lax)
        .build();
    HeaderValue::from_str(&cookie.to_string()).expect("a cookie that holds a UUID is ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_what_it_calls_itself_or_what_its_cookie_says() {
        let (entropy, none) = (Entropy::seeded(1), HeaderMap::new());
        let of = |name, headers: &HeaderMap| Device::of(name, headers, &entropy).ok();
        let new = of(None, &none).unwrap();
        let cookie = new.cookie.unwrap();
        let sent = cookie.to_str().unwrap().split(';').next().unwrap();
        let headers = HeaderMap::from_iter([(header::COOKIE, format!("a=b; {sent}; c=d").parse().unwrap())]);
        let known = of(None, &headers).unwrap();
        assert_eq!((known.id, known.cookie), (new.id, None));
        assert_ne!(of(None, &none).unwrap().id, new.id, "every browser is another one");
        let named = of(Some("phone"), &headers).unwrap();
        assert_eq!((named.id, named.cookie), (DeviceId::of("phone"), None));
        for name in ["", &"x".repeat(129)] {
            assert!(of(Some(name), &none).is_none(), "{name:?}");
        }
        for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/api/v1/attendance/mark"] {
            assert!(cookie.to_str().unwrap().contains(attribute), "{cookie:?}");
        }
    }
}
