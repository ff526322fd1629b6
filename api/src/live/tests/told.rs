//! What is told in which room, and to whom.

use super::*;

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

#[tokio::test]
async fn a_class_is_told_when_its_sessions_are_changed_and_cancelled() {
    let test = TestApi::start().await;
    test.start_attendance_worker();
    let school = &test.school;
    let new = json!({
        "classId": school.class, "startTime": "2026-03-03T09:00:00Z", "endTime": "2026-03-03T10:00:00Z",
    });
    let planned = test.teacher().post("/api/v1/sessions", &new).await;
    let session = planned.data()["session"]["id"].clone();
    let path = format!("/api/v1/sessions/{}", session.as_str().unwrap());
    let [mut teacher, mut student, mut in_session] = [
        test.socket_of_teacher().await,
        test.socket(school.student, Role::Student).await,
        test.socket_of_teacher().await,
    ];
    for socket in [&mut teacher, &mut student] {
        socket.done("join-class", json!({ "classId": school.class })).await;
    }
    in_session.done("join-session", json!({ "sessionId": session })).await;

    let change =
        json!({ "startTime": "2026-03-03T09:30:00Z", "endTime": "2026-03-03T10:30:00Z", "room": "C 1" });
    test.teacher().put(&path, &change).await.data();
    test.teacher().delete(&path).await.data();
    let changed = json!({ "startsAt": change["startTime"], "endsAt": change["endTime"], "room": "C 1" });
    let cancelled = json!({ "startsAt": change["startTime"] });
    let room = json!(format!("class-{}", school.class));
    for socket in [&mut teacher, &mut student] {
        let mut last = 0;
        for (name, data) in [("session.changed", &changed), ("session.cancelled", &cancelled)] {
            let (heard, told) = socket.event().await;
            assert_eq!((heard.as_str(), &told["type"], &told["data"]), (name, &json!(name), data));
            assert_eq!((&told["sessionId"], &told["room"]), (&session, &room));
            let cursor = told["cursor"].as_u64().unwrap();
            assert!(cursor > last, "{told}");
            last = cursor;
        }
    }
    // Nothing of it is told in the session's own room.
    let scope = Scope {
        session_id: serde_json::from_value(session).unwrap(),
        class_id: Some(school.class),
        camera_id: None,
    };
    let stranger = FactEvent::StrangerSeen { sighting_id: SightingId(Uuid::nil()), face_index: 0 };
    test.tell(&Fact { scope, ..fact(&test, 1, stranger) }).await;
    assert_eq!(in_session.event().await.0, "stranger.seen");
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
