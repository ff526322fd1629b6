//! A client that takes nothing.

use super::*;

/// More happens than is kept for anybody. Who reads hears it when it happens; who does not is told that it was slow when
/// it reads again, and then the rest: all of it, once, in order.
#[tokio::test]
async fn a_slow_client_is_told_what_it_missed_and_slows_nobody() {
    const FACTS: u64 = 1_500;
    let test = TestApi::start().await;
    let token = test.token_of(test.school.teacher, Role::Teacher);
    let mut slow = Socket::of(test.edge.base(), Polling, &token).await;
    let mut quick = Socket::of(test.edge.base(), WebSocket, &token).await;
    for socket in [&mut slow, &mut quick] {
        socket.done("join-session", test.session_room()).await;
    }
    let before = test.bus.stream(Stream::Facts).await.unwrap().last_sequence;
    let telling = async {
        for number in 0..FACTS {
            test.stir(u128::from(number)).await;
        }
    };
    let (_, heard) = tokio::join!(telling, hear(&mut quick, before + FACTS));
    let everything: Vec<u64> = (before + 1..=before + FACTS).collect();
    assert_eq!(heard.cursors, everything);
    assert!(heard.missed.is_empty(), "it was not slow: {:?}", heard.missed);

    let late = hear(&mut slow, before + FACTS).await;
    assert_eq!(late.cursors, everything);
    let first = &late.missed[0];
    assert_eq!((&first["reason"], &first["room"]), (&json!("slow"), &json!(room_of(&test))));
    let (after, until) = (first["after"].as_u64().unwrap(), first["until"].as_u64().unwrap());
    assert!(before < after && after < until && until <= before + FACTS, "{first}");
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
