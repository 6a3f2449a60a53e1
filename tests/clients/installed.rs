//! Clients of others: fetched once, at exact versions, into the target directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::npm;

/// What is fetched from PyPI: aiortc, PyAV with its FFmpeg, and what they need.
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// What is fetched from npm.
const PACKAGES: [&str; 4] = ["werift@0.24.4", "opusscript@0.1.1", "node-datachannel@0.33.4", "whip-whep@1.2.0"];

/// Returns a Python that finds the packages of `requirements.txt`.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients-python");
        let (python, done) = (folder.join("bin/python"), folder.join("done"));
        // Written last: what was cut off, or is of other versions, is installed again.
        if fs::read_to_string(&done).is_ok_and(|installed| installed == REQUIREMENTS) {
            return python;
        }
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        let requirements = folder.join("requirements.txt");
        fs::write(&requirements, REQUIREMENTS).unwrap();
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--requirement"])
            .arg(&requirements));
        fs::write(done, REQUIREMENTS).unwrap();
        python
    })
}

/// Returns the folder that holds the packages for Node.js, each under its name.
pub fn node_modules() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| npm::installed(&PACKAGES))
}

fn run(command: &mut Command) {
    let status = command.status().expect("python3 is installed (apt-get install python3-venv)");
    assert!(status.success(), "{command:?}: {status}");
}
