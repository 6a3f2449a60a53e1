//! What the fuzzer `server` found once, and what leads it on: no law breaks any more.

use std::fs;
use std::path::Path;

use stage::fuzz;

#[test]
#[allow(clippy::disallowed_macros, reason = "the test's output names the input that failed")]
fn the_corpus_of_the_fuzzer_breaks_no_law() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/server");
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    for path in paths {
        eprintln!("{}", path.display());
        fuzz::server(&fs::read(path).unwrap());
    }
}
