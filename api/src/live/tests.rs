//! Rooms, with clients of our own that see every packet. The clients of others are in `official`.

mod entry;
mod limits;
mod official;
mod several;
mod slow;
mod socket;
mod told;

use crate::{
    ApiConfig,
    testing::{SOON, TestApi},
};
use chrono::TimeDelta;
use futures::future::join_all;
use http::{HeaderMap, HeaderValue, StatusCode};
use rollcall_bus::Message;
use rollcall_schemas::{
    fact::{AttendanceStatus, Evidence, Fact, FactEvent, Scope},
    feed::{AuthEntry, AuthFact},
    id::{AttendanceId, FactId, SessionId, SightingId, UserId},
    request::SessionPlan,
    role::Role,
    subject::Stream,
};
use rollcall_service::limits::LimitsConfig;
use rollcall_store::sessions;
use rollcall_test_support::{Client, eventually};
use serde_json::{Value, json};
use socket::{
    Socket,
    Transport::{self, NarrowWebSocket, Polling, WebSocket},
};
use std::num::NonZeroU32;
use uuid::Uuid;

impl TestApi {
    /// A connection of this person.
    async fn socket(&self, user: UserId, role: Role) -> Socket {
        Socket::of(self.edge.base(), WebSocket, &self.token_of(user, role)).await
    }

    async fn socket_of_teacher(&self) -> Socket {
        self.socket(self.school.teacher, Role::Teacher).await
    }

    /// Tells of a stranger in the school's session, which its teacher hears, and gives the cursor.
    async fn stir(&self, number: u128) -> u64 {
        self.tell(&fact(
            self,
            number,
            FactEvent::StrangerSeen { sighting_id: SightingId(Uuid::nil()), face_index: 0 },
        ))
        .await
    }

    fn session_room(&self) -> Value {
        json!({ "sessionId": self.school.session })
    }
}

/// A fact of the school's session.
fn fact(test: &TestApi, number: u128, event: FactEvent) -> Fact {
    let (session_id, class_id) = (Some(test.school.session), Some(test.school.class));
    let scope = Scope { session_id, class_id, camera_id: None };
    Fact { fact_id: FactId(Uuid::from_u128(number)), at: test.clock.now(), scope, event }
}

fn recorded(test: &TestApi, number: u128, student: UserId, status: AttendanceStatus) -> Fact {
    let event = FactEvent::AttendanceRecorded {
        attendance_id: AttendanceId::of(test.school.session, student),
        student_id: student,
        status,
        marked_at: test.clock.now(),
        evidence: Evidence::Manual,
        similarity: None,
    };
    fact(test, number, event)
}

/// Opens the session, over HTTP and with the real worker, and gives the token of its code.
async fn start_session(test: &TestApi) -> String {
    let path = format!("/api/v1/sessions/{}/start", test.school.session);
    let started = test.teacher().put(&path, &json!({})).await;
    started.data()["qrCode"]["token"].as_str().unwrap().to_owned()
}

async fn scan(student: &Client, token: &str) {
    let answer = student.post("/api/v1/attendance/mark", &json!({ "qrToken": token })).await;
    assert!(answer.status.is_success(), "{}", answer.body);
}

async fn connect(test: &TestApi, auth: Value) -> Result<Socket, String> {
    Socket::open(test.edge.base(), WebSocket, HeaderMap::new()).await.sign_in(auth).await
}

fn room_of(test: &TestApi) -> String {
    format!("session-{}", test.school.session)
}

/// Another program, with a key of these scopes that is known.
async fn key_of(test: &TestApi, scopes: &[&str]) -> String {
    let made =
        test.admin().post("/api/v1/api-keys", &json!({ "name": scopes.join("+"), "scopes": scopes })).await;
    let key = made.data()["apiKey"].as_str().unwrap().to_owned();
    let known = || async { test.api.authenticator().verify_api_key(&key).ok().map(drop) };
    eventually("the key is known", SOON, known).await;
    key
}
