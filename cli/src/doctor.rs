//! `rollcall doctor`: what is there, what is missing and what to do about it, and where the networks really run.

use crate::config::Config;
use rollcall_bus::Bus;
use rollcall_service::servers::{NatsServer, PostgresServer};
use std::path::Path;

/// What one check found.
enum Finding {
    Good(String),
    /// Works without it, less well.
    Note(String),
    Bad(String),
}

/// Runs every check and prints what it found.
///
/// # Errors
/// When something that is needed is missing.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let mut findings = vec![
        ("processor", processor()),
        ("log", log(&config).await),
        ("database", database(&config).await),
        ("ffmpeg", program("ffmpeg", "replaying videos", "ffmpeg")),
        ("python3", program("python3", "pulling model packs", "python3 python3-venv")),
    ];
    findings.push(("settings", settings(Path::new("rollcall.toml"))));
    #[cfg(feature = "face")]
    findings.extend(faces(config).await);
    let mut bad = 0;
    for (name, finding) in findings {
        match finding {
            Finding::Good(text) => println!("  ok    {name}: {text}"),
            Finding::Note(text) => println!("  note  {name}: {text}"),
            Finding::Bad(text) => {
                bad += 1;
                println!("  BAD   {name}: {text}");
            }
        }
    }
    anyhow::ensure!(bad == 0, "{bad} of these must be mended");
    Ok(())
}

fn processor() -> Finding {
    // What FAISS was compiled for: see .cargo/config.toml.
    #[cfg(target_arch = "x86_64")]
    if !(is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c"))
    {
        return Finding::Bad(
            "AVX2, FMA and F16C are needed by the face search, and this processor lacks one".into(),
        );
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Finding::Good(format!("{cores} cores, with what the face search was compiled for"))
}

async fn log(config: &Config) -> Finding {
    if config.nats.url.is_empty() {
        return match NatsServer::program() {
            Ok(path) => Finding::Good(format!("a private one can be run: {}", path.display())),
            Err(error) => Finding::Bad(format!("{error}; or set NATS_URL")),
        };
    }
    match Bus::connect(&config.nats, "rollcall-doctor").await {
        Ok(bus) => Finding::Good(format!("connected; messages may have {} bytes", bus.max_payload())),
        Err(error) => Finding::Bad(error.to_string()),
    }
}

async fn database(config: &Config) -> Finding {
    if config.database.url.reveal().is_empty() {
        return match PostgresServer::programs() {
            Ok(folder) => Finding::Good(format!("a private one can be run from {}", folder.display())),
            Err(error) => Finding::Bad(format!("{error}; or set DATABASE_URL")),
        };
    }
    let answer = async { rollcall_store::ping(&config.open_database()?).await };
    match answer.await {
        Ok(()) => Finding::Good("connected".into()),
        Err(error) => Finding::Bad(error.to_string()),
    }
}

fn program(name: &str, purpose: &str, packages: &str) -> Finding {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file()) {
        Some(path) => Finding::Good(path.display().to_string()),
        None => Finding::Bad(format!("missing, needed for {purpose}: apt-get install {packages}")),
    }
}

fn settings(file: &Path) -> Finding {
    if file.exists() {
        Finding::Good(format!("{} is read and understood", file.display()))
    } else {
        Finding::Note("defaults and environment; `rollcall settings` prints what can be set".into())
    }
}

#[cfg(feature = "face")]
async fn faces(config: Config) -> Vec<(&'static str, Finding)> {
    use rollcall_face_worker::worker::open_pool;
    let opened = tokio::task::spawn_blocking(move || {
        let library = match config.face.runtime_library() {
            Ok(path) => Finding::Good(path.display().to_string()),
            Err(error) => Finding::Bad(error.to_string()),
        };
        let pack = match open_pool(&config.face) {
            Ok(pool) => provider(pool.report(), &config.face.pack),
            Err(error) => Finding::Bad(error.to_string()),
        };
        vec![("ONNX Runtime", library), ("model pack", pack)]
    });
    opened.await.unwrap_or_else(|error| vec![("model pack", Finding::Bad(error.to_string()))])
}

#[cfg(feature = "face")]
fn provider(report: &rollcall_face_worker::engine::ProviderReport, pack: &str) -> Finding {
    let nodes: Vec<String> =
        report.nodes.iter().map(|(name, count)| format!("{count} nodes on {name}")).collect();
    let mut text = format!("{pack} runs on {:?} ({})", report.used, nodes.join(", "));
    if report.used == report.asked {
        return Finding::Good(text);
    }
    for (provider, reason) in &report.failures {
        text.push_str(&format!("\n          {provider:?} was tried: {reason}"));
    }
    Finding::Note(text)
}
