//! What people and other systems are told, as it arrives at a real mail server and a real receiver of webhooks, checked by
//! the official verifiers.
#![allow(clippy::unwrap_used, reason = "the lint knows tests by their attribute, and not their helpers")]

use crate::harness::{SOON, School, at};
use anyhow::{Context, Result};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::IntoResponse,
    routing::post,
};
use chrono::TimeDelta;
use parking_lot::Mutex;
use rollcall_attendance_worker::{
    AttendanceConfig, NotifyConfig, PushConfig, SmtpConfig, WebhookConfig, consumer,
};
use rollcall_bus::Message;
use rollcall_schemas::{
    id::{GuardianId, RequestId, WebhookId},
    notification::{Channel, Digest, Every, Language, Preferences, QuietHours, Topic, Weekday},
    outcome::{Answer, Outcome, OutcomeResult},
    request::{SessionCommand, SessionPlan, WebhookCommand, WebhookRequest},
    subject::{self, RequestKind, Stream},
};
use rollcall_service::{clock::Clock, config::Secret, lifecycle::Lifecycle, seal::Sealer};
use rollcall_store::{
    deliveries::{self, DeliveryView},
    guardians::{self, Guardian},
    pages::Page,
    preferences,
    webhooks::{self, Webhook},
};
use rollcall_test_support::eventually;
use serde_json::{Value, json};
use std::{collections::VecDeque, net::SocketAddr, process::Stdio, sync::Arc};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

const RECEIVERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/receivers");
const ALL: Page = Page { limit: 100, offset: 0 };
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const SECRET_TEXT: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A real mail server beside the test.
struct MailServer {
    config: SmtpConfig,
    _process: Child,
    arrived: Lines<BufReader<ChildStdout>>,
    _certificate: tempfile::TempDir,
}

impl MailServer {
    async fn start() -> Result<Self> {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        let folder = tempfile::tempdir()?;
        let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
        std::fs::write(&certificate, cert.pem())?;
        std::fs::write(&key, signing_key.serialize_pem())?;
        let mut process = Command::new(format!("{RECEIVERS}/.venv/bin/python"))
            .arg(format!("{RECEIVERS}/smtp_sink.py"))
            .args([&certificate, &key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("scripts/setup test installs the mail server")?;
        let mut arrived = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = arrived.next_line().await?.context("the mail server starts")?.parse()?;
        let config = SmtpConfig {
            host: "localhost".into(),
            port,
            ca_file: Some(certificate),
            username: "rollcall".into(),
            password: Secret::new("a-password-of-the-test"),
            from: "Hill School <rollcall@school.example>".into(),
            unsubscribe: Some("no-more@school.example".into()),
            ..SmtpConfig::default()
        };
        Ok(Self { config, _process: process, arrived, _certificate: folder })
    }

    /// The next e-mail that arrives.
    async fn next(&mut self) -> Result<Value> {
        let line = tokio::time::timeout(SOON, self.arrived.next_line()).await.context("no e-mail came")??;
        Ok(serde_json::from_str(&line.context("the mail server goes on")?)?)
    }
}

/// What arrived at a webhook.
#[derive(Clone, Debug)]
struct Arrived {
    headers: HeaderMap,
    body: Bytes,
}

impl Arrived {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn event(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }
}

#[derive(Clone, Default)]
struct Inbox {
    arrived: Arc<Mutex<Vec<Arrived>>>,
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
}

/// A receiver of webhooks that answers as told, and then with 204.
struct Receiver {
    address: SocketAddr,
    inbox: Inbox,
}

impl Receiver {
    async fn start(answers: impl IntoIterator<Item = StatusCode>) -> Result<Self> {
        let inbox = Inbox::default();
        inbox.answers.lock().extend(answers);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .route("/hook", post(take))
            .route("/silent", post(std::future::pending::<()>))
            .with_state(inbox.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, inbox })
    }

    fn arrived(&self) -> Vec<Arrived> {
        self.inbox.arrived.lock().clone()
    }

    async fn after(&self, count: usize) -> Vec<Arrived> {
        eventually("what is sent arrives", SOON, || async {
            let arrived = self.arrived();
            (arrived.len() >= count).then_some(arrived)
        })
        .await
    }
}

async fn take(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    inbox.arrived.lock().push(Arrived { headers, body });
    let status = inbox.answers.lock().pop_front().unwrap_or(StatusCode::NO_CONTENT);
    (status, [(LOCATION, "http://127.0.0.1:1/elsewhere")])
}

impl School {
    /// Starts a worker that sends.
    fn notify(&self, notify: NotifyConfig) -> Lifecycle {
        let config = AttendanceConfig { timer_interval_ms: 20, notify, ..AttendanceConfig::default() };
        self.work_with(config)
    }

