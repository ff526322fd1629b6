//! How many files, and so how many connections, this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// Raises the limit as far as the system allows, for processes that are started from here, too. Gives how many there may
/// be now; `None` without a limit.
///
/// # Errors
/// When the system refuses what it allows.
pub fn raise_limit() -> io::Result<Option<u64>> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(maximum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_what_the_system_allows() {
        let allowed = raise_limit().unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current, allowed);
    }
}
