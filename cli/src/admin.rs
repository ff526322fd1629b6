//! `rollcall admin`: what must be possible before anybody can sign in.

use crate::config::Config;
use anyhow::{Context, ensure};
use clap::Subcommand;
use rollcall_api::FirstUser;
use rollcall_schemas::role::Role;
use rollcall_service::{
    clock::{Clock, Entropy},
    config::Secret,
};
use std::io::{BufRead, IsTerminal, Write};

/// Accounts.
#[derive(Subcommand)]
pub enum Admin {
    /// Create an account. Its password is read from standard input, never from the command line.
    CreateUser {
        /// E-mail address: the name to sign in with.
        #[arg(long)]
        email: String,
        /// Full name.
        #[arg(long)]
        name: String,
        /// admin, operator, teacher or student.
        #[arg(long, default_value = "admin", value_parser = role)]
        role: Role,
        /// The organisation, created if there is none yet.
        #[arg(long, default_value = "My organisation")]
        organisation: String,
    },
    /// Make a new key for signing access tokens. It signs after a minute; nobody is signed out. Run it where the api keeps
    /// its key file.
    RotateKeys,
}

fn role(name: &str) -> Result<Role, String> {
    Role::parse(name).ok_or_else(|| "one of admin, operator, teacher, student".to_owned())
}

/// Runs `rollcall admin`.
///
/// # Errors
/// When the account exists, the password is too weak, the database cannot be reached, or there is no key file.
pub async fn run(command: Admin, config: &Config) -> anyhow::Result<()> {
    let (email, full_name, role, organisation) = match command {
        Admin::RotateKeys => return rotate_keys(config),
        Admin::CreateUser { email, name, role, organisation } => (email, name, role, organisation),
    };
    let password = read_password()?;
    let pool = config.open_database()?;
    let bcrypt_cost = config.api.bcrypt_cost;
    let user = FirstUser { organisation, email, full_name, role, password, bcrypt_cost };
    let id = rollcall_api::create_user(&pool, &Clock::real(), &Entropy::real(), user).await?;
    println!("created {role} {id}");
    Ok(())
}

fn rotate_keys(config: &Config) -> anyhow::Result<()> {
    let file = config.signing_key_file();
    rollcall_api::rotate_keys(&file, &Entropy::real())
        .with_context(|| format!("adding a key to {}", file.display()))?;
    println!("added a key to {}; it is published within seconds and signs a minute later", file.display());
    Ok(())
}

/// Reads a password from standard input.
pub fn read_password() -> anyhow::Result<Secret> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        print!("Password: ");
        std::io::stdout().flush()?;
    }
    let mut password = String::new();
    stdin.lock().read_line(&mut password).context("reading the password")?;
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    ensure!(!password.is_empty(), "no password on standard input");
    Ok(Secret::new(password))
}
