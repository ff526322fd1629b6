//! `rollcall watch`: live events in the terminal, resumed where the last run ended.

use crate::{admin::read_password, client::Client};
use anyhow::{Context, bail};
use eventsource_stream::Eventsource;
use futures::{Stream, StreamExt};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use std::{path::PathBuf, time::Duration};

/// Watches live events.
#[derive(clap::Args)]
pub struct Watch {
    /// Address of the api.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Who watches. The password is read from standard input, never from the command line.
    #[arg(long)]
    email: String,
    /// Only events of this session.
    #[arg(long)]
    session: Option<String>,
    /// Only events of this class.
    #[arg(long)]
    class: Option<String>,
    /// Only events of this camera.
    #[arg(long)]
    camera: Option<String>,
    /// Only events of these types, such as attendance.recorded.
    #[arg(long = "type")]
    types: Vec<String>,
    /// Begin after this event instead of where the last run ended; 0 begins with the oldest one kept.
    #[arg(long)]
    after: Option<u64>,
    /// Where the position is kept between runs.
    #[arg(long, default_value = ".rollcall-watch")]
    position: PathBuf,
    /// Print each event as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// One live event.
pub struct Event {
    /// Its place in FACTS: the cursor.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// The fact.
    pub fact: Value,
}

/// Opens a stream of events.
///
/// # Errors
/// When the server refuses.
pub async fn events(
    request: RequestBuilder,
) -> anyhow::Result<impl Stream<Item = anyhow::Result<Event>> + Unpin + use<>> {
    // The client's own deadline is for whole answers; this one has no end.
    let response = request
        .timeout(Duration::from_secs(86_400 * 365))
        .send()
        .await
        .context("the server does not answer")?;
    if !response.status().is_success() {
        let status = response.status();
        bail!("the server refused the stream: {status} {}", response.text().await.unwrap_or_default());
    }
    Ok(Box::pin(response.bytes_stream().eventsource().map(|event| {
        let event = event.context("the stream broke off")?;
        let fact = serde_json::from_str(&event.data).context("an event is not JSON")?;
        Ok(Event { id: event.id, kind: event.event, fact })
    })))
}

/// Runs `rollcall watch` until it is interrupted; a stream that breaks off is taken up again.
///
/// # Errors
/// When the server refuses the stream.
pub async fn run(watch: Watch) -> anyhow::Result<()> {
    let password = read_password()?;
    let client = Client::new(&watch.url)?.sign_in(&watch.email, password.reveal()).await?;
    let mut position = match watch.after {
        Some(after) => Some(after.to_string()),
        None => std::fs::read_to_string(&watch.position).ok().map(|text| text.trim().to_owned()),
    };
    loop {
        let mut request = client.request(Method::GET, "/api/v1/events").query(&watch.filters());
        if let Some(position) = &position {
            request = request.header("Last-Event-ID", position);
        }
        let mut stream = events(request).await?;
        while let Some(event) = stream.next().await {
            let Ok(event) = event else { break };
            watch.print(&event);
            std::fs::write(&watch.position, &event.id).context("keeping the position")?;
            position = Some(event.id);
        }
        eprintln!("the stream ended; taking it up again");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

impl Watch {
    fn filters(&self) -> Vec<(&'static str, &str)> {
        let single = [("session", &self.session), ("class", &self.class), ("camera", &self.camera)];
        let single = single.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        single.chain(self.types.iter().map(|kind| ("type", kind.as_str()))).collect()
    }

    fn print(&self, event: &Event) {
        if self.json {
            println!("{}", event.fact);
        } else {
            let at = event.fact["at"].as_str().unwrap_or_default();
            println!("{:>8}  {at}  {:<22}{}", event.id, event.kind, event.fact["data"]);
        }
    }
}
