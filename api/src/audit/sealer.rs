//! Chains committed lines, and tells the log where the chain ends.
//!
//! Of several api processes one seals at a time; a lock in the database says which. The end of the chain is published as
//! the last value of its subject: who cuts lines off the end of the table does not reach that.

use crate::{error::ApiError, state::Api};
use rollcall_schemas::feed::AuditHead;
use rollcall_store::{
    StoreError,
    audit::chain::{self, Hex},
    outbox::{self, OutboxMessage},
};
use std::time::Duration;

/// Lines that are committed within so long get their places at once: the shorter, the less time there is to remove a line
/// that nobody would miss.
const TOGETHER: Duration = Duration::from_millis(20);
/// How long a line may be without its place, at most.
const SEAL_EVERY: Duration = Duration::from_secs(1);
const SEAL_AT_MOST: i64 = 500;

impl Api {
    /// Chains what is committed, for as long as it is let.
    pub(crate) async fn seal_audit(&self) {
        let mut ticks = tokio::time::interval(SEAL_EVERY);
        loop {
            // What other processes commit, and the command line, is found by looking.
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.committed() => tokio::time::sleep(TOGETHER).await,
            }
            if let Err(error) = self.seal_all().await {
                tracing::debug!(%error, "the audit cannot be chained at present");
            }
        }
    }

    async fn seal_all(&self) -> Result<(), ApiError> {
        loop {
            let mut tx = self.begin().await?;
            let (lines, head) = chain::seal(&mut tx, SEAL_AT_MOST).await?;
            if lines == 0 {
                return Ok(());
            }
            let end =
                AuditHead { position: head.position.unsigned_abs(), sha256: Hex(&head.sha256).to_string() };
            // The cause is the message's own id: nothing is drawn here.
            let told = OutboxMessage::feed(&end);
            let cause = told.id;
            outbox::enqueue(&mut tx, cause, self.clock().now(), &[told]).await?;
            tx.commit().await.map_err(StoreError::from)?;
            self.deliver(cause).await;
        }
    }
}
