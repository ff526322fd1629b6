//! The file of the private keys that sign access tokens, the newest last: read, made when there is none, added to. Which of
//! them signs is decided in `signing`.

use rollcall_service::{
    auth::generate_signing_key,
    clock::Entropy,
    config::{PrivateFileError, Secret, read_private},
};
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    os::unix::fs::{MetadataExt, chown},
    path::Path,
};
use tempfile::NamedTempFile;

/// Where a key ends (RFC 7468).
const END: &str = "-----END PRIVATE KEY-----";
/// More than one rotation may be on its way to take effect.
const KEPT: usize = 3;

/// The keys in `file`, which is made, readable by its owner only, when it does not exist. It appears whole or not at all:
/// a crash leaves no half key behind, and nobody reads one. Without a file, one key is drawn.
pub(crate) fn load_or_create(file: Option<&Path>, entropy: &Entropy) -> io::Result<Vec<Secret>> {
    let Some(file) = file else { return Ok(vec![generate_signing_key(entropy)]) };
    match load(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        loaded => return loaded,
    }
    let key = generate_signing_key(entropy);
    match write(file, &[key])?.persist_noclobber(file) {
        Ok(_) => sync_folder(file)?,
        // Another process was faster: its key is the one.
        Err(lost) if lost.error.kind() == ErrorKind::AlreadyExists => {}
        Err(failed) => return Err(failed.error),
    }
    load(file)
}

/// The keys in `file`.
pub(crate) fn load(file: &Path) -> io::Result<Vec<Secret>> {
    let text = read_private(file).map_err(|error| match error {
        PrivateFileError::Unreadable(_, error) => error,
        open => io::Error::other(open),
    })?;
    Ok(text
        .reveal()
        .split_inclusive(END)
        .filter(|key| key.contains(END))
        .map(|key| Secret::new(key.trim()))
        .collect())
}

/// Adds a new key to `file`, for every process that reads it to publish at once and to sign with after a while. The file
/// keeps its owner; keys that no longer sign are dropped, and their tokens stay good.
///
/// # Errors
/// When the file does not exist, or cannot be replaced.
pub fn rotate_keys(file: &Path, entropy: &Entropy) -> io::Result<()> {
    let mut keys = load(file)?;
    keys.push(generate_signing_key(entropy));
    keys.drain(..keys.len().saturating_sub(KEPT));
    let owner = fs::metadata(file)?;
    let new = write(file, &keys)?;
    chown(new.path(), Some(owner.uid()), Some(owner.gid()))?;
    new.persist(file).map_err(|failed| failed.error)?;
    sync_folder(file)
}

/// Writes keys beside `file`. A temporary file is its owner's only.
fn write(file: &Path, keys: &[Secret]) -> io::Result<NamedTempFile> {
    let mut new = NamedTempFile::new_in(folder(file))?;
    for key in keys {
        writeln!(new, "{}", key.reveal().trim())?;
    }
    new.as_file().sync_all()?;
    Ok(new)
}

fn sync_folder(file: &Path) -> io::Result<()> {
    File::open(folder(file))?.sync_all()
}

fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(file: &Path) -> u32 {
        fs::metadata(file).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_key_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        let made = load_or_create(Some(&file), &Entropy::seeded(1)).unwrap();
        let read = load_or_create(Some(&file), &Entropy::seeded(2)).unwrap();
        assert!(made == read && made.len() == 1);
        assert_eq!(mode(&file), 0o600);
    }

    #[test]
    fn a_key_that_everybody_may_read_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        load_or_create(Some(&file), &Entropy::seeded(1)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let refused = load_or_create(Some(&file), &Entropy::seeded(1)).unwrap_err().to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
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

    #[test]
    fn a_new_key_comes_last_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        assert_eq!(rotate_keys(&file, &Entropy::seeded(1)).unwrap_err().kind(), ErrorKind::NotFound);
        let mut before = load_or_create(Some(&file), &Entropy::seeded(1)).unwrap();
        for seed in 2..6 {
            rotate_keys(&file, &Entropy::seeded(seed)).unwrap();
            let after = load(&file).unwrap();
            let kept = before.len().min(KEPT - 1);
            assert!(after[..kept] == before[before.len() - kept..] && after.len() == kept + 1);
            before = after;
        }
        assert_eq!(mode(&file), 0o600);
    }
}
