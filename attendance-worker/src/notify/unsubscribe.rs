//! How whoever reads an e-mail gets no more of its kind: by an e-mail to somebody (RFC 2369), or with one click (RFC 8058).
//! The click is the api's to follow; here is only what e-mails say of it.

use super::config::SmtpConfig;
use rollcall_schemas::notification::{Reader, Topic, UNSUBSCRIBE_PATH, UNSUBSCRIBE_PURPOSE, Unsubscription};
use rollcall_service::{clock::Entropy, seal::Sealer};
use rollcall_store::deliveries::Recipient;
use std::collections::BTreeSet;

/// What e-mails say of it.
pub(super) struct Unsubscribe {
    /// The address of e-mail that takes such wishes.
    address: Option<String>,
    /// The address for a click, without its ticket.
    url: Option<String>,
    sealer: Sealer,
    entropy: Entropy,
}

impl Unsubscribe {
    /// # Errors
    /// What is wrong with the settings.
    pub(super) fn new(sealer: &Sealer, entropy: &Entropy, config: &SmtpConfig) -> Result<Self, String> {
        let base = config.public_url.trim_end_matches('/');
        if !base.is_empty() && !base.starts_with("https://") {
            return Err("`attendance.notify.smtp.public_url` must begin with https://".to_owned());
        }
        if !base.is_empty() && !sealer.has_key() {
            return Err("`attendance.notify.smtp.public_url` needs `database.sealing_key`".to_owned());
        }
        Ok(Self {
            address: config.unsubscribe.clone(),
            url: (!base.is_empty()).then(|| format!("{base}{UNSUBSCRIBE_PATH}")),
            sealer: sealer.clone(),
            entropy: entropy.clone(),
        })
    }

    /// The headers of an e-mail to somebody about these topics.
    pub(super) fn headers(
        &self,
        recipient: Recipient,
        topics: BTreeSet<Topic>,
    ) -> Vec<(&'static str, String)> {
        let click = self.click(recipient, topics);
        let mail = self
            .address
            .as_ref()
            .map(|address| format!("<mailto:{address}?subject=unsubscribe%20{}>", recipient.id()));
        let ways: Vec<_> = click.iter().chain(&mail).map(String::as_str).collect();
        let mut headers = Vec::new();
        if !ways.is_empty() {
            headers.push(("List-Unsubscribe", ways.join(", ")));
        }
        if click.is_some() {
            headers.push(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
        }
        headers
    }

    fn click(&self, recipient: Recipient, topics: BTreeSet<Topic>) -> Option<String> {
        let reader = match recipient {
            Recipient::User(id) => Reader::User(id),
            Recipient::Guardian(id) => Reader::Guardian(id),
            Recipient::Webhook(_) => return None,
        };
        let (url, wish) = (self.url.as_ref()?, Unsubscription { reader, topics });
        let content = serde_json::to_vec(&wish).expect("a wish is plain data");
        let ticket = self.sealer.ticket(UNSUBSCRIBE_PURPOSE, &content, &self.entropy)?;
        Some(format!("<{url}?token={ticket}>"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_service::config::Secret;

    #[test]
    fn a_click_is_offered_over_tls_and_with_a_key_or_not_at_all() {
        let (key, none) = (Sealer::new(&Secret::new("a key of the test")), Sealer::default());
        let offered = |sealer: &Sealer, public_url: &str| {
            let config = SmtpConfig { public_url: public_url.into(), ..SmtpConfig::default() };
            Unsubscribe::new(sealer, &Entropy::seeded(1), &config).map(|unsubscribe| unsubscribe.url)
        };
        assert_eq!(offered(&none, ""), Ok(None));
        let url = "https://rollcall.school.example/api/v1/notifications/unsubscribe";
        assert_eq!(offered(&key, "https://rollcall.school.example/"), Ok(Some(url.into())));
        assert!(offered(&key, "http://rollcall.school.example").unwrap_err().contains("https://"));
        assert!(offered(&none, "https://rollcall.school.example").unwrap_err().contains("sealing_key"));
    }
}
