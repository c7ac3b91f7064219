//! What a model can do, by the age that its name tells. An unknown name counts as current.

/// A model's version; names without one compare as newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation(u16, u16);

impl Generation {
    /// Reads `claude-opus-4-1-20250805`, `claude-3-5-sonnet-latest`, `claude-2.1`, with any prefix.
    pub(super) fn of(model: &str) -> Self {
        let Some((_, name)) = model.split_once("claude-") else { return Self(u16::MAX, 0) };
        // A version has at most two digits; a date has eight.
        let mut numbers = name
            .split(['-', '.', '@'])
            .filter(|word| word.len() <= 2)
            .filter_map(|word| word.parse::<u16>().ok());
        match numbers.next() {
            Some(major) => Self(major, numbers.next().unwrap_or(0)),
            None => Self(u16::MAX, 0),
        }
    }

    /// `output_config.format` and strict tools; before that a forced tool stands for the schema.
    pub(super) fn has_output_format(self) -> bool {
        self >= Self(4, 5)
    }

    /// `output_config.effort` with adaptive thinking; before that thinking has a budget.
    pub(super) fn has_effort(self) -> bool {
        self >= Self(4, 6)
    }

    /// Thinking at all.
    pub(super) fn has_thinking(self) -> bool {
        self >= Self(3, 7)
    }

    /// Refuses `temperature` and `top_p` together.
    pub(super) fn takes_one_sampling_setting(self) -> bool {
        self >= Self(4, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_version() {
        for (name, version) in [
            ("claude-2.1", Generation(2, 1)),
            ("claude-3-opus-20240229", Generation(3, 0)),
            ("claude-3-5-sonnet-latest", Generation(3, 5)),
            ("claude-sonnet-4-20250514", Generation(4, 0)),
            ("us.anthropic.claude-opus-4-1-20250805-v1:0", Generation(4, 1)),
            ("claude-haiku-4-5@20251001", Generation(4, 5)),
            ("claude-next", Generation(u16::MAX, 0)),
            ("other", Generation(u16::MAX, 0)),
        ] {
            assert_eq!(Generation::of(name), version, "{name}");
        }
    }
}
