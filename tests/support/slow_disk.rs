//! A disk that takes its time, as a cheap machine's or a failing one.
//!
//! Invariant: it is slow for the program that is started on it, and for nobody else.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

const DELAY: &str = "delay";
const LIBRARY: &str = "slow_disk.so";

pub struct SlowDisk(TempDir);

impl SlowDisk {
    /// Makes one that takes so much longer for whatever is to be durable, in whole milliseconds.
    pub fn new(delay: Duration) -> SlowDisk {
        let disk = SlowDisk(TempDir::new().unwrap());
        disk.set_delay(delay);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/slow_disk.c");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([&disk.0.path().join(LIBRARY), &source])
            .arg("-ldl")
            .status();
        assert!(status.unwrap().success(), "the C compiler that builds the program builds this too");
        disk
    }

    /// Changes that for what waits already, too.
    pub fn set_delay(&self, delay: Duration) {
        let next = self.0.path().join("next");
        std::fs::write(&next, delay.as_millis().to_string()).unwrap();
        std::fs::rename(next, self.0.path().join(DELAY)).unwrap();
    }

    /// Has a program run on it.
    pub fn carry(&self, command: &mut Command) {
        command.env("LD_PRELOAD", self.0.path().join(LIBRARY)).env("SLOW_DISK", self.0.path().join(DELAY));
    }
}
