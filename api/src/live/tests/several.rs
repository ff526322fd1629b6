//! Several processes of the api behind one address. They share the log and the database, and nothing else.

use super::*;
use crate::{docs, openapi, router};
use rollcall_test_support::TestEdge;

/// The address of another api on the same log and database.
async fn another(test: &TestApi) -> TestEdge {
    let api = test.start_another(test.bus.clone()).await;
    let (routes, _) = router(&api).split_for_parts();
    TestEdge::serve(routes.merge(docs(&openapi())), test.clock.clone()).await
}

#[tokio::test]
async fn one_fact_reaches_the_clients_of_each_once() {
    let test = TestApi::start().await;
    let other = another(&test).await;
    let token = test.token_of(test.school.teacher, Role::Teacher);
    let mut sockets = Vec::new();
    for base in [test.edge.base(), other.base()] {
        for transport in [WebSocket, Polling] {
            let mut socket = Socket::of(base, transport, &token).await;
            socket.done("join-session", test.session_room()).await;
            sockets.push(socket);
        }
    }
    let cursors = [test.stir(1).await, test.stir(2).await];
    for socket in &mut sockets {
        for cursor in cursors {
            assert_eq!(socket.heard("stranger.seen").await["cursor"], cursor);
        }
    }
    // The cursor of one is the cursor of the other: whoever comes back elsewhere goes on.
    let mut elsewhere = Socket::of(other.base(), WebSocket, &token).await;
    let join = json!({ "sessionId": test.school.session, "since": cursors[0] });
    elsewhere.done("join-session", join).await;
    assert_eq!(elsewhere.heard("stranger.seen").await["cursor"], cursors[1]);
}

/// Why a proxy must send the requests of one polling client to one process.
#[tokio::test]
async fn a_polling_connection_lives_in_the_process_that_opened_it() {
    let test = TestApi::start().await;
    let other = another(&test).await;
    let opened = test.edge.client().request(http::Method::GET, "/socket.io/?EIO=4&transport=polling");
    let opened = opened.send().await.unwrap().text().await.unwrap();
    let opened: Value = serde_json::from_str(&opened[1..]).unwrap();
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", opened["sid"].as_str().unwrap());
    let answer = other.client().request(http::Method::GET, &path).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 400);
    assert_eq!(
        answer.json::<Value>().await.unwrap(),
        json!({ "code": "1", "message": "Session ID unknown" })
    );
}
