//! Sign-ins, beside what they are bound by: bcrypt on every processor and nothing else. And whether the time of a refusal
//! tells who has an account.

use super::{
    Scope,
    deployment::{self, Deployment},
    latency::median,
    process::Service,
    report::{Figure, Report},
    school::School,
};
use crate::{client::Client, config::Config};
use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use rollcall_schemas::{id::UserId, role::Role};
use rollcall_store::{
    organisations,
    users::{self, NewUser},
};
use serde_json::json;
use std::{
    thread::{self, available_parallelism},
    time::Instant,
};

const NAME: &str = "logins";
const PASSWORD: &str = "Correct-horse-1";
const AIM: f64 = 0.9;
/// Sign-ins on their way for each processor: one is hashed, one waits.
const IN_FLIGHT: usize = 2;
/// Fewer than lock an account.
const FAILURES_EACH: usize = 4;
const DIFFERENCE_LIMIT_PERCENT: f64 = 10.0;

/// Runs it.
pub async fn run(scope: Scope, config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let (rounds, each, refusals) = if scope.quick { (1, 8, 8) } else { (4, 24, 60) };
    deployment::with(config, &[Service::Ingest, Service::Api], async |deployment| {
        School::found(deployment, 0).await?;
        let cost = config.api.bcrypt_cost;
        let hash = bcrypt::hash(PASSWORD, cost)?;
        let emails = accounts(deployment, &hash, refusals.max(each * rounds)).await?;
        let client = Client::new(deployment.address(Service::Api))?;
        let (mut ours, mut peers) = (Vec::new(), Vec::new());
        for round in emails.chunks(each).take(rounds) {
            peers.push(alone(&hash, each)?);
            ours.push(sign_ins(&client, round).await?);
        }
        let figure = Figure::new(NAME, format!("sign-ins, bcrypt cost {cost}"), median(ours), "/s");
        report.add(figure.beside("bcrypt on every processor", median(peers), Some(AIM)));

        let (known, unknown) = refused(&client, &emails, refusals).await?;
        let difference = (known / unknown - 1.0).abs() * 100.0;
        let figure =
            Figure::new(NAME, "refusals of known and unknown e-mails: medians differ by", difference, "%");
        let note = format!("known {known:.1} ms, unknown {unknown:.1} ms");
        report.add(figure.at_most(DIFFERENCE_LIMIT_PERCENT).note(note));
        Ok(())
    })
    .await
}

/// Teachers who can sign in, by e-mail.
async fn accounts(deployment: &Deployment, hash: &str, count: usize) -> anyhow::Result<Vec<String>> {
    let Deployment { pool, clock, entropy, .. } = deployment;
    let mut db = pool.acquire().await?;
    let organisation = organisations::find(&mut db).await?.context("the school has an organisation")?;
    let mut emails = Vec::with_capacity(count);
    for number in 0..count {
        let email = format!("teacher{number}@bench.example");
        let teacher = NewUser {
            id: UserId(entropy.uuid_v4()),
            organisation_id: organisation.id,
            email: email.clone(),
            full_name: format!("Teacher {number}"),
            role: Role::Teacher,
            roll_number: None,
            password_hash: Some(hash.to_owned()),
            created_at: clock.now(),
        };
        users::create(&mut db, &teacher).await?;
        emails.push(email);
    }
    Ok(emails)
}

/// Verifies the password on every processor, so often in all. Returns verifications a second.
fn alone(hash: &str, times: usize) -> anyhow::Result<f64> {
    let threads = available_parallelism().map_or(1, usize::from);
    let each = times.div_ceil(threads);
    let begun = Instant::now();
    thread::scope(|scope| {
        let verify = || (0..each).try_for_each(|_| bcrypt::verify(PASSWORD, hash).map(|_| ()));
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(verify)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("bcrypt does not panic"))
    })?;
    Ok((each * threads) as f64 / begun.elapsed().as_secs_f64())
}

/// Signs everybody in. Returns sign-ins a second.
async fn sign_ins(client: &Client, emails: &[String]) -> anyhow::Result<f64> {
    let in_flight = available_parallelism().map_or(1, usize::from) * IN_FLIGHT;
    let begun = Instant::now();
    let signed_in = stream::iter(emails).map(|email| client.sign_in(email, PASSWORD));
    let signed_in: Vec<_> = signed_in.buffer_unordered(in_flight).try_collect().await?;
    Ok(signed_in.len() as f64 / begun.elapsed().as_secs_f64())
}

/// Wrong passwords for known and unknown addresses in turn. Returns the median time of each in milliseconds.
async fn refused(client: &Client, emails: &[String], times: usize) -> anyhow::Result<(f64, f64)> {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let emails = emails.iter().cycle().take(times.min(emails.len() * FAILURES_EACH));
    for (number, email) in emails.enumerate() {
        known.push(refusal_ms(client, email).await?);
        unknown.push(refusal_ms(client, &format!("nobody{number}@bench.example")).await?);
    }
    Ok((median(known), median(unknown)))
}

async fn refusal_ms(client: &Client, email: &str) -> anyhow::Result<f64> {
    let body = json!({ "email": email, "password": "Wrong-horse-1" });
    let begun = Instant::now();
    let answer = client.post("/api/v1/auth/login", &body).await?;
    let took = begun.elapsed();
    ensure!(answer.code() == "AUTH_INVALID_CREDENTIALS", "not refused: {} {}", answer.status, answer.body);
    Ok(took.as_secs_f64() * 1e3)
}
