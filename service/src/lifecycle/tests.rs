use super::*;
use std::convert::Infallible;
use tokio::sync::mpsc;

const GRACE: Duration = Duration::from_secs(30);
const BRIEF: Duration = Duration::from_millis(50);

#[tokio::test]
async fn parts_stop_in_order_and_their_owner_last() {
    let (sender, mut stopped) = mpsc::unbounded_channel();
    let root = Lifecycle::new("up");
    let spawn = |lifecycle: &Lifecycle, name: &'static str| {
        let (soft, sender) = (lifecycle.soft_stop(), sender.clone());
        lifecycle.spawn(name, async move {
            soft.cancelled().await;
            // Without waiting for its end, the next part would overtake this one.
            tokio::time::sleep(BRIEF).await;
            sender.send(name).unwrap();
            Ok::<_, Infallible>(())
        });
    };
    spawn(&root, "own");
    spawn(&root.part("ingest"), "ingest");
    spawn(&root.part("workers"), "workers");
    spawn(&root.part("servers"), "servers");
    root.stop(GRACE).await.unwrap();
    for expected in ["ingest", "workers", "servers", "own"] {
        assert_eq!(stopped.recv().await, Some(expected));
    }
}

#[tokio::test]
async fn what_does_not_finish_in_the_soft_phase_is_told_to_leave() {
    let root = Lifecycle::new("up");
    let hard = root.hard_stop();
    root.spawn("slow", async move {
        hard.cancelled().await;
        Ok::<_, Infallible>(())
    });
    let began = Instant::now();
    root.stop(BRIEF).await.unwrap();
    assert!(began.elapsed() >= BRIEF);
}

#[tokio::test]
async fn what_does_not_leave_is_cut_off() {
    let root = Lifecycle::new("up");
    let (sender, mut dropped) = mpsc::unbounded_channel::<()>();
    root.part("stubborn").spawn("deaf", async move {
        let _held = sender;
        std::future::pending::<Result<(), Infallible>>().await
    });
    root.stop_by(Instant::now(), BRIEF).await;
    assert_eq!(dropped.recv().await, None);
}

#[tokio::test]
async fn a_failure_anywhere_is_seen_at_the_root_with_the_name_of_the_task() {
    let root = Lifecycle::new("up");
    root.part("ingest").part("http").spawn("serve", async { Err(std::io::Error::other("port taken")) });
    root.failed().await;
    let failed = root.stop(GRACE).await.unwrap_err();
    assert_eq!((failed.task.as_str(), failed.reason.as_str()), ("up/ingest/http/serve", "port taken"));
}

#[tokio::test]
async fn a_panic_is_a_failure() {
    let root = Lifecycle::new("up");
    root.spawn("shaky", async {
        if true {
            panic!("out of range");
        }
        Ok::<_, Infallible>(())
    });
    root.failed().await;
    assert_eq!(root.stop(GRACE).await.unwrap_err().reason, "panicked: out of range");
}

#[tokio::test]
async fn a_part_can_be_stopped_alone() {
    let root = Lifecycle::new("up");
    let part = root.part("one");
    let soft = part.soft_stop();
    part.spawn("task", async move {
        soft.cancelled().await;
        Ok::<_, Infallible>(())
    });
    part.stop(GRACE).await.unwrap();
    assert!(!root.soft_stop().is_cancelled() && !root.hard_stop().is_cancelled());
}

/// Signals are for the whole process: tests that send some take turns.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn signal_myself() {
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).unwrap();
}

#[tokio::test]
async fn a_signal_stops_softly() {
    let _turn = TURN.lock().await;
    let root = Lifecycle::new("up");
    let soft = root.soft_stop();
    root.spawn("polite", async move {
        soft.cancelled().await;
        Ok::<_, Infallible>(())
    });
    // Polled in this order: the signal comes when it is waited for.
    let (result, ()) = tokio::join!(root.run_until_stopped(GRACE), async { signal_myself() });
    result.unwrap();
    assert!(!root.hard_stop().is_cancelled());
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let _turn = TURN.lock().await;
    let root = Lifecycle::new("up");
    let hard = root.hard_stop();
    root.spawn("slow", async move {
        hard.cancelled().await;
        Ok::<_, Infallible>(())
    });
    let began = Instant::now();
    let twice = async {
        signal_myself();
        root.soft_stop().cancelled().await;
        signal_myself();
    };
    let (result, ()) = tokio::join!(root.run_until_stopped(GRACE), twice);
    result.unwrap();
    assert!(began.elapsed() < GRACE);
}

#[tokio::test]
async fn a_failed_task_ends_the_wait_for_a_signal() {
    let _turn = TURN.lock().await;
    let root = Lifecycle::new("up");
    root.spawn("broken", async { Err(std::io::Error::other("disk full")) });
    assert_eq!(root.run_until_stopped(GRACE).await.unwrap_err().reason, "disk full");
}
