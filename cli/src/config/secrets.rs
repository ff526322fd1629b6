//! Which secrets a deployment has, and whether they are strong. `rollcall demo` is a stage and is not asked.

use super::Config;
use anyhow::{anyhow, bail};
use rollcall_service::config::Secret;

pub(super) fn check(config: &Config) -> anyhow::Result<()> {
    let nats = &config.nats;
    let has_own = nats.password.is_some() || nats.token.is_some() || nats.nkey_seed.is_some();
    check_address("database.url", config.database.url.reveal(), false)?;
    for address in nats.url.split(',').map(str::trim) {
        check_address("nats.url", address, has_own)?;
    }
    for (setting, secret) in [("nats.password", &nats.password), ("nats.token", &nats.token)] {
        if let Some(secret) = secret {
            check_strength(setting, secret)?;
        }
    }
    let sealing_key = config.database.sealing_key.reveal();
    if !sealing_key.is_empty() {
        check_strength("database.sealing_key", sealing_key)?;
    }
    for provider in &config.api.oidc.providers {
        let setting = format!("api.oidc.providers.{}.client_secret", provider.name);
        let secret = provider.secret().map_err(|mistake| anyhow!("setting `{setting}`: {mistake}"))?;
        check_strength(&setting, secret.reveal())?;
    }
    Ok(())
}

/// Passes an address without a password where nobody else comes near, or where something else proves who we are.
fn check_address(setting: &str, address: &str, is_proved: bool) -> anyhow::Result<()> {
    match credentials(address) {
        Some(secret) => check_strength(setting, secret),
        None if is_proved || is_near(address) => Ok(()),
        None => bail!("setting `{setting}`: the address names no password, and others can reach the server"),
    }
}

fn check_strength(setting: &str, secret: &str) -> anyhow::Result<()> {
    match Secret::new(secret).weakness() {
        Some(weakness) => bail!(
            "setting `{setting}`: its password is {weakness}; take a random one, such as `openssl rand -hex 24`"
        ),
        None => Ok(()),
    }
}

/// The password of an address, or the token that stands in its place (RFC 3986, section 3.2.1).
fn credentials(address: &str) -> Option<&str> {
    let (_, rest) = address.split_once("://")?;
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let in_query = query.split('&').find_map(|pair| pair.strip_prefix("password="));
    let (user, _) = authority(rest).rsplit_once('@').unwrap_or_default();
    let in_user = user.split_once(':').map_or(user, |(_, password)| password);
    // PostgreSQL knows no tokens: a user alone has no password.
    let is_token = !user.contains(':') && address.starts_with("postgres");
    in_query.or(Some(in_user).filter(|text| !text.is_empty() && !is_token))
}

fn authority(rest: &str) -> &str {
    rest.split(['/', '?']).next().unwrap_or_default()
}

/// Nothing, a socket of this machine, or its loopback.
fn is_near(address: &str) -> bool {
    let Some((_, rest)) = address.split_once("://") else { return address.is_empty() };
    let host = authority(rest).rsplit_once('@').map_or(authority(rest), |(_, host)| host);
    host.is_empty() || ["localhost", "127.", "[::1]"].iter().any(|near| host.starts_with(near))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const STRONG: &str = "4Zq9vLw2Rt7xKp5N";

    fn checked(change: impl Fn(&mut Config)) -> Result<(), String> {
        let mut config = Config::default();
        change(&mut config);
        check(&config).map_err(|error| error.to_string())
    }

    fn database(address: &str) -> Result<(), String> {
        checked(|config| config.database.url = Secret::new(address))
    }

    fn nats(address: &str) -> Result<(), String> {
        checked(|config| config.nats.url = address.to_owned())
    }

    fn oidc(secret: &str) -> Result<(), String> {
        let provider = json!({
            "name": "school", "display_name": "School", "issuer": "https://id.example", "client_id": "rollcall",
            "client_secret": secret,
        });
        checked(|config| config.api.oidc.providers = vec![serde_json::from_value(provider.clone()).unwrap()])
    }

    #[test]
    fn strong_secrets_and_none_where_nobody_comes_near_pass() {
        assert_eq!(checked(|_| {}), Ok(()));
        for address in [
            format!("postgres://rollcall:{STRONG}@db:5432/rollcall"),
            format!("postgres://rollcall@db/rollcall?password={STRONG}"),
            "postgres:///rollcall?host=/run/postgresql".into(),
            "postgres://rollcall@localhost/rollcall".into(),
        ] {
            assert_eq!(database(&address), Ok(()), "{address}");
        }
        for address in [format!("nats://a:{STRONG}@one, nats://{STRONG}@two"), "nats://127.0.0.1:4222".into()]
        {
            assert_eq!(nats(&address), Ok(()), "{address}");
        }
        let proved = |config: &mut Config| {
            config.nats.url = "nats://broker".into();
            config.nats.password = Some(STRONG.into());
        };
        assert_eq!(checked(proved), Ok(()));
        assert_eq!(oidc(STRONG), Ok(()));
    }

    #[test]
    fn weak_secrets_are_refused_by_the_name_of_the_setting_and_not_told() {
        let weak = [
            ("database.url", database("postgres://rollcall:hunter2@db/rollcall")),
            ("database.url", database("postgres://rollcall:hunter2@localhost/rollcall")),
            ("database.url", database("postgres://rollcall@db/rollcall")),
            ("nats.url", nats("nats://broker:4222")),
            ("nats.url", nats(&format!("nats://a:{STRONG}@one,nats://hunter2@two"))),
            ("nats.password", checked(|config| config.nats.password = Some("hunter2".into()))),
            ("nats.token", checked(|config| config.nats.token = Some("hunter2".into()))),
            ("database.sealing_key", checked(|config| config.database.sealing_key = Secret::new("hunter2"))),
            ("api.oidc.providers.school.client_secret", oidc("hunter2")),
        ];
        for (setting, refused) in weak {
            let message = refused.unwrap_err();
            assert!(message.contains(&format!("setting `{setting}`")), "{message}");
            assert!(!message.contains("hunter2") && !message.contains(STRONG), "{message}");
        }
    }
}
