//! `POST /students/{id}/faces`.

use super::find;
use crate::{
    ask::{Asked, IdempotencyKey, Pending, mismatched, trace_headers},
    audit::{Act, Audit},
    config::ApiConfig,
    error::ApiError,
    extract::Caller,
    photos::{Photos, PhotosBody},
    state::Api,
};
use axum::{
    body::Bytes,
    extract::{FromRequestParts, State},
    response::{IntoResponse, Response},
};
use futures::future::try_join_all;
use http::{HeaderValue, StatusCode, header::LOCATION};
use rollcall_bus::Message;
use rollcall_schemas::{
    code::Code,
    frame::ImageType,
    id::{PhotoId, RequestId, UserId},
    outcome::{Answer, PhotoAnswer},
    request::PhotoMeta,
    subject::{self, RequestKind},
};
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Success, SuccessEnvelope};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// Fewer photographs identify too few people; more add little.
const PHOTOS: std::ops::RangeInclusive<usize> = 3..=5;

/// Room for the photographs as base64, and for what is around them.
pub(super) fn body_limit(config: &ApiConfig) -> usize {
    config.max_photo_bytes * PHOTOS.end() * 4 / 3 + 64 * 1024
}

/// What became of the photographs, in the order in which they were sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FacesData {
    photos: Vec<PhotoResult>,
    /// How many photographs the student has now, as far as is known.
    face_photos: u32,
}

/// What became of one photograph.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PhotoResult {
    /// Its place in the request, from 0.
    index: usize,
    status: PhotoStatus,
    /// The photograph, if it was accepted.
    #[schema(value_type = Option<Uuid>)]
    photo_id: Option<PhotoId>,
    /// Why it was refused: `no_face`, `several_faces`, `too_small`, `blurred`, `turned_away`, `duplicate` and so on.
    refusal: Option<String>,
    /// What to do about it, in a sentence.
    remedy: Option<&'static str>,
    /// Where the answer will be, if there is none yet.
    pending: Option<Pending>,
}

#[derive(Clone, Copy, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PhotoStatus {
    Accepted,
    Refused,
    Pending,
}

/// Who asks, and under which key.
#[derive(FromRequestParts)]
pub(crate) struct Asker {
    caller: Caller,
    audit: Audit,
    key: IdempotencyKey,
}

/// Enrol a student's face from 3 to 5 photographs.
///
/// As `multipart/form-data` with a part `images` for each, or as JSON with data URLs. Each is answered on its own. The
/// status is `201` when at least one was accepted, `422` when none was, `202` when an answer is still to come.
#[utoipa::path(
    post,
    path = "/api/v1/students/{id}/faces",
    tag = "students",
    params(
        ("id" = Uuid, Path, description = "The student"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats a call without repeating its effect"),
    ),
    request_body(content(
        (PhotosBody = "application/json"),
        (PhotosBody = "multipart/form-data"),
    )),
    responses(
        (status = 201, description = "At least one was accepted", body = SuccessEnvelope<FacesData>),
        (status = 202, description = "An answer is still to come", body = SuccessEnvelope<FacesData>),
        (status = 409, description = "`CONFLICT`: the student is gone meanwhile", body = ErrorEnvelope),
    )
)]
pub(crate) async fn enrol_faces(
    State(api): State<Api>,
    Asker { caller, audit, key }: Asker,
    Path(id): Path<UserId>,
    Photos(images): Photos,
) -> Result<Response, ApiError> {
    if !PHOTOS.contains(&images.len()) {
        let message = format!("{} to {} photographs are wanted", PHOTOS.start(), PHOTOS.end());
        return Err(Problem::validation([("images", message)]).into());
    }
    let mut db = api.connection().await?;
    let enrolled = find(&mut db, id).await?.face_photos;
    let asked_for = json!({ "photographs": images.len() });
    audit.record(&mut db, Act::of("faces.enrolment_asked", id).after(&asked_for)).await?;
    drop(db);
    let asked = images.into_iter().enumerate().map(|(index, image)| {
        let call = format!("{}/{id}/{index}", RequestKind::EnrolPhoto.name());
        let request_id = key.request_id(&api, &caller, &call, &image);
        enrol_photo(&api, Enrolment { request_id, index, user_id: id, requested_by: caller.id() }, image)
    });
    let results = try_join_all(asked).await?;
    let enrolled = u32::try_from(enrolled).unwrap_or_default();
    let face_photos = results.iter().map(|(_, photos)| *photos).fold(enrolled, u32::max);
    Ok(answer(FacesData { photos: results.into_iter().map(|(result, _)| result).collect(), face_photos }))
}

