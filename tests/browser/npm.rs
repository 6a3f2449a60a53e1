//! Packages of others that only tests use: fetched once, at exact versions, into the target directory.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the folder in which packages such as `react@19.2.0` are installed, each under its name.
pub fn installed(packages: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(packages[0]);
    // Written last: what was cut off is installed again.
    let done = folder.join("done");
    if !done.exists() {
        std::fs::create_dir_all(&folder).unwrap();
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&folder).args(packages);
        assert!(npm.status().expect("npm is installed (apt-get install npm)").success());
        std::fs::write(done, "").unwrap();
    }
    folder.join("node_modules")
}
