//! `POST /attendance/mark`: a student's scan of a QR code, stored durably, and its outcome if it comes in time.

use super::{
    Door,
    device::Device,
    refusal::{of_field, of_publish},
};
use ::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use rollcall_bus::{AskError, Message};
use rollcall_schemas::{
    code::Code,
    fact::AttendanceStatus,
    header::TRACEPARENT,
    id::{DeviceId, RequestId, ScanId},
    outcome::{Answer, AttendanceAnswer, Outcome, OutcomeResult, ScanKeptAnswer},
    role::Role,
    scan::{Position, QrToken, Scan},
    subject,
};
use rollcall_service::{
    auth::User,
    http::{ClientIp, ErrorEnvelope, Json, Problem, Success, SuccessEnvelope},
    limits::Authenticated,
    telemetry::current_traceparent,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::IpAddr;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Most characters of an idempotency key.
const MAX_KEY: usize = 255;
/// Characters that are kept of what a client calls itself.
const MAX_USER_AGENT: usize = 256;

/// A scan.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "qrToken": "3f1c9a52-8a3e-4a6f-9d55-0b7f4c1e2d90", "position": { "latitude": 52.52, "longitude": 13.405, "accuracyM": 12.0 }, "deviceId": "b2f8f1c2-6f0e-4f27-9a44-6d0f3a1f7c55" }))]
pub(super) struct MarkRequest {
    /// What the QR code said.
    qr_token: String,
    /// Where the phone is, if it may say.
    position: Option<PhonePosition>,
    /// What tells this device from others, always the same on it: 1 to 128 characters that the client has drawn once. What
    /// is kept is a hash of it. Without one, a cookie does the same.
    device_id: Option<String>,
}

/// A position as a phone reports it (WGS 84).
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PhonePosition {
    /// Degrees north.
    latitude: f64,
    /// Degrees east.
    longitude: f64,
    /// Radius of 68 % confidence in metres, if the phone gave one.
    accuracy_m: Option<f64>,
}

/// A record of attendance, new.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Marked {
    /// The record.
    attendance: AttendanceAnswer,
    /// One sentence for the student.
    message: &'static str,
}

/// A scan that is good, and waits for the student's face to be seen or for a person's decision.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Kept {
    /// What is kept.
    scan: ScanKeptAnswer,
    /// One sentence for the student.
    message: &'static str,
}

/// What was decided about a scan that is not refused.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub(super) enum Decided {
    Marked(Marked),
    Kept(Kept),
}

/// A scan that is stored and not yet decided.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pending {
    /// The request whose outcome will answer the scan.
    #[schema(value_type = Uuid)]
    request_id: RequestId,
    /// Where that outcome can be read.
    status_url: String,
}

/// Mark attendance
///
/// The scan counts from the moment it is received, whenever it is decided. With an `Idempotency-Key`, a retry with the
/// same token is the same scan and gets the same answer; another token is another scan. A student may make one scan a
/// second, and ten at once, unless `[limits] scan_user` says otherwise.
#[utoipa::path(
    post,
    path = "/api/v1/attendance/mark",
    tag = "attendance",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a retry the same scan")),
    request_body = MarkRequest,
    responses(
        (status = 200, description = "Recorded; or `SCAN_KEPT`: the class wants to see the face too, or, with `inReview`, a person decides", body = SuccessEnvelope<Decided>),
        (status = 202, description = "Stored, to be decided; `Location` says where to look", body = SuccessEnvelope<Pending>),
        (status = 400, description = "Not JSON, or a field is missing", body = ErrorEnvelope),
        (status = 401, description = "No valid access token", body = ErrorEnvelope),
        (status = 403, description = "`NOT_ENROLLED`, `NETWORK_NOT_ALLOWED`, `TOO_FAR_FROM_ROOM` or `POSITION_REQUIRED`, or not a student", body = ErrorEnvelope),
        (status = 404, description = "`QR_TOKEN_INVALID`", body = ErrorEnvelope),
        (status = 409, description = "`ALREADY_MARKED_ATTENDANCE`, `SESSION_NOT_ACTIVE` or `DEVICE_ALREADY_USED`", body = ErrorEnvelope),
        (status = 410, description = "`QR_TOKEN_EXPIRED`", body = ErrorEnvelope),
        (status = 415, description = "Not `application/json`", body = ErrorEnvelope),
        (status = 422, description = "A field is not valid", body = ErrorEnvelope),
        (status = 429, description = "More scans than a student may make", body = ErrorEnvelope),
        (status = 503, description = "The log is full or away: send the same again", body = ErrorEnvelope),
    ),
    security(("token" = [])),
)]
pub(super) async fn mark_attendance(
    State(door): State<Door>,
    authenticated: Authenticated,
    ClientIp(ip): ClientIp,
    headers: HeaderMap,
    request: Result<Json<MarkRequest>, Problem>,
) -> Response {
    // Who may not ask learns nothing about what was wrong with the question.
    let readable = door.student(authenticated).and_then(|student| {
        let Json(request) = request?;
        let device = Device::of(request.device_id.as_deref(), &headers, &door.0.entropy)?;
        Ok((Phone { student, ip, headers: &headers, device: device.id }, request, device.cookie))
    });
    let (asked, cookie) = match readable {
        Ok((phone, request, cookie)) => (door.mark(&phone, request).await, cookie),
        Err(problem) => (Err(problem), None),
    };
    let label = match &asked {
        Ok(Asked::Decided(Decided::Marked(_))) => "recorded",
        Ok(Asked::Decided(Decided::Kept(_))) => "kept",
        Ok(Asked::Pending(_)) => "pending",
        Err(problem) => problem.code.as_str(),
    };
    metrics::counter!("rollcall_ingest_scans_total", "result" => label).increment(1);
    let mut answer = match asked {
        Ok(Asked::Decided(kept @ Decided::Kept(_))) => {
            Success::new(StatusCode::OK, "SCAN_KEPT", kept).into_response()
        }
        Ok(Asked::Decided(marked)) => Success::ok(marked).into_response(),
        Ok(Asked::Pending(request_id)) => pending(request_id),
        Err(problem) => problem.into_response(),
    };
    answer.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    answer
}

