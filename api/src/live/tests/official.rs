//! The official clients of Socket.IO, for JavaScript and for Python, over either transport, against the real server.

use super::*;
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/socketio");
const CLIENTS: [(&str, &str); 2] = [("node", "client.mjs"), (".venv/bin/python", "client.py")];
const TRANSPORTS: [&str; 2] = ["websocket", "polling"];

/// A client in a process of its own, which ends with the test.
struct Official {
    process: Child,
    commands: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Official {
    async fn start(client: (&str, &str), address: &str, transport: &str, auth: &Value) -> Self {
        let (program, script) = client;
        // The one that is installed beside the script, or else the system's.
        let beside = std::path::Path::new(FOLDER).join(program);
        let program = if beside.exists() { beside } else { program.into() };
        let mut process = Command::new(program)
            .args([script, address, transport])
            .env("AUTH", auth.to_string())
            .current_dir(FOLDER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("scripts/setup test installs the clients");
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { commands: process.stdin.take().unwrap(), process, lines }
    }

    /// What happens to it next.
    async fn next(&mut self) -> Value {
        let line = timeout(SOON, self.lines.next_line()).await.expect("a line in time").unwrap();
        serde_json::from_str(&line.expect("the client goes on; scripts/setup test installs what it needs"))
            .unwrap()
    }

    async fn emit(&mut self, name: &str, data: Value) {
        let line = format!("{}\n", json!({ "emit": name, "data": data }));
        self.commands.write_all(line.as_bytes()).await.unwrap();
    }

    /// Asks for something, and gives the acknowledgement, which comes before anything else.
    async fn ask(&mut self, name: &str, data: Value) -> Value {
        self.emit(name, data).await;
        self.next().await["ack"].take()
    }

    async fn heard(&mut self, name: &str) -> Value {
        let mut line = self.next().await;
        assert_eq!(line["event"], name, "{line}");
        line["data"].take()
    }

    /// Ends its input, which makes it disconnect, and waits until it has.
    async fn leave(mut self) {
        drop(self.commands);
        let ended = timeout(SOON, self.process.wait()).await.expect("the client leaves").unwrap();
        assert!(ended.success(), "{ended}");
    }
}

#[tokio::test]
async fn official_clients_watch_a_session_over_either_transport() {
    let test = TestApi::start().await;
    test.start_attendance_worker();
    let school = &test.school;
    let auth = json!({ "token": test.token_of(school.teacher, Role::Teacher) });
    let mut clients = Vec::new();
    for client in CLIENTS {
        for transport in TRANSPORTS {
            let mut teacher = Official::start(client, test.edge.base(), transport, &auth).await;
            assert_eq!(teacher.next().await, json!({ "connected": transport }), "{client:?}");
            let joined = teacher.ask("join-session", test.session_room()).await;
            assert_eq!((&joined["success"], &joined["data"]["room"]), (&json!(true), &json!(room_of(&test))));
            let joined = teacher.ask("join-class", json!({ "classId": school.class })).await;
            assert_eq!(joined["code"], "OK", "{joined}");
            let refused = teacher.ask("join-class", json!({ "classId": school.other_class })).await;
            assert_eq!(refused["error"]["code"], "AUTH_UNAUTHORIZED", "{refused}");
            clients.push(teacher);
        }
    }
    let token = start_session(&test).await;
    scan(&test.student(), &token).await;
    test.clock.advance(TimeDelta::minutes(1));
    test.teacher().put(&format!("/api/v1/sessions/{}/end", school.session), &json!({})).await.data();
    let mut heard = Vec::new();
    for teacher in &mut clients {
        let mut events = Vec::new();
        while events.last().is_none_or(|line: &Value| line["event"] != "session-ended") {
            events.push(teacher.next().await);
        }
        heard.push(events);
    }
    let names: Vec<_> = heard[0].iter().map(|line| line["event"].as_str().unwrap()).collect();
    for name in ["session-started", "qr-updated", "attendance-marked", "session-ended"] {
        assert!(names.contains(&name), "{names:?}");
    }
    for events in &heard {
        // The rooms are two, and neither waits for the other.
        let in_room = |events: &[Value], room: &str| -> Vec<Value> {
            events.iter().filter(|line| line["data"]["room"] == *room).cloned().collect()
        };
        for room in [room_of(&test), format!("class-{}", school.class)] {
            assert_eq!(in_room(events, &room), in_room(&heard[0], &room), "all are told the same");
        }
    }
    for mut teacher in clients {
        let left = teacher.ask("leave-session", test.session_room()).await;
        assert_eq!(left["success"], true, "{left}");
        teacher.leave().await;
    }
}

#[tokio::test]
async fn official_clients_are_refused_signed_out_and_caught_up() {
    let test = TestApi::start().await;
    for client in CLIENTS {
        let wrong = json!({ "token": "x" });
        let mut stranger = Official::start(client, test.edge.base(), "websocket", &wrong).await;
        let refused = stranger.next().await["refused"].to_string();
        assert!(refused.contains("AUTH_TOKEN_INVALID"), "{client:?}: {refused}");

        let (token, claims) =
            test.api.signer().issue(test.school.teacher, "tom@school.example", Role::Teacher);
        let auth = json!({ "token": token });
        let mut teacher = Official::start(client, test.edge.base(), "polling", &auth).await;
        teacher.next().await;
        let cursor = teacher.ask("join-session", test.session_room()).await["data"]["cursor"].take();
        let numbers = claims.sid.0.as_u128();
        let first = test.stir(numbers).await;
        assert_eq!(teacher.heard("stranger.seen").await["cursor"], first);
        teacher.leave().await;

        let missed = test.stir(numbers.wrapping_add(1)).await;
        let mut teacher = Official::start(client, test.edge.base(), "websocket", &auth).await;
        teacher.next().await;
        let join = json!({ "sessionId": test.school.session, "since": cursor });
        teacher.ask("join-session", join).await;
        for expected in [first, missed] {
            assert_eq!(teacher.heard("stranger.seen").await["cursor"], expected);
        }
        let (ended_at, forget_at) = (test.clock.now(), test.clock.now() + TimeDelta::days(1));
        let fact = AuthFact::EndedSignIn { sign_in_id: claims.sid, ended_at, forget_at };
        test.bus.publish(Message::entry(&AuthEntry { revision: 1, fact }).unwrap()).await.unwrap();
        // The Python client takes each packet in a thread of its own, and may say the second thing first.
        let told = [teacher.next().await, teacher.next().await];
        let is_signed_out = |line: &Value| {
            (&line["event"], &line["data"]["error"]["code"])
                == (&json!("signed-out"), &json!("AUTH_TOKEN_EXPIRED"))
        };
        assert!(told.iter().any(is_signed_out), "{told:?}");
        assert!(told.contains(&json!({ "disconnected": true })), "{told:?}");
    }
}
