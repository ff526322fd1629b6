//! PostgreSQL's own programs against a deployment's database: `psql` for what only a benchmark asks, `pgbench` as the
//! peer of the scans.

use super::deployment::Deployment;
use anyhow::{Context, bail, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::process::Command;

/// Where Debian keeps each major version's programs.
const VERSIONS: &str = "/usr/lib/postgresql";

/// What `psql` prints for `sql`: a line per row, fields separated by `|`.
///
/// # Errors
/// When `psql` is missing or the statement fails.
pub async fn query(deployment: &Deployment, sql: &str) -> anyhow::Result<String> {
    let mut psql = program("psql", "postgresql-client", deployment)?;
    psql.args([
        "--no-psqlrc",
        "--quiet",
        "--tuples-only",
        "--no-align",
        "--set=ON_ERROR_STOP=1",
        "--command",
        sql,
    ]);
    output(psql).await
}

/// How a peer loads the database.
pub struct Pgbench {
    /// One transaction, in the words of pgbench.
    pub script: &'static str,
    /// What each client's variables are at first.
    pub variables: Vec<(&'static str, usize)>,
    /// Connections.
    pub clients: usize,
    /// For how long.
    pub duration: Duration,
}

impl Pgbench {
    /// Runs it and returns transactions per second.
    ///
    /// # Errors
    /// When `pgbench` is missing or fails.
    pub async fn run(&self, deployment: &Deployment) -> anyhow::Result<f64> {
        let script = deployment.folder().join("pgbench.sql");
        fs::write(&script, self.script)?;
        let mut pgbench = program("pgbench", "postgresql-contrib (or postgresql)", deployment)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(self.clients);
        pgbench
            .args(["--no-vacuum", "--protocol=prepared", "--client", &self.clients.to_string()])
            .args(["--jobs", &threads.to_string(), "--time", &self.duration.as_secs().to_string()])
            .args(self.variables.iter().map(|(name, value)| format!("--define={name}={value}")))
            .arg("--file")
            .arg(&script);
        let said = output(pgbench).await?;
        let rate = said
            .lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok());
        rate.with_context(|| format!("pgbench said no rate:\n{said}"))
    }
}

/// A program, told by its environment where the database is: nothing secret is on its command line.
fn program(name: &str, package: &str, deployment: &Deployment) -> anyhow::Result<Command> {
    let Some(path) = find(name) else {
        bail!("{name} is not installed; on Debian and Ubuntu: apt-get install {package}");
    };
    let url = deployment.database_url();
    let url = reqwest::Url::parse(url.reveal()).context("reading the database's address")?;
    let mut command = Command::new(path);
    command
        .env("PGHOST", url.host_str().unwrap_or("127.0.0.1"))
        .env("PGPORT", url.port().unwrap_or(5432).to_string())
        .env("PGUSER", url.username())
        .env("PGPASSWORD", url.password().unwrap_or_default())
        .env("PGDATABASE", url.path().trim_start_matches('/'))
        .kill_on_drop(true);
    Ok(command)
}

async fn output(mut command: Command) -> anyhow::Result<String> {
    let ended = command.output().await.context("running a PostgreSQL program")?;
    ensure!(ended.status.success(), "PostgreSQL said: {}", String::from_utf8_lossy(&ended.stderr).trim());
    Ok(String::from_utf8(ended.stdout)?)
}

/// In the path, or among the newest of Debian's versions.
fn find(name: &str) -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let known = std::env::split_paths(&on_path).map(|folder| folder.join(name)).find(|path| path.is_file());
    known.or_else(|| {
        let versions = fs::read_dir(VERSIONS).ok()?.flatten().map(|entry| entry.path());
        let program = |version: PathBuf| Some(version.join("bin").join(name)).filter(|path| path.is_file());
        versions.filter_map(program).max_by_key(|path| major(path))
    })
}

/// The major version in a path such as `/usr/lib/postgresql/17/bin/psql`.
fn major(path: &Path) -> u32 {
    path.components().filter_map(|part| part.as_os_str().to_str()?.parse().ok()).next_back().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_told_by_number() {
        assert!(
            major(Path::new("/usr/lib/postgresql/17/bin/psql"))
                > major(Path::new("/usr/lib/postgresql/9/bin/psql"))
        );
    }
}
