//! Waiting for something that happens elsewhere.

use std::{future::Future, time::Duration};
use tokio::time::{Instant, sleep};

const POLL: Duration = Duration::from_millis(10);

/// Asks `condition` again and again until it gives something, and gives that.
///
/// # Panics
/// When it has given nothing by the deadline; the message says `what` was waited for.
pub async fn eventually<T, F>(what: &str, deadline: Duration, mut condition: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < end, "{what} did not happen within {deadline:?}");
        sleep(POLL).await;
    }
}
