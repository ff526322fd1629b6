//! The private key that signs access tokens: read from its file, made when there is none, or drawn for this process.

use rollcall_service::{auth::generate_signing_key, clock::Entropy, config::Secret};
use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// The key in `file`, which is made, readable by its owner only, when it does not exist.
pub(crate) fn load_or_create(file: Option<&Path>, entropy: &Entropy) -> io::Result<Secret> {
    let Some(file) = file else { return Ok(generate_signing_key(entropy)) };
    match fs::read_to_string(file) {
        Ok(pem) => return Ok(Secret::new(pem)),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let key = generate_signing_key(entropy);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(mut new) => {
            new.write_all(key.reveal().as_bytes())?;
            new.sync_all()?;
            Ok(key)
        }
        // Another process was faster: its key is the one.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Secret::new(fs::read_to_string(file)?)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        let made = load_or_create(Some(&file), &Entropy::seeded(1)).unwrap();
        let read = load_or_create(Some(&file), &Entropy::seeded(2)).unwrap();
        assert!(made == read);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
