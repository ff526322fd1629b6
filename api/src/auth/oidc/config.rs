//! The settings of signing in with an identity provider.

use rollcall_service::config::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fs, path::PathBuf};

/// Signing in with OpenID Connect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OidcConfig {
    /// Where browsers find this deployment, such as `https://rollcall.school.example`: providers send them back there, to
    /// `/api/v1/auth/oidc/NAME/callback`, which must be registered with each.
    pub public_url: String,
    /// The page that browsers go on to once they are signed in; without it they are answered in JSON.
    pub after_sign_in: Option<String>,
    /// The providers.
    pub providers: Vec<OidcProvider>,
}

/// A provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OidcProvider {
    /// Its name in addresses: small letters, digits and hyphens.
    pub name: String,
    /// Its name for people.
    pub display_name: String,
    /// Its issuer, from which everything else is discovered.
    pub issuer: String,
    /// What it calls us.
    pub client_id: String,
    /// What we prove it with; or else `client_secret_file`.
    pub client_secret: Option<Secret>,
    /// The file that holds it, and nothing else.
    pub client_secret_file: Option<PathBuf>,
    /// What is asked for besides `openid`.
    #[serde(default = "usual_scopes")]
    pub scopes: Vec<String>,
    /// What becomes of people without an account.
    #[serde(default)]
    pub create: CreateAccounts,
    /// Only addresses of these domains are linked or get accounts; without any, all.
    #[serde(default)]
    pub allowed_domains: Vec<String>,
}

impl OidcProvider {
    /// The secret, from the settings or from its file.
    ///
    /// # Errors
    /// When there is none, or two, or the file cannot be read; with what is wrong.
    pub fn secret(&self) -> Result<Secret, String> {
        match (&self.client_secret, &self.client_secret_file) {
            (Some(secret), None) => Ok(secret.clone()),
            (None, Some(file)) => {
                let text = fs::read_to_string(file)
                    .map_err(|error| format!("the file {} cannot be read: {error}", file.display()))?;
                // An editor ends the last line; no secret ends in a line break.
                match text.trim_end_matches(['\r', '\n']) {
                    "" => Err(format!("the file {} is empty", file.display())),
                    secret => Ok(Secret::new(secret)),
                }
            }
            (None, None) => Err("client_secret or client_secret_file is needed".into()),
            (Some(_), Some(_)) => {
                Err("client_secret and client_secret_file are both set: leave one of them out".into())
            }
        }
    }
}

fn usual_scopes() -> Vec<String> {
    vec!["email".into(), "profile".into()]
}

/// What becomes of people without an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CreateAccounts {
    /// They are refused.
    #[default]
    Never,
    /// They become students.
    Student,
}

impl OidcConfig {
    /// What is wrong with the settings, if anything.
    pub(crate) fn mistake(&self) -> Option<String> {
        if !self.providers.is_empty() && !is_safe(&self.public_url) {
            return Some("api.oidc.public_url must be this deployment's address, with https".into());
        }
        self.providers.iter().enumerate().find_map(|(place, provider)| {
            let OidcProvider { name, issuer, .. } = provider;
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if name.is_empty() || !name.chars().all(is_plain) {
                Some(format!("the provider name {name:?} must be small letters, digits and hyphens"))
            } else if self.providers[..place].iter().any(|before| before.name == *name) {
                Some(format!("two providers are called {name}"))
            } else if !is_safe(issuer) {
                Some(format!("the issuer of {name} must be an address with https"))
            } else {
                provider.secret().err().map(|mistake| format!("the provider {name}: {mistake}"))
            }
        })
    }
}

/// Over TLS, or not over a network at all.
fn is_safe(address: &str) -> bool {
    match reqwest::Url::parse(address) {
        Ok(url) => url.scheme() == "https" || matches!(url.host_str(), Some("127.0.0.1" | "localhost")),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut OidcConfig)) -> Option<String> {
        let provider = OidcProvider {
            name: "school".into(),
            display_name: "School".into(),
            issuer: "https://id.school.example".into(),
            client_id: "rollcall".into(),
            client_secret: Some(Secret::new("x")),
            client_secret_file: None,
            scopes: usual_scopes(),
            create: CreateAccounts::Never,
            allowed_domains: vec![],
        };
        let public_url = "https://rollcall.school.example".into();
        let mut config = OidcConfig { public_url, after_sign_in: None, providers: vec![provider] };
        change(&mut config);
        config.mistake()
    }

    #[test]
    fn mistakes_are_found_at_the_start() {
        assert_eq!(with(|_| ()), None);
        assert_eq!(OidcConfig::default().mistake(), None);
        assert!(with(|config| config.public_url.clear()).unwrap().contains("public_url"));
        assert!(with(|config| config.providers[0].name = "A/B".into()).unwrap().contains("A/B"));
        assert!(
            with(|config| config.providers[0].issuer = "http://id.example".into()).unwrap().contains("https")
        );
        assert!(with(|config| config.providers.push(config.providers[0].clone())).unwrap().contains("two"));
    }

    #[test]
    fn the_secret_is_in_the_settings_or_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = |text: &str| {
            let path = folder.path().join("secret");
            fs::write(&path, text).unwrap();
            Some(path)
        };
        let secret = |client_secret: Option<&str>, client_secret_file| {
            let client_secret = client_secret.map(Secret::new);
            let mut found = None;
            let mistake = with(|config| {
                let provider = &mut config.providers[0];
                *provider = OidcProvider { client_secret, client_secret_file, ..provider.clone() };
                found = provider.secret().ok();
            });
            assert_eq!(mistake.is_none(), found.is_some());
            found
        };
        assert_eq!(secret(Some("x"), None), Some(Secret::new("x")));
        assert_eq!(secret(None, file("y \r\n")), Some(Secret::new("y ")));
        assert_eq!(secret(None, file("\n")), None);
        assert_eq!(secret(None, Some("/nowhere".into())), None);
        assert_eq!(secret(None, None), None);
        assert_eq!(secret(Some("x"), file("y")), None);
    }
}
