//! What every process of the deployment says of itself, asked when somebody wants to see it. A process that is away
//! does not answer; while the log is away, only this one does.

use crate::state::Api;
use rollcall_schemas::{
    process::{ProcessQuestion, ProcessReport},
    subject,
};
use std::time::Duration;

/// How long answers are waited for. Processes answer from memory.
const WITHIN: Duration = Duration::from_millis(300);

impl Api {
    /// The answer of each process, in the order of their names, and of their start where several have one.
    pub(super) async fn processes(&self, question: &ProcessQuestion) -> Vec<ProcessReport> {
        let own = self.process().answer(question);
        let told = self.bus().ask_everybody::<ProcessReport>(&subject::processes(), question, WITHIN).await;
        let mut reports = told.unwrap_or_else(|error| {
            tracing::debug!(%error, "other processes cannot be asked");
            vec![]
        });
        reports.retain(|report| report.process != own.process);
        reports.push(own);
        reports.sort_by(|one, other| (&one.service, one.started_at).cmp(&(&other.service, other.started_at)));
        reports
    }
}
