//! What a client may say: `join-session`, `leave-session`, `join-class` and `leave-class`. Each is acknowledged in the
//! envelopes of the HTTP interface.

use super::connection::Connection;
use crate::{error::ApiError, events::Room};
use rollcall_schemas::id::{ClassId, SessionId};
use rollcall_service::{
    clock::Clock,
    http::{Problem, SuccessEnvelope, refused_field},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use socketioxide::{
    ParserError,
    extract::{AckSender, SocketRef},
};
use std::sync::Arc;

const NAMES: [&str; 4] = ["join-session", "leave-session", "join-class", "leave-class"];

/// `join-session`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct JoinSession {
    session_id: SessionId,
    /// What comes after this cursor is told, too; null for what happens from now on.
    since: Option<u64>,
}

/// `join-class`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct JoinClass {
    class_id: ClassId,
    /// What comes after this cursor is told, too; null for what happens from now on.
    since: Option<u64>,
}

/// `leave-session`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LeaveSession {
    session_id: SessionId,
}

/// `leave-class`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LeaveClass {
    class_id: ClassId,
}

/// What is acknowledged to whoever joins.
#[derive(Serialize, JsonSchema)]
pub(super) struct Joined {
    room: String,
    /// Everything after it follows.
    cursor: u64,
}

/// What is acknowledged to whoever leaves.
#[derive(Serialize, JsonSchema)]
pub(super) struct Left {
    room: String,
}

/// One of them.
#[derive(Debug, PartialEq)]
enum Command {
    Join(Room, Option<u64>),
    Leave(Room),
}

impl Command {
    fn read(name: &str, data: Value) -> Result<Self, Problem> {
        Ok(match name {
            "join-session" => {
                let JoinSession { session_id, since } = fields(data)?;
                Self::Join(Room::Session(session_id), since)
            }
            "join-class" => {
                let JoinClass { class_id, since } = fields(data)?;
                Self::Join(Room::Class(class_id), since)
            }
            "leave-session" => Self::Leave(Room::Session(fields::<LeaveSession>(data)?.session_id)),
            "leave-class" => Self::Leave(Room::Class(fields::<LeaveClass>(data)?.class_id)),
            _ => {
                let message = format!("{name:?} is nothing that can be asked; known: {}", NAMES.join(", "));
                return Err(Problem::invalid_input(message));
            }
        })
    }
}

fn fields<T: DeserializeOwned>(data: Value) -> Result<T, Problem> {
    if !data.is_object() {
        return Err(Problem::invalid_input("the data must be an object, such as {\"sessionId\": \"...\"}"));
    }
    serde_path_to_error::deserialize(data)
        .map_err(|error| refused_field(&error.path().to_string(), &error.inner().to_string()))
}

/// Does what a client asks, after what it asked before, and acknowledges it. What follows from it comes after the
/// acknowledgement.
pub(super) async fn obey(
    connection: &Arc<Connection>,
    socket: SocketRef,
    (name, data): (String, Result<Value, ParserError>),
    ack: AckSender,
) {
    let Ok(api) = connection.api() else { return };
    let _in_order = connection.asking.lock().await;
    let asked = async {
        connection.count_call()?;
        // A name of theirs may be as long as a message.
        let name: String = name.chars().take(40).collect();
        match Command::read(&name, data.unwrap_or_default())? {
            Command::Join(room, since) => {
                let subscription = connection.join(&socket, room, since).await?;
                let answer = Joined { room: room.to_string(), cursor: subscription.cursor() };
                Ok::<_, ApiError>((json!(answer), Some(subscription)))
            }
            Command::Leave(room) => {
                connection.leave(room);
                Ok((json!(Left { room: room.to_string() }), None))
            }
        }
    };
    match asked.await {
        Ok((answer, subscription)) => {
            acknowledge(ack, &success(answer, api.clock()));
            if let Some(subscription) = subscription {
                connection.start(subscription);
            }
        }
        Err(error) => acknowledge(ack, &error.into_problem().into_envelope(api.clock().now())),
    }
}

fn success(data: Value, clock: &Clock) -> SuccessEnvelope<Value> {
    SuccessEnvelope { success: true, code: "OK".into(), data, meta: json!({}), timestamp: clock.now() }
}

/// A client that takes nothing finds out that it is slow in another way, and one that has gone does not care.
fn acknowledge(ack: AckSender, envelope: &impl Serialize) {
    if let Err(error) = ack.send(envelope) {
        tracing::debug!(%error, "an acknowledgement could not be sent");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn commands_are_read_and_what_is_wrong_with_one_is_named() {
        let id = Uuid::from_u128(7);
        let (session, class) = (Room::Session(id.into()), Room::Class(id.into()));
        let good = [
            ("join-session", json!({ "sessionId": id }), Command::Join(session, None)),
            ("join-session", json!({ "sessionId": id, "since": 3 }), Command::Join(session, Some(3))),
            ("join-class", json!({ "classId": id, "since": null }), Command::Join(class, None)),
            ("leave-session", json!({ "sessionId": id }), Command::Leave(session)),
            ("leave-class", json!({ "classId": id }), Command::Leave(class)),
        ];
        for (name, data, command) in good {
            assert_eq!(Command::read(name, data).unwrap(), command);
        }
        let bad = [
            ("join-session", json!({ "sessionId": "x" }), "sessionId"),
            ("join-session", json!({ "sessionId": id, "since": -1 }), "since"),
            ("join-session", json!({ "classId": id }), "classId"),
            ("join-session", json!({}), "sessionId"),
            ("leave-session", json!({ "sessionId": id, "since": 1 }), "since"),
        ];
        for (name, data, field) in bad {
            let problem = Command::read(name, data).unwrap_err();
            assert_eq!(problem.details["fields"][0]["field"], field, "{problem}");
        }
        let nothing = Command::read("join-class", Value::Null).unwrap_err();
        assert!(nothing.message.contains("must be an object"), "{nothing}");
        let unknown = Command::read("attendance-marked", Value::Null).unwrap_err();
        assert!(unknown.message.contains("join-session"), "{unknown}");
    }
}
