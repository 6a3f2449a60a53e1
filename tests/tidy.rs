//! The house rules that a compiler does not check: who may know whom, what words stand for, what stays out.

use std::fs;
use std::path::{Path, PathBuf};

/// What each module may name of ours, from the outermost to the innermost. What all may name stands in `COMMON`.
const KNOWS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["doctor", "host", "shell", "token", "wire", "words"]),
    ("doctor", &["host", "shell", "token", "wire", "words"]),
    ("shell", &["host", "server", "wire"]),
    ("host", &[]),
    (
        "server",
        &["arrivals", "broadcast", "conn", "demux", "egress", "peer", "quota", "token", "web", "wire", "words"],
    ),
    ("broadcast", &["arrivals", "level", "wire", "words"]),
    ("arrivals", &["wire", "words"]),
    ("level", &["words"]),
    ("conn", &["wire"]),
    ("demux", &[]),
    ("peer", &["egress", "wire"]),
    ("token", &["wire", "words"]),
    ("egress", &["wire"]),
    ("fuzz", &["conn", "egress", "peer", "token", "wire", "words"]),
    ("web", &[]),
    ("wire", &["words"]),
    ("words", &[]),
    ("audit", &[]),
    ("outbox", &[]),
    ("path", &[]),
    ("config", &["quota", "token", "wire"]),
    ("deadlines", &[]),
    ("stats", &[]),
    ("keys", &[]),
    ("rate", &[]),
    ("quota", &[]),
];

/// What every module but `wire`, `words` and `COMMON` itself may name.
const COMMON: &[&str] = &["audit", "config", "deadlines", "keys", "outbox", "path", "rate", "stats"];

/// Modules whose code runs for every packet.
const HOT: &[&str] =
    &["src/wire/classify.rs", "src/wire/opus.rs", "src/wire/rtp.rs", "src/wire/stun.rs", "src/egress.rs"];

/// The longest file, in lines without its tests.
const LINES_MAX: usize = 500;

#[test]
fn modules_know_only_what_lies_below_them() {
    for (path, text) in sources() {
        let module = module_of(&path);
        let (_, knows) =
            KNOWS.iter().find(|(name, _)| *name == module).unwrap_or_else(|| panic!("{module} is new"));
        let text = without_tests(&text);
        for named in names_after(text, "crate::").chain(names_after(text, "ecoute::")) {
            let is_own = named == module;
            let is_common = COMMON.contains(&named) && !matches!(module, "wire" | "words");
            assert!(is_own || is_common || knows.contains(&named), "{} names {named}", path.display());
        }
    }
}

#[test]
fn the_core_reads_no_clock_and_opens_nothing() {
    let impure =
        ["std::fs", "std::thread", "std::process", "TcpStream", "UdpSocket", "mio::", "nix::", "getrandom"];
    let may = |path: &Path| matches!(module_of(path), "shell" | "host" | "doctor" | "cli" | "main");
    for (path, text) in sources().filter(|(path, _)| !may(path)) {
        for word in impure.iter().chain(&["Instant::now", "SystemTime::now"]) {
            assert!(!without_tests(&text).contains(word), "{} has {word}", path.display());
        }
    }
}

#[test]
fn unsafe_stays_where_sockets_need_it() {
    for (path, text) in sources().filter(|(path, _)| !path.ends_with("shell/udp.rs")) {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        assert!(!code.clone().any(|line| line.contains("unsafe ")), "{}", path.display());
    }
}

#[test]
fn words_that_say_nothing_stay_out() {
    let banned = [
        "Manager",
        "_manager",
        "Helper",
        "_helper",
        "_util",
        "utils",
        "fn get_",
        "fn process_",
        "TODO",
        "FIXME",
        "XXX",
    ];
    for (path, text) in sources() {
        for word in banned {
            assert!(!text.contains(word), "{} has {word}", path.display());
        }
    }
}

#[test]
fn hostile_bytes_meet_no_unwrap_and_packets_no_formatting() {
    for (path, text) in sources().filter(|(path, _)| matches!(module_of(path), "wire" | "words")) {
        for word in [".unwrap()", "panic!", "unreachable!"] {
            assert!(!without_tests(&text).contains(word), "{} has {word}", path.display());
        }
    }
    for path in HOT {
        let text = fs::read_to_string(root().join(path)).unwrap();
        for word in ["format!", "String", "Box<", "debug!", "info!"] {
            assert!(!without_tests(&text).contains(word), "{path} has {word}");
        }
    }
}

#[test]
fn files_are_short_and_say_what_they_are() {
    for (path, text) in sources() {
        let lines = without_tests(&text).lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
        assert!(text.starts_with("//! "), "{} has no header", path.display());
    }
}

#[test]
fn no_path_of_a_machine_is_committed() {
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches", "fuzz/fuzz_targets", "fuzz/corpus", "packaging", ".ci"] {
        collect(&root().join(folder), &mut files);
    }
    files.extend([root().join("README.md"), root().join("Cargo.toml")]);
    for path in files.iter().filter(|path| !path.ends_with("tests/tidy.rs")) {
        let text = fs::read_to_string(path).unwrap_or_default();
        for word in ["/root/", "/work/", "/home/"] {
            assert!(!text.contains(word), "{} has {word}", path.display());
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below `src` but the map of the crate.
fn sources() -> impl Iterator<Item = (PathBuf, String)> {
    let mut files = Vec::new();
    collect(&root().join("src"), &mut files);
    let rust = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.filter(|path| !path.ends_with("src/lib.rs")).map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    })
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

/// The top-level module that a file belongs to.
fn module_of(path: &Path) -> &str {
    let below = path.strip_prefix(root().join("src")).unwrap_or(path);
    let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
    KNOWS.iter().map(|(name, _)| *name).find(|name| first.trim_end_matches(".rs") == *name).unwrap_or("")
}

fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

/// The words that follow a prefix in code, not in comments.
fn names_after<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(move |line| line.split(prefix).skip(1)).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}
