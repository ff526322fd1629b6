//! `POST /cameras/{id}/frames` and `POST /images`: a picture in, the broker's acknowledgement out.

use super::{
    Door,
    admission::may_push,
    refusal::{of_captured_at, of_field, of_image, of_publish},
    submission::{JsonForm, MultipartForm, Submission},
};
use crate::{
    captured_at::CapturedAtRefusal,
    frame::Frame,
    inspect::{check_declared, inspect},
};
use ::http::HeaderMap;
use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use rollcall_schemas::{
    code::Code,
    frame::{FrameMeta, FrameSource, ImageType},
    id::{CameraId, FrameId},
    role::Role,
};
use rollcall_service::{
    http::{ErrorEnvelope, Path, Problem, Query, Success, SuccessEnvelope},
    limits::Authenticated,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The header that carries the camera's time.
const CAPTURED_AT: &str = "x-captured-at";

/// What may be said of a frame in the query.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FrameQuery {
    /// The camera's time, RFC 3339; receipt when absent.
    captured_at: Option<String>,
    /// The camera that an image is of.
    camera_id: Option<String>,
}

/// A frame that the log has stored.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct FrameAccepted {
    /// The frame: the same bytes from the same camera and instant are the same frame.
    #[schema(value_type = Uuid)]
    frame_id: FrameId,
    /// Its camera.
    #[schema(value_type = Uuid)]
    camera_id: CameraId,
    /// The camera's time: what decisions go by. Send it again with a retry.
    captured_at: DateTime<Utc>,
    /// When it was received.
    received_at: DateTime<Utc>,
    /// What the bytes are.
    #[schema(value_type = ImageType)]
    content_type: String,
    /// Pixels.
    width: u32,
    /// Pixels.
    height: u32,
    /// Its place in the log.
    sequence: u64,
    /// Whether the log had it already.
    duplicate: bool,
}

/// Push a frame
///
/// Checked without decoding it, stored durably, then acknowledged. A retry with the same bytes and the same capture
/// time is the same frame. The header `X-Captured-At` wins over the query, and the query over the body.
#[utoipa::path(
    post,
    path = "/api/v1/cameras/{id}/frames",
    tag = "frames",
    params(
        ("id" = Uuid, Path, description = "The camera"),
        ("X-Captured-At" = Option<String>, Header, description = "The camera's time, RFC 3339; receipt when absent"),
        FrameQuery,
    ),
    request_body(
        description = "The image: as it is, in multipart, or in JSON as a data URL",
        content(
            (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/png"), (Vec<u8> = "image/webp"),
            (MultipartForm = "multipart/form-data"), (JsonForm = "application/json"),
        ),
    ),
    responses(
        (status = 202, description = "Stored", body = SuccessEnvelope<FrameAccepted>),
        (status = 400, description = "No image, or the body cannot be read", body = ErrorEnvelope),
        (status = 401, description = "No valid credentials", body = ErrorEnvelope),
        (status = 403, description = "Another camera's key, or a role that may not push", body = ErrorEnvelope),
        (status = 404, description = "No such camera", body = ErrorEnvelope),
        (status = 409, description = "The camera is disabled", body = ErrorEnvelope),
        (status = 413, description = "Too many bytes", body = ErrorEnvelope),
        (status = 415, description = "Not an image, or not what it was declared as", body = ErrorEnvelope),
        (status = 422, description = "Truncated, damaged, too many pixels, or a capture time that is not taken", body = ErrorEnvelope),
        (status = 429, description = "More frames than the camera may push", body = ErrorEnvelope),
        (status = 503, description = "Paused, or the log is full or away: send the same again", body = ErrorEnvelope),
    ),
    security(("apiKey" = []), ("token" = [])),
)]
pub(super) async fn push_frame(
    State(door): State<Door>,
    authenticated: Authenticated,
    Path(camera): Path<CameraId>,
    Query(query): Query<FrameQuery>,
    request: Request,
) -> Response {
    let admitted = door.caller(authenticated).and_then(|caller| {
        may_push(&caller, camera)?;
        door.check_camera(camera)
    });
    let frames_per_second = match admitted {
        Ok(frames_per_second) => frames_per_second,
        Err(problem) => return answer(FrameSource::Live, Err(problem)).into_response(),
    };
    let (headers, turn) = door.take_turn(camera, frames_per_second);
    let result = match turn {
        Ok(()) => door.take_frame(camera, query, request).await,
        Err(problem) => Err(problem),
    };
    (headers, answer(FrameSource::Live, result)).into_response()
}