    /// A webhook of everything that is told from the beginning of the log.
    async fn webhook(&self, url: String, events: &[&str]) -> Result<Webhook> {
        let id: WebhookId = self.entropy.uuid_v4().into();
        let now = self.clock.now();
        let webhook = Webhook {
            id,
            url,
            description: "Student register".into(),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            secret: Sealer::default().seal(id.0.as_bytes(), SECRET, &self.entropy),
            previous: None,
            after_sequence: 0,
            enabled_at: Some(now),
            failing_since: None,
            disabled_at: None,
            created_at: now,
            updated_at: now,
        };
        webhooks::create(&mut *self.pool.acquire().await?, &webhook).await?;
        Ok(webhook)
    }

    async fn log(&self, webhook: &Webhook) -> Result<Vec<DeliveryView>> {
        let mut db = self.pool.acquire().await?;
        Ok(deliveries::of_webhook(&mut db, webhook.id, ALL).await?.rows)
    }

    /// Waits until a delivery of this webhook stands so after that many attempts.
    async fn stands(&self, webhook: &Webhook, state: &str, attempts: usize) -> DeliveryView {
        let recorded = |delivery: &DeliveryView| delivery.log.as_array().map_or(0, Vec::len);
        eventually(&format!("{state} after {attempts}"), SOON, || async {
            let log = self.log(webhook).await.unwrap();
            log.into_iter().find(|delivery| delivery.state == state && recorded(delivery) == attempts)
        })
        .await
    }

    async fn ask_webhook(&self, webhook: &Webhook, command: WebhookCommand) -> Result<Outcome> {
        let request_id: RequestId = self.entropy.uuid_v4().into();
        let request = WebhookRequest {
            request_id,
            requested_by: self.teacher,
            requested_at: self.clock.now(),
            webhook_id: webhook.id,
            command,
        };
        let message = Message::json(subject::request(RequestKind::Webhook), request_id, &request)?;
        Ok(self.bus.ask(message, request_id, SOON).await?)
    }

    async fn wish(&self, preferences: &Preferences) -> Result<()> {
        let mut db = self.pool.acquire().await?;
        preferences::set(&mut db, self.students[0], preferences, self.clock.now()).await?;
        Ok(())
    }

    async fn guardian(&self, email: &str, topics: &[Topic]) -> Result<Guardian> {
        let guardian = Guardian {
            id: GuardianId(self.entropy.uuid_v4()),
            student_id: self.students[0],
            full_name: "Robin Müller".into(),
            email: email.into(),
            language: Some(Language::German),
            topics: topics.to_vec(),
            created_at: self.clock.now(),
            updated_at: self.clock.now(),
        };
        guardians::create(&mut *self.pool.acquire().await?, &guardian).await?;
        Ok(guardian)
    }

    /// A lesson that every student misses.
    async fn missed_lesson(&self) -> Result<()> {
        self.missed_lesson_from(0).await
    }

