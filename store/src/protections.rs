//! What classes do against codes that are passed on, by validity, so that a decision can read it as of the scan: written by
//! the api. And what was found of each scan: written by the attendance worker.

use crate::{
    StoreError,
    pages::{Page, Paged},
};
use chrono::{DateTime, Utc};
use ipnet::IpNet;
use rollcall_schemas::{
    id::{ClassId, DeviceId, ScanId, SessionId, UserId},
    scan::OnDoubt,
};
use serde::Deserialize;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

/// What a class does against codes that are passed on. By default nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Protections {
    /// Where scans should come from; empty means anywhere.
    pub allowed_networks: Vec<IpNet>,
    /// What becomes of a scan from elsewhere.
    pub outside_networks: OnDoubt,
    /// Where phones should be.
    pub room: Option<RoomPosition>,
    /// What becomes of a scan from a phone that is too far from there.
    pub too_far: OnDoubt,
    /// What becomes of a scan that does not say closely enough where its phone is, while [`Self::room`] is set.
    pub without_position: OnDoubt,
    /// What becomes of a scan from a device that another student has used in the session.
    pub shared_device: OnDoubt,
}

impl Default for Protections {
    fn default() -> Self {
        Self {
            allowed_networks: Vec::new(),
            outside_networks: OnDoubt::Refuse,
            room: None,
            too_far: OnDoubt::Refuse,
            without_position: OnDoubt::Accept,
            shared_device: OnDoubt::Accept,
        }
    }
}

/// Where a room is (WGS 84), and how far around it its students may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoomPosition {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Metres.
    pub radius_m: i32,
}

struct Row {
    allowed_networks: Vec<String>,
    outside_networks: String,
    room_latitude: Option<f64>,
    room_longitude: Option<f64>,
    room_radius_m: Option<i32>,
    too_far: String,
    without_position: String,
    shared_device: String,
}

impl TryFrom<Row> for Protections {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let network = |text: String| {
            text.parse().map_err(|_| StoreError::corrupt("class_protections", "allowed_networks", &text))
        };
        let on_doubt = |name: &str, column| {
            OnDoubt::parse(name).ok_or_else(|| StoreError::corrupt("class_protections", column, name))
        };
        let position = row.room_latitude.zip(row.room_longitude).zip(row.room_radius_m);
        Ok(Self {
            allowed_networks: row.allowed_networks.into_iter().map(network).collect::<Result<_, _>>()?,
            outside_networks: on_doubt(&row.outside_networks, "outside_networks")?,
            room: position.map(|((latitude, longitude), radius_m)| RoomPosition {
                latitude,
                longitude,
                radius_m,
            }),
            too_far: on_doubt(&row.too_far, "too_far")?,
            without_position: on_doubt(&row.without_position, "without_position")?,
            shared_device: on_doubt(&row.shared_device, "shared_device")?,
        })
    }
}

/// What a class does as of `at`.
///
/// # Errors
/// When the database does not answer.
pub async fn of_class(
    conn: &mut PgConnection,
    id: ClassId,
    at: DateTime<Utc>,
) -> Result<Protections, StoreError> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT allowed_networks::text[] AS "allowed_networks!", outside_networks, room_latitude, room_longitude,
                  room_radius_m, too_far, without_position, shared_device
           FROM class_protections
           WHERE class_id = $1 AND valid_from <= $2 AND (valid_to IS NULL OR valid_to > $2)"#,
        id.0,
        at
    )
    .fetch_optional(conn)
    .await?;
    row.map_or_else(|| Ok(Protections::default()), Protections::try_from)
}

