use super::*;
use crate::clock::Entropy;
use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use tokio::{io::AsyncReadExt, net::TcpStream};

/// A folder that the account running PostgreSQL can enter.
fn folder() -> tempfile::TempDir {
    folder_of_mode(0o711)
}

fn folder_of_mode(mode: u32) -> tempfile::TempDir {
    let permissions = std::fs::Permissions::from_mode(mode);
    tempfile::Builder::new().permissions(permissions).tempdir().unwrap()
}

fn nats(folder: &Path) -> NatsOptions {
    NatsOptions { folder: folder.join("nats"), port: None, max_store_bytes: None }
}

fn postgres(folder: &Path) -> PostgresOptions {
    PostgresOptions { folder: folder.join("postgres"), port: None, max_connections: 20, durable: false }
}

fn runs(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// What the nats-server says when one connects.
async fn greeting(port: u16) -> String {
    let mut buffer = vec![0; 4096];
    let read = TcpStream::connect(("127.0.0.1", port)).await.unwrap().read(&mut buffer).await.unwrap();
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

async fn sql(server: &PostgresServer, statement: &str) -> String {
    let mut psql = tokio::process::Command::new("psql");
    psql.args([&server.url(), "--no-psqlrc", "--tuples-only", "--no-align", "--command", statement]);
    let output = psql.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn nats_takes_large_messages_and_only_from_those_who_know_the_password() {
    let folder = folder();
    let mut server = NatsServer::start(nats(folder.path()), &Entropy::real()).await.unwrap();
    let info = greeting(server.port()).await;
    for expected in ["\"max_payload\":8388608", "\"auth_required\":true", "\"jetstream\":true"] {
        assert!(info.contains(expected), "{info}");
    }
    server.stop().await;
    assert!(!runs(server.pid()));
}

#[tokio::test]
async fn nats_comes_back_at_the_same_address_after_a_kill() {
    let folder = folder();
    let mut server = NatsServer::start(nats(folder.path()), &Entropy::real()).await.unwrap();
    let (url, pid) = (server.url(), server.pid());
    server.kill().await;
    assert!(TcpStream::connect(("127.0.0.1", server.port())).await.is_err());
    server.restart().await.unwrap();
    assert_eq!(server.url(), url);
    assert_ne!(server.pid(), pid);
    assert!(greeting(server.port()).await.starts_with("INFO"));
}

#[tokio::test]
async fn postgres_keeps_its_rows_over_stops_and_kills() {
    let folder = folder();
    let entropy = Entropy::real();
    let mut server = PostgresServer::start(postgres(folder.path()), &entropy).await.unwrap();
    sql(&server, "CREATE TABLE seen (n int); INSERT INTO seen VALUES (1)").await;
    server.kill().await;
    server.restart().await.unwrap();
    sql(&server, "INSERT INTO seen VALUES (2)").await;
    server.stop().await;
    assert!(!runs(server.pid()));
    drop(server);
    let server = PostgresServer::start(postgres(folder.path()), &entropy).await.unwrap();
    assert_eq!(sql(&server, "SELECT sum(n) FROM seen").await, "3");
}

#[tokio::test]
async fn postgres_asks_for_the_password() {
    let folder = folder();
    let server = PostgresServer::start(postgres(folder.path()), &Entropy::real()).await.unwrap();
    let url = format!("postgres://rollcall:wrong@127.0.0.1:{}/rollcall", server.port());
    let output = Command::new("psql").args([&url, "-c", "SELECT 1"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("password authentication failed"));
}

#[tokio::test]
async fn a_folder_is_locked_until_its_server_has_gone() {
    let folder = folder();
    let options = nats(folder.path());
    let lock = async |patience| process::lock(&options.folder, patience).await;
    let mut server = NatsServer::start(options.clone(), &Entropy::real()).await.unwrap();
    assert!(matches!(lock(Duration::ZERO).await, Err(ServerError::InUse(_))));
    server.kill().await;
    assert!(lock(Duration::from_secs(10)).await.is_ok());
}

#[tokio::test]
async fn another_server_on_the_port_is_not_taken_for_ours() {
    let (folder, other) = (folder(), folder());
    let entropy = Entropy::real();
    let taken = NatsServer::start(nats(other.path()), &entropy).await.unwrap();
    let options = NatsOptions { port: Some(taken.port()), ..nats(folder.path()) };
    let error = NatsServer::start(options, &entropy).await.err().expect("the port is taken");
    assert!(
        matches!(&error, ServerError::Ended { tail, .. } if tail.contains("address already in use")),
        "{error}"
    );

    let taken = PostgresServer::start(postgres(other.path()), &entropy).await.unwrap();
    let options = PostgresOptions { port: Some(taken.port()), ..postgres(folder.path()) };
    let error = PostgresServer::start(options, &entropy).await.err().expect("the port is taken");
    assert!(
        matches!(&error, ServerError::Ended { tail, .. } if tail.contains("Address already in use")),
        "{error}"
    );
}

#[tokio::test]
async fn a_folder_that_postgres_cannot_enter_is_explained() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let private = folder_of_mode(0o700);
    let error = PostgresServer::start(postgres(private.path()), &Entropy::real()).await.err().unwrap();
    assert!(error.to_string().contains("cannot enter"), "{error}");
}

#[test]
fn what_is_missing_is_named_with_its_package() {
    assert_eq!(process::find_program("no-such-program", None), None);
    let message = process::not_installed("nats-server", "nats-server").to_string();
    assert_eq!(message, "nats-server is not installed; on Debian and Ubuntu: apt-get install nats-server");
}

/// Runs as the child of the next test only: starts both servers, says where they are, and waits to be killed.
#[tokio::test]
async fn servers_of_a_process_that_will_be_killed() {
    let Some(folder) = std::env::var_os("SERVERS_OF_TEST") else { return };
    let entropy = Entropy::real();
    let nats = NatsServer::start(nats(Path::new(&folder)), &entropy).await.unwrap();
    let postgres = PostgresServer::start(postgres(Path::new(&folder)), &entropy).await.unwrap();
    std::fs::write(Path::new(&folder).join("pids"), format!("{} {}", nats.pid(), postgres.pid())).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn servers_die_with_their_parent() {
    let folder = folder();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "servers::tests::servers_of_a_process_that_will_be_killed"])
        .env("SERVERS_OF_TEST", folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pids =
        until(|| std::fs::read_to_string(folder.path().join("pids")).ok().filter(|text| text.contains(' ')))
            .await;
    let pids: Vec<u32> = pids.split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.iter().all(|pid| runs(*pid)));
    parent.kill().unwrap();
    parent.wait().unwrap();
    until(|| pids.iter().all(|pid| !runs(*pid)).then_some(())).await;
}

async fn until<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            if let Some(value) = condition() {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("it happens within a minute")
}