    async fn missed_lesson_from(&self, seconds: i64) -> Result<()> {
        let plan = SessionPlan::between(at(seconds), at(seconds + 3_600));
        let create = SessionCommand::Create { class_id: self.class, plan };
        let session_id = self.command(seconds - 600, create).await?.session_id;
        self.command(seconds, SessionCommand::Start { session_id }).await?;
        self.end(session_id, seconds + 3_600).await?;
        self.settled(Stream::Facts, consumer::NOTIFIER).await;
        Ok(())
    }
}

fn webhooks_only() -> NotifyConfig {
    let private_networks = vec!["127.0.0.0/8".parse().unwrap()];
    NotifyConfig {
        webhooks: WebhookConfig { private_networks, ..WebhookConfig::default() },
        ..NotifyConfig::default()
    }
}

/// What each official verifier says of what arrived.
async fn verified(secret: &str, arrived: &[Arrived]) -> Result<Vec<[String; 2]>> {
    let lines: String = arrived
        .iter()
        .map(|arrived| {
            let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"]
                .map(|name| (name.to_owned(), json!(arrived.header(name))));
            let body = std::str::from_utf8(&arrived.body).unwrap();
            let headers: serde_json::Map<_, _> = headers.into_iter().collect();
            format!("{}\n", json!({ "secret": secret, "headers": headers, "body": body }))
        })
        .collect();
    let (python, script) = (format!("{RECEIVERS}/.venv/bin/python"), format!("{RECEIVERS}/verify.py"));
    let by_python = run(&python, &script, &lines).await?;
    let by_node = run("node", &format!("{RECEIVERS}/verify.mjs"), &lines).await?;
    Ok(by_python.into_iter().zip(by_node).map(|(python, node)| [python, node]).collect())
}

async fn run(program: &str, script: &str, input: &str) -> Result<Vec<String>> {
    let mut process = Command::new(program)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("scripts/setup test installs the verifiers")?;
    process.stdin.take().unwrap().write_all(input.as_bytes()).await?;
    let output = process.wait_with_output().await?;
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

#[tokio::test]
async fn guardians_get_an_email_that_a_mail_server_understands() -> Result<()> {
    let (school, mut server) = (School::open(1).await?, MailServer::start().await?);
    school
        .wish(&Preferences { channels: [(Topic::Absent, [].into())].into(), ..Preferences::default() })
        .await?;
    let teacher =
        Preferences { channels: [(Topic::SessionSummary, [].into())].into(), ..Preferences::default() };
    preferences::set(&mut *school.pool.acquire().await?, school.teacher, &teacher, school.clock.now())
        .await?;
    let guardian = school.guardian("robin@home.example", &[Topic::Absent]).await?;
    let worker = school.notify(NotifyConfig { smtp: server.config.clone(), ..NotifyConfig::default() });
    school.missed_lesson().await?;

    let mail = server.next().await?;
    assert_eq!(mail["to"], json!(["robin@home.example"]));
    assert_eq!((&mail["tls"], &mail["type"]), (&json!(true), &json!("multipart/alternative")));
    assert_eq!(mail["defects"], json!([]));
    let headers = &mail["headers"];
    assert_eq!(headers["from"], "Hill School <rollcall@school.example>");
    assert_eq!(headers["to"], "Robin Müller <robin@home.example>");
    assert_eq!(headers["subject"], format!("Abwesend: {}, Mathematics", school.students[0]));
    assert_eq!(headers["auto-submitted"], "auto-generated");
    assert_eq!(headers["content-language"], "de");
    let wish = format!("<mailto:no-more@school.example?subject=unsubscribe%20{}>", guardian.id);
    assert_eq!(headers["list-unsubscribe"], wish);
    let text = mail["parts"]["text/plain"].as_str().unwrap();
    assert!(
        text.contains("ist in Mathematics am 02.03.2026 um 09:00 Uhr als abwesend eingetragen."),
        "{text}"
    );
    let html = mail["parts"]["text/html"].as_str().unwrap();
    assert!(html.contains("<p>Guten Tag, Robin Müller!</p>"), "{html}");

    assert!(headers["message-id"].as_str().unwrap().ends_with("@school.example>"), "{headers}");

    // The same log again, from its beginning: the next that arrives is of the next lesson, under another id.
    worker.stop(SOON).await?;
    school.broker.forget_place(Stream::Facts, consumer::NOTIFIER).await;
    let worker = school.notify(NotifyConfig { smtp: server.config.clone(), ..NotifyConfig::default() });
    school.settled(Stream::Facts, consumer::NOTIFIER).await;
    school.missed_lesson_from(7_200).await?;
    let next = server.next().await?;
    assert_ne!(next["headers"]["message-id"], headers["message-id"]);
    assert!(next["parts"]["text/plain"].as_str().unwrap().contains("11:00 Uhr"), "{next}");
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn an_address_that_is_refused_is_given_up_and_one_that_is_put_off_is_tried_again() -> Result<()> {
    let (school, mut server) = (School::open(1).await?, MailServer::start().await?);
    school.guardian("nobody@home.example", &[Topic::Absent]).await?;
    school.guardian("later@home.example", &[Topic::Absent]).await?;
    let worker = school.notify(NotifyConfig { smtp: server.config.clone(), ..NotifyConfig::default() });
    school.missed_lesson().await?;
    let first = [server.next().await?, server.next().await?];
    let to = |mail: &Value| mail["to"][0].as_str().unwrap().to_owned();
    assert!(first.iter().all(|mail| !to(mail).ends_with("home.example")), "{first:?}");
    school.clock.advance(TimeDelta::seconds(6));
    assert_eq!(to(&server.next().await?), "later@home.example");
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn what_comes_in_quiet_hours_comes_after_them_and_a_digest_holds_all_of_it() -> Result<()> {
    let (school, mut server) = (School::open(1).await?, MailServer::start().await?);
    let quiet = QuietHours { from: "08:00".parse()?, to: "16:00".parse()? };
    school.wish(&Preferences { quiet_hours: Some(quiet), ..Preferences::default() }).await?;
    let digest = Digest { every: Every::Day, weekday: Weekday::Monday, hour: 18 };
    let teacher = Preferences { digest: Some(digest), ..Preferences::default() };
    preferences::set(&mut *school.pool.acquire().await?, school.teacher, &teacher, school.clock.now())
        .await?;
    let worker = school.notify(NotifyConfig { smtp: server.config.clone(), ..NotifyConfig::default() });
    school.missed_lesson().await?;
    school.missed_lesson_from(7_200).await?;

    school.clock.set(at(7 * 3_600));
    for _ in 0..2 {
        assert_eq!(server.next().await?["to"], json!([format!("{}@example.org", school.students[0])]));
    }
    school.clock.set(at(9 * 3_600));
    let mail = server.next().await?;
    assert_eq!(mail["to"], json!([format!("{}@example.org", school.teacher)]));
    assert_eq!(mail["headers"]["subject"], "2 notifications");
    let text = mail["parts"]["text/plain"].as_str().unwrap();
    assert_eq!(text.matches("- Mathematics on 2 March 2026 at").count(), 2, "{text}");
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_relay_gets_what_somebody_wishes_on_their_devices() -> Result<()> {
    let school = School::open(1).await?;
    let relay = Receiver::start([]).await?;
    let channels = [(Topic::Absent, [Channel::Push, Channel::Email].into())].into();
    school.wish(&Preferences { channels, ..Preferences::default() }).await?;
    let push = PushConfig {
        url: format!("http://{}/hook", relay.address),
        token: Secret::new("a-token-of-the-test"),
        ..PushConfig::default()
    };
    let worker = school.notify(NotifyConfig { push, ..NotifyConfig::default() });
    school.missed_lesson().await?;
    let arrived = relay.after(1).await.remove(0);
    assert_eq!(arrived.header("authorization"), "Bearer a-token-of-the-test");
    let body = arrived.json();
    assert_eq!(
        (&body["to"], &body["title"]),
        (&json!(school.students[0]), &json!("Absent: you, Mathematics"))
    );
    assert!(body["message"].as_str().unwrap().starts_with("You were recorded as absent"), "{body}");
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn official_verifiers_accept_what_is_sent_and_nothing_else() -> Result<()> {
    // The verifiers go by the time of day.
    let school = School { clock: Clock::real(), ..School::open(1).await? };
    let receiver = Receiver::start([]).await?;
    let webhook = school.webhook(format!("http://{}/hook", receiver.address), &["session.started"]).await?;
    let worker = school.notify(webhooks_only());
    school.lesson().await?;
    let [arrived] = receiver.after(1).await.try_into().unwrap();
    assert_eq!(arrived.header("content-type"), "application/json");
    let body = arrived.json();
    assert_eq!((&body["type"], &body["data"]["classId"]), (&json!("session.started"), &json!(school.class)));
    let delivery = school.stands(&webhook, "delivered", 1).await;
    assert_eq!(arrived.header("webhook-id"), delivery.id.to_string());
    assert_eq!(body["data"]["sequence"], json!(delivery.sequence));

    let mut tampered = arrived.clone();
    tampered.body = String::from_utf8(arrived.body.to_vec())?.replace("started", "stopped").into();
    let mut renamed = arrived.clone();
    renamed.headers.insert("webhook-id", "another".parse()?);
    let mut old = arrived.clone();
    old.headers.insert("webhook-timestamp", "1614265330".parse()?);
    let said = verified(SECRET_TEXT, &[arrived.clone(), tampered, renamed, old]).await?;
    assert_eq!(said.len(), 4);
    assert_eq!(said[0], ["good", "good"]);
    assert!(said[1..].iter().flatten().all(|word| word != "good"), "{said:?}");
    let other = "whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhlIHNhbWUgbGVuZ3Ro";
    assert!(verified(other, &[arrived]).await?.iter().flatten().all(|word| word != "good"));
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn while_a_secret_is_replaced_both_verify() -> Result<()> {
    let school = School { clock: Clock::real(), ..School::open(1).await? };
    let receiver = Receiver::start([]).await?;
    let webhook = school.webhook(format!("http://{}/hook", receiver.address), &["session.started"]).await?;
    let new = Sealer::default().seal(
        webhook.id.0.as_bytes(),
        b"another secret of the same length",
        &school.entropy,
    );
    let until = school.clock.now() + TimeDelta::hours(1);
    let rotated = Webhook { secret: new, previous: Some((webhook.secret.clone(), until)), ..webhook.clone() };
    webhooks::update(&mut *school.pool.acquire().await?, &rotated).await?;
    let worker = school.notify(webhooks_only());
    school.lesson().await?;
    let arrived = receiver.after(1).await;
    assert_eq!(arrived[0].header("webhook-signature").split(' ').count(), 2);
    let new_text = "whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhlIHNhbWUgbGVuZ3Ro";
    for secret in [SECRET_TEXT, new_text] {
        assert_eq!(verified(secret, &arrived).await?, [["good", "good"]], "{secret}");
    }
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn what_fails_is_tried_again_under_the_same_id_with_its_attempts_on_record() -> Result<()> {
    let school = School::open(1).await?;
    let answers = [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::FOUND];
    let receiver = Receiver::start(answers).await?;
    let webhook = school.webhook(format!("http://{}/hook", receiver.address), &["session.ended"]).await?;
    let worker = school.notify(webhooks_only());
    school.missed_lesson().await?;
    school.stands(&webhook, "waiting", 1).await;
    school.clock.advance(TimeDelta::seconds(6));
    school.stands(&webhook, "waiting", 2).await;
    school.clock.advance(TimeDelta::minutes(6));
    let delivery = school.stands(&webhook, "delivered", 3).await;
    let arrived = receiver.after(3).await;
    assert!(arrived.iter().all(|one| one.header("webhook-id") == delivery.id.to_string()));
    assert!(arrived.iter().all(|one| one.body == arrived[0].body));
    let log = delivery.log.as_array().unwrap();
    let codes: Vec<_> = log.iter().map(|attempt| attempt["code"].clone()).collect();
    assert_eq!(codes, [json!(500), json!(302), json!(204)]);
    assert_eq!(log[1]["failure"], "the receiver is elsewhere, and nothing is followed");
    assert_eq!(log[2]["failure"], Value::Null);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn networks_that_are_not_of_the_internet_are_not_sent_to() -> Result<()> {
    let school = School::open(1).await?;
    let receiver = Receiver::start([]).await?;
    let port = receiver.address.port();
    let worker = school.notify(NotifyConfig::default());
    for (url, failure) in [
        (format!("http://127.0.0.1:{port}/hook"), "the address is in a network that may not be sent to"),
        (
            format!("http://[::ffff:127.0.0.1]:{port}/hook"),
            "the address is in a network that may not be sent to",
        ),
        (format!("http://localhost:{port}/hook"), "the address is in a network that may not be sent to"),
        ("https://169.254.169.254/latest".into(), "the address is in a network that may not be sent to"),
        ("http://1.1.1.1/".into(), "without TLS only networks of `private_networks` may be sent to"),
        ("https://no-such-name.invalid/".into(), "the name cannot be resolved"),
        ("ftp://example.org/".into(), "the address is not one of HTTP"),
    ] {
        let webhook = school.webhook(url.clone(), &[]).await?;
        let outcome = school.ask_webhook(&webhook, WebhookCommand::Ping).await?;
        assert!(matches!(outcome.result, OutcomeResult::Succeeded { .. }), "{outcome:?}");
        let delivery = school.stands(&webhook, "waiting", 1).await;
        assert_eq!(delivery.log[0]["failure"], failure, "{url}");
    }
    assert_eq!(receiver.arrived().len(), 0);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_webhook_that_fails_for_long_is_given_up_and_administrators_see_it() -> Result<()> {
    let school = School::open(1).await?;
    let receiver = Receiver::start(std::iter::repeat_n(StatusCode::BAD_GATEWAY, 3)).await?;
    let webhook = school.webhook(format!("http://{}/hook", receiver.address), &["session.ended"]).await?;
    let worker = school.notify(webhooks_only());
    school.missed_lesson().await?;
    school.stands(&webhook, "waiting", 1).await;
    school.clock.advance(TimeDelta::hours(120));
    school.stands(&webhook, "waiting", 2).await;
    let given_up = || async {
        let counts = school.fact_counts().await.unwrap();
        counts.get("webhook.disabled").copied()
    };
    assert_eq!(eventually("the fact", SOON, given_up).await, 1);
    school.clock.advance(TimeDelta::hours(1));
    let cancelled = school.stands(&webhook, "cancelled", 3).await;
    assert_eq!(cancelled.log[2]["failure"], "the webhook is switched off");
    let refused = school.ask_webhook(&webhook, WebhookCommand::Ping).await?;
    assert!(matches!(refused.result, OutcomeResult::Failed(_)), "{refused:?}");

    // Switched on again, it gets what it missed, and is not given up for what was.
    let on = Webhook { enabled_at: Some(school.clock.now()), ..webhook.clone() };
    webhooks::update(&mut *school.pool.acquire().await?, &on).await?;
    let replayed = school.ask_webhook(&webhook, WebhookCommand::Replay { since: 0 }).await?;
    let OutcomeResult::Succeeded { answer: Answer::Webhook(answer) } = replayed.result else {
        panic!("{replayed:?}")
    };
    assert_eq!(answer.until, Some(school.bus.stream(Stream::Facts).await?.last_sequence));
    school.stands(&webhook, "waiting", 4).await;
    school.clock.advance(TimeDelta::seconds(6));
    school.stands(&webhook, "delivered", 5).await;
    let counts = school.fact_counts().await?;
    assert_eq!(counts["webhook.disabled"], 1);
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn one_that_wants_nothing_any_more_is_given_up_at_once() -> Result<()> {
    let school = School::open(1).await?;
    let receiver = Receiver::start([StatusCode::GONE]).await?;
    let webhook = school.webhook(format!("http://{}/hook", receiver.address), &["session.ended"]).await?;
    let worker = school.notify(webhooks_only());
    school.missed_lesson().await?;
    school.stands(&webhook, "failed", 1).await;
    let found = webhooks::find(&mut *school.pool.acquire().await?, webhook.id).await?.unwrap();
    assert!(found.disabled_at.is_some() && !found.is_on());
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_log_that_comes_again_is_one_delivery_each_and_a_replay_sends_again_under_the_same_id() -> Result<()>
{
    let school = School::open(3).await?;
    let receiver = Receiver::start([]).await?;
    let webhook = school.webhook(format!("http://{}/hook", receiver.address), &[]).await?;
    let worker = school.notify(webhooks_only());
    school.missed_lesson().await?;
    let facts = school.facts().await?.len();
    let first = receiver.after(facts).await;
    worker.stop(SOON).await?;

    for _ in 0..3 {
        school.broker.forget_place(Stream::Facts, consumer::NOTIFIER).await;
        let worker = school.notify(webhooks_only());
        school.settled(Stream::Facts, consumer::NOTIFIER).await;
        worker.stop(SOON).await?;
    }
    let log = school.log(&webhook).await?;
    assert_eq!(log.len(), facts);
    assert!(log.iter().all(|delivery| delivery.attempts == 1), "{log:?}");

    let worker = school.notify(webhooks_only());
    let since = log.iter().filter_map(|delivery| delivery.sequence).max().unwrap().unsigned_abs() - 2;
    school.ask_webhook(&webhook, WebhookCommand::Replay { since }).await?;
    let all = receiver.after(facts + 2).await;
    let ids = |arrived: &[Arrived]| -> std::collections::BTreeSet<String> {
        arrived.iter().map(|one| one.header("webhook-id").to_owned()).collect()
    };
    assert_eq!(ids(&all), ids(&first));
    eventually("both are on record", SOON, || async {
        let log = school.log(&webhook).await.unwrap();
        (log.iter().filter(|delivery| delivery.attempts == 2 && delivery.state == "delivered").count() == 2)
            .then_some(())
    })
    .await;
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_receiver_that_hangs_keeps_nobody_else_waiting() -> Result<()> {
    let school = School::open(40).await?;
    let receiver = Receiver::start([]).await?;
    let silent = school.webhook(format!("http://{}/silent", receiver.address), &[]).await?;
    let other = school.webhook(format!("http://{}/hook", receiver.address), &[]).await?;
    let patient = NotifyConfig { in_flight: 4, ..webhooks_only() };
    let webhooks = WebhookConfig { timeout_ms: 60_000, ..patient.webhooks };
    let _worker = school.notify(NotifyConfig { webhooks, ..patient });
    school.missed_lesson().await?;
    receiver.after(school.facts().await?.len()).await;
    assert!(school.log(&other).await?.iter().any(|delivery| delivery.state == "delivered"));
    assert!(school.log(&silent).await?.iter().all(|delivery| delivery.state == "waiting"));
    Ok(())
}

#[tokio::test]
async fn two_workers_send_each_thing_once() -> Result<()> {
    let school = School::open(40).await?;
    let receiver = Receiver::start([]).await?;
    let webhook = school.webhook(format!("http://{}/hook", receiver.address), &[]).await?;
    let workers = [school.notify(webhooks_only()), school.notify(webhooks_only())];
    school.missed_lesson().await?;
    let facts = school.facts().await?.len();
    receiver.after(facts).await;
    eventually("all is on record", SOON, || async {
        let log = school.log(&webhook).await.unwrap();
        log.iter().all(|delivery| delivery.state == "delivered").then_some(())
    })
    .await;
    let mut ids: Vec<_> = receiver.arrived().iter().map(|one| one.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), facts);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), facts, "something was sent twice");
    assert!(receiver.arrived().iter().any(|one| one.event() == "attendance.recorded"));
    for worker in workers {
        worker.stop(SOON).await?;
    }
    Ok(())
}
