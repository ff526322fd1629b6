//! Cameras and phones under load: each call is made until it is answered, always with the same content, as real ones
//! do. What counts as an answer is here; what the answer must be is in the tests.

use super::{Camera, PATIENCE, Student};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use reqwest::{Method, StatusCode};
use rollcall_schemas::{
    frame::rfc3339,
    id::{CameraId, FrameId, RequestId},
    scan::QrToken,
};
use rollcall_test_support::Client;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};

/// What a client waits before it makes the same call again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// How long a client waits for an answer before it takes the connection for dead.
const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// Calls that are being made by a number of clients, as many as have been released.
pub(crate) struct Load<A> {
    permits: Arc<Semaphore>,
    counts: watch::Sender<Counts>,
    clients: JoinSet<Vec<A>>,
}

/// How a load has fared so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Calls that have been answered.
    pub(crate) answered: usize,
    /// How often a call had to be made again.
    pub(crate) turned_away: usize,
}

impl<A: Send + 'static> Load<A> {
    /// `clients` clients work through `calls`; none is made before it is released. `make` gives nothing when the call
    /// was not answered and must be made again.
    pub(crate) fn new<C, M, F>(clients: usize, calls: Vec<C>, make: M) -> Self
    where
        C: Clone + Send + 'static,
        M: Fn(C) -> F + Clone + Send + 'static,
        F: Future<Output = Option<A>> + Send,
    {
        let permits = Arc::new(Semaphore::new(0));
        let counts = watch::Sender::new(Counts::default());
        let calls = Arc::new(Mutex::new(calls.into_iter()));
        let mut running = JoinSet::new();
        for _ in 0..clients {
            let (permits, counts, calls, make) =
                (permits.clone(), counts.clone(), calls.clone(), make.clone());
            running.spawn(async move {
                let mut answers = Vec::new();
                while let Ok(permit) = permits.acquire().await {
                    permit.forget();
                    let next = calls.lock().next();
                    let Some(call) = next else { break };
                    let make = make.clone();
                    answers.push(insist(&counts, move || make(call.clone())).await);
                }
                answers
            });
        }
        Self { permits, counts, clients: running }
    }

    /// Lets so many more calls be made.
    pub(crate) fn release(&self, calls: usize) {
        self.permits.add_permits(calls);
    }

    /// How it has fared so far.
    pub(crate) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Wakes up as soon as it has fared so.
    pub(crate) async fn until(&self, what: &str, reached: impl FnMut(&Counts) -> bool) {
        let mut counts = self.counts.subscribe();
        let reached = tokio::time::timeout(PATIENCE, counts.wait_for(reached)).await;
        reached.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}, {:?}", self.counts())).ok();
    }

    /// Makes the calls that are left, and gives every answer.
    pub(crate) async fn finish(self) -> Vec<A> {
        self.permits.add_permits(Semaphore::MAX_PERMITS >> 1);
        self.clients.join_all().await.into_iter().flatten().collect()
    }
}

async fn insist<A, F: Future<Output = Option<A>>>(counts: &watch::Sender<Counts>, make: impl Fn() -> F) -> A {
    loop {
        if let Some(answer) = make().await {
            counts.send_modify(|counts| counts.answered += 1);
            return answer;
        }
        counts.send_modify(|counts| counts.turned_away += 1);
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// A picture that a camera has taken.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) camera: Camera,
    pub(crate) captured_at: DateTime<Utc>,
    pub(crate) picture: Bytes,
}

/// A frame that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FrameAnswer {
    pub(crate) camera_id: CameraId,
    pub(crate) frame_id: FrameId,
    pub(crate) sequence: u64,
}

/// Pushes a frame, as its camera does.
pub(crate) async fn push(frame: Frame) -> Option<FrameAnswer> {
    let Frame { camera, captured_at, picture } = frame;
    let request = camera
        .client
        .request(Method::POST, &format!("/api/v1/cameras/{}/frames", camera.id))
        .header("content-type", "image/jpeg")
        .header("x-captured-at", rfc3339(captured_at))
        .body(picture);
    let (status, body) = call(request).await?;
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    let data = &body["data"];
    let frame_id = data["frameId"].as_str().expect("an accepted frame has an id").parse();
    Some(FrameAnswer {
        camera_id: camera.id,
        frame_id: frame_id.expect("an id is a UUID"),
        sequence: data["sequence"].as_u64().expect("an accepted frame has a place in the log"),
    })
}

/// A scan that a student makes.
#[derive(Clone)]
pub(crate) struct Scan {
    pub(crate) student: Student,
    /// Where it is sent, without credentials.
    pub(crate) door: Client,
    pub(crate) qr_token: String,
    /// The same for every try.
    pub(crate) key: String,
}

/// A scan that was accepted.
#[derive(Clone, Debug)]
pub(crate) struct ScanAnswer {
    pub(crate) student: Student,
    pub(crate) request_id: RequestId,
    /// What it was answered with; nothing when it was accepted and not yet decided.
    pub(crate) code: Option<String>,
}

/// Makes a scan, as a phone does.
pub(crate) async fn scan(scan: Scan) -> Option<ScanAnswer> {
    let Scan { student, door, qr_token, key } = scan;
    let token = qr_token.parse().expect("a code holds a UUID");
    let request = door
        .with_token(&student.token)
        .request(Method::POST, "/api/v1/attendance/mark")
        .header("idempotency-key", &key)
        .json(&json!({ "qrToken": qr_token }));
    let (status, body) = call(request).await?;
    let code = match status {
        StatusCode::ACCEPTED => None,
        StatusCode::OK => Some("OK".to_owned()),
        _ => Some(body["error"]["code"].as_str().unwrap_or_else(|| panic!("{status}: {body}")).to_owned()),
    };
    let request_id = RequestId::of_scan(student.id, &key, QrToken(token));
    Some(ScanAnswer { student, request_id, code })
}

/// One try: nothing when the call was not answered, or put off.
async fn call(request: reqwest::RequestBuilder) -> Option<(StatusCode, Value)> {
    let response = request.timeout(CALL_DEADLINE).send().await.ok()?;
    let status = response.status();
    let body = response.json().await.ok()?;
    let again = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    assert!(again || !status.is_server_error(), "{status}: {body}");
    (!again).then_some((status, body))
}
