//! The settings of signing in with an identity provider.

use rollcall_service::config::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// What we prove it with.
    pub client_secret: Secret,
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
                None
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
            client_secret: Secret::new("x"),
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
}
