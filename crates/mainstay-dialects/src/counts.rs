//! Reads the counts in an object of usage without building its values: every answer that is passed through has one.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};

/// Calls `sink` with each whole number of the object that `reader` holds: the name of the object it stands in (empty
/// outside), its own name, and itself. Objects inside objects inside it are passed over, and so is whatever is no
/// number. Errors: those of the reader.
pub(crate) fn visit<'de, D: Deserializer<'de>>(
    reader: D,
    sink: &mut dyn FnMut(&str, &str, u64),
) -> Result<(), D::Error> {
    Seed { depth: 0, parent: "", name: "", sink }.deserialize(reader)
}

struct Seed<'a> {
    depth: u8,
    parent: &'a str,
    name: &'a str,
    sink: &'a mut dyn FnMut(&str, &str, u64),
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_u64<E: de::Error>(self, count: u64) -> Result<(), E> {
        (self.sink)(self.parent, self.name, count);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            if self.depth < 2 {
                let seed = Seed { depth: self.depth + 1, parent: self.name, name: &name, sink: self.sink };
                map.next_value_seed(seed)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A name, borrowed unless it has escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(name.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_found_two_levels_deep_and_nothing_else_is_in_the_way() {
        let text = r#"{"a":1,"\u0062":2,"c":{"d":3,"e":{"f":4},"g":null},"h":[5,{"i":6}],"j":-7,"k":8.5,"l":"9","m":true}"#;
        let mut found = Vec::new();
        let mut reader = serde_json::Deserializer::from_str(text);
        visit(&mut reader, &mut |parent, name, count| found.push(format!("{parent}/{name}={count}")))
            .unwrap();
        reader.end().unwrap();
        assert_eq!(found, ["/a=1", "/b=2", "c/d=3"]);
    }

    #[test]
    fn what_is_no_object_has_no_counts() {
        for text in ["[1]", "null", "\"1\"", "true"] {
            let mut reader = serde_json::Deserializer::from_str(text);
            visit(&mut reader, &mut |_, _, _| panic!("{text} has a count")).unwrap();
        }
    }
}
