use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// A session as the properties see one: a small id, some of three tags.
#[derive(Clone, Debug)]
struct Session {
    id: u8,
    sender: bool,
    tags: BTreeSet<Tag>,
}

impl Listener for Session {
    fn id(&self) -> SessionId {
        [self.id; 16].into()
    }

    fn is_sender(&self) -> bool {
        self.sender
    }

    fn has(&self, tag: &Tag) -> bool {
        self.tags.contains(tag)
    }
}

proptest! {
    #[test]
    fn operators_are_those_of_logic(a in audience(), b in audience(), c in audience(), session in session()) {
        let is = |audience: Audience| audience.includes(&session);
        let [in_a, in_b, in_c] = [&a, &b, &c].map(|audience| audience.includes(&session));
        let [a, b, c] = [a, b, c].map(|audience| move || audience.clone());
        prop_assert_eq!(is(a() & b()), in_a && in_b);
        prop_assert_eq!(is(a() | b()), in_a || in_b);
        prop_assert_eq!(is(!a()), !in_a);
        prop_assert_eq!(is(!!a()), in_a);
        prop_assert_eq!(is((a() & b()) & c()), is(a() & (b() & c())));
        prop_assert_eq!(is((a() | b()) | c()), is(a() | (b() | c())));
        prop_assert_eq!(is(a() & (b() | c())), is((a() & b()) | (a() & c())));
        prop_assert_eq!(is(!(a() & b())), is(!a() | !b()));
        prop_assert_eq!(is(Audience::all_of([a(), b(), c()])), in_a && in_b && in_c);
        prop_assert_eq!(is(Audience::any_of([a(), b(), c()])), in_a || in_b || in_c);
    }

    #[test]
    fn lists_and_their_complements_cover_everyone_once(ids in ids(), session in session()) {
        let (only, except) = (Audience::Only(ids.clone()), Audience::Except(ids));
        prop_assert!(only.includes(&session) != except.includes(&session));
        prop_assert!(Audience::Me.includes(&session) != Audience::Others.includes(&session));
        prop_assert!(Audience::Everyone.includes(&session));
        prop_assert!(Audience::And(vec![]).includes(&session));
        prop_assert!(!Audience::Or(vec![]).includes(&session));
    }

    #[test]
    fn what_is_written_is_read_as_it_was(audience in audience()) {
        prop_assume!(audience.check().is_ok());
        let json = serde_json::to_vec(&audience).unwrap();
        prop_assert_eq!(&serde_json::from_slice::<Audience>(&json).unwrap(), &audience);
        let messagepack = rmp_serde::to_vec(&audience).unwrap();
        prop_assert_eq!(&rmp_serde::from_slice::<Audience>(&messagepack).unwrap(), &audience);
    }

    #[test]
    fn whatever_is_read_is_within_the_limits(
        audience in audience(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut spoilt = rmp_serde::to_vec(&audience).unwrap();
        let at = at.index(spoilt.len());
        spoilt[at] = byte;
        for bytes in [spoilt, noise] {
            for read in [rmp_serde::from_slice::<Audience>(&bytes).ok(), serde_json::from_slice(&bytes).ok()] {
                prop_assert!(read.is_none_or(|audience| audience.check().is_ok()));
            }
        }
    }
}

#[test]
fn others_is_what_a_broadcast_goes_to_unless_it_says_otherwise() {
    assert_eq!(Audience::default(), Audience::Others);
}

#[test]
fn chains_of_one_operator_stay_flat() {
    let tags = || (0..3).map(|n| Audience::from(Tag::new(&n.to_string()).unwrap()));
    assert_eq!(tags().reduce(Audience::or).unwrap(), Audience::any_of(tags()));
    assert_eq!(tags().reduce(Audience::and).unwrap(), Audience::all_of(tags()));
    assert_eq!(Audience::any_of(tags()) | Audience::any_of(tags()), Audience::any_of(tags().chain(tags())));
}

#[test]
fn a_tag_is_an_operand_as_it_is() {
    let [a, b] = ["a", "b"].map(|name| Tag::new(name).unwrap());
    let (in_a, in_b) = (Audience::from(&a), Audience::from(&b));
    assert_eq!(a.clone() & b.clone(), in_a.clone() & in_b.clone());
    assert_eq!(a.clone() | !b.clone(), in_a.clone() | !in_b.clone());
    assert_eq!(Audience::Others & &a | b, (Audience::Others & in_a) | in_b);
}

#[test]
fn the_form_on_the_wire_is_this() {
    let id = SessionId::from([7; 16]);
    let audience = Audience::Everyone & !Audience::only([id]) & (Audience::Me | Audience::except([id]));
    let text = format!(r#"{{"and":["everyone",{{"not":{{"only":["{id}"]}}}},{{"or":["me",{{"except":["{id}"]}}]}}]}}"#);
    assert_eq!(serde_json::to_string(&audience).unwrap(), text);
}

#[test]
fn nesting_ends_at_its_limit_and_not_at_that_of_the_stack() {
    let nested = |depth: usize| (1..depth).fold(Audience::Everyone, |audience, _| Audience::Not(Box::new(audience)));
    let (fits, deep) = (nested(Audience::MAX_DEPTH), nested(Audience::MAX_DEPTH + 1));
    assert_eq!((fits.check(), deep.check()), (Ok(()), Err(AudienceTooLarge::Depth)));
    assert_eq!(serde_json::from_str::<Audience>(&serde_json::to_string(&fits).unwrap()).unwrap(), fits);
    let error = serde_json::from_str::<Audience>(&serde_json::to_string(&deep).unwrap()).unwrap_err();
    assert!(error.to_string().starts_with("an audience may be nested 16 deep"), "{error}");
    let messagepack = rmp_serde::to_vec(&fits).unwrap();
    assert_eq!(rmp_serde::from_slice::<Audience>(&messagepack).unwrap(), fits);
    assert!(rmp_serde::from_slice::<Audience>(&rmp_serde::to_vec(&deep).unwrap()).is_err());
    // `{"not": {"not": …`, a million times; and lists in lists.
    for level in [&b"\x81\xa3not"[..], b"\x81\xa3and\x91", b"\x81\xa2or\x91"] {
        assert!(rmp_serde::from_slice::<Audience>(&level.repeat(1_000_000)).is_err());
    }
}

#[test]
fn a_wide_audience_ends_at_its_limit() {
    // The operator counts, too.
    let wide = |count: usize| Audience::And(vec![Audience::Me; count - 1]);
    let ids = |count: usize| Audience::only((1..count as u128).map(|n| n.to_be_bytes().into()));
    for audience in [wide(Audience::MAX_NODES), ids(Audience::MAX_NODES)] {
        assert_eq!(audience.check(), Ok(()));
        assert_eq!(serde_json::from_slice::<Audience>(&serde_json::to_vec(&audience).unwrap()).unwrap(), audience);
    }
    for audience in [wide(Audience::MAX_NODES + 1), ids(Audience::MAX_NODES + 1)] {
        assert_eq!(audience.check(), Err(AudienceTooLarge::Nodes));
        assert!(serde_json::from_slice::<Audience>(&serde_json::to_vec(&audience).unwrap()).is_err());
        assert!(rmp_serde::from_slice::<Audience>(&rmp_serde::to_vec(&audience).unwrap()).is_err());
    }
    // The same id again and again, and a length that is a lie.
    let again =
        format!(r#"{{"only":[{}]}}"#, vec![format!("{:?}", SessionId::from([1; 16]).to_string()); 70_000].join(","));
    assert!(serde_json::from_str::<Audience>(&again).is_err());
    assert!(rmp_serde::from_slice::<Audience>(b"\x81\xa3and\xdd\xff\xff\xff\xff").is_err());
}

#[test]
fn what_is_no_audience_is_refused() {
    for wrong in [
        "7",
        "null",
        "[]",
        "{}",
        r#""nobody""#,
        r#""tag""#,
        r#"{"tag":""}"#,
        r#"{"tag":7}"#,
        r#"{"me":1}"#,
        r#"{"only":["x"]}"#,
        r#"{"only":"everyone"}"#,
        r#"{"not":["me"]}"#,
        r#"{"and":"me"}"#,
        r#"{"me":null,"tag":"x"}"#,
    ] {
        assert!(serde_json::from_str::<Audience>(wrong).is_err(), "{wrong}");
    }
}

fn audience() -> impl Strategy<Value = Audience> {
    let leaf = prop_oneof![
        Just(Audience::Everyone),
        Just(Audience::Me),
        Just(Audience::Others),
        ids().prop_map(Audience::Only),
        ids().prop_map(Audience::Except),
        tag().prop_map(Audience::Tag),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let list = || prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            list().prop_map(Audience::And),
            list().prop_map(Audience::Or),
            inner.clone().prop_map(|audience| Audience::Not(Box::new(audience))),
        ]
    })
}

fn session() -> impl Strategy<Value = Session> {
    let tags = prop::collection::btree_set(tag(), 0..3);
    (0..4u8, any::<bool>(), tags).prop_map(|(id, sender, tags)| Session { id, sender, tags })
}

fn ids() -> impl Strategy<Value = BTreeSet<SessionId>> {
    prop::collection::btree_set((0..4u8).prop_map(|id| [id; 16].into()), 0..4)
}

fn tag() -> impl Strategy<Value = Tag> {
    "[a-c]".prop_map(|text| Tag::new(&text).unwrap())
}
