//! What happens in the demo: a session opens, a camera pushes frames, students scan, the session ends. Everything is
//! done over HTTP, and everything reported is read back.

use super::{
    cast::{Cast, Student, text},
    stage::{self, Photographs},
};
use crate::{client::send, ledger::Balances, up::System};
use anyhow::{Context, ensure};
use chrono::{SecondsFormat, TimeDelta};
use futures::StreamExt;
use reqwest::{Method, StatusCode};
use rollcall_service::clock::Clock;
use rollcall_store::ledger;
use serde_json::{Value, json};
use std::time::Duration;

/// What the table is made of.
pub struct Report {
    /// The session's records, as the API tells them.
    pub records: Vec<Value>,
    /// Each scan: what it was, and the code that answered it.
    pub scans: Vec<(&'static str, String)>,
    /// The types of the live events of the session, in order.
    pub live: Vec<String>,
    /// What became of the frames of the camera.
    pub ledger: Balances,
    /// How many frames of this run the camera pushed.
    pub frames_pushed: u64,
    /// The students' names by id.
    pub names: Vec<(String, &'static str)>,
}

/// Plays it.
pub async fn play(cast: &Cast, system: &System, photographs: &Photographs) -> anyhow::Result<Report> {
    let before = processed(system, cast).await?;
    let session_id = stage::step("Planning a session", plan_session(cast)).await?;
    let live = watch(cast, &session_id).await?;
    let path = format!("/api/v1/sessions/{session_id}/start");
    stage::step("Starting it", async { cast.teacher.put(&path, &json!({})).await?.data() }).await?;
    let first_code = current_code(cast, &session_id).await?;
    let path = format!("/api/v1/sessions/{session_id}/qr");
    let next_code = cast.teacher.post(&path, &json!({})).await?.data()?;
    let code = text(&next_code["qrCode"], "token")?;

    let frames = [&photographs.unseen, &photographs.stranger, &photographs.group, &photographs.empty];
    stage::step("Pushing four frames as the camera", push(cast, &frames)).await?;
    let scans = stage::step("Scanning the code five times", scan_all(cast, &code, &first_code)).await?;
    stage::step(
        "Waiting until every frame is processed",
        settled(system, cast, before + frames.len() as u64),
    )
    .await?;
    let path = format!("/api/v1/sessions/{session_id}/end");
    stage::step("Ending the session", async { cast.teacher.put(&path, &json!({})).await?.data() }).await?;
    let live = stage::step("Collecting the live events", live.until_ended()).await?;

    let records = cast.teacher.get(&format!("/api/v1/attendance/session/{session_id}")).await?.data()?;
    let records = records["attendanceRecords"].as_array().context("no attendanceRecords")?.clone();
    let students = [&cast.known, &cast.scanner, &cast.missing, &cast.outsider];
    Ok(Report {
        records,
        scans,
        live,
        ledger: ledger::balance(system.pool()).await?,
        frames_pushed: frames.len() as u64,
        names: students.iter().map(|student| (student.id.clone(), student.name)).collect(),
    })
}

async fn plan_session(cast: &Cast) -> anyhow::Result<String> {
    let now = Clock::real().now();
    let time = |minutes| (now + TimeDelta::minutes(minutes)).to_rfc3339_opts(SecondsFormat::Micros, true);
    // An earlier run that was interrupted may have left its session open.
    let body = json!({
        "classId": cast.class_id, "startTime": time(0), "endTime": time(45), "allowOverlap": true,
    });
    let session = cast.teacher.post("/api/v1/sessions", &body).await?.data()?;
    text(&session["session"], "id")
}

async fn current_code(cast: &Cast, session_id: &str) -> anyhow::Result<String> {
    let data = cast.teacher.get(&format!("/api/v1/sessions/{session_id}/qr")).await?.data()?;
    text(&data["qrCode"], "token")
}

async fn push(cast: &Cast, frames: &[&Vec<u8>]) -> anyhow::Result<()> {
    for frame in frames {
        let path = format!("/api/v1/cameras/{}/frames", cast.camera_id);
        let request = cast.camera.request(Method::POST, &path).header("Content-Type", "image/jpeg");
        let answer = send(request.body((*frame).clone())).await?;
        ensure!(answer.status == StatusCode::ACCEPTED, "a frame was refused: {}", answer.body);
    }
    Ok(())
}

async fn scan_all(cast: &Cast, code: &str, old_code: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
    let never_issued = "00000000-0000-4000-8000-000000000000";
    let scans: [(&str, &Student, &str); 5] = [
        ("enrolled student", &cast.scanner, code),
        ("the same student again", &cast.scanner, code),
        ("student of another class", &cast.outsider, code),
        ("code that has expired", &cast.missing, old_code),
        ("code that was never issued", &cast.missing, never_issued),
    ];
    let mut answers = Vec::with_capacity(scans.len());
    for (title, student, token) in scans {
        let answer = student.client.post("/api/v1/attendance/mark", &json!({ "qrToken": token })).await?;
        answers.push((title, answer.code().to_owned()));
    }
    Ok(answers)
}

async fn processed(system: &System, cast: &Cast) -> anyhow::Result<u64> {
    let balances = ledger::balance(system.pool()).await?;
    Ok(balances.get(&cast.camera_id.parse()?).map_or(0, |balance| balance.processed))
}

/// Waits until the ledger shows `wanted` processed frames of the camera.
async fn settled(system: &System, cast: &Cast, wanted: u64) -> anyhow::Result<()> {
    let poll = async {
        while processed(system, cast).await? < wanted {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(120), poll)
        .await
        .context("the frames are not processed after two minutes")?
}

/// A watcher of one session's live events.
struct Live {
    types: tokio::task::JoinHandle<anyhow::Result<Vec<String>>>,
}

async fn watch(cast: &Cast, session_id: &str) -> anyhow::Result<Live> {
    let request = cast.teacher.request(Method::GET, &format!("/api/v1/events?session={session_id}"));
    let mut events = crate::watch::events(request).await?;
    let types = tokio::spawn(async move {
        let mut types = Vec::new();
        while let Some(event) = events.next().await {
            let event = event?;
            let ended = event.kind == "session.ended";
            types.push(event.kind);
            if ended {
                break;
            }
        }
        Ok(types)
    });
    Ok(Live { types })
}

impl Live {
    async fn until_ended(self) -> anyhow::Result<Vec<String>> {
        let ended = tokio::time::timeout(Duration::from_secs(30), self.types).await;
        ended.context("the live stream did not tell the end of the session")??
    }
}
