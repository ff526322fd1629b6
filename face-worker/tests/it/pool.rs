//! Engines shared by many: every frame gets its own answer, bad ones included.

use bytes::Bytes;

use rollcall_face_worker::pool::{AnalyseError, Pool, PoolConfig};
use rollcall_test_support::assert_close;

use crate::support::*;

fn pool(config: &PoolConfig) -> Pool {
    let pack = default_pack();
    let fixtures = fixtures();
    let folder = fixtures.models.verify(&pack).unwrap();
    Pool::open(&pack, &folder, &fixtures.runtime, config).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_many_cameras_get_their_own_answers() {
    let config = PoolConfig { max_frames: 3, ..PoolConfig::for_cores(2) };
    let pool = std::sync::Arc::new(pool(&config));
    let mut engine = engine(&default_pack());
    let names = ["obama.jpg", "obama2.jpg", "obama_partial_face.jpg", "broken", "obama_partial_face2.jpg"];
    let frames = names.map(|name| {
        if name == "broken" { Bytes::from_static(b"no image") } else { Bytes::from(photograph(name)) }
    });
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let (pool, frame) = (pool.clone(), frames[number % frames.len()].clone());
            tokio::spawn(async move { pool.analyse(frame).await })
        })
        .collect();
    for (number, task) in tasks.into_iter().enumerate() {
        let name = names[number % names.len()];
        let result = task.await.unwrap();
        if name == "broken" {
            assert!(matches!(result, Err(AnalyseError::Decode(_))));
            continue;
        }
        let (found, expected) = (result.unwrap(), analyse(&mut engine, &photograph(name)));
        assert_eq!((found.width, found.height), (expected.width, expected.height), "{name}");
        let embeddings = [&found, &expected].map(|analysis| analysis.faces[0].embedding.clone().unwrap());
        assert_close(&embeddings[0], &embeddings[1], 1e-4);
    }
}

#[tokio::test]
async fn frames_nobody_waits_for_any_more_do_not_block_the_next() {
    let pool = pool(&PoolConfig { max_frames: 1, ..PoolConfig::for_cores(1) });
    let frame = Bytes::from(photograph("obama_partial_face.jpg"));
    let mut abandoned = Box::pin(pool.analyse(frame.clone()));
    tokio::select! {
        biased;
        _ = &mut abandoned => panic!("an answer before the frame can have been decoded"),
        () = std::future::ready(()) => {}
    }
    drop(abandoned);
    assert_eq!(pool.analyse(frame).await.unwrap().faces.len(), 1);
}
