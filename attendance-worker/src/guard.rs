//! The rules of classes against codes that are passed on, as the scans of a group are held against them: what they are as
//! of each scan, which devices were used by whom, and what was found. Where no class of the group has such rules, nothing
//! is read or written.

use crate::policy::protection::{Objection, check};
use rollcall_schemas::{
    id::{AttendanceId, DeviceId, SessionId, UserId},
    scan::Scan,
};
use rollcall_store::{
    PgConnection, StoreError,
    attendance::ScanContext,
    protections::{self, Protections, ScanCheck},
};
use std::collections::{HashMap, HashSet};

/// What the scans of a group are held against.
pub(crate) struct Guard {
    /// In the order of the scans; nothing where the class has no rules.
    rules: Vec<Option<Protections>>,
    /// Whose scans count, by device.
    users: HashMap<(SessionId, DeviceId), HashSet<UserId>>,
    found: Vec<ScanCheck>,
}

/// The locks under which it is decided who uses a device: one for each device in a session.
pub(crate) fn locks(scans: &[(&Scan, Option<&ScanContext>)]) -> impl Iterator<Item = AttendanceId> {
    scans.iter().filter_map(|(scan, context)| {
        let (session, device) = used_device(scan, *context)?;
        Some(AttendanceId::derive(&[b"device", session.0.as_bytes(), device.0.as_bytes()]))
    })
}

/// The device that a scan uses in its session, where its class has rules.
fn used_device(scan: &Scan, context: Option<&ScanContext>) -> Option<(SessionId, DeviceId)> {
    let context = context.filter(|context| context.protected)?;
    Some((context.session.id, scan.device_id?))
}

impl Guard {
    /// Reads what is needed. The transaction holds the [`locks`] of these scans.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn of(
        tx: &mut PgConnection,
        scans: &[(&Scan, Option<&ScanContext>)],
    ) -> Result<Self, StoreError> {
        let asked: Vec<_> = scans
            .iter()
            .enumerate()
            .filter_map(|(place, (scan, context))| {
                let context = context.filter(|context| context.protected)?;
                Some((place, (context.session.id, scan.scanned_at)))
            })
            .collect();
        let mut guard = Self { rules: vec![None; scans.len()], users: HashMap::new(), found: Vec::new() };
        if asked.is_empty() {
            return Ok(guard);
        }
        let (places, moments): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        for (place, rules) in places.into_iter().zip(protections::of_sessions(tx, &moments).await?) {
            guard.rules[place] = rules;
        }
        let devices: Vec<_> =
            scans.iter().filter_map(|(scan, context)| used_device(scan, *context)).collect();
        for (device, user) in protections::users_of_devices(tx, &devices).await? {
            guard.users.entry(device).or_default().insert(user);
        }
        Ok(guard)
    }

    /// What stands against the scan at `place`.
    pub(crate) fn check(&self, place: usize, scan: &Scan, context: Option<&ScanContext>) -> Option<Checked> {
        let (rules, context) = self.rules[place].as_ref().zip(context)?;
        let users = used_device(scan, Some(context)).and_then(|device| self.users.get(&device));
        let device_shared = users.is_some_and(|users| users.iter().any(|user| *user != scan.student_id));
        let (found, objection) = check(scan, context, rules, device_shared);
        let found = serde_json::to_value(found).expect("numbers and flags serialise");
        let check = ScanCheck {
            session_id: context.session.id,
            scan_id: scan.scan_id,
            student_id: scan.student_id,
            device_id: scan.device_id,
            counts: false,
            found,
        };
        Some(Checked { objection, check })
    }

    /// Remembers what was found of a scan, and whether it counts.
    pub(crate) fn note(&mut self, checked: Checked, counts: bool) {
        let check = ScanCheck { counts, ..checked.check };
        if let Some(device) = check.device_id.filter(|_| counts) {
            self.users.entry((check.session_id, device)).or_default().insert(check.student_id);
        }
        self.found.push(check);
    }

    /// Keeps what was found.
    ///
    /// # Errors
    /// When the database does not do it.
    pub(crate) async fn keep(&self, tx: &mut PgConnection) -> Result<(), StoreError> {
        protections::keep_checks(tx, &self.found).await
    }
}

/// A scan as it was held against the rules of its class.
pub(crate) struct Checked {
    /// What the class has against it, if anything.
    pub(crate) objection: Option<Objection>,
    check: ScanCheck,
}
