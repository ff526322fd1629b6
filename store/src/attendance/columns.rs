//! Records in the shape in which statements over many of them take their values.

use super::Record;
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Records as the arrays that `UNNEST` takes.
pub(super) struct Columns {
    pub(super) ids: Vec<Uuid>,
    pub(super) sessions: Vec<Uuid>,
    pub(super) students: Vec<Uuid>,
    pub(super) statuses: Vec<String>,
    pub(super) marked: Vec<DateTime<Utc>>,
    pub(super) evidence: Vec<String>,
    pub(super) scans: Vec<Option<Uuid>>,
    pub(super) scanned: Vec<Option<DateTime<Utc>>>,
    pub(super) sightings: Vec<Option<Uuid>>,
    pub(super) similarities: Vec<Option<f32>>,
    pub(super) ips: Vec<Option<String>>,
    pub(super) user_agents: Vec<Option<String>>,
    pub(super) trace_ids: Vec<Option<String>>,
    pub(super) recorded: Vec<DateTime<Utc>>,
    pub(super) deciders: Vec<Option<Uuid>>,
    pub(super) reasons: Vec<Option<String>>,
}

impl Columns {
    pub(super) fn of(records: &[Record]) -> Self {
        fn column<T>(records: &[Record], read: impl Fn(&Record) -> T) -> Vec<T> {
            records.iter().map(read).collect()
        }
        Self {
            ids: column(records, |record| record.id.0),
            sessions: column(records, |record| record.session_id.0),
            students: column(records, |record| record.student_id.0),
            statuses: column(records, |record| record.mark.status.as_str().to_owned()),
            marked: column(records, |record| record.mark.marked_at),
            evidence: column(records, |record| record.mark.evidence.as_str().to_owned()),
            scans: column(records, |record| record.mark.scan.map(|scan| scan.scan_id.0)),
            scanned: column(records, |record| record.mark.scan.map(|scan| scan.scanned_at)),
            sightings: column(records, |record| record.mark.sighting_id.map(Uuid::from)),
            similarities: column(records, |record| record.mark.similarity),
            ips: column(records, |record| record.origin.ip.map(|ip| ip.to_string())),
            user_agents: column(records, |record| record.origin.user_agent.clone()),
            trace_ids: column(records, |record| record.origin.trace_id.clone()),
            recorded: column(records, |record| record.recorded_at),
            deciders: column(records, |record| record.author.as_ref().map(|author| author.user_id.0)),
            reasons: column(records, |record| record.author.as_ref()?.reason.clone()),
        }
    }
}