/// Upload a picture
///
/// An operator's picture of what a camera sees, analysed like a frame. `cameraId` is in the query or in the body.
#[utoipa::path(
    post,
    path = "/api/v1/images",
    tag = "frames",
    params(
        ("X-Captured-At" = Option<String>, Header, description = "When it was taken, RFC 3339; receipt when absent"),
        FrameQuery,
    ),
    request_body(
        description = "The image: as it is, in multipart, or in JSON as a data URL",
        content(
            (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/png"), (Vec<u8> = "image/webp"),
            (MultipartForm = "multipart/form-data"), (JsonForm = "application/json"),
        ),
    ),
    responses(
        (status = 202, description = "Stored", body = SuccessEnvelope<FrameAccepted>),
        (status = 400, description = "No image or no camera, or the body cannot be read", body = ErrorEnvelope),
        (status = 401, description = "No valid credentials", body = ErrorEnvelope),
        (status = 403, description = "A role that may not upload", body = ErrorEnvelope),
        (status = 404, description = "No such camera", body = ErrorEnvelope),
        (status = 409, description = "The camera is disabled", body = ErrorEnvelope),
        (status = 413, description = "Too many bytes", body = ErrorEnvelope),
        (status = 415, description = "Not an image, or not what it was declared as", body = ErrorEnvelope),
        (status = 422, description = "Truncated, damaged, too many pixels, or a field that is not taken", body = ErrorEnvelope),
        (status = 429, description = "More calls than the caller may make", body = ErrorEnvelope),
        (status = 503, description = "Paused, or the log is full or away: send the same again", body = ErrorEnvelope),
    ),
    security(("token" = [])),
)]
pub(super) async fn upload_image(
    State(door): State<Door>,
    authenticated: Authenticated,
    Query(query): Query<FrameQuery>,
    request: Request,
) -> Result<Success<FrameAccepted>, Problem> {
    let may_upload = door.user(authenticated).and_then(|user| user.require(&[Role::Operator, Role::Admin]));
    let result = match may_upload {
        Ok(()) => door.take_upload(query, request).await,
        Err(problem) => Err(problem),
    };
    answer(FrameSource::Upload, result)
}

impl Door {
    async fn take_frame(
        &self,
        camera: CameraId,
        query: FrameQuery,
        request: Request,
    ) -> Result<FrameAccepted, Problem> {
        let submission = self.read(&query, request).await?;
        if let Some(named) = &submission.camera_id
            && camera_id(named)? != camera
        {
            return Err(of_field(
                Code::ValidationFailed,
                "cameraId",
                "not the camera in the path; leave it out",
            ));
        }
        self.store(camera, FrameSource::Live, submission).await
    }

    async fn take_upload(&self, query: FrameQuery, request: Request) -> Result<FrameAccepted, Problem> {
        let submission = self.read(&query, request).await?;
        let Some(named) = &submission.camera_id else {
            return Err(of_field(Code::MissingRequiredField, "cameraId", "required"));
        };
        let camera = camera_id(named)?;
        self.check_camera(camera)?;
        self.store(camera, FrameSource::Upload, submission).await
    }

