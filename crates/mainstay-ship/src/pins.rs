//! What pipelines run that others wrote, each by the commit or the digest of a version: a table (`pins.txt`) that knows
//! when it was checked, and that a user can put newer lines in place of.
//!
//! Tags move, and were moved by thieves; a commit does not.

use std::collections::BTreeMap;

use mainstay_core::{Error, Result, codes};

/// The table that comes along.
const BUILT_IN: &str = include_str!("pins.txt");

/// Actions and images, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins(BTreeMap<String, Pin>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pin {
    version: String,
    /// The commit or the digest, where it is known.
    at: Option<String>,
}

impl Default for Pins {
    /// The table that comes along.
    fn default() -> Self {
        Self(lines(BUILT_IN).expect("a test reads the table that comes along"))
    }
}

impl Pins {
    /// The table that comes along, with the lines of `text` in place of those of the same names.
    ///
    /// Errors: `CONFIG_VALUE`, a line of another form, or with a name that no target uses.
    pub fn with(text: &str) -> Result<Self> {
        let mut table = Self::default();
        for (name, pin) in lines(text)? {
            let Some(present) = table.0.get_mut(&name) else {
                let message = format!("no target uses `{name}`, which the table of pins names");
                let names: Vec<&str> = table.0.keys().map(String::as_str).collect();
                return Err(Error::new(&codes::CONFIG_VALUE, message)
                    .with_help(format!("the names are {}", names.join(", "))));
            };
            *present = pin;
        }
        Ok(table)
    }

    /// An action of this name as a workflow names it, `path` being that within its repository (`/upload-sarif`, or
    /// nothing).
    pub(crate) fn action(&self, name: &str, path: &str) -> String {
        format!("{name}{path}@{}", self.of(name).at.as_deref().unwrap_or_default())
    }

    /// An image of this name as a container runtime takes it.
    pub(crate) fn image(&self, name: &str) -> String {
        let Pin { version, at } = self.of(name);
        let digest = at.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        format!("{name}:{version}{digest}")
    }

    /// Those of these images whose digest is not known, as a container runtime takes them.
    pub(crate) fn by_version(&self, names: &[&str]) -> Vec<String> {
        names.iter().filter(|name| self.of(name).at.is_none()).map(|name| self.image(name)).collect()
    }

    /// A workflow's text with the version behind each action that is named by its commit.
    pub(crate) fn explained(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for line in text.lines() {
            out.push_str(line);
            let used = line.trim_start().trim_start_matches("- ").strip_prefix("uses: ");
            if let Some((name, commit)) = used.and_then(|used| used.split_once('@')) {
                let known = self.0.iter().find(|(known, pin)| {
                    name.starts_with(known.as_str()) && pin.at.as_deref() == Some(commit)
                });
                known.into_iter().for_each(|(_, pin)| out.push_str(&format!(" # {}", pin.version)));
            }
            out.push('\n');
        }
        out
    }

    fn of(&self, name: &str) -> &Pin {
        self.0.get(name).expect("a target names only what the table has, which its tests hold")
    }
}

/// The lines of a table.
fn lines(text: &str) -> Result<BTreeMap<String, Pin>> {
    let mut pins = BTreeMap::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, pin) = one(line).ok_or_else(|| {
            let message = format!("line {} of the table of pins is none", n + 1);
            Error::new(&codes::CONFIG_VALUE, message).with_help(
                "write `OWNER/ACTION VERSION` and the 40 digits of its commit, or `HOST/IMAGE VERSION` and \
                 `sha256:DIGEST`, or `-` for an image's digest that is not known",
            )
        })?;
        pins.insert(name, pin);
    }
    Ok(pins)
}

fn one(line: &str) -> Option<(String, Pin)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, version, at] = words.as_slice() else { return None };
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b));
    let host = name.split_once('/')?.0;
    let at = match *at {
        "-" if host.contains('.') => None,
        digest if host.contains('.') => {
            Some(hexadecimal(digest.strip_prefix("sha256:")?, 64).then_some(digest)?)
        }
        commit => Some(hexadecimal(commit, 40).then_some(commit)?),
    };
    (plain(name) && plain(version) && !version.contains('/'))
        .then(|| ((*name).to_owned(), Pin { version: (*version).to_owned(), at: at.map(str::to_owned) }))
}

fn hexadecimal(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_when_it_was_checked_and_pins_every_action_by_its_commit() {
        assert!(BUILT_IN.lines().any(|line| line.starts_with("# Checked: 20")), "{BUILT_IN}");
        let Pins(pins) = Pins::default();
        assert!(pins.len() > 5);
        for (name, pin) in pins.iter().filter(|(name, _)| !name.split('/').next().unwrap().contains('.')) {
            assert_eq!(pin.at.as_deref().map(str::len), Some(40), "{name}");
        }
    }

    #[test]
    fn a_line_of_another_form_and_an_unknown_name_are_refused() {
        for bad in [
            "actions/checkout v5",
            "actions/checkout v5.0.0 main",
            "actions/checkout v5.0.0 -",
            "actions/checkout v5.0.0 08C6903CD8C0FDE910A37F88322EDCFB5DD907A8",
            "docker.io/aquasec/trivy 0.69.3 sha256:bcc3",
            "checkout v5.0.0 08c6903cd8c0fde910a37f88322edcfb5dd907a8",
            "someone/other v1.0.0 08c6903cd8c0fde910a37f88322edcfb5dd907a8",
            "actions/checkout v5.0.0${{x}} 08c6903cd8c0fde910a37f88322edcfb5dd907a8",
        ] {
            assert_eq!(Pins::with(bad).unwrap_err().code().id, "CONFIG_VALUE", "{bad}");
        }
    }

    #[test]
    fn newer_lines_take_the_place_of_those_that_come_along() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let pins = Pins::with(&format!("# newer\nactions/checkout v9.9.9 {commit}\n")).unwrap();
        assert_eq!(pins.action("actions/checkout", ""), format!("actions/checkout@{commit}"));
        let text = pins.explained(&format!("- uses: actions/checkout@{commit}\n  with:\n"));
        assert_eq!(text, format!("- uses: actions/checkout@{commit} # v9.9.9\n  with:\n"));
        let others = ("actions/setup-node", "");
        assert_eq!(pins.action(others.0, others.1), Pins::default().action(others.0, others.1));
    }
}
