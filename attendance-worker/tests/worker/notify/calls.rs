//! Webhooks, checked by the official verifiers.

use super::{
    RECEIVERS, SECRET_TEXT,
    receiver::{Arrived, Receiver},
};
use crate::harness::{SOON, School};
use anyhow::{Context, Result};
use axum::http::StatusCode;
use chrono::TimeDelta;
use rollcall_attendance_worker::{NotifyConfig, WebhookConfig, consumer};
use rollcall_bus::Message;
use rollcall_schemas::{
    outcome::{Answer, OutcomeResult},
    request::WebhookCommand,
    subject::Stream,
};
use rollcall_service::{clock::Clock, seal::Sealer};
use rollcall_store::webhooks::{self, Webhook};
use rollcall_test_support::eventually;
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::{io::AsyncWriteExt, process::Command};

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
async fn under_tls_only_a_receiver_that_is_vouched_for_is_spoken_to() -> Result<()> {
    let school = School::open(1).await?;
    let (receiver, certificate) = Receiver::start_under_tls().await?;
    let webhook = school.webhook(format!("https://{}/hook", receiver.address), &["session.started"]).await?;
    let worker = school.notify(webhooks_only());
    school.lesson().await?;
    let delivery = school.stands(&webhook, "waiting", 1).await;
    assert_eq!(delivery.log[0]["failure"], "the receiver cannot be connected to");
    assert_eq!(receiver.arrived().len(), 0);
    worker.stop(SOON).await?;

    let folder = tempfile::tempdir()?;
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, certificate)?;
    let mut config = webhooks_only();
    config.webhooks.ca_file = Some(file);
    school.clock.advance(TimeDelta::seconds(6));
    let worker = school.notify(config);
    let [arrived] = receiver.after(1).await.try_into().unwrap();
    assert_eq!(arrived.event(), "session.started");
    school.stands(&webhook, "delivered", 2).await;
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
async fn a_fact_that_the_log_holds_twice_is_replayed_once() -> Result<()> {
    let school = School::open(1).await?;
    let receiver = Receiver::start([]).await?;
    let webhook = school.webhook(format!("http://{}/hook", receiver.address), &["session.ended"]).await?;
    let worker = school.notify(webhooks_only());
    school.missed_lesson().await?;
    let fact = school.facts().await?.into_iter().find(|fact| fact.event.name() == "session.ended");
    let fact = fact.context("it was told")?;
    // As when the mark was lost that it was published, and the broker had forgotten its id.
    school.bus.publish(Message::json(fact.subject(), "again", &fact)?).await?;
    school.stands(&webhook, "delivered", 1).await;
    school.ask_webhook(&webhook, WebhookCommand::Replay { since: 0 }).await?;
    let delivery = school.stands(&webhook, "delivered", 2).await;
    let arrived = receiver.after(2).await;
    assert!(arrived.iter().all(|one| one.header("webhook-id") == delivery.id.to_string()));
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
