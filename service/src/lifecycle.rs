//! How a process starts its tasks and ends them in order: softly first, then hard.
//!
//! A soft stop asks: take nothing new, finish what is in hand. A hard stop tells: leave now. Part lifecycles stop in
//! the order in which they were made, each completely before the next, and their owner's tasks last. A task that
//! fails or panics stops the whole. There is no global state: tests run as many lifecycles as they like.

use futures::FutureExt;
use parking_lot::Mutex;
use std::{error::Error, future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::AbortHandle,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

/// How long tasks that were told to leave may take before they are cut off.
const HARD_GRACE: Duration = Duration::from_secs(5);

/// What a task may fail with.
pub type TaskError = Box<dyn Error + Send + Sync>;

/// Starts tasks and ends them. Clones are the same lifecycle.
#[derive(Clone)]
pub struct Lifecycle(Arc<Inner>);

struct Inner {
    name: String,
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    running: Mutex<Vec<(String, AbortHandle)>>,
    parts: Mutex<Vec<Lifecycle>>,
    failure: Arc<Failure>,
}

/// The first failure anywhere below one root.
#[derive(Default)]
struct Failure {
    first: Mutex<Option<TaskFailed>>,
    happened: CancellationToken,
}

/// A task that ended with an error or a panic.
#[derive(Debug, thiserror::Error)]
#[error("the task {task} failed: {reason}")]
pub struct TaskFailed {
    /// The name of the task, after the names of the lifecycles it belongs to.
    pub task: String,
    /// The error with its causes, or the panic's message.
    pub reason: String,
}

impl Lifecycle {
    /// A lifecycle of its own.
    pub fn new(name: &str) -> Self {
        Self::build(name.to_owned(), CancellationToken::new(), Arc::default())
    }

    fn build(name: String, hard: CancellationToken, failure: Arc<Failure>) -> Self {
        Self(Arc::new(Inner {
            name,
            soft: CancellationToken::new(),
            hard,
            tasks: TaskTracker::new(),
            running: Mutex::default(),
            parts: Mutex::default(),
            failure,
        }))
    }

    /// A part that is stopped before its owner's own tasks and before every part made after it.
    pub fn part(&self, name: &str) -> Self {
        let name = format!("{}/{name}", self.0.name);
        let part = Self::build(name, self.0.hard.child_token(), self.0.failure.clone());
        self.0.parts.lock().push(part.clone());
        part
    }

    /// Cancelled when nothing new is to be taken.
    pub fn soft_stop(&self) -> CancellationToken {
        self.0.soft.clone()
    }

    /// Cancelled when there is no more time.
    pub fn hard_stop(&self) -> CancellationToken {
        self.0.hard.clone()
    }

    /// Runs a task, within the caller's span. Its end is waited for when the lifecycle stops; its failure stops the
    /// whole.
    pub fn spawn<E: Into<TaskError>>(
        &self,
        name: &str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let task_name = format!("{}/{name}", self.0.name);
        let failure = self.0.failure.clone();
        let watched = {
            let task_name = task_name.clone();
            async move {
                let reason = match AssertUnwindSafe(task).catch_unwind().await {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => with_causes(error.into().as_ref()),
                    Err(panic) => format!("panicked: {}", panic_message(panic.as_ref())),
                };
                failure.record(TaskFailed { task: task_name, reason });
            }
        };
        let handle = self.0.tasks.spawn(watched.in_current_span()).abort_handle();
        let mut running = self.0.running.lock();
        running.retain(|(_, handle)| !handle.is_finished());
        running.push((task_name, handle));
    }

    /// Waits for SIGINT, SIGTERM or a failed task, then stops everything in order. `grace` is what the soft phase may
    /// take; a second signal ends it at once.
    ///
    /// # Errors
    /// The first task that failed, whether it caused the stop or failed during it.
    pub async fn run_until_stopped(&self, grace: Duration) -> Result<(), TaskFailed> {
        tokio::select! {
            () = a_signal() => tracing::info!("stopping: asked by a signal"),
            () = self.failed() => {}
        }
        tokio::select! {
            result = self.stop(grace) => return result,
            () = a_signal() => tracing::warn!("stopping at once: asked again"),
        }
        self.stop(Duration::ZERO).await
    }

    /// Waits until a task anywhere below the same root has failed.
    pub async fn failed(&self) {
        self.0.failure.happened.cancelled().await;
    }

    /// Stops the parts in order, then the lifecycle's own tasks. `grace` is what the soft phase may take in all.
    ///
    /// # Errors
    /// The first task that failed.
    pub async fn stop(&self, grace: Duration) -> Result<(), TaskFailed> {
        self.stop_by(Instant::now() + grace, HARD_GRACE).await;
        self.0.failure.first.lock().take().map_or(Ok(()), Err)
    }

    async fn stop_by(&self, deadline: Instant, hard_grace: Duration) {
        let parts = self.0.parts.lock().clone();
        for part in parts {
            Box::pin(part.stop_by(deadline, hard_grace)).await;
        }
        self.0.soft.cancel();
        self.0.tasks.close();
        tokio::select! {
            ended = timeout_at(deadline, self.0.tasks.wait()) => if ended.is_ok() { return },
            () = self.0.hard.cancelled() => {}
        }
        for (task, _) in self.0.running.lock().iter().filter(|(_, handle)| !handle.is_finished()) {
            tracing::warn!(task, "did not end softly: told to end at once");
        }
        self.0.hard.cancel();
        if timeout(hard_grace, self.0.tasks.wait()).await.is_ok() {
            return;
        }
        for (task, handle) in self.0.running.lock().iter().filter(|(_, handle)| !handle.is_finished()) {
            tracing::warn!(task, "cut off: it did not leave when told");
            handle.abort();
        }
    }
}

impl Failure {
    fn record(&self, failed: TaskFailed) {
        tracing::error!(task = failed.task, reason = failed.reason, "a task failed: stopping");
        self.first.lock().get_or_insert(failed);
        self.happened.cancel();
    }
}

/// Resolves at the next SIGINT or SIGTERM.
async fn a_signal() {
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be handled");
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be handled");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// An error and what caused it, in one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Many errors repeat their cause in their own message.
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests;
