//! Reading an audience that came over a wire. Derived code would recurse as deep as its input says, and count nothing.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, EnumAccess, Error, SeqAccess, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::limits::Budget;
use crate::{Audience, SessionId};

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Node { budget: &mut Budget::new(), above: 0 }.deserialize(deserializer)
    }
}

/// An audience that is inside of so many others.
struct Node<'a> {
    budget: &'a mut Budget,
    above: usize,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Audience;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Audience, D::Error> {
        // Before anything of it is read, or a nest would be entered to its bottom first.
        self.budget.take(self.above).map_err(D::Error::custom)?;
        deserializer.deserialize_enum("Audience", NAMES, self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Audience;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an audience")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Audience, A::Error> {
        let Self { budget, above } = self;
        let (name, content) = data.variant()?;
        match name {
            Name::And => content.newtype_variant_seed(List { budget, above: above + 1 }).map(Audience::And),
            Name::Everyone => content.unit_variant().map(|()| Audience::Everyone),
            Name::Except => content.newtype_variant_seed(Ids { budget }).map(Audience::Except),
            Name::Me => content.unit_variant().map(|()| Audience::Me),
            Name::Not => {
                let inner = content.newtype_variant_seed(Node { budget, above: above + 1 })?;
                Ok(Audience::Not(Box::new(inner)))
            }
            Name::Only => content.newtype_variant_seed(Ids { budget }).map(Audience::Only),
            Name::Or => content.newtype_variant_seed(List { budget, above: above + 1 }).map(Audience::Or),
            Name::Others => content.unit_variant().map(|()| Audience::Others),
            Name::Tag => content.newtype_variant().map(Audience::Tag),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", variant_identifier)]
enum Name {
    And,
    Except,
    Everyone,
    Me,
    Not,
    Only,
    Or,
    Others,
    Tag,
}

const NAMES: &[&str] = &["and", "except", "everyone", "me", "not", "only", "or", "others", "tag"];

struct List<'a> {
    budget: &'a mut Budget,
    above: usize,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = Vec<Audience>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = Vec<Audience>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of audiences")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        // Room is made as they come: a length that is announced proves nothing.
        let mut list = Vec::new();
        while let Some(audience) = items.next_element_seed(Node { budget: &mut *self.budget, above: self.above })? {
            list.push(audience);
        }
        Ok(list)
    }
}

struct Ids<'a> {
    budget: &'a mut Budget,
}

impl<'de> DeserializeSeed<'de> for Ids<'_> {
    type Value = BTreeSet<SessionId>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Ids<'_> {
    type Value = BTreeSet<SessionId>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of session ids")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut ids = BTreeSet::new();
        while let Some(id) = items.next_element()? {
            // Those that are there already count too: what is bounded is the reading.
            self.budget.take_ids(1).map_err(A::Error::custom)?;
            ids.insert(id);
        }
        Ok(ids)
    }
}
