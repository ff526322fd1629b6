//! `/socket.io` as a channel of AsyncAPI 3.0, by the types that are sent and read. `rollcall asyncapi` prints it with the
//! log.

use super::commands::{JoinClass, JoinSession, Joined, LeaveClass, LeaveSession, Left};
use crate::events::{AttendanceMarked, InRoom, Missed, QrUpdated, SessionEnded, SessionStarted};
use rollcall_service::http::{ErrorEnvelope, SuccessEnvelope};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

const CHANNEL: &str = "socket.io";
/// What is told under its own name, as it is in the log.
const FACT: &str = "told-fact";

/// The channel, with what is done over it and what is said: a part of a document.
pub fn asyncapi() -> Value {
    let told = [
        ("attendance-marked", schema::<InRoom<AttendanceMarked>>()),
        ("qr-updated", schema::<InRoom<QrUpdated>>()),
        ("session-started", schema::<InRoom<SessionStarted>>()),
        ("session-ended", schema::<InRoom<SessionEnded>>()),
        (FACT, in_the_log()),
        ("missed", schema::<Missed>()),
        ("signed-out", schema::<ErrorEnvelope>()),
    ];
    let asked = [
        ("join-session", schema::<JoinSession>(), schema::<SuccessEnvelope<Joined>>()),
        ("join-class", schema::<JoinClass>(), schema::<SuccessEnvelope<Joined>>()),
        ("leave-session", schema::<LeaveSession>(), schema::<SuccessEnvelope<Left>>()),
        ("leave-class", schema::<LeaveClass>(), schema::<SuccessEnvelope<Left>>()),
    ];
    let (mut messages, mut operations) = (Map::new(), Map::new());
    for (name, payload) in told {
        operations.insert(name.into(), operation("send", name));
        messages.insert(name.into(), message(payload));
    }
    for (name, payload, done) in asked {
        let answer = format!("{name}-acknowledged");
        let mut operation = operation("receive", name);
        operation["reply"] = json!({ "channel": channel(), "messages": [in_channel(&answer)] });
        operations.insert(name.into(), operation);
        messages.insert(name.into(), message(payload));
        messages.insert(answer, message(json!({ "oneOf": [done, schema::<ErrorEnvelope>()] })));
    }
    let names = messages.keys().map(|name| (name.clone(), reference("components/messages", name)));
    let channel = json!({
        "address": "/socket.io",
        "title": "Rooms",
        "description": "Socket.IO, protocol revision 5, over WebSocket and long polling. The name of a message is that of \
                        the event, and its payload the event's data; an acknowledgement has no name. `told-fact` stands \
                        for every other type of fact, under its own name.",
        "messages": names.collect::<Map<_, _>>(),
    });
    json!({
        "channels": { CHANNEL: channel },
        "operations": operations,
        "components": { "messages": messages },
    })
}

/// A fact as in the log, with its room and its cursor.
fn in_the_log() -> Value {
    #[derive(JsonSchema)]
    struct Nothing {}
    let place = schema::<InRoom<Nothing>>();
    let mut told = json!({ "allOf": [{ "$ref": "./fact.json" }, place] });
    told["title"] = json!("Fact");
    told["description"] = json!("A fact as it is in the log, under the name of its type.");
    told
}

fn operation(action: &str, message: &str) -> Value {
    json!({ "action": action, "channel": channel(), "messages": [in_channel(message)] })
}

fn message(payload: Value) -> Value {
    json!({ "contentType": "application/json", "payload": payload })
}

fn channel() -> Value {
    reference("channels", CHANNEL)
}

fn in_channel(message: &str) -> Value {
    reference(&format!("channels/{CHANNEL}/messages"), message)
}

fn reference(of: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/{of}/{name}") })
}

/// Without references, as it stands in another document.
fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_is_pinned() {
        insta::assert_json_snapshot!(asyncapi());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    fields.values().for_each(|field| references(field, found));
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        let document = asyncapi();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for reference in found.iter().filter(|reference| *reference != "./fact.json") {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }
}
