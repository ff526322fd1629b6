//! Rooms, with clients of our own that see every packet. The clients of others are in `official`.

mod official;
mod several;
mod slow;
mod socket;

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

#[tokio::test]
async fn whoever_does_not_say_who_it_is_is_refused() {
    let test = TestApi::start().await;
    let (_, camera) = test.camera("Door").await;
    let key = camera.request(http::Method::GET, "/").build().unwrap().headers()["x-api-key"].clone();
    let refused = async |auth: Value| {
        let message = connect(&test, auth).await.err().expect("refused");
        message.split(": ").next().unwrap().to_owned()
    };
    assert_eq!(refused(Value::Null).await, "AUTH_UNAUTHORIZED");
    assert_eq!(refused(json!({})).await, "AUTH_UNAUTHORIZED");
    assert_eq!(refused(json!({ "token": "x" })).await, "AUTH_TOKEN_INVALID");
    assert_eq!(refused(json!({ "apiKey": "rck_x" })).await, "AUTH_TOKEN_INVALID");
    assert_eq!(refused(json!({ "apiKey": key.to_str().unwrap() })).await, "AUTH_UNAUTHORIZED", "a camera");
    assert_eq!(refused(json!("a token")).await, "INVALID_INPUT");
    let early = test.token_of(test.school.teacher, Role::Teacher);
    test.clock.advance(TimeDelta::hours(25));
    assert_eq!(refused(json!({ "token": early })).await, "AUTH_TOKEN_EXPIRED");
    // Nothing is heard and nothing is done before.
    let mut silent = Socket::open(test.edge.base(), WebSocket, HeaderMap::new()).await;
    silent.send(&format!(r#"420["join-session",{}]"#, test.session_room())).await;
    silent.ended().await;
}

#[tokio::test]
async fn headers_that_name_nobody_open_no_connection() {
    let test = TestApi::start().await;
    let path = "/socket.io/?EIO=4&transport=polling";
    let visitor = test.edge.client();
    visitor.with_token("x").get(path).await.refused(401, "AUTH_TOKEN_INVALID");
    visitor.with_api_key("rck_x").get(path).await.refused(401, "AUTH_TOKEN_INVALID");
    let headers = |name: &'static str, value: &str| {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
    };
    let token = test.token_of(test.school.teacher, Role::Teacher);
    let open =
        Socket::open(test.edge.base(), Polling, headers("authorization", &format!("Bearer {token}"))).await;
    let mut teacher = open.sign_in(Value::Null).await.unwrap();
    assert_eq!(teacher.done("join-session", test.session_room()).await["room"], room_of(&test));
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

#[tokio::test]
async fn everybody_joins_what_is_theirs() {
    let test = TestApi::start().await;
    let school = &test.school;
    let rooms = [
        ("join-session", json!({ "sessionId": school.session })),
        ("join-class", json!({ "classId": school.class })),
        ("join-class", json!({ "classId": school.other_class })),
    ];
    let key = key_of(&test, &["events:read"]).await;
    let blind = key_of(&test, &["people:read"]).await;
    assert!(connect(&test, json!({ "apiKey": blind })).await.err().unwrap().starts_with("AUTH_UNAUTHORIZED"));
    let people = [
        (test.socket(school.admin, Role::Admin).await, [true, true, true]),
        (test.socket(school.operator, Role::Operator).await, [true, true, true]),
        (test.socket(school.teacher, Role::Teacher).await, [true, true, false]),
        (test.socket(school.other_teacher, Role::Teacher).await, [false, false, true]),
        (test.socket(school.student, Role::Student).await, [true, true, false]),
        (test.socket(school.other_student, Role::Student).await, [false, false, true]),
        (connect(&test, json!({ "apiKey": key })).await.unwrap(), [true, true, true]),
    ];
    for (number, (mut socket, own)) in people.into_iter().enumerate() {
        for ((name, data), own) in rooms.iter().zip(own) {
            let answer = socket.ask(name, data.clone()).await;
            let expected = if own { json!("OK") } else { json!("AUTH_UNAUTHORIZED") };
            let said = if own { &answer["code"] } else { &answer["error"]["code"] };
            assert_eq!(*said, expected, "person {number}, {name} {data}: {answer}");
        }
        let nothing = json!({ "sessionId": Uuid::nil() });
        assert_eq!(socket.refused("join-session", nothing).await, "NOT_FOUND");
        assert_eq!(socket.refused("join-session", json!({})).await, "VALIDATION_FAILED");
        assert_eq!(socket.refused("shout", json!({})).await, "INVALID_INPUT");
    }
}

/// A refusal is on record, as one over HTTP is.
#[tokio::test]
async fn whoever_tries_the_door_of_another_is_on_record() {
    let test = TestApi::start().await;
    let mut student = test.socket(test.school.other_student, Role::Student).await;
    assert_eq!(student.refused("join-session", test.session_room()).await, "AUTH_UNAUTHORIZED");
    let logs = test.admin().get("/api/v1/audit/logs").await;
    let lines = logs.data()["logs"].as_array().expect("lines").clone();
    let is_it = |line: &&Value| line["action"] == "access.refused";
    let line = lines.iter().find(is_it).unwrap_or_else(|| panic!("{lines:?}"));
    assert!(line.to_string().contains(&room_of(&test)), "{line}");
}

#[tokio::test]
async fn the_four_events_say_what_the_documents_promise() {
    let test = TestApi::start().await;
    test.start_attendance_worker();
    let school = &test.school;
    let mut teacher = test.socket_of_teacher().await;
    let class = teacher.done("join-class", json!({ "classId": school.class })).await;
    assert_eq!(class["room"], format!("class-{}", school.class));
    teacher.done("join-session", test.session_room()).await;

    let token = start_session(&test).await;
    let heard = [teacher.event().await, teacher.event().await];
    let of = |name: &str| heard.iter().find(|(heard, _)| heard == name).expect(name).1.clone();
    let (mut started, mut updated) = (of("session-started"), of("qr-updated"));
    let mut cursors = vec![started["cursor"].take(), updated["cursor"].take()];
    let now = json!(test.clock.now());
    let expected = json!({
        "sessionId": school.session, "className": "Class A1", "startTime": now,
        "room": class["room"], "cursor": null,
    });
    assert_eq!(started, expected);
    let image = updated["qrCode"].take();
    assert!(image.as_str().unwrap().starts_with("data:image/png;base64,"), "{image}");
    let expires_at = test.clock.now() + TimeDelta::minutes(5);
    let room = room_of(&test);
    assert_eq!(updated, json!({ "qrCode": null, "expiresAt": expires_at, "room": room, "cursor": null }));

    test.clock.advance(TimeDelta::minutes(1));
    scan(&test.student(), &token).await;
    let mut marked = teacher.heard("attendance-marked").await;
    cursors.push(marked["cursor"].take());
    let expected = json!({
        "studentId": school.student, "studentName": "Sara student", "markedAt": test.clock.now(),
        "totalPresent": 1, "room": room, "cursor": null,
    });
    assert_eq!(marked, expected);

    test.clock.advance(TimeDelta::minutes(1));
    test.teacher().put(&format!("/api/v1/sessions/{}/end", school.session), &json!({})).await.data();
    let mut ended = teacher.heard("session-ended").await;
    cursors.push(ended["cursor"].take());
    let expected = json!({
        "sessionId": school.session, "totalAttendance": 1, "endTime": test.clock.now(),
        "room": room, "cursor": null,
    });
    assert_eq!(ended, expected);
    let log = test.bus.stream(Stream::Facts).await.unwrap();
    assert!(cursors.iter().all(|cursor| (1..=log.last_sequence).contains(&cursor.as_u64().unwrap())));
}

/// Every byte that a student's client receives, of a whole session with codes that change, over either transport.
#[tokio::test]
async fn a_student_never_receives_a_code() {
    let test = TestApi::start().await;
    test.start_attendance_worker();
    let school = &test.school;
    let token = test.token_of(school.student, Role::Student);
    let mut students = vec![
        Socket::of(test.edge.base(), WebSocket, &token).await,
        Socket::of(test.edge.base(), Polling, &token).await,
    ];
    let mut teacher = test.socket_of_teacher().await;
    for socket in students.iter_mut().chain([&mut teacher]) {
        socket.done("join-session", test.session_room()).await;
        socket.done("join-class", json!({ "classId": school.class })).await;
    }
    let mut secrets = vec![start_session(&test).await];
    let codes = format!("/api/v1/sessions/{}/qr", school.session);
    for _ in 0..2 {
        test.clock.advance(TimeDelta::seconds(10));
        let rotated = test.teacher().post(&codes, &json!({})).await;
        let code = &rotated.data()["qrCode"];
        secrets.extend(["image", "svg", "token"].map(|part| code[part].as_str().unwrap().to_owned()));
    }
    scan(&test.student(), secrets.last().unwrap()).await;
    test.clock.advance(TimeDelta::minutes(1));
    test.teacher().put(&format!("/api/v1/sessions/{}/end", school.session), &json!({})).await.data();

    // What the teacher sees is what is looked for.
    let mut images = 0;
    loop {
        match teacher.event().await {
            (name, data) if name == "qr-updated" => {
                secrets.push(data["qrCode"].as_str().unwrap().to_owned());
                images += 1;
            }
            (name, _) if name == "session-ended" => break,
            _ => {}
        }
    }
    assert_eq!(images, 3);
    assert!(teacher.received().contains(secrets.last().unwrap()), "bytes are seen as they are");

    for mut student in students {
        let mut updates = 0;
        loop {
            match student.event().await {
                (name, data) if name == "qr-updated" => {
                    let fields: Vec<_> = data.as_object().unwrap().keys().cloned().collect();
                    assert_eq!(fields, ["cursor", "expiresAt", "room"]);
                    updates += 1;
                }
                (name, _) if name == "session-ended" => break,
                _ => {}
            }
        }
        assert_eq!(updates, 3);
        // One who comes later is told no more of what was.
        student.done("join-session", json!({ "sessionId": school.session, "since": 0 })).await;
        while student.event().await.0 != "session-ended" {}
        let received = student.received();
        for secret in &secrets {
            let body = secret.rsplit(',').next().unwrap();
            assert!(!received.contains(body), "a student received {body}");
        }
        assert!(!received.contains("qrCode") && !received.contains("image/png"));
    }
}

/// A display has a key of its own, and needs to be allowed to show codes.
#[tokio::test]
async fn displays_show_codes_and_other_programs_do_not() {
    let test = TestApi::start().await;
    test.start_attendance_worker();
    let mut sockets = Vec::new();
    for scopes in [&["events:read", "codes:read"][..], &["events:read"]] {
        let key = key_of(&test, scopes).await;
        let mut socket = connect(&test, json!({ "apiKey": key })).await.unwrap();
        socket.done("join-session", test.session_room()).await;
        sockets.push(socket);
    }
    let token = start_session(&test).await;
    let shown = sockets[0].heard("qr-updated").await;
    assert!(shown["qrCode"].as_str().unwrap().starts_with("data:image/png;base64,"));
    assert!(sockets[1].heard("qr-updated").await.get("qrCode").is_none());
    assert!(
        sockets.iter().all(|socket| !socket.received().contains(&token)),
        "the token is in the image only"
    );
}

#[tokio::test]
async fn everybody_is_told_what_is_theirs_under_its_name() {
    let test = TestApi::start().await;
    let school = &test.school;
    let [mut teacher, mut student] =
        [test.socket_of_teacher().await, test.socket(school.student, Role::Student).await];
    for socket in [&mut teacher, &mut student] {
        socket.done("join-session", test.session_room()).await;
    }
    let absent = recorded(&test, 1, school.student, AttendanceStatus::Absent);
    let facts = [
        absent.clone(),
        recorded(&test, 2, school.other_student, AttendanceStatus::Late),
        recorded(&test, 3, school.student, AttendanceStatus::Present),
        fact(
            &test,
            4,
            FactEvent::SessionEnded {
                ended_at: test.clock.now(),
                present: 3,
                late: 2,
                absent: 1,
                excused: 0,
            },
        ),
    ];
    let mut cursors = Vec::new();
    for fact in &facts {
        cursors.push(test.tell(fact).await);
    }
    let heard = async |socket: &mut Socket| {
        let mut heard = Vec::new();
        while heard.last().is_none_or(|(name, _): &(String, Value)| name != "session-ended") {
            heard.push(socket.event().await);
        }
        heard
    };
    let by_teacher = heard(&mut teacher).await;
    let names: Vec<_> = by_teacher.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["attendance.recorded", "attendance-marked", "attendance-marked", "session-ended"]);
    let mut as_in_the_log = serde_json::to_value(&absent).unwrap();
    as_in_the_log["cursor"] = cursors[0].into();
    as_in_the_log["room"] = room_of(&test).into();
    assert_eq!(by_teacher[0].1, as_in_the_log);
    assert_eq!(by_teacher[3].1["totalAttendance"], 5);
    let by_student = heard(&mut student).await;
    let told: Vec<_> = by_student.iter().map(|(_, data)| data["cursor"].as_u64().unwrap()).collect();
    assert_eq!(told, [cursors[0], cursors[2], cursors[3]], "nothing of the other student");

    // Whoever has left is told nothing more, and is told of other rooms still.
    teacher.done("join-class", json!({ "classId": school.class })).await;
    teacher.done("leave-session", test.session_room()).await;
    teacher.done("leave-session", test.session_room()).await;
    test.stir(5).await;
    let started = fact(&test, 6, FactEvent::SessionStarted { started_at: test.clock.now() });
    let cursor = test.tell(&started).await;
    assert_eq!(teacher.heard("session-started").await["cursor"], cursor);
    test.stir(7).await;
    teacher.done("leave-class", json!({ "classId": school.class })).await;
    test.tell(&Fact { fact_id: FactId(Uuid::from_u128(8)), ..started }).await;
    teacher.done("join-session", test.session_room()).await;
    let cursor = test.stir(9).await;
    assert_eq!(teacher.heard("stranger.seen").await["cursor"], cursor);
}

/// Clients that come with any cursor while facts are told, and go again: each hears every one, once, in order.
#[tokio::test]
async fn whoever_comes_back_is_told_the_rest() {
    const FACTS: u64 = 300;
    let test = TestApi::start().await;
    let before = test.bus.stream(Stream::Facts).await.unwrap().last_sequence;
    let telling = async {
        for number in 0..FACTS {
            test.stir(u128::from(number)).await;
        }
    };
    let watching = (0..8u64).map(|number| {
        let (test, school) = (&test, &test.school);
        async move {
            let mut last = before;
            let mut heard = Vec::new();
            while last < before + FACTS {
                let mut socket = test.socket(school.teacher, Role::Teacher).await;
                let join = json!({ "sessionId": school.session, "since": last });
                assert_eq!(socket.done("join-session", join).await["cursor"], last);
                for _ in 0..(30 + number * 7) {
                    if last == before + FACTS {
                        break;
                    }
                    last = socket.heard("stranger.seen").await["cursor"].as_u64().unwrap();
                    heard.push(last);
                }
            }
            assert_eq!(heard, (before + 1..=before + FACTS).collect::<Vec<_>>(), "client {number}");
        }
    });
    tokio::join!(telling, join_all(watching));
}

#[tokio::test]
async fn what_is_gone_from_the_log_is_told_to_be_missed() {
    let test = TestApi::start().await;
    for number in 0..5 {
        test.stir(number).await;
    }
    let last = test.bus.stream(Stream::Facts).await.unwrap().last_sequence;
    test.bus.purge(Stream::Facts, &Stream::Facts.subjects()).await.unwrap();
    let mut teacher = test.socket_of_teacher().await;
    let joined = teacher.done("join-session", json!({ "sessionId": test.school.session, "since": 1 })).await;
    assert_eq!(joined["cursor"], last);
    let missed = json!({ "room": room_of(&test), "reason": "expired", "after": 1, "until": last });
    assert_eq!(teacher.heard("missed").await, missed);
    let next = test.stir(100).await;
    assert_eq!(teacher.heard("stranger.seen").await["cursor"], next);
    let unknown = json!({ "sessionId": test.school.session, "since": next + 100 });
    teacher.done("join-session", unknown).await;
    assert_eq!(teacher.heard("missed").await["reason"], "unknown");
}

#[tokio::test]
async fn a_connection_ends_with_its_sign_in_at_once() {
    let test = TestApi::start_with(ApiConfig { keep_alive_s: 3_600, ..ApiConfig::default() }).await;
    let (user_id, role) = (test.school.teacher, Role::Teacher);
    let (token, claims) = test.api.signer().issue(user_id, "tom@school.example", role);
    let mut ended = vec![];
    for transport in [WebSocket, Polling] {
        let mut socket = Socket::of(test.edge.base(), transport, &token).await;
        socket.done("join-session", test.session_room()).await;
        ended.push(socket);
    }
    let mut other = test.socket(user_id, role).await;
    other.done("join-session", test.session_room()).await;
    let (ended_at, forget_at) = (test.clock.now(), test.clock.now() + TimeDelta::days(1));
    let fact = AuthFact::EndedSignIn { sign_in_id: claims.sid, ended_at, forget_at };
    test.bus.publish(Message::entry(&AuthEntry { revision: 1, fact }).unwrap()).await.unwrap();
    for socket in &mut ended {
        assert_eq!(socket.heard("signed-out").await["error"]["code"], "AUTH_TOKEN_EXPIRED");
        socket.ended().await;
    }
    // Another sign-in of the same person goes on.
    let cursor = test.stir(1).await;
    assert_eq!(other.heard("stranger.seen").await["cursor"], cursor);
    let again = connect(&test, json!({ "token": token })).await.err().unwrap();
    assert!(again.starts_with("AUTH_TOKEN_EXPIRED"), "{again}");
}

#[tokio::test]
async fn a_connection_ends_with_its_token() {
    let test = TestApi::start_with(ApiConfig { keep_alive_s: 1, ..ApiConfig::default() }).await;
    let mut teacher = test.socket_of_teacher().await;
    teacher.done("join-session", test.session_room()).await;
    test.clock.advance(TimeDelta::hours(25));
    assert_eq!(teacher.heard("signed-out").await["error"]["code"], "AUTH_TOKEN_EXPIRED");
    teacher.ended().await;
}

#[tokio::test]
async fn connections_end_when_the_process_does() {
    let test = TestApi::start().await;
    let token = test.token_of(test.school.teacher, Role::Teacher);
    let mut sockets = Vec::new();
    for transport in [WebSocket, Polling] {
        let mut socket = Socket::of(test.edge.base(), transport, &token).await;
        socket.done("join-session", test.session_room()).await;
        sockets.push(socket);
    }
    let ends = join_all(sockets.iter_mut().map(Socket::ended));
    let (stopped, _) = tokio::join!(test.lifecycle.stop(SOON), ends);
    stopped.unwrap();
}

#[tokio::test]
async fn one_user_has_so_many_connections() {
    let watchers_per_user = NonZeroU32::new(2).unwrap();
    let test = TestApi::start_with(ApiConfig { watchers_per_user, ..ApiConfig::default() }).await;
    let token = json!({ "token": test.token_of(test.school.teacher, Role::Teacher) });
    let mut first = connect(&test, token.clone()).await.unwrap();
    let stream = test.teacher().events("/api/v1/events", None).await;
    let third = connect(&test, token.clone()).await.err().unwrap();
    assert!(third.starts_with("RATE_LIMITED"), "{third}");
    test.teacher().get("/api/v1/events").await.refused(429, "RATE_LIMITED");
    // Signed out of, a connection is still open.
    first.send("41").await;
    assert!(connect(&test, token.clone()).await.err().unwrap().starts_with("RATE_LIMITED"));
    let mut first = first.sign_in(token.clone()).await.unwrap();
    first.done("join-session", test.session_room()).await;
    connect(&test, json!({ "token": test.token_of(test.school.student, Role::Student) })).await.unwrap();
    drop((first, stream));
    let freed = || async { connect(&test, token.clone()).await.ok() };
    eventually("a closed connection is gone", SOON, freed).await;
}

#[tokio::test]
async fn a_client_is_in_so_many_rooms_and_says_so_much() {
    let test = TestApi::start().await;
    let mut admin = test.socket(test.school.admin, Role::Admin).await;
    let pool = rollcall_store::open(&test.database_url, 1).unwrap();
    let mut planned = Vec::new();
    for number in 0..101u128 {
        let id = SessionId(Uuid::from_u128(number + 1));
        let (starts_at, ends_at) = (test.clock.now(), test.clock.now() + TimeDelta::hours(1));
        let plan = SessionPlan { allow_overlap: true, ..SessionPlan::between(starts_at, ends_at) };
        let mut db = pool.acquire().await.unwrap();
        sessions::plan(&mut db, (id, test.school.class), &plan, starts_at).await.unwrap();
        planned.push(json!({ "sessionId": id }));
    }
    let (last, first) = planned.split_last().unwrap();
    for room in first {
        admin.done("join-session", room.clone()).await;
    }
    assert_eq!(admin.refused("join-session", last.clone()).await, "CONFLICT");
    admin.done("join-session", first[0].clone()).await;
    admin.done("leave-session", first[0].clone()).await;
    admin.done("join-session", last.clone()).await;

    let token = test.token_of(test.school.admin, Role::Admin);
    for transport in [WebSocket, Polling] {
        let mut loud = Socket::of(test.edge.base(), transport, &token).await;
        let shout = json!(["join-session", "x".repeat(64 * 1024)]);
        loud.send(&format!("42{shout}")).await;
        loud.ended().await;
    }
}

#[tokio::test]
async fn connections_and_what_they_ask_are_limited() {
    let few = |text: &str| text.parse().unwrap();
    let plenty = few("60000/min burst 60000");
    let limits = LimitsConfig {
        live_address: few("1/min burst 4"),
        read_user: few("1/min burst 3"),
        ..LimitsConfig::uniform(plenty)
    };
    let test = TestApi::start_limited(limits).await;
    let mut teacher = test.socket_of_teacher().await;
    teacher.done("join-session", test.session_room()).await;
    teacher.done("join-session", test.session_room()).await;
    assert_eq!(teacher.refused("join-session", test.session_room()).await, "RATE_LIMITED");
    // Good credentials that come with the connection count for their address, too.
    for _ in 0..3 {
        drop(Socket::open(test.edge.base(), Polling, HeaderMap::new()).await);
    }
    let path = "/socket.io/?EIO=4&transport=polling";
    let answer = test.admin().get(path).await;
    answer.refused(429, "RATE_LIMITED");
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn other_revisions_of_the_protocol_are_told_so() {
    let test = TestApi::start().await;
    let get = async |query: &str| {
        let request = test.edge.client().request(http::Method::GET, &format!("/socket.io/?{query}"));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["code"].clone())
    };
    assert_eq!(get("EIO=3&transport=polling").await, (400, json!("5")));
    assert_eq!(get("EIO=4&transport=carrier-pigeon").await, (400, json!("0")));
    assert_eq!(get("EIO=4&transport=polling&sid=nobody").await, (400, json!("1")));
}

/// A room that everybody has left costs nothing more.
#[tokio::test]
async fn rooms_come_and_go() {
    let test = TestApi::start().await;
    for transport in [WebSocket, Polling] {
        let token = test.token_of(test.school.teacher, Role::Teacher);
        let mut teacher = Socket::of(test.edge.base(), transport, &token).await;
        teacher.done("join-session", test.session_room()).await;
        assert_eq!(test.api.events().rooms(), 1);
        teacher.done("leave-session", test.session_room()).await;
        let empty = || async { (test.api.events().rooms() == 0).then_some(()) };
        eventually("the room is closed", SOON, empty).await;
    }
}
