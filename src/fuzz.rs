//! What must hold for any bytes: the bodies of the fuzz targets in `fuzz/`, and of the tests that run their corpora.
//!
//! Compiled for tests and fuzzers only. A body asserts a property of what was read, and that a second way to the same
//! meaning, such as other cuts, a rewrite or another reader, finds the same. Invariant: it depends on its input alone.

mod bytes;
mod egress;
mod fragment;
mod frame;
mod http;
mod keys;
mod media;
mod offer;
mod past;
mod said;
mod srtp;
mod token;

pub use egress::egress;
pub use fragment::sdpfrag;
pub use frame::frame;
pub use http::{http, sniff, websocket};
pub use keys::keys;
pub use media::{classify, rtp, stun};
pub use offer::sdp;
pub use past::{export, query};
pub use said::signaling;
pub use srtp::{rtcp, srtp};
pub use token::token;

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests start at some real moment and name files"
)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::time::Instant;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
    }

    /// Runs a body over all of its corpus.
    fn run(target: &str, body: impl Fn(&[u8])) {
        let folder = folder().join("corpus").join(target);
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        assert!(!paths.is_empty(), "{} is empty", folder.display());
        for path in paths {
            // The test's output names the input that failed.
            eprintln!("{}", path.display());
            body(&fs::read(path).unwrap());
        }
    }

    #[test]
    fn classify() {
        run("classify", super::classify);
    }

    #[test]
    fn stun() {
        run("stun", super::stun);
    }

    #[test]
    fn rtp() {
        run("rtp", super::rtp);
    }

    #[test]
    fn sdp() {
        run("sdp", |bytes| super::sdp(Instant::now(), bytes));
    }

    #[test]
    fn sdpfrag() {
        run("sdpfrag", super::sdpfrag);
    }

    #[test]
    fn http() {
        run("http", |bytes| super::http(Instant::now(), bytes));
    }

    #[test]
    fn sniff() {
        run("sniff", |bytes| super::sniff(Instant::now(), bytes));
    }

    #[test]
    fn frame() {
        run("frame", |bytes| super::frame(Instant::now(), bytes));
    }

    #[test]
    fn websocket() {
        run("websocket", super::websocket);
    }

    #[test]
    fn signaling() {
        run("signaling", super::signaling);
    }

    #[test]
    fn query() {
        run("query", super::query);
    }

    #[test]
    fn export() {
        run("export", super::export);
    }

    #[test]
    fn token() {
        run("token", super::token);
    }

    #[test]
    fn keys() {
        run("keys", super::keys);
    }

    #[test]
    fn rtcp() {
        run("rtcp", super::rtcp);
    }

    #[test]
    fn srtp() {
        run("srtp", |bytes| super::srtp(Instant::now(), bytes));
    }

    #[test]
    fn egress() {
        run("egress", |bytes| super::egress(Instant::now(), bytes));
    }

    /// `server` is run by the simulation, which has what it needs.
    #[test]
    fn every_target_has_its_test() {
        let targets = fs::read_dir(folder().join("fuzz_targets")).unwrap();
        let found: BTreeSet<String> =
            targets.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        let tested = [
            "classify",
            "egress",
            "export",
            "frame",
            "http",
            "keys",
            "query",
            "rtcp",
            "rtp",
            "sdp",
            "sdpfrag",
            "server",
            "signaling",
            "sniff",
            "srtp",
            "stun",
            "token",
            "websocket",
        ];
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), tested);
    }
}
