//! What a model can do, by the version that its name tells. A Gemini without a version counts as current; another
//! family as the oldest.

/// A model's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation(u16, u16);

impl Generation {
    /// Reads `gemini-2.5-flash`, `models/gemini-3-pro-preview`, `gemini-flash-latest`.
    pub(super) fn of(model: &str) -> Self {
        let Some((_, name)) = model.split_once("gemini-") else { return Self(0, 0) };
        let version = name.split('-').next().unwrap_or_default();
        let mut numbers = version.split('.').map(str::parse::<u16>);
        match numbers.next() {
            Some(Ok(major)) => Self(major, numbers.next().and_then(Result::ok).unwrap_or(0)),
            _ => Self(u16::MAX, 0),
        }
    }

    /// Thinking by level; before that by a budget of tokens.
    pub(super) fn has_levels(self) -> bool {
        self >= Self(3, 0)
    }

    /// Thinking at all.
    pub(super) fn has_thinking(self) -> bool {
        self >= Self(2, 5)
    }

    /// Refuses calls in the history that carry no signature.
    pub(super) fn wants_signatures(self) -> bool {
        self >= Self(3, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_version() {
        for (name, version) in [
            ("gemini-2.5-flash-lite", Generation(2, 5)),
            ("models/gemini-3-pro-preview", Generation(3, 0)),
            ("gemini-flash-latest", Generation(u16::MAX, 0)),
            ("gemma-3-27b-it", Generation(0, 0)),
        ] {
            assert_eq!(Generation::of(name), version, "{name}");
        }
    }
}