/// Who scans, from where, with what.
struct Phone<'a> {
    student: User,
    ip: Option<IpAddr>,
    headers: &'a HeaderMap,
    device: DeviceId,
}

/// What came of a scan within the time a caller waits.
enum Asked {
    Decided(Decided),
    Pending(RequestId),
}

impl Door {
    fn student(&self, authenticated: Authenticated) -> Result<User, Problem> {
        let user = self.user(authenticated)?;
        user.require(&[Role::Student])?;
        Ok(user)
    }

    async fn mark(&self, phone: &Phone<'_>, request: MarkRequest) -> Result<Asked, Problem> {
        let Phone { student, headers, .. } = phone;
        let token = token(&request.qr_token)?;
        let request_id = match idempotency_key(headers)? {
            Some(key) => RequestId::of_scan(student.user_id, key, token),
            None => RequestId(self.0.entropy.uuid_v4()),
        };
        let scan = Scan {
            scan_id: ScanId::of(request_id),
            request_id,
            student_id: student.user_id,
            token,
            scanned_at: self.0.clock.now(),
            ip: phone.ip,
            user_agent: user_agent(headers),
            position: request.position.map(position).transpose()?,
            device_id: Some(phone.device),
        };
        self.ask(&scan).await
    }

    async fn ask(&self, scan: &Scan) -> Result<Asked, Problem> {
        let message = message(scan)?;
        match self.0.bus.ask(message.clone(), scan.request_id, self.0.config.scan_deadline()).await {
            Ok(outcome) => decided(outcome),
            Err(AskError::TimedOut) => Ok(Asked::Pending(scan.request_id)),
            // Nobody decides at present: the scan is kept, and nobody waits.
            Err(AskError::CircuitOpen) => {
                self.0.bus.publish(message).await.map_err(of_publish)?;
                Ok(Asked::Pending(scan.request_id))
            }
            Err(AskError::Unavailable(error)) => Err(of_publish(error)),
        }
    }
}

fn message(scan: &Scan) -> Result<Message, Problem> {
    let message = Message::json(subject::scan_captured(), scan.scan_id, scan).map_err(Problem::internal)?;
    let trace = current_traceparent().map(|traceparent| (TRACEPARENT, traceparent));
    Ok(message.with_headers(trace.into_iter().collect()))
}

fn decided(outcome: Outcome) -> Result<Asked, Problem> {
    match outcome.result {
        OutcomeResult::Succeeded { answer: Answer::Attendance(attendance) } => {
            let message = match attendance.status {
                AttendanceStatus::Late => "your attendance is recorded: late",
                _ => "your attendance is recorded",
            };
            Ok(Asked::Decided(Decided::Marked(Marked { attendance, message })))
        }
        OutcomeResult::Succeeded { answer: Answer::ScanKept(scan) } => {
            let message = if scan.in_review {
                "your scan is noted; your teacher decides whether it counts"
            } else {
                "your scan is noted; it counts when the camera in the room has seen you"
            };
            Ok(Asked::Decided(Decided::Kept(Kept { scan, message })))
        }
        OutcomeResult::Succeeded { .. } => Err(Problem::internal("a scan was answered with something else")),
        OutcomeResult::Failed(refusal) => {
            let problem = Problem::new(refusal.code, refusal.message);
            Err(if refusal.details == Value::Null { problem } else { problem.with_details(refusal.details) })
        }
    }
}

fn pending(request_id: RequestId) -> Response {
    let status_url = format!("/api/v1/requests/{request_id}");
    let location = HeaderValue::from_str(&status_url).expect("a path with a UUID is a header value");
    let answer = Success::accepted("SCAN_ACCEPTED", Pending { request_id, status_url });
    ([(header::LOCATION, location)], answer).into_response()
}

/// Whatever else a camera app finds in a picture is no code of ours.
fn token(text: &str) -> Result<QrToken, Problem> {
    let token = text.trim().parse().map(QrToken);
    token.map_err(|_| {
        of_field(
            Code::QrTokenInvalid,
            "qrToken",
            "this is not an attendance code; scan the one displayed in class",
        )
    })
}

fn position(position: PhonePosition) -> Result<Position, Problem> {
    let PhonePosition { latitude, longitude, accuracy_m } = position;
    let checks = [
        ("position.latitude", (-90.0..=90.0).contains(&latitude), "must be from -90 to 90"),
        ("position.longitude", (-180.0..=180.0).contains(&longitude), "must be from -180 to 180"),
        ("position.accuracyM", accuracy_m.is_none_or(|metres| metres >= 0.0), "must not be negative"),
    ];
    let wrong: Vec<_> =
        checks.iter().filter(|(_, good, _)| !good).map(|(field, _, rule)| (*field, *rule)).collect();
    if wrong.is_empty() {
        Ok(Position { latitude, longitude, accuracy_m })
    } else {
        Err(Problem::validation(wrong))
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| !key.is_empty() && key.len() <= MAX_KEY);
    let key = key.ok_or_else(|| {
        of_field(
            Code::ValidationFailed,
            "Idempotency-Key",
            format!("must be 1 to {MAX_KEY} visible characters"),
        )
    })?;
    Ok(Some(key))
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::USER_AGENT)?;
    Some(String::from_utf8_lossy(value.as_bytes()).chars().take(MAX_USER_AGENT).collect())
}
