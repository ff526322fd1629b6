//! The three forms in which a picture is sent: the image itself, multipart, and JSON with a data URL (RFC 2397). Here
//! they become bytes and fields; what they mean is not looked at.

use super::refusal::{of_field, of_image};
use crate::inspect::ImageRefusal;
use ::http::{HeaderMap, header};
use axum::extract::{DefaultBodyLimit, FromRequest, Request, multipart::Field};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use rollcall_schemas::code::Code;
use rollcall_service::http::{self, Problem};
use serde::Deserialize;
use serde_json::json;

/// What a multipart or JSON body may have beside the image: part headers, small fields.
const AROUND_IMAGE: usize = 16 * 1024;
/// Most characters of a field that is not the image.
const MAX_FIELD: usize = 1024;
/// Padded or not: clients differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A picture as it was sent.
pub(super) struct Submission {
    pub(super) image: Bytes,
    /// What the sender called the image.
    pub(super) declared: Option<String>,
    pub(super) captured_at: Option<String>,
    pub(super) camera_id: Option<String>,
}

/// A picture in JSON.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = FrameJson, example = json!({
    "image": "data:image/jpeg;base64,/9j/4AAQSkZJRg==",
    "capturedAt": "2026-11-20T09:00:00Z",
    "cameraId": "7d6a2f0e-5b1c-4e8a-9f43-1c2b3a4d5e6f",
}))]
pub(super) struct JsonForm {
    /// `data:image/jpeg;base64,...`, or another type that is taken.
    image: String,
    /// The camera's time, RFC 3339; receipt when absent.
    captured_at: Option<String>,
    /// The camera that it is of.
    camera_id: Option<String>,
}

/// A picture in `multipart/form-data`.
#[derive(utoipa::ToSchema)]
#[schema(as = FrameForm, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes a body that is read part by part")]
pub(super) struct MultipartForm {
    /// The image; `frame` is another name for it.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    /// The camera's time, RFC 3339; receipt when absent.
    captured_at: Option<String>,
    /// The camera that it is of.
    camera_id: Option<String>,
}

impl Submission {
    /// Reads the body in whichever form it is. Not more of it is read than an image of `max_image_bytes` can need.
    pub(super) async fn read(mut request: Request, max_image_bytes: usize) -> Result<Self, Problem> {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let limit = match essence.as_str() {
            "multipart/form-data" => max_image_bytes + AROUND_IMAGE,
            "application/json" => max_image_bytes.div_ceil(3) * 4 + AROUND_IMAGE,
            _ => max_image_bytes,
        };
        if declared_length(request.headers()).is_some_and(|length| length > limit) {
            return Err(too_large(max_image_bytes));
        }
        DefaultBodyLimit::max(limit).apply(&mut request);
        let submission = match essence.as_str() {
            "multipart/form-data" => Self::of_multipart(request).await,
            "application/json" => Self::of_json(request).await,
            "image/jpeg" | "image/png" | "image/webp" => {
                Self::of_image(request, content_type, max_image_bytes).await
            }
            _ => Err(of_image(&ImageRefusal::TypeNotTaken { declared: essence })),
        };
        submission.map_err(|problem| match problem.code {
            Code::PayloadTooLarge => too_large(max_image_bytes),
            _ => problem,
        })
    }

    /// Each part is copied into its place as it comes, while it is still in the cache, and its buffer takes the next one.
    async fn of_image(request: Request, content_type: String, max_bytes: usize) -> Result<Self, Problem> {
        let mut image = BytesMut::with_capacity(declared_length(request.headers()).unwrap_or_default());
        let mut parts = request.into_body().into_data_stream();
        while let Some(part) = parts.next().await {
            let part = part.map_err(|error| {
                Problem::invalid_input("the body could not be read")
                    .with_details(json!({ "reason": error.to_string() }))
            })?;
            if image.len() + part.len() > max_bytes {
                return Err(too_large(max_bytes));
            }
            image.extend_from_slice(&part);
        }
        Ok(Self { image: image.freeze(), declared: Some(content_type), captured_at: None, camera_id: None })
    }

    async fn of_json(request: Request) -> Result<Self, Problem> {
        let http::Json(form) = http::Json::<JsonForm>::from_request(request, &()).await?;
        let (declared, image) = data_url(&form.image).ok_or_else(|| {
            of_field(Code::ValidationFailed, "image", "not a data URL such as data:image/jpeg;base64,...")
        })?;
        let declared = Some(declared.to_owned());
        Ok(Self { image, declared, captured_at: form.captured_at, camera_id: form.camera_id })
    }

    async fn of_multipart(request: Request) -> Result<Self, Problem> {
        let http::Multipart(mut parts) = http::Multipart::from_request(request, &()).await?;
        let (mut image, mut declared, mut captured_at, mut camera_id) = (None, None, None, None);
        while let Some(part) = parts.next_field().await? {
            let name = part.name().unwrap_or_default().to_owned();
            let is_repeated = match name.as_str() {
                "image" | "frame" => {
                    declared = part.content_type().map(str::to_owned);
                    image.replace(part.bytes().await?).is_some()
                }
                "capturedAt" => captured_at.replace(text(part).await?).is_some(),
                "cameraId" => camera_id.replace(text(part).await?).is_some(),
                _ => {
                    return Err(of_field(
                        Code::ValidationFailed,
                        &name,
                        "unknown; parts are image, capturedAt, cameraId",
                    ));
                }
            };
            if is_repeated {
                return Err(of_field(Code::ValidationFailed, &name, "given more than once"));
            }
        }
        let image = image.ok_or_else(|| {
            of_field(Code::MissingRequiredField, "image", "required: a part named image or frame")
        })?;
        Ok(Self { image, declared, captured_at, camera_id })
    }
}

async fn text(part: Field<'_>) -> Result<String, Problem> {
    let name = part.name().unwrap_or_default().to_owned();
    let text = part.text().await?;
    if text.len() > MAX_FIELD {
        return Err(of_field(Code::ValidationFailed, &name, format!("longer than {MAX_FIELD} characters")));
    }
    Ok(text)
}

/// The media type and the bytes of a data URL in base64.
fn data_url(text: &str) -> Option<(&str, Bytes)> {
    let (head, data) = text.strip_prefix("data:")?.split_once(',')?;
    let declared = head.strip_suffix(";base64")?;
    Some((declared, BASE64.decode(data).ok()?.into()))
}

fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(max_image_bytes: usize) -> Problem {
    of_image(&ImageRefusal::TooLarge { limit_bytes: max_image_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_urls_are_read_with_and_without_padding() {
        for text in ["data:image/png;base64,aGk=", "data:image/png;base64,aGk"] {
            assert_eq!(data_url(text), Some(("image/png", Bytes::from_static(b"hi"))));
        }
        for text in ["", "aGk=", "data:image/png,hi", "data:image/png;base64", "data:image/png;base64,a*b"] {
            assert_eq!(data_url(text), None, "{text}");
        }
    }
}