/// What the classes of sessions do, each as of a moment, in their order; `None` where one does nothing. Where a class wants
/// phones to be near, the position that the organisation gives the session's room goes before that of the class.
///
/// # Errors
/// When the database does not answer.
pub async fn of_sessions(
    tx: &mut PgConnection,
    moments: &[(SessionId, DateTime<Utc>)],
) -> Result<Vec<Option<Protections>>, StoreError> {
    let (sessions, times): (Vec<Uuid>, Vec<DateTime<Utc>>) =
        moments.iter().map(|(session, at)| (session.0, *at)).unzip();
    let rows = sqlx::query!(
        r#"SELECT asked.place AS "place!", p.allowed_networks::text[] AS "allowed_networks!", p.outside_networks,
                  p.room_latitude, p.room_longitude, p.room_radius_m, p.too_far, p.without_position, p.shared_device,
                  (SELECT position.value
                   FROM (SELECT o.settings -> 'roomPositions' AS rooms FROM configurations o
                         WHERE o.scope = 'organisation' AND o.valid_from <= asked.at
                         ORDER BY o.revision DESC LIMIT 1) AS present,
                        jsonb_each(present.rooms) AS position
                   WHERE lower(position.key) = lower(s.room) LIMIT 1) AS room_position
           FROM UNNEST($1::uuid[], $2::timestamptz[]) WITH ORDINALITY AS asked (session_id, at, place)
           JOIN sessions s ON s.id = asked.session_id
           JOIN class_protections p ON p.class_id = s.class_id AND p.valid_from <= asked.at
                AND (p.valid_to IS NULL OR p.valid_to > asked.at)"#,
        &sessions,
        &times
    )
    .fetch_all(tx)
    .await?;
    let mut found = vec![None; moments.len()];
    for row in rows {
        let place = usize::try_from(row.place - 1).expect("places count from 1");
        let of_room = row.room_position.map(room_position).transpose()?;
        let row = Row {
            allowed_networks: row.allowed_networks,
            outside_networks: row.outside_networks,
            room_latitude: row.room_latitude,
            room_longitude: row.room_longitude,
            room_radius_m: row.room_radius_m,
            too_far: row.too_far,
            without_position: row.without_position,
            shared_device: row.shared_device,
        };
        let mut rules = Protections::try_from(row)?;
        rules.room = rules.room.map(|of_class| of_room.unwrap_or(of_class));
        found[place] = Some(rules);
    }
    Ok(found)
}

/// Reads a position as the settings of the organisation keep it.
fn room_position(stored: Value) -> Result<RoomPosition, StoreError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Stored {
        latitude: f64,
        longitude: f64,
        radius_m: i32,
    }
    let Stored { latitude, longitude, radius_m } = serde_json::from_value(stored)
        .map_err(|error| StoreError::corrupt("configurations", "settings", &error.to_string()))?;
    Ok(RoomPosition { latitude, longitude, radius_m })
}

