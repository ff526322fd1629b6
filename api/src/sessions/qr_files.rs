//! `GET /sessions/{id}/qr.png` and `qr.svg`: the code that students scan as an image and nothing else, for displays that
//! show a picture of an address. With its token and its end it is in `qr`.

use super::{qr::shown, qr_image};
use crate::{error::ApiError, state::Api};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use rollcall_schemas::id::SessionId;
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Query};
use serde::Deserialize;
use std::ops::RangeInclusive;
use utoipa::IntoParams;

/// Pixels each way: a code of a token can be read from the fewest, and fills a projector with the most.
const SIDES_PX: RangeInclusive<u32> = 64..=2048;

/// How the picture is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PngParams {
    /// Its width and height in pixels.
    #[serde(default = "usual_side")]
    #[param(minimum = 64, maximum = 2048, default = 512)]
    size: u32,
}

fn usual_side() -> u32 {
    512
}

/// Read the code of a session that is valid now, as a PNG.
#[utoipa::path(
    get,
    path = "/api/v1/sessions/{id}/qr.png",
    tag = "sessions",
    params(("id" = Uuid, Path, description = "The session"), PngParams),
    responses(
        (status = 200, description = "The image", body = Vec<u8>, content_type = "image/png"),
        (status = 409, description = "`SESSION_NOT_ACTIVE`: the session shows no code at present", body = ErrorEnvelope),
    )
)]
pub(crate) async fn code_as_png(
    State(api): State<Api>,
    Path(id): Path<SessionId>,
    Query(params): Query<PngParams>,
) -> Result<Response, ApiError> {
    if !SIDES_PX.contains(&params.size) {
        let (least, most) = SIDES_PX.into_inner();
        return Err(Problem::validation([("size", format!("must be {least} to {most}"))]).into());
    }
    let (_, code) = shown(&api, id).await?;
    let png = qr_image::png(&code.token.0.to_string(), params.size).map_err(Problem::internal)?;
    Ok(([(CONTENT_TYPE, "image/png"), (CACHE_CONTROL, "no-store")], png).into_response())
}

/// Read the code of a session that is valid now, as SVG.
#[utoipa::path(
    get,
    path = "/api/v1/sessions/{id}/qr.svg",
    tag = "sessions",
    params(("id" = Uuid, Path, description = "The session")),
    responses(
        (status = 200, description = "The image", body = String, content_type = "image/svg+xml"),
        (status = 409, description = "`SESSION_NOT_ACTIVE`: the session shows no code at present", body = ErrorEnvelope),
    )
)]
pub(crate) async fn code_as_svg(
    State(api): State<Api>,
    Path(id): Path<SessionId>,
) -> Result<Response, ApiError> {
    let (_, code) = shown(&api, id).await?;
    let svg = qr_image::svg(&code.token.0.to_string()).map_err(Problem::internal)?;
    Ok(([(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, "no-store")], svg).into_response())
}

#[cfg(test)]
mod tests {
    use crate::testing::TestApi;
    use base64::{Engine, prelude::BASE64_STANDARD};
    use http::{
        Method,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    };
    use serde_json::json;

    #[tokio::test]
    async fn the_image_is_the_one_in_the_json_and_is_kept_by_nobody() {
        let test = TestApi::start().await;
        test.start_attendance_worker();
        let teacher = test.teacher();
        let path = format!("/api/v1/sessions/{}", test.school.session);
        for file in ["qr.png", "qr.svg"] {
            teacher.get(&format!("{path}/{file}")).await.refused(409, "SESSION_NOT_ACTIVE");
        }
        let code = teacher.put(&format!("{path}/start"), &json!({})).await.data()["qrCode"].clone();
        let read = async |file: &str| {
            let answer = teacher.request(Method::GET, &format!("{path}/{file}")).send().await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()[CACHE_CONTROL]),
                (200, &"no-store".parse().unwrap())
            );
            (answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned(), answer.bytes().await.unwrap())
        };
        let encoded = code["image"].as_str().unwrap().strip_prefix("data:image/png;base64,").unwrap();
        let shown = BASE64_STANDARD.decode(encoded).unwrap();
        let side = image::load_from_memory(&shown).unwrap().width();
        let (kind, png) = read(&format!("qr.png?size={side}")).await;
        assert_eq!((kind.as_str(), &png[..]), ("image/png", &shown[..]));
        let (kind, svg) = read("qr.svg").await;
        assert_eq!((kind.as_str(), &svg[..]), ("image/svg+xml", code["svg"].as_str().unwrap().as_bytes()));

        let usual = image::load_from_memory(&read("qr.png").await.1).unwrap();
        assert_eq!((usual.width(), usual.height()), (512, 512));
        for size in ["63", "2049", "-1", "large"] {
            let refused = teacher.get(&format!("{path}/qr.png?size={size}")).await;
            assert_eq!(refused.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], "size");
        }
        test.student().get(&format!("{path}/qr.png")).await.refused(403, "AUTH_UNAUTHORIZED");
    }
}
