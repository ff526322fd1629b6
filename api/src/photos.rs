//! Photographs in a body: parts named `images`, or JSON with data URLs. Bytes from here on; base64 ends at this edge.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderValue, header::CONTENT_TYPE};
use rollcall_service::http::{Json, Multipart, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

/// The photographs of a body, in order.
pub(crate) struct Photos(pub(crate) Vec<Bytes>);

/// The photographs as JSON.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "images": ["data:image/jpeg;base64,/9j/4AAQSkZJRg==", "data:image/jpeg;base64,/9j/4AAQSkZJRg==", "data:image/jpeg;base64,/9j/4AAQSkZJRg=="] }))]
pub(crate) struct PhotosBody {
    /// Data URLs (RFC 2397): `data:image/jpeg;base64,...`; in a multipart body, files.
    images: Vec<String>,
}

impl<S: Send + Sync> FromRequest<S> for Photos {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let content_type = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if content_type.is_some_and(|value| value.starts_with(b"multipart/form-data")) {
            return from_parts(Multipart::from_request(request, state).await?).await;
        }
        let Json(body) = Json::<PhotosBody>::from_request(request, state).await?;
        let decoded = body.images.iter().enumerate().map(|(index, url)| {
            decode_data_url(url).ok_or_else(|| {
                Problem::validation([(format!("images[{index}]"), "must be a base64 data URL of an image")])
            })
        });
        decoded.collect::<Result<_, _>>().map(Self)
    }
}

async fn from_parts(Multipart(mut parts): Multipart) -> Result<Photos, Problem> {
    let mut images = Vec::new();
    while let Some(part) = parts.next_field().await? {
        if part.name() != Some("images") {
            let name = part.name().unwrap_or_default().to_owned();
            return Err(Problem::validation([(name, "unknown part; photographs are parts named images")]));
        }
        images.push(part.bytes().await?);
    }
    Ok(Photos(images))
}

/// The bytes of a data URL of an image. What type it names is not believed: the bytes tell.
fn decode_data_url(url: &str) -> Option<Bytes> {
    let (head, data) = url.strip_prefix("data:image/")?.split_once(',')?;
    head.ends_with(";base64").then(|| BASE64_STANDARD.decode(data).ok())?.map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::decode_data_url;

    #[test]
    fn only_base64_images_are_decoded() {
        assert_eq!(decode_data_url("data:image/jpeg;base64,/9j/").as_deref(), Some(&[0xff, 0xd8, 0xff][..]));
        for bad in
            ["", "/9j/", "data:text/plain;base64,/9j/", "data:image/png,abc", "data:image/png;base64,?"]
        {
            assert!(decode_data_url(bad).is_none(), "{bad}");
        }
    }
}
