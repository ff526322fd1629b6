//! How much one client, and one address, may have and ask for.

use super::*;

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
