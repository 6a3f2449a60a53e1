//! Packages of others that only tests use: fetched once, at exact versions, into the target directory.

#![allow(dead_code, reason = "each program uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Tests that want the same package at once wait for one installation.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Returns the folder in which packages such as `react@19.2.0` are installed, each under its name.
pub fn installed(packages: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(packages[0]);
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
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

/// Returns React as it is published, for `"development"` or `"production"`, as one module: its files are CommonJS, so
/// each gets what that needs.
///
/// Only the former mounts every component twice under `StrictMode`.
pub fn react(kind: &str) -> String {
    let modules = installed(&["react@19.2.0", "react-dom@19.2.0"]);
    let module = |name: &str, file: &str| {
        let text = std::fs::read_to_string(modules.join(format!("{file}.{kind}.js"))).unwrap();
        format!("'{name}': (module, exports, require) => {{ {text} }},\n")
    };
    let modules = [
        module("react", "react/cjs/react"),
        module("react-dom", "react-dom/cjs/react-dom"),
        module("react-dom/client", "react-dom/cjs/react-dom-client"),
        module("scheduler", "scheduler/cjs/scheduler"),
    ];
    format!(
        "const process = {{ env: {{ NODE_ENV: '{kind}' }} }};
         const modules = {{ {} }}, loaded = {{}};
         const require = (name) => {{
             if (!loaded[name]) modules[name](loaded[name] = {{ exports: {{}} }}, loaded[name].exports, require);
             return loaded[name].exports;
         }};
         export const React = require('react');
         export const {{ createElement, StrictMode, useEffect, useRef, useState, useSyncExternalStore }} = React;
         export const {{ createRoot }} = require('react-dom/client');",
        modules.concat()
    )
}
