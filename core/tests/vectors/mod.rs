//! Plays the conformance vectors, `conformance/vectors`.

mod atmosphere;
mod negotiation;
mod notation;
mod server;
mod session;
mod wire;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/vectors")
}

/// All cases, each with what it is about.
fn cases() -> Vec<(String, Value)> {
    let mut cases = vec![];
    for topic in ["wire", "negotiation", "session"] {
        let mut files: Vec<_> = fs::read_dir(folder().join(topic)).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        for path in files {
            let mut file: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let about = notation::string(&file["about"]).to_owned();
            let Value::Array(of_file) = file["cases"].take() else { panic!("{} has no cases", path.display()) };
            cases.extend(of_file.into_iter().map(|case| (about.clone(), case)));
        }
    }
    cases
}

fn play(about: &str, case: &Value) -> Result<(), String> {
    match about {
        "units" => wire::unit_case(case),
        "batches" => wire::batch_case(case),
        "bodies" => wire::body_case(case),
        "requests" => negotiation::case(case),
        "sessions" => session::formats(case).into_iter().try_for_each(|format| {
            session::play(case, format).map_err(|difference| format!("({format}) {difference}"))
        }),
        _ => panic!("nothing is known about {about}"),
    }
}

fn named(case: &Value) -> Vec<&str> {
    notation::one_or_more(&case["requirement"]).iter().map(notation::string).collect()
}

#[test]
fn every_vector_holds() {
    let cases = cases();
    let failures: Vec<_> = cases
        .iter()
        .filter_map(|(about, case)| {
            let difference = play(about, case).err()?;
            let (id, sentence) = (&case["id"], &case["sentence"]);
            Some(format!("{id} {:?}: {sentence}\n  {difference}", named(case)))
        })
        .collect();
    assert!(failures.is_empty(), "{} of {}\n\n{}\n", failures.len(), cases.len(), failures.join("\n\n"));
    assert!(cases.len() >= 300, "only {} vectors", cases.len());
}

/// Every MUST is named by a vector, or README says what keeps vectors from it; and not both.
#[test]
fn what_no_vector_reaches_is_listed_with_its_reason() {
    let specification = include_str!("../../../SPEC.md");
    let rules = specification.lines().filter_map(|line| Some(line.strip_prefix("* [")?.split_once(']')?.0));
    let readme = fs::read_to_string(folder().join("README.md")).unwrap();
    let (_, unreached) = readme.split_once("## What no vector reaches").unwrap();
    let listed: BTreeSet<_> = unreached
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" |"))
        .flat_map(|(ids, _)| ids.split(", "))
        .collect();
    let cases = cases();
    let tested: BTreeSet<_> = cases.iter().flat_map(|(_, case)| named(case)).collect();
    for rule in rules {
        assert!(tested.contains(rule) != listed.contains(rule), "{rule}: a vector or a reason, and not both");
    }
}

/// The player notices what it is there to notice.
#[test]
fn doctored_vectors_are_rejected() {
    let steps = json!([
        {"connect": true},
        {"receive": {"open": {}}, "transmits": [{"opened": {}}], "events": [{"connected": "websocket"}]},
        {"receive": {"ack": 0}, "deadline": 25_000},
        {"receive": {"text": "a"}, "events": [{"text": "a"}]},
        {"at": 25_000, "transmits": [{"ping": 1}], "deadline": 45_000},
        {"at": 44_999},
        {"at": 45_000, "transmits": [{"end": 4408}], "events": ["suspended"]},
    ]);
    let case = |steps: &Value| json!({"role": "server", "steps": steps});
    assert_eq!(play("sessions", &case(&steps)), Ok(()));
    let doctored: [(_, _, Value); 8] = [
        (1, "transmits", json!([])),
        (1, "events", json!([{"connected": "sse"}])),
        (2, "deadline", json!(25_001)),
        (3, "events", json!([])),
        (4, "at", json!(24_999)),
        (4, "transmits", json!([{"ping": 0}])),
        (5, "at", json!(45_001)),
        (6, "transmits", json!([{"end": 4409}])),
    ];
    for (index, name, value) in doctored {
        let mut steps = steps.clone();
        steps[index][name] = value;
        let difference = play("sessions", &case(&steps)).expect_err("the player is blind");
        assert!(difference.contains("step "), "{difference}");
    }
    let unit = json!({"verdict": "valid", "units": {"json": {"text": "{\"ack\":1}"}}, "frame": {"ack": 1}});
    assert_eq!(play("units", &unit), Ok(()));
    for (name, value) in [("frame", json!({"ack": 2})), ("verdict", json!("invalid"))] {
        let mut unit = unit.clone();
        unit[name] = value;
        assert!(play("units", &unit).is_err());
    }
    let request = json!({"method": "GET", "target": "/", "asks": "nothing"});
    assert_eq!(play("requests", &request), Ok(()));
    let refused = json!({"method": "GET", "target": "/", "refused": {"status": 400, "error": "bad-request"}});
    assert!(play("requests", &refused).is_err());
}
