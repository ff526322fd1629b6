//! Clients that are too slow: a body must keep coming, and an answer must begin in time.

use super::{head, layers::HttpConfig, problem::Problem};
use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use http_body::{Body as _, Frame, SizeHint};
use std::{
    error::Error,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// After a time-out the same call may well succeed soon.
const RETRY_AFTER_TIMEOUT: Duration = Duration::from_secs(1);

/// How much time a call may take.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// Until its answer begins.
    answer: Duration,
    /// For which its body may pause.
    pause: Duration,
    /// What its body must bring on average.
    bytes_per_s: u32,
}

impl Pace {
    pub(super) fn of(config: &HttpConfig) -> Self {
        Self {
            answer: Duration::from_millis(config.request_timeout_ms),
            pause: Duration::from_millis(config.body_timeout_ms),
            bytes_per_s: config.body_min_bytes_per_s.get(),
        }
    }

    /// The request with a body that must keep coming, and whether it is being waited for; a call without a body, as
    /// most are, has nobody to wait for.
    fn applied_to(self, request: Request) -> (Request, Option<Arc<AtomicBool>>) {
        if request.body().is_end_stream() {
            return (request, None);
        }
        let awaited = Arc::new(AtomicBool::new(false));
        (request.map(|body| Body::new(Paced::new(body, self, awaited.clone()))), Some(awaited))
    }
}

/// Answers for a handler that takes too long, and for a client whose body does. A stream whose answer has begun may go
/// on. A head that is too large is refused before anything else: it is read already.
pub(super) async fn within(State(pace): State<Pace>, request: Request, next: Next) -> Response {
    if let Err(refused) = head::check(&request) {
        return refused.into_response();
    }
    let (request, awaited) = pace.applied_to(request);
    match tokio::time::timeout(pace.answer, next.run(request)).await {
        Ok(response) => response,
        // Whom the call was waiting for when the time was over is who was too slow.
        Err(_) if awaited.is_some_and(|awaited| awaited.load(Ordering::Relaxed)) => {
            Problem::of_status(StatusCode::REQUEST_TIMEOUT).into_response()
        }
        Err(_) => Problem::unavailable("the call took too long", RETRY_AFTER_TIMEOUT).into_response(),
    }
}

/// A body did not keep coming.
#[derive(Debug, thiserror::Error)]
#[error("the body comes too slowly")]
pub(super) struct TooSlow;

/// A body with a budget of time to wait for its next part. Each part that comes adds what it may take at the least pace,
/// up to what a body may pause. Time in which nobody waits for it is free.
struct Paced {
    body: Body,
    pace: Pace,
    budget: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Whether the call is waiting for the client at this moment.
    awaited: Arc<AtomicBool>,
}

impl Paced {
    fn new(body: Body, pace: Pace, awaited: Arc<AtomicBool>) -> Self {
        Self { body, pace, budget: pace.pause, waiting: None, awaited }
    }

    fn wait(&mut self, context: &mut Context<'_>) -> Poll<TooSlow> {
        self.awaited.store(true, Ordering::Relaxed);
        let budget = self.budget;
        let (_, end) = self.waiting.get_or_insert_with(|| {
            let now = Instant::now();
            (now, Box::pin(sleep_until(now + budget)))
        });
        ready!(end.as_mut().poll(context));
        Poll::Ready(TooSlow)
    }

    fn received(&mut self, bytes: usize) {
        self.awaited.store(false, Ordering::Relaxed);
        if let Some((since, _)) = self.waiting.take() {
            let earned = Duration::from_secs_f64(bytes as f64 / f64::from(self.pace.bytes_per_s));
            self.budget = (self.budget.saturating_sub(since.elapsed()) + earned).min(self.pace.pause);
        }
    }
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.received(frame.data_ref().map_or(0, Bytes::len));
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(ended) => {
                this.received(0);
                Poll::Ready(ended.map(|failed| failed.map_err(Into::into)))
            }
            Poll::Pending => this.wait(context).map(|slow| Some(Err(slow.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use std::convert::Infallible;

    const SECOND: Duration = Duration::from_secs(1);

    /// Reads a body whose parts of so many bytes come every second, for a minute; says how long that took.
    async fn read(bytes: usize) -> (bool, Duration) {
        let parts = stream::unfold(0, move |count| async move {
            tokio::time::sleep(SECOND).await;
            (count < 60).then(|| (Ok::<_, Infallible>(vec![0_u8; bytes]), count + 1))
        });
        let pace = Pace { answer: 60 * SECOND, pause: 5 * SECOND, bytes_per_s: 1_000 };
        let began = Instant::now();
        let paced = Paced::new(Body::from_stream(parts), pace, Arc::default());
        let read = axum::body::to_bytes(Body::new(paced), usize::MAX).await;
        if let Err(error) = &read {
            assert!(error.to_string().contains("too slowly"), "{error}");
        }
        (read.is_ok(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_must_keep_coming_at_the_least_pace() {
        assert!(read(1_000).await.0);
        // Half the pace: of every second, half comes from what it may pause.
        let (is_read, elapsed) = read(500).await;
        assert!(!is_read && (9 * SECOND..=11 * SECOND).contains(&elapsed), "{elapsed:?}");
        let (is_read, elapsed) = read(1).await;
        assert!(!is_read && (5 * SECOND..=6 * SECOND).contains(&elapsed), "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_waits_is_free() {
        let pace = Pace { answer: 60 * SECOND, pause: SECOND, bytes_per_s: 1_000 };
        let parts = stream::iter([Ok::<_, Infallible>("one"), Ok("two")]);
        let mut paced = Paced::new(Body::from_stream(parts), pace, Arc::default());
        for _ in 0..2 {
            tokio::time::sleep(60 * SECOND).await;
            let frame =
                std::future::poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut paced), context));
            assert!(frame.await.unwrap().is_ok());
        }
    }
}
