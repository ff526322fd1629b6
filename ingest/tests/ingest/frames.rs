//! Frames and pictures: what is stored, and what is refused without a trace in FRAMES.

use crate::world::*;
use axum::body::Body;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderName, Method, Request};
use image::ImageFormat;
use reqwest::multipart::{Form, Part};
use rollcall_ingest::IngestConfig;
use rollcall_schemas::{
    frame::{FrameMeta, FrameSource, ImageType},
    header::{HeaderSource, TRACEPARENT},
    id::{CameraId, FrameId},
    role::Role,
    subject::Stream,
};
use rollcall_service::{
    http::{HttpConfig, finish},
    telemetry,
};
use rollcall_test_support::Answer;
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tower::ServiceExt;

const CAPTURED_AT: HeaderName = HeaderName::from_static("x-captured-at");

async fn send(world: &World, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
    world.camera().send(Method::POST, &frames_of(DOOR), Some((content_type, body.into()))).await
}

#[tokio::test]
async fn a_frame_is_stored_as_it_came() {
    // Other tests of the same process may have started it already.
    let _telemetry = telemetry::init(&telemetry::TelemetryConfig::default());
    let world = World::start().await;
    let formats = [
        (ImageFormat::Jpeg, ImageType::Jpeg),
        (ImageFormat::Png, ImageType::Png),
        (ImageFormat::WebP, ImageType::Webp),
    ];
    for (format, content_type) in formats {
        let bytes = picture(format, 1);
        let captured_at = world.clock.now() - TimeDelta::seconds(30);
        let client = world.camera().with_header(CAPTURED_AT, &captured_at.to_rfc3339()).with_header(
            HeaderName::from_static(TRACEPARENT),
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );
        let body = Some((content_type.to_string(), bytes.clone()));
        let body = body.as_ref().map(|(content_type, bytes)| (content_type.as_str(), bytes.clone()));
        let answer = client.send(Method::POST, &frames_of(DOOR), body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (202, "FRAME_ACCEPTED"), "{}", answer.body);
        let data = answer.data();
        let frame_id = FrameId::of(DOOR, captured_at, &bytes);
        assert_eq!(data["frameId"], json!(frame_id));
        assert_eq!(data["duplicate"], false);

        let stored =
            world.bus.get(Stream::Frames, data["sequence"].as_u64().unwrap()).await.unwrap().unwrap();
        assert_eq!(stored.payload, bytes);
        let expected = FrameMeta {
            frame_id,
            camera_id: DOOR,
            captured_at,
            received_at: world.clock.now(),
            source: FrameSource::Live,
            content_type,
            width: 64,
            height: 48,
        };
        assert_eq!(FrameMeta::from_headers(DOOR, &stored), Ok(expected));
        let trace = stored.header(TRACEPARENT).expect("the trace goes on");
        assert!(trace.starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{trace}");
    }
}

#[tokio::test]
async fn a_retry_is_the_same_frame() {
    let world = World::start().await;
    let captured_at = world.clock.now();
    let first = push(&world.camera(), DOOR, &jpeg(1), captured_at).await;
    world.clock.advance(TimeDelta::seconds(3));
    let again = push(&world.camera(), DOOR, &jpeg(1), captured_at).await;
    assert_eq!(again.status, 202);
    assert_eq!(again.data()["frameId"], first.data()["frameId"]);
    assert_eq!(again.data()["sequence"], first.data()["sequence"]);
    assert_eq!(again.data()["duplicate"], true);
    assert_eq!(world.last_sequence(Stream::Frames).await, 1);

    // Another instant, other bytes or another camera is another frame.
    push(&world.camera(), DOOR, &jpeg(1), captured_at + TimeDelta::microseconds(1)).await.data();
    push(&world.camera(), DOOR, &jpeg(2), captured_at).await.data();
    let yard = world.client().with_api_key(&world.yard_key.reveal());
    push(&yard, YARD, &jpeg(1), captured_at).await.data();
    assert_eq!(world.last_sequence(Stream::Frames).await, 4);
}

#[tokio::test]
async fn every_form_gives_the_same_frame() {
    let world = World::start().await;
    let captured_at = "2026-03-02T08:59:30Z";
    let bytes = jpeg(1);
    let expected = json!(FrameId::of(DOOR, captured_at.parse().unwrap(), &bytes));
    let path = frames_of(DOOR);

    let raw = world.camera().with_header(CAPTURED_AT, captured_at);
    let raw = raw.send(Method::POST, &path, Some(("image/jpeg", bytes.clone()))).await;
    let in_query = format!("{path}?capturedAt={captured_at}");
    let in_query = world.camera().send(Method::POST, &in_query, Some(("image/jpeg", bytes.clone()))).await;
    let part = Part::bytes(bytes.clone()).mime_str("image/jpeg").unwrap();
    let form = Form::new().text("capturedAt", captured_at).part("frame", part);
    let multipart = world.camera().post_form(&path, form).await;
    // Neither a type of the part nor anything else has to be said.
    let form = Form::new().part("image", Part::bytes(bytes.clone())).text("cameraId", DOOR.to_string());
    let bare = world.camera().with_header(CAPTURED_AT, captured_at).post_form(&path, form).await;
    let image = format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(&bytes));
    let body = json!({ "image": image, "capturedAt": captured_at });
    let as_json = world.camera().post(&path, &body).await;
    for answer in [raw, in_query, multipart, bare, as_json] {
        assert_eq!(answer.data()["frameId"], expected);
    }
    assert_eq!(world.last_sequence(Stream::Frames).await, 1);
    let stored = world.bus.get(Stream::Frames, 1).await.unwrap().unwrap();
    assert_eq!(stored.payload, bytes);
}

