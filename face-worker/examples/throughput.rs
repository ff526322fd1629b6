//! Frames per second of one engine and of a pool on a given execution provider, with the share that is decoding.
//!
//! ```text
//! throughput LIBRARY MODELS_DIR PACK cpu|cuda|tensorrt THREADS FRAME...
//! ```
//! `LIBRARY` is the shared library of an ONNX Runtime build for that provider. Prints one line of JSON; the embeddings
//! are compared with those of the processor, so a provider that computes something else is seen.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a tool for developers: it fails and speaks at once

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use rollcall_face_worker::decode::{DecodeLimits, decode};
use rollcall_face_worker::engine::Engine;
use rollcall_face_worker::models::ModelsDir;
use rollcall_face_worker::pack::find_pack;
use rollcall_face_worker::pool::{Pool, PoolConfig};
use rollcall_face_worker::session::{Provider, Runtime};

const ROUNDS: usize = 200;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, models, pack, provider, threads, frames @ ..] = &arguments[..] else {
        panic!("LIBRARY MODELS_DIR PACK PROVIDER THREADS FRAME...");
    };
    let runtime = Runtime::load(Path::new(library)).unwrap();
    let pack = find_pack(pack, None).unwrap();
    let folder = ModelsDir::new(models).verify(&pack).unwrap();
    let provider = match provider.as_str() {
        "cpu" => Provider::Cpu,
        "cuda" => Provider::Cuda,
        "tensorrt" => Provider::Tensorrt,
        other => panic!("no provider {other}"),
    };
    let threads: usize = threads.parse().unwrap();
    let frames: Vec<Bytes> = frames.iter().map(|path| std::fs::read(path).unwrap().into()).collect();

    let mut reference = Engine::open(&pack, &folder, &runtime, Provider::Cpu).unwrap();
    let mut engine = Engine::open(&pack, &folder, &runtime, provider).unwrap();
    let mut least_similar = 1.0f32;
    let mut faces = 0;
    for frame in &frames {
        let image = decode(frame, DecodeLimits::default()).unwrap();
        let (expected, found) = (reference.analyse(&image).unwrap(), engine.analyse(&image).unwrap());
        assert_eq!(expected.faces.len(), found.faces.len());
        faces += found.faces.len();
        for (expected, found) in expected.faces.iter().zip(&found.faces) {
            if let (Some(expected), Some(found)) = (&expected.embedding, &found.embedding) {
                least_similar = least_similar.min(expected.similarity(found).unwrap());
            }
        }
    }

    let start = Instant::now();
    for frame in frames.iter().cycle().take(ROUNDS) {
        decode(frame, DecodeLimits::default()).unwrap();
    }
    let decode_ms = start.elapsed().as_secs_f64() * 1e3 / ROUNDS as f64;
    for frame in frames.iter().cycle().take(ROUNDS / 10) {
        engine.bare_loop(frame).unwrap();
    }
    let start = Instant::now();
    for frame in frames.iter().cycle().take(ROUNDS) {
        engine.bare_loop(frame).unwrap();
    }
    let bare_ms = start.elapsed().as_secs_f64() * 1e3 / ROUNDS as f64;

    let report = engine.report().clone();
    drop((engine, reference));
    let config = PoolConfig {
        inference_threads: threads,
        decode_threads: threads,
        provider,
        ..PoolConfig::for_cores(threads)
    };
    let pool = Arc::new(Pool::open(&pack, &folder, &runtime, &config).unwrap());
    let tokio = tokio::runtime::Runtime::new().unwrap();
    let rounds = ROUNDS * threads;
    let per_second = tokio.block_on(async {
        run(&pool, &frames, threads * frames.len()).await;
        let start = Instant::now();
        run(&pool, &frames, rounds).await;
        rounds as f64 / start.elapsed().as_secs_f64()
    });
    let report = serde_json::json!({
        "pack": pack.name,
        "provider": report.used,
        "failures": report.failures,
        "nodes": report.nodes,
        "frames": frames.len(),
        "faces": faces,
        "least_similarity_to_cpu": least_similar,
        "decode_ms": decode_ms,
        "bare_loop_ms": bare_ms,
        "pool_threads": threads,
        "pool_frames_per_second": per_second,
    });
    println!("{report}");
}

async fn run(pool: &Arc<Pool>, frames: &[Bytes], count: usize) {
    let tasks: Vec<_> = frames
        .iter()
        .cycle()
        .take(count)
        .cloned()
        .map(|frame| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.analyse(frame).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