/// One photograph on its way.
struct Enrolment {
    request_id: RequestId,
    index: usize,
    user_id: UserId,
    requested_by: UserId,
}

/// Asks for one photograph. With the result comes how many photographs the student's template rests on.
async fn enrol_photo(api: &Api, enrolment: Enrolment, image: Bytes) -> Result<(PhotoResult, u32), ApiError> {
    let Enrolment { request_id, index, user_id, requested_by } = enrolment;
    if image.len() > api.config().max_photo_bytes {
        return Ok((PhotoResult::refused(index, "image_too_large"), 0));
    }
    let Some(content_type) = ImageType::of_bytes(&image) else {
        return Ok((PhotoResult::refused(index, "unknown_image_format"), 0));
    };
    let received_at = api.clock().now();
    let meta = PhotoMeta { request_id, requested_by, received_at, user_id: Some(user_id), content_type };
    let mut headers = meta.to_headers();
    headers.extend(trace_headers());
    let question =
        Message::new(subject::request(RequestKind::EnrolPhoto), request_id, image).with_headers(headers);
    match api.ask(question, request_id).await? {
        Asked::Answered(Answer::Photo(answer)) => Ok((PhotoResult::answered(index, &answer), answer.photos)),
        Asked::Answered(_) => Err(mismatched()),
        Asked::Pending(pending) => Ok((PhotoResult::pending(index, pending), 0)),
    }
}

fn answer(data: FacesData) -> Response {
    let first_pending = data.photos.iter().find_map(|photo| photo.pending.clone());
    if let Some(pending) = first_pending {
        let mut response = Success::accepted("FACES_PENDING", data).into_response();
        let location =
            HeaderValue::from_str(&pending.status_url).expect("a path with a UUID is a header value");
        response.headers_mut().insert(LOCATION, location);
        return response;
    }
    if data.photos.iter().any(|photo| photo.status == PhotoStatus::Accepted) {
        return Success::new(StatusCode::CREATED, "FACES_ENROLLED", data).into_response();
    }
    Problem::new(Code::ValidationFailed, "none of the photographs could be used")
        .with_details(json!({ "photos": data.photos }))
        .into_response()
}

impl PhotoResult {
    fn answered(index: usize, answer: &PhotoAnswer) -> Self {
        match (&answer.refusal, answer.photo_id) {
            (None, photo_id) => Self {
                index,
                status: PhotoStatus::Accepted,
                photo_id,
                refusal: None,
                remedy: None,
                pending: None,
            },
            (Some(refusal), _) => Self::refused(index, refusal),
        }
    }

    fn refused(index: usize, refusal: &str) -> Self {
        Self {
            index,
            status: PhotoStatus::Refused,
            photo_id: None,
            refusal: Some(refusal.to_owned()),
            remedy: Some(remedy(refusal)),
            pending: None,
        }
    }

    fn pending(index: usize, pending: Pending) -> Self {
        Self {
            index,
            status: PhotoStatus::Pending,
            photo_id: None,
            refusal: None,
            remedy: None,
            pending: Some(pending),
        }
    }
}

/// What to do about a refusal.
fn remedy(refusal: &str) -> &'static str {
    match refusal {
        "unknown_image_format" | "image_truncated" | "image_damaged" => {
            "Send a whole JPEG, PNG or WebP file."
        }
        "image_too_large" => "Send a smaller file.",
        "no_face" => "Send a photograph that shows the face from the front, with enough light.",
        "several_faces" => "Send a photograph with nobody else in it.",
        "too_small" => "Come closer to the camera, or send a larger photograph.",
        "blurred" => "Hold still, and send a sharp photograph.",
        "turned_away" => "Look straight into the camera.",
        "low_score" => "Take away what covers the face, and use more light.",
        "duplicate" => "This photograph is enrolled already; send another one.",
        _ => "Send another photograph that shows the face from the front, sharp and well lit.",
    }
}
