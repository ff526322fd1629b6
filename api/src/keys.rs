//! The private key that signs access tokens: read from its file, made when there is none, or drawn for this process.

use rollcall_service::{auth::generate_signing_key, clock::Entropy, config::Secret};
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::Path,
};
use tempfile::NamedTempFile;

/// The key in `file`, which is made, readable by its owner only, when it does not exist. It appears whole or not at all:
/// a crash leaves no half key behind, and nobody reads one.
pub(crate) fn load_or_create(file: Option<&Path>, entropy: &Entropy) -> io::Result<Secret> {
    let Some(file) = file else { return Ok(generate_signing_key(entropy)) };
    match fs::read_to_string(file) {
        Ok(pem) => return Ok(Secret::new(pem)),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let key = generate_signing_key(entropy);
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A temporary file is its owner's only.
    let mut new = NamedTempFile::new_in(folder)?;
    new.write_all(key.reveal().as_bytes())?;
    new.as_file().sync_all()?;
    match new.persist_noclobber(file) {
        Ok(_) => File::open(folder)?.sync_all().map(|()| key),
        // Another process was faster: its key is the one.
        Err(lost) if lost.error.kind() == ErrorKind::AlreadyExists => {
            Ok(Secret::new(fs::read_to_string(file)?))
        }
        Err(failed) => Err(failed.error),
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

    #[test]
    fn of_many_that_make_it_at_once_all_have_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        let made: Vec<_> = std::thread::scope(|scope| {
            let make = |seed| load_or_create(Some(&file), &Entropy::seeded(seed)).unwrap();
            let threads: Vec<_> = (0..8).map(|seed| scope.spawn(move || make(seed))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|key| *key == made[0]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing temporary is left");
    }
}
