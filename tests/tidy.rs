//! The house rules that a compiler does not check: who may know whom, what words stand for, what stays out.

use std::fs;
use std::path::{Path, PathBuf};

/// Who lies above whom: a module names only what lies below it.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["shell", "doctor", "host"],
    &["server", "fuzz"],
    &["broadcast", "conn", "demux", "docs", "peer", "token", "web"],
    &["arrivals", "journal", "speech"],
    &["wire"],
    &["words"],
];

/// What every module but `wire` and `words` may name; of the others these name `words` alone.
const COMMON: &[&str] =
    &["audit", "config", "deadlines", "history", "keys", "outbox", "path", "quota", "rate", "stats"];

/// What may be named besides.
const ALSO: &[(&str, &str)] = &[
    ("shell", "host"),
    ("doctor", "host"),
    // How the server is started, and what it answers with.
    ("doctor", "shell"),
    // What a server is told at its start.
    ("config", "token"),
    ("config", "wire"),
    // Whose past somebody may ask for.
    ("history", "token"),
];

/// Files whose code runs for every packet, and the functions in them that do not: they make or end a session, or carry
/// out what happens once in it.
const HOT: &[(&str, &[&str])] = &[
    ("src/broadcast/timeline.rs", &[]),
    ("src/speech.rs", &[]),
    ("src/wire/classify.rs", &[]),
    ("src/wire/media.rs", &[]),
    ("src/wire/opus.rs", &[]),
    ("src/wire/rtcp.rs", &[]),
    ("src/wire/rtp.rs", &[]),
    ("src/wire/stun.rs", &[]),
    ("src/peer.rs", &["accept", "restart_ice", "outlet_with"]),
    ("src/peer/egress.rs", &[]),
    ("src/peer/gate.rs", &[]),
    ("src/peer/outlet.rs", &["new", "hear"]),
    ("src/peer/proofs.rs", &[]),
    ("src/peer/route.rs", &[]),
    ("src/peer/srtp.rs", &["cipher"]),
    ("src/peer/track.rs", &[]),
    ("src/server/media.rs", &["open_peer", "restart_peer", "on_peer_events", "on_peer_gone"]),
    ("src/server/peers.rs", &["insert", "remove", "restart_ice"]),
    ("src/server/sources.rs", &[]),
];

/// The longest body of a function, in lines.
const BODY_LINES_MAX: usize = 70;

#[test]
fn modules_know_only_what_lies_below_them() {
    let layer_of = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    for (path, text) in sources() {
        let module = module_of(&path);
        let layer = layer_of(module);
        assert!(layer.is_some() || COMMON.contains(&module), "{} is in no layer", path.display());
        let text = without_tests(&text);
        for named in names_after(text, "crate::").chain(names_after(text, "ecoute::")) {
            let is_common = COMMON.contains(&named) && !matches!(module, "wire" | "words");
            let is_below = match (layer, layer_of(named)) {
                (Some(own), Some(other)) => own < other,
                (None, _) => named == "words",
                (Some(_), None) => false,
            };
            let may = named == module || is_common || is_below || ALSO.contains(&(module, named));
            assert!(may, "{} names {named}", path.display());
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
fn unsafe_stays_where_the_system_needs_it() {
    let may = |path: &Path| {
        ["peer/dtls/buffers.rs", "peer/dtls/timer.rs", "shell/memory.rs", "shell/udp.rs", "shell/unsent.rs"]
            .iter()
            .any(|file| path.ends_with(file))
    };
    for (path, text) in sources().filter(|(path, _)| !may(path)) {
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
        // What every table of Rust calls it.
        let text = text.replace("fn get_mut(", "");
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
    for (path, cold) in HOT {
        let text = fs::read_to_string(root().join(path)).unwrap();
        let functions = functions(without_tests(&text));
        for name in *cold {
            assert!(functions.iter().any(|function| function.name == *name), "{path} has no {name}");
        }
        for Function { name, lines, .. } in functions.iter().filter(|function| !cold.contains(&function.name)) {
            for word in
                ["format!", "String", "to_owned()", "Box<", "Box::new", "error!", "warn!", "info!", "debug!"]
            {
                assert!(!lines.iter().any(|line| line.contains(word)), "{path}: {name} has {word}");
            }
        }
    }
}

#[test]
fn functions_are_short() {
    let mut long = Vec::new();
    for (path, text) in sources() {
        let functions = functions(without_tests(&text));
        let body_lines = functions.iter().filter(|function| function.body_lines > BODY_LINES_MAX);
        long.extend(
            body_lines.map(|function| format!("{}:{}:{}", path.display(), function.name, function.body_lines)),
        );
    }
    assert!(long.is_empty(), "more than {BODY_LINES_MAX} lines: {long:#?}");
}

#[test]
fn functions_are_found() {
    let text = "impl A {\n    pub(super) const fn a(\n        b: u8,\n    ) -> u8 {\n        if b {\n        }\n\n        b\n    }\n}\n\n\
                fn none() {}\n\nfn main() {\n    a(1);\n}\n";
    let found: Vec<_> = functions(text).iter().map(|function| (function.name, function.body_lines)).collect();
    assert_eq!(found, [("a", 4), ("none", 0), ("main", 1)]);
}

#[test]
fn files_say_what_they_are() {
    for (path, text) in sources() {
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
    first.trim_end_matches(".rs")
}

/// A function as it stands in a file, with its signature.
struct Function<'a> {
    name: &'a str,
    lines: Vec<&'a str>,
    /// Between its braces.
    body_lines: usize,
}

/// The functions of a file that rustfmt has formatted: each ends with the first brace that stands as far in as it.
fn functions(text: &str) -> Vec<Function<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let indent = &line[..line.len() - line.trim_start().len()];
        let mut words = line.trim_start().split(' ');
        let is_qualifier =
            |word: &&str| matches!(*word, "const" | "unsafe" | "extern" | "\"C\"") || word.starts_with("pub");
        if words.find(|word| !is_qualifier(word)) != Some("fn") {
            continue;
        }
        let Some(name) = words.next().and_then(|rest| rest.split(['(', '<']).next()) else { continue };
        let Some(opening) = lines[first..].iter().position(|line| line.ends_with(['{', '}', ';'])) else {
            continue;
        };
        let is_end = |line: &&str| line.strip_prefix(indent) == Some("}");
        let length = match lines[first + opening].ends_with('{') {
            true => lines[first..].iter().position(is_end).expect("what is formatted ends"),
            false => opening,
        };
        let body_lines = (length - opening).saturating_sub(1);
        found.push(Function { name, lines: lines[first..=first + length].to_vec(), body_lines });
    }
    found
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
