//! The inputs that fuzzing found worth keeping, given to what the fuzz targets check (docs/testing.md).

use std::fs;
use std::path::Path;

use rustix::process::{Resource, Rlimit, setrlimit};

#[path = "../../fuzz/src/lib.rs"]
#[allow(clippy::expect_used, reason = "a property fails by a panic")]
#[allow(unreachable_pub, reason = "it is a library of its own where libFuzzer has it")]
mod properties;

/// Of the whole process: an input that makes gigabytes of a few bytes fails.
const MEMORY: u64 = 2 << 30;

#[test]
fn every_input_of_the_corpus_holds() {
    setrlimit(Resource::As, Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) }).unwrap();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut failed = Vec::new();
    for (target, property) in properties::TARGETS {
        let files = fs::read_dir(corpus.join(target)).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{target} has no corpus");
        for file in files {
            let input = fs::read(&file).unwrap();
            if std::panic::catch_unwind(|| property(&input)).is_err() {
                failed.push(file);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
