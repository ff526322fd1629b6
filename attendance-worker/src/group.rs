//! Work that comes piece by piece and is done in groups, like the group commit of a database.
//!
//! While one group is being worked on, the next one gathers: alone, a piece waits for nothing; in a burst, a hundred of
//! them share one transaction. There is no task and no timer: whoever gets the turn works for everybody who waits.

use parking_lot::Mutex;
use tokio::sync::oneshot;

pub(crate) struct Group<T, R> {
    waiting: Mutex<Vec<(T, oneshot::Sender<R>)>>,
    turn: tokio::sync::Mutex<()>,
}

impl<T, R> Default for Group<T, R> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }
}

impl<T, R> Group<T, R> {
    /// Has `piece` worked on, together with whatever else waits, by this caller's `work` or another's, which takes the
    /// pieces of a group and returns a result for each, in their order. `None` when whoever did it gave up half way.
    pub(crate) async fn join<F>(&self, piece: T, work: impl FnOnce(Vec<T>) -> F) -> Option<R>
    where
        F: Future<Output = Vec<R>>,
    {
        let (sender, mut result) = oneshot::channel();
        self.waiting.lock().push((piece, sender));
        let turn = tokio::select! {
            biased;
            result = &mut result => return result.ok(),
            turn = self.turn.lock() => turn,
        };
        let (pieces, senders): (Vec<_>, Vec<_>) =
            std::mem::take(&mut *self.waiting.lock()).into_iter().unzip();
        // Nothing waits when the one who had the turn before gave up with this piece in hand.
        if !pieces.is_empty() {
            for (sender, result) in senders.into_iter().zip(work(pieces).await) {
                // Whoever stopped waiting will ask again.
                let _ = sender.send(result);
            }
        }
        drop(turn);
        result.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    use tokio::sync::Notify;

    #[tokio::test]
    async fn what_comes_during_one_group_is_the_next() {
        let group = Arc::new(Group::default());
        let groups = Arc::new(AtomicUsize::new(0));
        let (first_began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let join = |piece: usize| {
            let (group, groups) = (group.clone(), groups.clone());
            let (first_began, go_on) = (first_began.clone(), go_on.clone());
            tokio::spawn(async move {
                let work = async move |pieces: Vec<usize>| {
                    if groups.fetch_add(1, Ordering::SeqCst) == 0 {
                        first_began.notify_one();
                        go_on.notified().await;
                    }
                    pieces.into_iter().map(|piece| piece * 10).collect()
                };
                group.join(piece, work).await
            })
        };
        let mut joined = vec![join(0)];
        first_began.notified().await;
        joined.extend((1..50).map(&join));
        while group.waiting.lock().len() < 49 {
            tokio::task::yield_now().await;
        }
        go_on.notify_one();
        for (piece, result) in joined.into_iter().enumerate() {
            assert_eq!(result.await.unwrap(), Some(piece * 10));
        }
        assert_eq!(groups.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_group_that_is_given_up_is_told_and_the_next_one_works() {
        let group = Arc::new(Group::<usize, usize>::default());
        let began = Arc::new(Notify::new());
        let leader = tokio::spawn({
            let (group, began) = (group.clone(), began.clone());
            async move {
                let work = async move |_: Vec<usize>| {
                    began.notify_one();
                    std::future::pending::<Vec<usize>>().await
                };
                group.join(1, work).await
            }
        });
        began.notified().await;
        leader.abort();
        assert_eq!(group.join(2, async |pieces: Vec<usize>| pieces).await, Some(2));
    }
}
