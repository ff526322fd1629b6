//! Who is let in, into which rooms, and until when.

use super::*;

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
        assert_eq!(socket.refused("join-session", json!({})).await, "MISSING_REQUIRED_FIELD");
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
