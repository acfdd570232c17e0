//! The cases. Each names a rule of SPEC.md and says in a sentence what must happen.

mod http;
mod plain;
mod websocket;

use futures::future::BoxFuture;

use crate::peer::{Outcome, Peer};

/// One rule, tried out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// The rule's identifier in SPEC.md, or its section.
    pub(crate) id: &'static str,
    pub(crate) sentence: &'static str,
    pub(crate) run: fn(Peer) -> BoxFuture<'static, Outcome>,
}

/// All cases, in the order of the specification.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    websocket::CASES.iter().chain(http::CASES).chain(plain::CASES)
}

/// A table of cases: identifier, sentence, async function.
macro_rules! cases {
    ($($id:literal $sentence:literal $run:ident)*) => {
        pub(super) const CASES: &[$crate::cases::Case] = &[
            $($crate::cases::Case { id: $id, sentence: $sentence, run: |peer| Box::pin($run(peer)) }),*
        ];
    };
}
use cases;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// The identifiers of all MUSTs of the specification.
    fn rules() -> Vec<&'static str> {
        let lines = include_str!("../../../SPEC.md").lines();
        lines.filter_map(|line| line.strip_prefix("* [")?.split_once(']')).map(|(id, _)| id).collect()
    }

    /// What tests say: files of tests, and the tests at the end of other files.
    fn tests_in(folder: &Path, found: &mut String) {
        let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if !["target", "node_modules", "artefacts", "corpus"].contains(&&*name) && !name.starts_with('.') {
                    tests_in(&path, found);
                }
            } else if ["rs", "mjs", "py"].iter().any(|known| path.extension().is_some_and(|own| own == *known)) {
                let text = fs::read_to_string(&path).unwrap();
                let is_test = |part: &str| ["tests", "tests.rs", "interop", "browser", "cases"].contains(&part);
                let whole = path.components().any(|part| part.as_os_str().to_str().is_some_and(is_test));
                let start = if whole { Some(0) } else { text.find("#[cfg(test)]") };
                // Functions of Python have no hyphens.
                found.push_str(&text[start.unwrap_or(text.len())..].replace('_', "-"));
            }
        }
    }

    #[test]
    fn every_rule_of_the_specification_is_named_by_a_test() {
        let mut tests = String::new();
        tests_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut tests);
        let ends = |at: usize| !tests[at..].starts_with(|next: char| next.is_ascii_digit());
        let named = |id: &str| tests.match_indices(id).any(|(at, _)| ends(at + id.len()));
        let unnamed: Vec<_> = rules().into_iter().filter(|id| !named(id)).collect();
        assert!(unnamed.is_empty(), "no test names {unnamed:?}");
    }

    #[test]
    fn every_case_names_a_rule_or_a_section_of_the_specification() {
        let specification = include_str!("../../../SPEC.md");
        for case in super::all() {
            let known = [format!("* [{}]", case.id), format!("\n## {}. ", case.id)];
            assert!(known.iter().any(|known| specification.contains(known)), "{} is not in SPEC.md", case.id);
        }
    }
}
