//! What processes tell each other.

use crate::{eventually, server::Server};
use rollcall_bus::Bus;
use rollcall_schemas::subject;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

const OFTEN: Duration = Duration::from_millis(5);

/// A process that tells what it is given, and remembers what it hears.
#[derive(Clone, Default)]
struct Peer {
    news: Arc<AtomicU32>,
    heard: Arc<Mutex<Vec<u32>>>,
}

impl Peer {
    fn join(bus: Bus) -> Self {
        let peer = Self::default();
        let joined = peer.clone();
        tokio::spawn(async move {
            let tell = || Some(joined.news.swap(0, Ordering::Relaxed)).filter(|news| *news > 0);
            let hear = |news| joined.heard.lock().unwrap().push(news);
            bus.gossip(&subject::calls_taken(), OFTEN, tell, hear).await
        });
        peer
    }

    fn has_heard(&self, news: u32) -> bool {
        self.heard.lock().unwrap().contains(&news)
    }
}

#[tokio::test]
async fn everybody_hears_what_is_told_and_goes_on_after_the_broker_was_away() {
    let mut server = Server::start();
    let (one, other) = (Peer::join(server.bus().await), Peer::join(server.bus().await));
    let told = |number| {
        let (one, other) = (one.clone(), other.clone());
        async move {
            // Told until heard: whoever listens too late, or while the broker is away, misses it.
            eventually("being heard", || async {
                one.news.store(number, Ordering::Relaxed);
                one.has_heard(number) && other.has_heard(number)
            })
            .await;
        }
    };
    told(1).await;
    server.kill();
    server.restart();
    told(2).await;
}
