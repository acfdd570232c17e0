//! Every body over its committed corpus, on stable.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test, which names the input that it fails on")]

use std::fs;
use std::path::Path;

fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut inputs: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "no corpus in {}", folder.display());
    for input in inputs {
        println!("{}", input.display());
        body(&fs::read(input).unwrap());
    }
}

macro_rules! targets {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target), nosphere_fuzz::$target);
            }
        )*

        #[test]
        fn every_target_has_a_body_here() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets");
            let mut found: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            let mut known = vec![$(concat!(stringify!($target), ".rs")),*];
            found.sort();
            known.sort_unstable();
            assert_eq!(found, known);
        }
    };
}

targets! { atmosphere batch client equivalence json messagepack pair plain request session websocket }