#[tokio::test]
async fn bad_images_are_refused_and_not_stored() {
    let config = IngestConfig {
        max_image_bytes: 20_000,
        max_image_side_px: 300,
        max_image_pixels: 30_000,
        ..IngestConfig::default()
    };
    let world = World::with(config).await;
    let (jpeg, png, webp) = (jpeg(1), picture(ImageFormat::Png, 1), picture(ImageFormat::WebP, 1));
    let cut = |bytes: &[u8]| bytes[..bytes.len() - 20].to_vec();
    let large = [jpeg.clone(), vec![0; 20_000]].concat();
    let damaged = {
        let mut bytes = png.clone();
        bytes[16..20].fill(0xff);
        bytes
    };
    let cases: [(&str, &str, Vec<u8>, u16, &str); 15] = [
        ("zero bytes", "image/jpeg", vec![], 400, "MISSING_REQUIRED_FIELD"),
        ("text", "image/jpeg", b"hello".to_vec(), 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("GIF", "image/jpeg", b"GIF89a...".to_vec(), 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("PNG called JPEG", "image/jpeg", png.clone(), 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("JPEG called WebP", "image/webp", jpeg.clone(), 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("JPEG called text", "text/plain", jpeg.clone(), 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("GIF by name", "image/gif", jpeg.clone(), 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("cut JPEG", "image/jpeg", cut(&jpeg), 422, "VALIDATION_FAILED"),
        ("cut PNG", "image/png", cut(&png), 422, "VALIDATION_FAILED"),
        ("cut WebP", "image/webp", cut(&webp), 422, "VALIDATION_FAILED"),
        ("only a beginning", "image/jpeg", jpeg[..4].to_vec(), 422, "VALIDATION_FAILED"),
        ("damaged header", "image/png", damaged, 422, "VALIDATION_FAILED"),
        ("too many bytes", "image/jpeg", large, 413, "PAYLOAD_TOO_LARGE"),
        ("too wide", "image/png", picture_of(ImageFormat::Png, 301, 10, 0), 422, "VALIDATION_FAILED"),
        ("too many pixels", "image/png", picture_of(ImageFormat::Png, 201, 150, 0), 422, "VALIDATION_FAILED"),
    ];
    for (name, content_type, body, status, code) in cases {
        let answer = send(&world, content_type, body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{name}: {}", answer.body);
        assert_eq!(answer.body["error"]["details"]["fields"][0]["field"], "image", "{name}");
    }
    assert_eq!(world.last_sequence(Stream::Frames).await, 0);
    assert_eq!(send(&world, "image/jpeg", jpeg).await.status, 202);
}

#[tokio::test]
async fn bad_forms_are_refused_and_not_stored() {
    let world = World::start().await;
    let path = frames_of(DOOR);
    let field = |answer: &Answer| answer.body["error"]["details"]["fields"][0]["field"].clone();
    let image = || Part::bytes(jpeg(1));
    let forms = [
        (Form::new().text("capturedAt", "2026-03-02T09:00:00Z"), 400, "image"),
        (Form::new().part("image", image()).text("note", "x"), 422, "note"),
        (Form::new().part("image", image()).part("frame", image()), 422, "frame"),
        (Form::new().part("image", image()).text("capturedAt", "x".repeat(2_000)), 422, "capturedAt"),
        (Form::new().part("image", image()).text("cameraId", YARD.to_string()), 422, "cameraId"),
        (Form::new().part("image", image().mime_str("image/png").unwrap()), 415, "image"),
    ];
    for (form, status, name) in forms {
        let answer = world.camera().post_form(&path, form).await;
        assert_eq!((answer.status.as_u16(), field(&answer)), (status, json!(name)), "{}", answer.body);
    }
    let data = BASE64_STANDARD.encode(jpeg(1));
    let bodies = [
        (json!({}), 400, "image"),
        (json!({ "image": 7 }), 422, "image"),
        (json!({ "image": data }), 422, "image"),
        (json!({ "image": "data:image/jpeg;base64,***" }), 422, "image"),
        (json!({ "image": "data:image/jpeg;base64," }), 400, "image"),
        (json!({ "image": format!("data:image/png;base64,{data}") }), 415, "image"),
        (json!({ "image": format!("data:text/plain;base64,{data}") }), 415, "image"),
        (json!({ "image": format!("data:image/jpeg;base64,{data}"), "when": "now" }), 422, "when"),
        (
            json!({ "image": format!("data:image/jpeg;base64,{data}"), "capturedAt": "now" }),
            422,
            "capturedAt",
        ),
    ];
    for (body, status, name) in bodies {
        let answer = world.camera().post(&path, &body).await;
        assert_eq!((answer.status.as_u16(), field(&answer)), (status, json!(name)), "{}", answer.body);
    }
    world
        .camera()
        .send(Method::POST, &path, Some(("application/json", b"{".to_vec())))
        .await
        .refused(400, "INVALID_INPUT");
    let no_boundary = Some(("multipart/form-data", b"x".to_vec()));
    world.camera().send(Method::POST, &path, no_boundary).await.refused(400, "INVALID_INPUT");
    world.camera().send(Method::POST, &path, None).await.refused(415, "UNSUPPORTED_MEDIA_TYPE");
    assert_eq!(world.last_sequence(Stream::Frames).await, 0);
}

#[tokio::test]
async fn no_more_of_a_body_is_read_than_may_be_stored() {
    const CHUNK: usize = 1_000;
    let config = IngestConfig { max_image_bytes: 10 * CHUNK, ..IngestConfig::default() };
    let world = World::with(config).await;
    let router = finish(
        world.front.router.clone(),
        &HttpConfig::default(),
        world.clock.clone(),
        world.entropy.clone(),
    );
    let call = async |content_type: &str, length: Option<usize>| {
        let read = Arc::new(AtomicUsize::new(0));
        let counter = read.clone();
        let chunks = std::iter::repeat_with(move || {
            counter.fetch_add(CHUNK, Ordering::Relaxed);
            Ok::<_, std::convert::Infallible>(Bytes::from_static(&[0xff; CHUNK]))
        });
        let mut request = Request::post(frames_of(DOOR))
            .header("x-api-key", world.door_key.reveal())
            .header("content-type", content_type);
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        let request = request.body(Body::from_stream(futures::stream::iter(chunks))).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        (response.status().as_u16(), read.load(Ordering::Relaxed))
    };
    // A body without end, in each form, and one that says beforehand how large it is.
    let (status, read) = call("image/jpeg", None).await;
    assert!(status == 413 && read <= 12 * CHUNK, "{status} after {read} bytes");
    let (status, read) = call("application/json", None).await;
    assert!(status == 413 && read <= 32 * CHUNK, "{status} after {read} bytes");
    let (status, read) = call("image/jpeg", Some(10 * CHUNK + 1)).await;
    assert!(status == 413 && read <= CHUNK, "{status} after {read} bytes");
    assert_eq!(world.last_sequence(Stream::Frames).await, 0);
}

#[tokio::test]
async fn capture_times_are_read_compared_and_defaulted() {
    let world = World::start().await;
    let at = async |text: &str| {
        world
            .camera()
            .with_header(CAPTURED_AT, text)
            .send(Method::POST, &frames_of(DOOR), Some(("image/jpeg", jpeg(1))))
            .await
    };
    let shifted = |by: TimeDelta| (world.clock.now() + by).to_rfc3339();
    let refused = [
        "yesterday".to_owned(),
        "2026-03-02T09:00:00".to_owned(),
        "1772442000".to_owned(),
        shifted(TimeDelta::seconds(121)),
        shifted(-TimeDelta::days(7) - TimeDelta::seconds(1)),
    ];
    for text in refused {
        let answer = at(&text).await;
        let details = answer.refused(422, "VALIDATION_FAILED");
        assert_eq!(details["fields"][0]["field"], "capturedAt", "{text}");
    }
    assert_eq!(world.last_sequence(Stream::Frames).await, 0);
    for text in
        [shifted(TimeDelta::seconds(120)), shifted(-TimeDelta::days(7)), "2026-03-02T12:00:00+03:00".into()]
    {
        let expected: DateTime<Utc> = text.parse().unwrap();
        assert_eq!(at(&text).await.data()["capturedAt"], json!(expected), "{text}");
    }
    let absent = send(&world, "image/jpeg", jpeg(1)).await;
    assert_eq!(absent.data()["capturedAt"], absent.data()["receivedAt"]);
}

#[tokio::test]
async fn pictures_are_uploaded_by_operators_for_a_camera() {
    let world = World::start().await;
    let operator = world.user(Role::Operator);
    let upload = async |form: Form| operator.post_form("/api/v1/images", form).await;
    let answer =
        upload(Form::new().part("image", Part::bytes(jpeg(1))).text("cameraId", DOOR.to_string())).await;
    let sequence = answer.data()["sequence"].as_u64().unwrap();
    let stored = world.bus.get(Stream::Frames, sequence).await.unwrap().unwrap();
    let meta = FrameMeta::from_headers(DOOR, &stored).unwrap();
    assert_eq!((meta.source, stored.subject.last_token().parse()), (FrameSource::Upload, Ok(DOOR)));
    let raw = format!("/api/v1/images?cameraId={YARD}&capturedAt=2026-03-02T08:00:00Z");
    let raw = operator.send(Method::POST, &raw, Some(("image/png", picture(ImageFormat::Png, 1)))).await;
    assert_eq!(raw.data()["cameraId"], json!(YARD));

    let image = || Part::bytes(jpeg(1));
    let before = world.last_sequence(Stream::Frames).await;
    let missing = upload(Form::new().part("image", image())).await;
    assert_eq!(missing.refused(400, "MISSING_REQUIRED_FIELD")["fields"][0]["field"], "cameraId");
    let garbled = upload(Form::new().part("image", image()).text("cameraId", "door")).await;
    assert_eq!(garbled.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], "cameraId");
    let nobody = CameraId::derive(&[b"nobody"]).to_string();
    upload(Form::new().part("image", image()).text("cameraId", nobody)).await.refused(404, "NOT_FOUND");
    upload(Form::new().text("cameraId", DOOR.to_string())).await.refused(400, "MISSING_REQUIRED_FIELD");
    for role in [Role::Teacher, Role::Student] {
        let form = Form::new().part("image", image()).text("cameraId", DOOR.to_string());
        world.user(role).post_form("/api/v1/images", form).await.refused(403, "AUTH_UNAUTHORIZED");
    }
    let form = Form::new().part("image", image()).text("cameraId", DOOR.to_string());
    world.camera().post_form("/api/v1/images", form).await.refused(403, "AUTH_UNAUTHORIZED");
    world.client().post("/api/v1/images", &json!({})).await.refused(401, "AUTH_UNAUTHORIZED");
    assert_eq!(world.last_sequence(Stream::Frames).await, before);
}

#[tokio::test]
async fn what_comes_of_frames_and_scans_is_counted() {
    let metrics = telemetry::metrics();
    let world = World::start().await;
    let now = world.clock.now();
    push(&world.camera(), DOOR, &jpeg(1), now).await.data();
    push(&world.camera(), DOOR, &jpeg(1), now).await.data();
    push(&world.camera(), DOOR, b"", now).await.refused(400, "MISSING_REQUIRED_FIELD");
    world.client().post("/api/v1/attendance/mark", &json!({})).await.refused(401, "AUTH_UNAUTHORIZED");
    let text = metrics.render();
    for line in [
        r#"rollcall_ingest_frames_total{source="live",result="accepted"}"#,
        r#"rollcall_ingest_frames_total{source="live",result="duplicate"}"#,
        r#"rollcall_ingest_frames_total{source="live",result="MISSING_REQUIRED_FIELD"}"#,
        r#"rollcall_ingest_frame_bytes_count{source="live"}"#,
        r#"rollcall_ingest_frame_age_seconds_count{source="live"}"#,
        r#"rollcall_ingest_scans_total{result="AUTH_UNAUTHORIZED"}"#,
    ] {
        assert!(text.contains(line), "no {line} in:\n{text}");
    }
}
