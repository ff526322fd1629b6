//! E-mails, as they arrive at a real mail server.

use super::RECEIVERS;
use crate::harness::{SOON, School, at};
use anyhow::{Context, Result};
use chrono::TimeDelta;
use rollcall_attendance_worker::{EmailSecurity, NotifyConfig, SmtpConfig, consumer};
use rollcall_schemas::{
    id::WebhookId,
    notification::{
        Digest, Every, Preferences, QuietHours, Reader, Topic, UNSUBSCRIBE_PATH, UNSUBSCRIBE_PURPOSE,
        Unsubscription, Weekday,
    },
    subject::Stream,
};
use rollcall_service::{config::Secret, seal::Sealer};
use rollcall_store::preferences;
use rollcall_test_support::eventually;
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdout, Command},
};

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
async fn whoever_reads_an_email_unsubscribes_with_one_click() -> Result<()> {
    let sealer = Sealer::new(&Secret::new("a sealing key of the test"));
    let school = School { sealer: sealer.clone(), ..School::open(1).await? };
    let mut server = MailServer::start().await?;
    let guardian = school.guardian("robin@home.example", &[Topic::Absent]).await?;
    let smtp = SmtpConfig { public_url: "https://rollcall.school.example".into(), ..server.config.clone() };
    let worker = school.notify(NotifyConfig { smtp, ..NotifyConfig::default() });
    school.missed_lesson().await?;
    // The student, the guardian and the teacher.
    let mut wishes = Vec::new();
    for _ in 0..3 {
        let mail = server.next().await?;
        let headers = &mail["headers"];
        assert_eq!(headers["list-unsubscribe-post"], "List-Unsubscribe=One-Click");
        let ways = headers["list-unsubscribe"].as_str().context("a way")?;
        let (click, letter) = ways.split_once(", ").context("two ways")?;
        let begins = format!("<https://rollcall.school.example{UNSUBSCRIBE_PATH}?token=");
        let ticket =
            click.strip_prefix(&begins).and_then(|rest| rest.strip_suffix('>')).context("a ticket")?;
        let content = sealer.read_ticket(UNSUBSCRIBE_PURPOSE, ticket).context("one of ours")?;
        wishes.push(serde_json::from_slice::<Unsubscription>(&content)?);
        assert!(letter.starts_with("<mailto:no-more@school.example?subject=unsubscribe"), "{letter}");
    }
    let [student, teacher] = [school.students[0], school.teacher].map(Reader::User);
    for (reader, topic) in [
        (Reader::Guardian(guardian.id), Topic::Absent),
        (student, Topic::Absent),
        (teacher, Topic::SessionSummary),
    ] {
        let wish = Unsubscription { reader, topics: [topic].into() };
        assert!(wishes.contains(&wish), "{wishes:?}");
    }
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
    // Once that is on record: what is only leased is sent again when the clock leaps over the lease.
    eventually("both are on record", SOON, || async {
        let log = school.log_of(WebhookId(school.students[0].0)).await.ok()?;
        log.iter().all(|delivery| delivery.state == "delivered").then_some(())
    })
    .await;
    school.clock.set(at(9 * 3_600));
    let mail = server.next().await?;
    assert_eq!(mail["to"], json!([format!("{}@example.org", school.teacher)]));
    assert_eq!(mail["headers"]["subject"], "2 notifications");
    let text = mail["parts"]["text/plain"].as_str().unwrap();
    assert_eq!(text.matches("- Mathematics on 2 March 2026 at").count(), 2, "{text}");
    Ok(worker.stop(SOON).await?)
}

#[tokio::test]
async fn a_mail_server_that_says_nothing_is_not_waited_for() -> Result<()> {
    let school = School::open(1).await?;
    // Connections are accepted by the system, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let smtp = SmtpConfig {
        host: "127.0.0.1".into(),
        port: silent.local_addr()?.port(),
        security: EmailSecurity::None,
        from: "Hill School <rollcall@school.example>".into(),
        timeout_ms: 100,
        ..SmtpConfig::default()
    };
    let worker = school.notify(NotifyConfig { smtp, ..NotifyConfig::default() });
    school.missed_lesson().await?;
    let delivery = school.told(school.students[0], "waiting", 1).await;
    assert_eq!(delivery.log[0]["failure"], "the mail server took too long");
    Ok(worker.stop(SOON).await?)
}
