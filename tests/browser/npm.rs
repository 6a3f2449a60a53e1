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

/// Returns a React as it is published, as in development, as one module: its files are CommonJS, so each gets what that
/// needs.
///
/// Only in development `StrictMode` mounts every component twice; React 18 draws it anew for that, 19 does not.
pub fn react(version: &str) -> String {
    let modules = installed(&[&format!("react@{version}"), &format!("react-dom@{version}")]);
    let read = |file: &str| std::fs::read_to_string(modules.join(file));
    let module = |name: &str, file: &str| {
        // Before 19 the client had no code of its own.
        let text = read(&format!("{file}.development.js")).or_else(|_| read("react-dom/client.js")).unwrap();
        format!("'{name}': (module, exports, require) => {{ {text} }},\n")
    };
    let modules = [
        module("react", "react/cjs/react"),
        module("react-dom", "react-dom/cjs/react-dom"),
        module("react-dom/client", "react-dom/cjs/react-dom-client"),
        module("scheduler", "scheduler/cjs/scheduler"),
    ];
    format!(
        "const process = {{ env: {{ NODE_ENV: 'development' }} }};
         const modules = {{ {} }}, loaded = {{}};
         const require = (name) => {{
             if (!loaded[name]) {{
                 const module = {{ exports: {{}} }};
                 loaded[name] = module;
                 modules[name](module, module.exports, require);
             }}
             return loaded[name].exports;
         }};
         export const React = require('react');
         export const {{ createElement, StrictMode, useEffect, useRef, useState, useSyncExternalStore }} = React;
         export const {{ createRoot }} = require('react-dom/client');",
        modules.concat()
    )
}
