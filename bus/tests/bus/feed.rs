//! Feeds: current, resumed, and never behind their own past.

use crate::{eventually, server::Server, soon};
use rollcall_bus::{Bus, Change, Feed, Message};
use rollcall_schemas::{
    feed::{AuthEntry, AuthFact, CameraEntry, FeedEntry, GalleryEntry},
    id::{CameraId, SignInId, UserId},
    subject::{self, Stream},
};
use std::{os::unix::fs::PermissionsExt, path::PathBuf};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

fn camera(number: u128, revision: u64) -> CameraEntry {
    CameraEntry {
        camera_id: CameraId(Uuid::from_u128(number)),
        revision,
        name: format!("camera {number}, revision {revision}"),
        enabled: true,
        deleted: false,
        max_frames_per_second: 5,
    }
}

fn key(number: u128) -> String {
    Uuid::from_u128(number).to_string()
}

async fn publish(bus: &Bus, entry: &CameraEntry) -> u64 {
    let mut sequence = 0;
    let published = async {
        loop {
            match bus.publish(Message::entry(entry).unwrap()).await {
                Ok(published) => break published.sequence,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    };
    sequence += soon("publishing", published).await;
    sequence
}

struct Following {
    feed: Feed<CameraEntry>,
    stop: CancellationToken,
}

impl Following {
    async fn stop(self) {
        self.stop.cancel();
        soon("stopping", self.feed.stopped()).await;
    }
}

fn follow(bus: &Bus, snapshot: Option<PathBuf>) -> Following {
    let stop = CancellationToken::new();
    Following { feed: bus.feed(None, snapshot, stop.clone()), stop }
}

async fn reached(feed: &Feed<CameraEntry>, revision: u64) {
    soon("the revision", feed.progress().wait_for(|progress| progress.revision >= revision)).await.unwrap();
}

#[tokio::test]
async fn an_empty_feed_is_ready() {
    let server = Server::start();
    let following = follow(&server.bus().await, None);
    soon("readiness", following.feed.ready()).await;
    assert!(following.feed.snapshot().is_empty());
}

#[tokio::test]
async fn a_feed_has_the_last_value_of_each_key_and_follows() {
    let server = Server::start();
    let bus = server.bus().await;
    for (number, revision) in [(1, 1), (2, 1), (1, 2)] {
        publish(&bus, &camera(number, revision)).await;
    }
    let Following { feed, .. } = follow(&bus, None);
    soon("readiness", feed.ready()).await;
    assert_eq!(*feed.get(&key(1)).unwrap(), camera(1, 2));
    assert_eq!(*feed.get(&key(2)).unwrap(), camera(2, 1));
    assert_eq!(feed.get(&key(3)), None);
    let mut changes = feed.subscribe();
    let sequence = publish(&bus, &camera(3, 1)).await;
    let change = soon("the change", changes.recv()).await.unwrap();
    assert!(matches!(change, Change::Put(entry) if *entry == camera(3, 1)));
    reached(&feed, sequence).await;
    assert_eq!(feed.revision(), sequence);
    assert_eq!(feed.snapshot().len(), 3);
}

#[tokio::test]
async fn an_older_revision_is_ignored() {
    let server = Server::start();
    let bus = server.bus().await;
    let Following { feed, .. } = follow(&bus, None);
    let newer = publish(&bus, &camera(1, 5)).await;
    reached(&feed, newer).await;
    publish(&bus, &camera(1, 3)).await;
    let sequence = publish(&bus, &camera(2, 1)).await;
    reached(&feed, sequence).await;
    assert_eq!(*feed.get(&key(1)).unwrap(), camera(1, 5));
}

/// A sign-in that ended in one hour and is to be known until another.
fn ended_sign_in(number: u128, hours: std::ops::Range<u32>) -> AuthEntry {
    let at = |hour: u32| format!("2026-03-02T{hour:02}:00:00Z").parse().unwrap();
    let sign_in_id = SignInId(Uuid::from_u128(number));
    let fact = AuthFact::EndedSignIn { sign_in_id, ended_at: at(hours.start), forget_at: at(hours.end) };
    AuthEntry { revision: 1, fact }
}

#[tokio::test]
async fn what_no_longer_says_anything_is_forgotten_also_after_a_restart() {
    let server = Server::start();
    let bus = server.bus().await;
    let path = server.path("auth.json");
    let knows = |feed: &Feed<AuthEntry>| {
        let keys = (1..=4).map(|number| format!("sign-in/{}", Uuid::from_u128(number)));
        keys.map(|key| feed.get(&key).is_some()).collect::<Vec<_>>()
    };
    let tell = async |feed: &Feed<AuthEntry>, entry: &AuthEntry| {
        let sequence = bus.publish(Message::entry(entry).unwrap()).await.unwrap().sequence;
        let mut progress = feed.progress();
        soon("the entry", progress.wait_for(|progress| progress.revision >= sequence)).await.unwrap();
    };
    let stop = CancellationToken::new();
    let feed = bus.feed::<AuthEntry>(None, Some(path.clone()), stop.clone());
    tell(&feed, &ended_sign_in(1, 8..10)).await;
    tell(&feed, &ended_sign_in(2, 8..12)).await;
    assert_eq!(knows(&feed), [true, true, false, false]);
    tell(&feed, &ended_sign_in(3, 10..13)).await;
    assert_eq!(knows(&feed), [false, true, true, false]);
    stop.cancel();
    soon("stopping", feed.stopped()).await;
    let feed = bus.feed::<AuthEntry>(None, Some(path), CancellationToken::new());
    tell(&feed, &ended_sign_in(4, 12..14)).await;
    assert_eq!(knows(&feed), [false, false, true, true]);
}

#[tokio::test]
async fn a_resumed_feed_reads_only_what_is_new_and_forgets_what_was_removed() {
    let server = Server::start();
    let bus = server.bus().await;
    let path = server.path("cameras.json");
    for number in 1..=3 {
        publish(&bus, &camera(number, 1)).await;
    }
    let first = follow(&bus, Some(path.clone()));
    soon("readiness", first.feed.ready()).await;
    first.stop().await;
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let tombstone = CameraEntry { deleted: true, name: String::new(), ..camera(2, 2) };
    publish(&bus, &tombstone).await;
    let last = publish(&bus, &camera(4, 1)).await;
    let second = follow(&bus, Some(path.clone()));
    let mut changes = second.feed.subscribe();
    assert_eq!(second.feed.snapshot().len(), 3, "known at once, before the broker is asked");
    soon("readiness", second.feed.ready()).await;
    let mut changed = Vec::new();
    while let Ok(Change::Put(entry)) = changes.try_recv() {
        changed.push((*entry).clone());
    }
    assert_eq!(changed, vec![tombstone.clone(), camera(4, 1)]);
    assert_eq!(*second.feed.get(&key(2)).unwrap(), tombstone);
    assert_eq!(second.feed.revision(), last);
    second.stop().await;
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("camera 4"));
    assert!(!text.contains("camera 2"), "what was removed is not in the file either");
}

#[tokio::test]
async fn a_snapshot_is_written_while_the_feed_runs() {
    let server = Server::start();
    let bus = server.bus().await;
    publish(&bus, &camera(1, 1)).await;
    let path = server.path("nested/cameras.json");
    let _following = follow(&bus, Some(path.clone()));
    eventually("the snapshot", || async { path.exists() }).await;
    assert!(std::fs::read_to_string(&path).unwrap().contains("camera 1"));
}

#[tokio::test]
async fn a_feed_can_be_of_one_pack() {
    let server = Server::start();
    let bus = server.bus().await;
    let template = |pack: &str, user| GalleryEntry {
        user_id: UserId(Uuid::from_u128(user)),
        pack: pack.into(),
        revision: 1,
        template: None,
        photos: 0,
    };
    for entry in [template("one", 1), template("two", 1), template("one", 2), template("two", 2)] {
        bus.publish(Message::entry(&entry).unwrap()).await.unwrap();
    }
    let feed =
        bus.feed::<GalleryEntry>(Some(subject::gallery_of_pack("one")), None, CancellationToken::new());
    // The last message of the stream is another pack's, and readiness does not wait for it.
    soon("readiness", feed.ready()).await;
    let mut keys: Vec<_> = feed.snapshot().iter().map(|entry| entry.key()).collect();
    keys.sort();
    assert_eq!(keys, [template("one", 1).key(), template("one", 2).key()]);
}

#[tokio::test]
async fn a_snapshot_of_another_stream_is_forgotten() {
    let server = Server::start();
    let bus = server.bus().await;
    let path = server.path("cameras.json");
    for number in 1..=3 {
        publish(&bus, &camera(number, 7)).await;
    }
    let first = follow(&bus, Some(path.clone()));
    soon("readiness", first.feed.ready()).await;
    first.stop().await;

    let client = async_nats::connect(server.url()).await.unwrap();
    async_nats::jetstream::new(client).delete_stream(Stream::Cameras.name()).await.unwrap();
    bus.ensure_streams().await.unwrap();
    // As many messages as before, so that only the time of creation tells the streams apart.
    for number in 3..=5 {
        let mut entry = camera(number, 1);
        entry.name.push_str(" anew");
        let message = Message { id: format!("anew-{number}"), ..Message::entry(&entry).unwrap() };
        bus.publish(message).await.unwrap();
    }
    let second = follow(&bus, Some(path));
    soon("readiness", second.feed.ready()).await;
    let mut names: Vec<_> = second.feed.snapshot().iter().map(|entry| entry.name.clone()).collect();
    names.sort();
    assert_eq!(
        names,
        ["camera 3, revision 1 anew", "camera 4, revision 1 anew", "camera 5, revision 1 anew"]
    );
}

#[tokio::test]
async fn a_spoilt_snapshot_is_no_snapshot() {
    let server = Server::start();
    let bus = server.bus().await;
    publish(&bus, &camera(1, 1)).await;
    let path = server.path("cameras.json");
    std::fs::write(&path, "{\"stream\":\"CAMERAS\",\"entr").unwrap();
    let following = follow(&bus, Some(path));
    soon("readiness", following.feed.ready()).await;
    assert_eq!(*following.feed.get(&key(1)).unwrap(), camera(1, 1));
}

#[tokio::test]
async fn a_feed_goes_on_after_the_broker_was_killed() {
    let mut server = Server::start();
    let bus = server.bus().await;
    publish(&bus, &camera(1, 1)).await;
    let Following { feed, .. } = follow(&bus, None);
    soon("readiness", feed.ready()).await;
    server.kill();
    assert_eq!(*feed.get(&key(1)).unwrap(), camera(1, 1), "known while the broker is away");
    server.restart();
    let sequence = publish(&bus, &camera(1, 2)).await;
    reached(&feed, sequence).await;
    assert_eq!(*feed.get(&key(1)).unwrap(), camera(1, 2));
}