    /// Reads the body; what the head says wins over what the body says.
    async fn read(&self, query: &FrameQuery, request: Request) -> Result<Submission, Problem> {
        let header = captured_at_header(request.headers())?;
        let mut submission = Submission::read(request, self.0.config.max_image_bytes).await?;
        submission.captured_at = header.or_else(|| query.captured_at.clone()).or(submission.captured_at);
        submission.camera_id = query.camera_id.clone().or(submission.camera_id);
        Ok(submission)
    }

    async fn store(
        &self,
        camera_id: CameraId,
        source: FrameSource,
        submission: Submission,
    ) -> Result<FrameAccepted, Problem> {
        let meta = self.check(camera_id, source, &submission)?;
        observe(&meta, submission.image.len());
        let frame = Frame { meta: meta.clone(), bytes: submission.image };
        let message = frame.into_message(meta.frame_id.to_string());
        let published = self.0.bus.publish(message).await.map_err(|error| {
            let problem = of_publish(error);
            match problem.code {
                // A camera without a clock needs the time it was given to send the same frame again.
                Code::ServiceUnavailable => {
                    problem.with_details(json!({ "frameId": meta.frame_id, "capturedAt": meta.captured_at }))
                }
                _ => problem,
            }
        })?;
        Ok(FrameAccepted {
            frame_id: meta.frame_id,
            camera_id,
            captured_at: meta.captured_at,
            received_at: meta.received_at,
            content_type: meta.content_type.to_string(),
            width: meta.width,
            height: meta.height,
            sequence: published.sequence,
            duplicate: published.duplicate,
        })
    }

    fn check(
        &self,
        camera_id: CameraId,
        source: FrameSource,
        submission: &Submission,
    ) -> Result<FrameMeta, Problem> {
        let config = &self.0.config;
        let received_at = self.0.clock.now();
        let inspected =
            inspect(&submission.image, &config.image_limits()).map_err(|refusal| of_image(&refusal))?;
        if let Some(declared) = &submission.declared {
            check_declared(declared, inspected.content_type).map_err(|refusal| of_image(&refusal))?;
        }
        let captured_at = match &submission.captured_at {
            Some(text) => {
                config.capture_window().read(text, received_at).map_err(|refusal| of_captured_at(&refusal))?
            }
            None => received_at,
        };
        Ok(FrameMeta {
            frame_id: FrameId::of(camera_id, captured_at, &submission.image),
            camera_id,
            captured_at,
            received_at,
            source,
            content_type: inspected.content_type,
            width: inspected.width,
            height: inspected.height,
        })
    }
}

fn captured_at_header(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(CAPTURED_AT) else { return Ok(None) };
    let text = value.to_str().map_err(|_| of_captured_at(&CapturedAtRefusal::Unreadable))?;
    Ok(Some(text.to_owned()))
}

fn camera_id(text: &str) -> Result<CameraId, Problem> {
    text.trim().parse().map_err(|_| of_field(Code::ValidationFailed, "cameraId", "not a UUID"))
}

fn observe(meta: &FrameMeta, bytes: usize) {
    let source = meta.source.to_string();
    let age = (meta.received_at - meta.captured_at).as_seconds_f64();
    metrics::histogram!("rollcall_ingest_frame_bytes", "source" => source.clone()).record(bytes as f64);
    metrics::histogram!("rollcall_ingest_frame_age_seconds", "source" => source).record(age);
}

/// Counts what came of a frame, and answers.
fn answer(
    source: FrameSource,
    result: Result<FrameAccepted, Problem>,
) -> Result<Success<FrameAccepted>, Problem> {
    let label = match &result {
        Ok(accepted) if accepted.duplicate => "duplicate",
        Ok(_) => "accepted",
        Err(problem) => problem.code.as_str(),
    };
    metrics::counter!("rollcall_ingest_frames_total", "source" => source.to_string(), "result" => label)
        .increment(1);
    result.map(|accepted| Success::accepted("FRAME_ACCEPTED", accepted))
}
