//! Where the servers of tests keep their data: below the machine's temporary folder, which every account can reach
//! (a checkout in root's home cannot be reached by the account that runs PostgreSQL).

use std::{
    fs::{DirBuilder, File, OpenOptions},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
};

/// The folder of all test servers of this user.
pub(crate) fn base() -> PathBuf {
    let uid = std::fs::metadata("/proc/self").expect("/proc is mounted").uid();
    let base = std::env::temp_dir().join(format!("rollcall-tests-{uid}"));
    // Others may pass through it but not list it: the folders inside have their own rights.
    if let Err(error) = DirBuilder::new().mode(0o711).create(&base) {
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists, "{}: {error}", base.display());
    }
    let owner = std::fs::symlink_metadata(&base).expect("it was made above");
    assert!(owner.is_dir() && owner.uid() == uid, "{} belongs to somebody else", base.display());
    base
}

/// A folder that nobody has used, swept away once this process is gone.
pub(crate) fn fresh(kind: &str) -> PathBuf {
    static SWEPT: Once = Once::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let base = base();
    SWEPT.call_once(|| sweep(&base));
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = base.join(format!("{kind}-{}-{count}", std::process::id()));
    if folder.exists() {
        // Left by an earlier process of the same number.
        std::fs::remove_dir_all(&folder).expect("an own folder can be removed");
    }
    folder
}

/// Removes what processes left that are gone.
fn sweep(base: &Path) {
    for entry in std::fs::read_dir(base).expect("an own folder can be read").flatten() {
        let name = entry.file_name();
        let pid =
            name.to_str().and_then(|name| name.split('-').nth(1)).and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // Another process may be sweeping the same folder, or its server still be closing files.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A file that processes lock to take turns.
pub(crate) fn lock_file(name: &str) -> File {
    let path = base().join(name);
    OpenOptions::new().create(true).append(true).open(path).expect("an own file can be opened")
}
