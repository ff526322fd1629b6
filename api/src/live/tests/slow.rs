//! A client that takes nothing.

use super::*;
use rollcall_schemas::id::ReviewId;

/// Of a polling client, what is not asked for waits at the server.
#[tokio::test]
async fn who_does_not_poll_is_told_what_it_missed_and_slows_nobody() {
    let tell = async |test: &TestApi, number: u128| test.stir(number).await;
    hold_up(Polling, 1_500, tell).await;
}

/// Of a WebSocket that nobody reads, what the network does not take waits at the server. It takes some megabytes.
#[tokio::test]
async fn who_does_not_read_is_told_what_it_missed_and_slows_nobody() {
    let candidates: Vec<_> = (0..600).map(|number| UserId(Uuid::from_u128(number))).collect();
    let tell = async |test: &TestApi, number: u128| {
        let event = FactEvent::ReviewOpened {
            review_id: ReviewId(Uuid::from_u128(number)),
            sighting_id: Some(SightingId(Uuid::nil())),
            face_index: Some(0),
            candidates: candidates.clone(),
        };
        test.tell(&fact(test, number, event)).await
    };
    hold_up(NarrowWebSocket, 1_200, tell).await;
}

/// More happens than is kept for anybody. Who reads hears it when it happens; who does not is told that it was slow when
/// it reads again, and then the rest: all of it, once, in order.
async fn hold_up(transport: Transport, facts: u64, tell: impl AsyncFn(&TestApi, u128) -> u64) {
    let test = TestApi::start().await;
    let token = test.token_of(test.school.teacher, Role::Teacher);
    let mut slow = Socket::of(test.edge.base(), transport, &token).await;
    let mut quick = Socket::of(test.edge.base(), WebSocket, &token).await;
    for socket in [&mut slow, &mut quick] {
        socket.done("join-session", test.session_room()).await;
    }
    let before = test.bus.stream(Stream::Facts).await.unwrap().last_sequence;
    let telling = async {
        for number in 0..facts {
            tell(&test, u128::from(number)).await;
        }
    };
    let (_, heard) = tokio::join!(telling, hear(&mut quick, before + facts));
    let everything: Vec<u64> = (before + 1..=before + facts).collect();
    assert_eq!(heard.cursors, everything);
    assert!(heard.missed.is_empty(), "it was not slow: {:?}", heard.missed);

    let late = hear(&mut slow, before + facts).await;
    assert_eq!(late.cursors, everything);
    let first = late.missed.first().expect("it was slow");
    assert_eq!((&first["reason"], &first["room"]), (&json!("slow"), &json!(room_of(&test))));
    let (after, until) = (first["after"].as_u64().unwrap(), first["until"].as_u64().unwrap());
    assert!(before < after && after < until && until <= before + facts, "{first}");
}

#[derive(Default)]
struct Heard {
    cursors: Vec<u64>,
    missed: Vec<Value>,
}

/// Listens up to an event.
async fn hear(socket: &mut Socket, last: u64) -> Heard {
    let mut heard = Heard::default();
    while heard.cursors.last() != Some(&last) {
        match socket.event().await {
            (name, data) if name == "missed" => heard.missed.push(data),
            (_, data) => heard.cursors.push(data["cursor"].as_u64().unwrap()),
        }
    }
    heard
}
