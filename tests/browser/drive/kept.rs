//! Programs that end with what holds them, whatever ends that: a panic, or a signal to the whole test program.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Waits beside the program until nobody holds the other end of its input any more. What a program leaves behind may write for
/// a moment longer.
const KEEPER: &str = r#"folder=$1; shift; "$@" & read -r _; kill -KILL $!; wait
    for _ in 1 2 3 4 5; do rm -rf "$folder" && break; sleep 0.1; done"#;

/// A program and the folder that is its own; both are gone once this is dropped.
pub struct Kept {
    keeper: Child,
}

impl Kept {
    /// Starts `command` (its program, arguments and environment), which speaks to nobody.
    ///
    /// # Panics
    ///
    /// Where it is not installed; `package` is what to install.
    pub fn start(command: &Command, folder: &Path, package: &str) -> Kept {
        let program = command.get_program();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there = std::env::split_paths(&path).any(|place| place.join(program).exists());
        assert!(is_there, "{} is missing (apt-get install {package})", program.display());
        let mut shell = Command::new("sh");
        shell.args(["-c", KEEPER, "sh"]).arg(folder).arg(program).args(command.get_args());
        shell
            .envs(command.get_envs().map(|(name, value)| (name, value.map_or_else(OsString::new, OsString::from))));
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A key that stops the test program is none for the one that cleans up after it.
        Kept { keeper: shell.process_group(0).spawn().unwrap() }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // It may have ended already.
        let _ = self.keeper.wait();
    }
}
