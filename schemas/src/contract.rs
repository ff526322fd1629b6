//! The contract as documents: a JSON Schema per message and one AsyncAPI 3.0 document over all of them, generated from
//! the types of this crate. `rollcall asyncapi` prints the latter; a test compares both with `schemas/contract/`.

use crate::{
    fact::Fact,
    feed::{AuditHead, AuthEntry, CameraEntry, ConfigurationEntry, ControlEntry, GalleryEntry},
    frame::FrameMeta,
    outcome::Outcome,
    request::{
        AttendanceRequest, EraseFaces, KeyUses, PhotoMeta, Refusals, SessionRequest, StorePhoto,
        WebhookRequest,
    },
    scan::Scan,
    sighting::Sighting,
    subject::Stream,
};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// One kind of message.
struct MessageKind {
    name: &'static str,
    stream: Stream,
    /// The subject, with `{parameters}`.
    address: &'static str,
    /// What is in the payload: JSON of the schema, or an image whose headers the schema describes.
    payload: Payload,
    schema: fn() -> Value,
}

#[derive(Clone, Copy, PartialEq)]
enum Payload {
    Json,
    Image,
}

const MESSAGES: &[MessageKind] = &[
    image::<FrameMeta>("frame_captured", Stream::Frames, "frame.captured.v1.{cameraId}"),
    json_of::<Sighting>("sighting", Stream::Sightings, "sighting.v1.{cameraId}"),
    json_of::<Scan>("scan_captured", Stream::Scans, "scan.captured.v1"),
    image::<PhotoMeta>("enrol_photo", Stream::Requests, "request.v1.enrol-photo"),
    image::<PhotoMeta>("recognise", Stream::Requests, "request.v1.recognise"),
    json_of::<StorePhoto>("store_photo", Stream::Requests, "request.v1.store-photo"),
    json_of::<SessionRequest>("session", Stream::Requests, "request.v1.session"),
    json_of::<AttendanceRequest>("attendance", Stream::Requests, "request.v1.attendance"),
    json_of::<EraseFaces>("erase_faces", Stream::Requests, "request.v1.erase-faces"),
    json_of::<KeyUses>("key_uses", Stream::Requests, "request.v1.key-uses"),
    json_of::<WebhookRequest>("webhook", Stream::Requests, "request.v1.webhook"),
    json_of::<Refusals>("refusals", Stream::Requests, "request.v1.refusals"),
    json_of::<Outcome>("outcome", Stream::Outcomes, "outcome.v1.{requestId}"),
    json_of::<Fact>("fact", Stream::Facts, "fact.{noun}.{verb}.v1.{scope}"),
    json_of::<GalleryEntry>("gallery_entry", Stream::Gallery, "gallery.v1.{pack}.{userId}"),
    json_of::<CameraEntry>("camera_entry", Stream::Cameras, "camera.v1.{cameraId}"),
    json_of::<AuthEntry>("auth_entry", Stream::Auth, "auth.v1.{kind}.{id}"),
    json_of::<ControlEntry>("control_entry", Stream::Control, "control.v1.all"),
    json_of::<ConfigurationEntry>("configuration_entry", Stream::Control, "control.v1.configuration"),
    json_of::<AuditHead>("audit_head", Stream::Control, "control.v1.audit"),
];

const fn json_of<T: JsonSchema>(name: &'static str, stream: Stream, address: &'static str) -> MessageKind {
    MessageKind { name, stream, address, payload: Payload::Json, schema: schema::<T> }
}

const fn image<T: JsonSchema>(name: &'static str, stream: Stream, address: &'static str) -> MessageKind {
    MessageKind { name, stream, address, payload: Payload::Image, schema: schema::<T> }
}

fn schema<T: JsonSchema>() -> Value {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<T>().to_value()
}

/// The JSON Schema of every message: name and document.
pub fn json_schemas() -> Vec<(&'static str, Value)> {
    MESSAGES.iter().map(|message| (message.name, (message.schema)())).collect()
}

/// The AsyncAPI 3.0 document of the whole log.
pub fn asyncapi() -> Value {
    let mut channels = Map::new();
    let mut messages = Map::new();
    for message in MESSAGES {
        channels.insert(
            message.name.into(),
            json!({
                "address": message.address,
                "title": message.stream.name(),
                "parameters": parameters(message.address),
                "messages": { message.name: { "$ref": format!("#/components/messages/{}", message.name) } },
            }),
        );
        let schema = json!({ "$ref": format!("./{}.json", message.name) });
        messages.insert(
            message.name.into(),
            match message.payload {
                Payload::Json => json!({ "contentType": "application/json", "payload": schema }),
                Payload::Image => json!({
                    "contentType": "image/*",
                    "summary": "The payload is the image; the schema's fields travel as headers.",
                    "headers": schema,
                }),
            },
        );
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Rollcall log",
            "version": "1",
            "description": "Every stream of the JetStream log. A new shape of an event is a new version in its subject.",
        },
        "channels": channels,
        "components": { "messages": messages },
    })
}

/// The `{names}` in an address.
fn parameters(address: &str) -> Value {
    let names = address.split('.').filter_map(|token| token.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| (name.to_owned(), json!({}))).collect::<Map<_, _>>().into()
}
