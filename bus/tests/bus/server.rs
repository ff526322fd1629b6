//! A private nats-server per test, that can be killed and started again on the same port and data.

use rollcall_bus::{Bus, BusConfig};
use std::{
    fs,
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub(crate) struct Server {
    folder: TempDir,
    extra: String,
    port: u16,
    child: Child,
}

impl Server {
    /// A server with JetStream and room for 8 MB messages.
    pub(crate) fn start() -> Self {
        let store = "jetstream { store_dir: \"FOLDER/data\" }\nmax_payload: 8MB";
        Self::start_with(store)
    }

    /// A server with the given configuration, where `FOLDER` stands for its folder.
    pub(crate) fn start_with(extra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let extra = extra.replace("FOLDER", folder.path().to_str().unwrap());
        let child = spawn(&folder, &extra, None);
        let port = published_port(&folder, &child);
        Self { folder, extra, port, child }
    }

    /// As a power cut of the process: no farewell, no flush.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts a killed server again.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(&self.folder, &self.extra, Some(self.port));
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "nats-server does not come back");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn config(&self) -> BusConfig {
        BusConfig {
            url: self.url(),
            connect_timeout_s: 10,
            publish_timeout_ms: 2_000,
            ..BusConfig::default()
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A connection, with the streams there.
    pub(crate) async fn bus(&self) -> Bus {
        let bus = Bus::connect(&self.config(), "test").await.unwrap();
        bus.ensure_streams().await.unwrap();
        bus
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &TempDir, extra: &str, port: Option<u16>) -> Child {
    let port = port.map_or(-1, i32::from);
    let ports = folder.path().join("ports");
    fs::create_dir_all(&ports).unwrap();
    let config = folder.path().join("nats.conf");
    fs::write(
        &config,
        format!("listen: \"127.0.0.1:{port}\"\nports_file_dir: \"{}\"\n{extra}\n", ports.display()),
    )
    .unwrap();
    Command::new("nats-server")
        .arg("-c")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server is installed")
}

/// The port the server chose, from the file it writes once it listens.
fn published_port(folder: &TempDir, child: &Child) -> u16 {
    let file = folder.path().join("ports").join(format!("nats-server_{}.ports", child.id()));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let port = fs::read_to_string(&file).ok().and_then(|text| {
            let ports: serde_json::Value = serde_json::from_str(&text).ok()?;
            ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
        });
        if let Some(port) = port {
            return port;
        }
        assert!(Instant::now() < deadline, "nats-server does not start");
        std::thread::sleep(Duration::from_millis(5));
    }
}
