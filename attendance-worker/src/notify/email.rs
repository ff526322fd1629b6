//! E-mails, over SMTP under TLS.

use super::{
    channel::{Channel, Failure, Receipt},
    config::{EmailSecurity, SmtpConfig},
    letter::{Letter, Writer, topics},
    unsubscribe::Unsubscribe,
};
use crate::Deps;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
    transport::smtp::{
        Error as SmtpError,
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};
use rollcall_schemas::id::DeliveryId;
use rollcall_service::http::use_ring;
use rollcall_store::deliveries::Leased;
use std::{fs, sync::Arc, time::Duration};
use tokio::time::timeout;

const TOO_SLOW: &str = "the mail server took too long";

/// Sends e-mails.
pub(super) struct EmailChannel {
    deps: Deps,
    /// Each e-mail has a connection of its own: one that was given up in the middle must not be spoken on again.
    server: AsyncSmtpTransport<Tokio1Executor>,
    /// How long the server may take for one e-mail, from connecting to its last answer: the transport bounds the first only.
    patience: Duration,
    from: Mailbox,
    unsubscribe: Unsubscribe,
    writer: Arc<Writer>,
}

impl EmailChannel {
    /// Nothing when no server is configured.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub(super) fn new(deps: &Deps, config: &SmtpConfig, writer: Arc<Writer>) -> Result<Option<Self>, String> {
        if config.host.is_empty() {
            return Ok(None);
        }
        let from = config.from.parse().map_err(|_| {
            "`attendance.notify.smtp.from` must be an address, such as School <rollcall@school.example>"
                .to_owned()
        })?;
        Ok(Some(Self {
            deps: deps.clone(),
            server: server(config)?,
            patience: config.timeout(),
            from,
            unsubscribe: Unsubscribe::new(&deps.sealer, &deps.entropy, config)?,
            writer,
        }))
    }

    async fn mail(&self, delivery: &Leased) -> Result<Receipt, Failure> {
        let letter = self.writer.write(delivery).await?;
        let mut message = self.message(delivery.id, &letter, self.deps.clock.now())?;
        for (name, value) in self.unsubscribe.headers(delivery.recipient, topics(delivery)) {
            insert(&mut message, name, value);
        }
        let answer = timeout(self.patience, self.server.send(message)).await;
        let answer = answer.map_err(|_| Failure::later(TOO_SLOW))?.map_err(|error| failed(&error))?;
        Ok(Receipt { code: answer.code().to_string().parse().ok() })
    }

    fn message(&self, id: DeliveryId, letter: &Letter, now: DateTime<Utc>) -> Result<Message, Failure> {
        let to: Mailbox = Mailbox::new(
            Some(letter.to.full_name.clone()),
            letter.to.email.parse().map_err(|_| Failure::never("the address is not one of e-mail"))?,
        );
        let body = MultiPart::alternative_plain_html(letter.text.clone(), letter.html.clone());
        let message = Message::builder()
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .date(now.into())
            .from(self.from.clone())
            .to(to)
            .subject(&letter.subject)
            .multipart(body);
        let mut message = message.map_err(|_| Failure::never("the e-mail cannot be composed"))?;
        // Nobody's absence answers it (RFC 3834).
        insert(&mut message, "Auto-Submitted", "auto-generated".to_owned());
        insert(&mut message, "Content-Language", letter.language.to_string());
        Ok(message)
    }
}

fn insert(message: &mut Message, name: &'static str, value: String) {
    message.headers_mut().insert_raw(HeaderValue::new(HeaderName::new_from_ascii_str(name), value));
}

fn server(config: &SmtpConfig) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    use_ring();
    let tls = || -> Result<TlsParameters, String> {
        let mut tls = TlsParameters::builder(config.host.clone());
        if let Some(file) = &config.ca_file {
            let explain =
                || format!("`attendance.notify.smtp.ca_file`: {} holds no certificates", file.display());
            let pem = fs::read(file).map_err(|_| explain())?;
            tls = tls.add_root_certificate(Certificate::from_pem(&pem).map_err(|_| explain())?);
        }
        tls.build().map_err(|error| format!("the system's certificates cannot be used: {error}"))
    };
    let security = match config.security {
        EmailSecurity::Starttls => Tls::Required(tls()?),
        EmailSecurity::Tls => Tls::Wrapper(tls()?),
        EmailSecurity::None if config.password.reveal().is_empty() => Tls::None,
        EmailSecurity::None => {
            return Err("`attendance.notify.smtp`: a password is not sent without TLS".to_owned());
        }
    };
    let mut server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
        .port(config.port)
        .timeout(Some(config.timeout()))
        .tls(security);
    if !config.username.is_empty() {
        let password = config.password.reveal().to_owned();
        server = server.credentials(Credentials::new(config.username.clone(), password));
    }
    Ok(server.build())
}

/// What the server says may hold the address, so only its code is kept.
fn failed(error: &SmtpError) -> Failure {
    let code = error.status().and_then(|code| code.to_string().parse().ok());
    if error.is_permanent() {
        return Failure::Never { code, reason: "the mail server refused it".into() };
    }
    let reason = if error.is_transient() {
        "the mail server does not take it now"
    } else if error.is_timeout() {
        TOO_SLOW
    } else if error.is_tls() {
        "the mail server cannot be trusted"
    } else {
        "the mail server cannot be spoken to"
    };
    Failure::Later { code, reason: reason.into(), after: None }
}

impl Channel for EmailChannel {
    fn send<'a>(&'a self, delivery: &'a Leased) -> BoxFuture<'a, Result<Receipt, Failure>> {
        Box::pin(self.mail(delivery))
    }
}