/// Sets what a class does from `at` on. The class is held by the transaction.
///
/// # Errors
/// [`StoreError::Unusable`] when a network is none, or when the database does not do it.
pub async fn set(
    conn: &mut PgConnection,
    id: ClassId,
    protections: &Protections,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE class_protections SET valid_to = $2 WHERE class_id = $1 AND valid_to IS NULL AND valid_from < $2",
        id.0,
        at
    )
    .execute(&mut *conn)
    .await?;
    let networks: Vec<String> = protections.allowed_networks.iter().map(IpNet::to_string).collect();
    sqlx::query!(
        "INSERT INTO class_protections
             (class_id, valid_from, allowed_networks, room_latitude, room_longitude, room_radius_m, without_position,
              shared_device, outside_networks, too_far)
         VALUES ($1, $2, $3::text[]::cidr[], $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (class_id, valid_from) DO UPDATE SET
             allowed_networks = EXCLUDED.allowed_networks, outside_networks = EXCLUDED.outside_networks,
             room_latitude = EXCLUDED.room_latitude, room_longitude = EXCLUDED.room_longitude,
             room_radius_m = EXCLUDED.room_radius_m, too_far = EXCLUDED.too_far,
             without_position = EXCLUDED.without_position, shared_device = EXCLUDED.shared_device",
        id.0,
        at,
        &networks,
        protections.room.map(|room| room.latitude),
        protections.room.map(|room| room.longitude),
        protections.room.map(|room| room.radius_m),
        protections.without_position.as_str(),
        protections.shared_device.as_str(),
        protections.outside_networks.as_str(),
        protections.too_far.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A device in a session.
pub type DeviceInSession = (SessionId, DeviceId);

/// Which students' scans from these devices count, in these sessions.
///
/// # Errors
/// When the database does not answer.
pub async fn users_of_devices(
    tx: &mut PgConnection,
    devices: &[DeviceInSession],
) -> Result<Vec<(DeviceInSession, UserId)>, StoreError> {
    let (sessions, devices): (Vec<Uuid>, Vec<Uuid>) =
        devices.iter().map(|(session, device)| (session.0, device.0)).unzip();
    let rows = sqlx::query!(
        r#"SELECT k.session_id, k.device_id AS "device_id!", k.student_id
           FROM UNNEST($1::uuid[], $2::uuid[]) AS asked (session_id, device_id)
           JOIN scan_checks k ON k.session_id = asked.session_id AND k.device_id = asked.device_id AND k.counts"#,
        &sessions,
        &devices
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ((row.session_id.into(), row.device_id.into()), row.student_id.into()))
        .collect())
}

/// What was found of a scan.
#[derive(Clone, Debug, PartialEq)]
pub struct ScanCheck {
    /// The session.
    pub session_id: SessionId,
    /// The scan.
    pub scan_id: ScanId,
    /// Who scanned.
    pub student_id: UserId,
    /// The device it came from, if that is known.
    pub device_id: Option<DeviceId>,
    /// Whether the scan was not refused.
    pub counts: bool,
    /// What was found.
    pub found: Value,
}

/// Keeps what was found of scans, each once.
///
/// # Errors
/// When the database does not do it.
pub async fn keep_checks(tx: &mut PgConnection, checks: &[ScanCheck]) -> Result<(), StoreError> {
    if checks.is_empty() {
        return Ok(());
    }
    let sessions: Vec<Uuid> = checks.iter().map(|check| check.session_id.0).collect();
    let scans: Vec<Uuid> = checks.iter().map(|check| check.scan_id.0).collect();
    let students: Vec<Uuid> = checks.iter().map(|check| check.student_id.0).collect();
    let devices: Vec<Option<Uuid>> = checks.iter().map(|check| check.device_id.map(|id| id.0)).collect();
    let counts: Vec<bool> = checks.iter().map(|check| check.counts).collect();
    let found: Vec<Value> = checks.iter().map(|check| check.found.clone()).collect();
    sqlx::query!(
        "INSERT INTO scan_checks (session_id, scan_id, student_id, device_id, counts, found)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::boolean[], $6::jsonb[])
         ON CONFLICT DO NOTHING",
        &sessions,
        &scans,
        &students,
        &devices as &[Option<Uuid>],
        &counts,
        &found
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What was found of a scan, and whose it was.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedScan {
    /// The scan.
    pub scan_id: ScanId,
    /// Who scanned.
    pub student_id: UserId,
    /// The student's full name.
    pub student_name: String,
    /// The device it came from, if that is known.
    pub device_id: Option<DeviceId>,
    /// Whether the scan was not refused.
    pub counts: bool,
    /// What was found.
    pub found: Value,
}

/// A page of what was found of the scans of a session that were held against the rules of its class, by the students' names.
///
/// # Errors
/// When the database does not answer.
pub async fn of_session(
    conn: &mut PgConnection,
    session: SessionId,
    page: Page,
) -> Result<Paged<CheckedScan>, StoreError> {
    let total = sqlx::query_scalar!(
        r#"SELECT count(*) AS "total!" FROM scan_checks WHERE session_id = $1"#,
        session.0
    )
    .fetch_one(&mut *conn)
    .await?;
    let rows = sqlx::query!(
        "SELECT k.scan_id, k.student_id, u.full_name, k.device_id, k.counts, k.found
         FROM scan_checks k JOIN users u ON u.id = k.student_id
         WHERE k.session_id = $1 ORDER BY u.full_name, k.scan_id LIMIT $2 OFFSET $3",
        session.0,
        page.limit,
        page.offset
    )
    .fetch_all(conn)
    .await?;
    let rows = rows
        .into_iter()
        .map(|row| CheckedScan {
            scan_id: row.scan_id.into(),
            student_id: row.student_id.into(),
            student_name: row.full_name,
            device_id: row.device_id.map(DeviceId::from),
            counts: row.counts,
            found: row.found,
        })
        .collect();
    Ok(Paged { rows, total })
}
