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
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use serde_json::Value;

    const SPECIFICATION: &str = include_str!("../../../SPEC.md");

    /// The identifiers of all MUSTs of the specification.
    fn rules() -> Vec<&'static str> {
        let lines = SPECIFICATION.lines();
        lines.filter_map(|line| line.strip_prefix("* [")?.split_once(']')).map(|(id, _)| id).collect()
    }

    fn is_known(requirement: &str) -> bool {
        let section = |number| ["##", "###"].iter().any(|level| SPECIFICATION.contains(&format!("\n{level} {number}")));
        match requirement.strip_prefix('§') {
            Some(number) => section(format!("{number}. ")) || section(format!("{number} ")),
            None => rules().contains(&requirement),
        }
    }

    /// What tests say: vectors, files of tests, and the tests at the end of other files. Each with its path.
    fn tests_in(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if !["target", "node_modules", "artefacts", "corpus"].contains(&&*name) && !name.starts_with('.') {
                    tests_in(&path, found);
                }
                continue;
            }
            let is_part = |known: &[&str]| path.iter().any(|part| known.iter().any(|known| part == *known));
            let is_kind = |known: &[&str]| path.extension().is_some_and(|own| known.iter().any(|known| own == *known));
            let whole = is_part(&["tests", "tests.rs", "interop", "browser", "cases"]) && is_kind(&["rs", "mjs", "py"])
                || is_part(&["vectors"]) && is_kind(&["json"]);
            if whole || is_kind(&["rs"]) {
                let text = fs::read_to_string(&path).unwrap();
                let start = if whole { 0 } else { text.find("#[cfg(test)]").unwrap_or(text.len()) };
                // Functions of Python have no hyphens.
                let said = text[start..].replace('_', "-");
                found.push((path, said));
            }
        }
    }

    fn tests() -> Vec<(PathBuf, String)> {
        let mut found = vec![];
        tests_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut found);
        found
    }

    /// What looks like an identifier of the specification: one of its prefixes, a hyphen, and digits.
    fn identifiers(text: &str) -> BTreeSet<String> {
        let prefixes: BTreeSet<_> = rules().iter().filter_map(|rule| Some(rule.split_once('-')?.0)).collect();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        // A test's name may end with several: `…-DLV-6-SES-2`.
        let pairs = words.flat_map(|word| {
            let parts: Vec<_> = word.split('-').collect();
            parts.windows(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect::<Vec<_>>()
        });
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let known = pairs.filter(|(prefix, number)| prefixes.contains(prefix.as_str()) && is_number(number));
        known.map(|(prefix, number)| format!("{prefix}-{number}")).collect()
    }

    /// Every vector: its id, and the requirements that it names.
    fn vectors() -> Vec<(String, Vec<String>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
        let mut cases = vec![];
        for topic in ["wire", "negotiation", "session"] {
            for entry in fs::read_dir(folder.join(topic)).unwrap() {
                let file: Value = serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
                for case in file["cases"].as_array().unwrap() {
                    let text = |value: &Value| value.as_str().unwrap().to_owned();
                    let requirement = &case["requirement"];
                    let named = match requirement.as_array() {
                        Some(several) => several.iter().map(text).collect(),
                        None => vec![text(requirement)],
                    };
                    cases.push((text(&case["id"]), named));
                }
            }
        }
        cases
    }

    #[test]
    fn every_rule_of_the_specification_is_named_by_a_test() {
        let named: BTreeSet<_> = tests().iter().flat_map(|(_, text)| identifiers(text)).collect();
        let unnamed: Vec<_> = rules().into_iter().filter(|id| !named.contains(*id)).collect();
        assert!(unnamed.is_empty(), "no test names {unnamed:?}");
    }

    #[test]
    fn every_rule_that_a_test_names_is_in_the_specification() {
        for (path, text) in tests() {
            let unknown: Vec<_> = identifiers(&text).into_iter().filter(|id| !is_known(id)).collect();
            assert!(unknown.is_empty(), "{} names {unknown:?}, which SPEC.md does not have", path.display());
        }
        let unknown = format!("SES-{}", 99);
        let named = ["DLV-2".to_owned(), "POL-3".to_owned(), unknown.clone()];
        assert_eq!(identifiers(&format!("see DLV-2, test-a-poll-POL-3 and {unknown}; UTF-8, dlv-1")), named.into());
        assert!(!is_known(&unknown));
    }

    #[test]
    fn every_case_names_a_rule_or_a_section_of_the_specification() {
        for case in super::all() {
            let known = is_known(case.id) || is_known(&format!("§{}", case.id));
            assert!(known, "{} is not in SPEC.md", case.id);
        }
    }

    #[test]
    fn every_vector_has_an_id_of_its_own_and_names_rules_or_sections_of_the_specification() {
        let mut ids = BTreeSet::new();
        for (id, named) in vectors() {
            assert!(!named.is_empty() && named.iter().all(|name| is_known(name)), "{id} names {named:?}");
            assert!(ids.insert(id.clone()), "two vectors are called {id}");
        }
        assert!(ids.len() >= 300, "only {} vectors", ids.len());
    }
}
