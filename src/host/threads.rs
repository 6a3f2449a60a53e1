//! Starts threads that no signal interrupts: the loop alone hears of them.
//!
//! Invariant: a thread is born with all signals blocked, so there is no moment in which one could end the process.

use std::io;
use std::thread::{Builder, JoinHandle};

use nix::sys::signal::{SigSet, SigmaskHow};

/// Starts a thread with a name of at most 15 bytes, which is what the system shows.
///
/// # Errors
/// The system's, where it has no room for one more.
pub fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    // What is blocked here is blocked there.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let spawned = Builder::new().name(name.to_owned()).spawn(run);
    before.thread_set_mask()?;
    spawned
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::Signal;

    use super::*;

    #[test]
    fn no_signal_reaches_the_thread_and_ours_stay_as_they_were() {
        let mine = SigSet::thread_get_mask().unwrap();
        let theirs = spawn("test", || SigSet::thread_get_mask().unwrap()).unwrap().join().unwrap();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            assert!(theirs.contains(signal), "{signal}");
            assert!(!mine.contains(signal), "{signal}");
        }
        assert_eq!(SigSet::thread_get_mask().unwrap(), mine);
    }
}
