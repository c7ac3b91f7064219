//! `examples/desk`, with a scripted model in the place of the provider's.

use anyhow::Context as _;

use super::{PATIENCE, Said, Variable, asked, changed, judged};
use crate::project;
use crate::server::{self, Server};
use crate::test::House;

/// What is said slowly enough to be told to stop meanwhile.
const SCRIPTED: &str = "openai: { scripted: { tokens_per_second: 20, replies: [{ text: \"delivery, because the kettle has not arrived \
                        and the ticket asks where it is and when it will come, which delivery alone can know and tell\" }] } }";
/// What is put in the place of what, in the spec.
const CHANGES: [(&str, &str); 2] = [
    ("openai: { openai: { api_key: \"env:OPENAI_API_KEY\" } }", SCRIPTED),
    (
        "requests_per_minute: 600 }]",
        "requests_per_minute: 600 }, { name: other, key: \"env:OTHER_KEY\", requests_per_minute: 600 }]",
    ),
];
/// The callers' keys.
const KEYS: [Variable; 2] = [("WEB_KEY", "sk-of-the-web-of-desk"), ("OTHER_KEY", "sk-of-another-of-desk")];
/// Items that cannot be shown here, and why.
const NOT_SHOWN: &[(&str, &str)] = &[(
    "resilience/live-dependency",
    "it needs nothing but its own disk: readiness does not ask the provider, and `fallback` answers for it",
)];

pub(super) fn ask(house: &House) -> Said {
    let home = tempfile::tempdir()?;
    let folder = home.path().join("desk");
    std::fs::create_dir_all(folder.join("prompts"))?;
    let from = project::root().join("examples/desk");
    for name in ["mainstay.yaml", "prompts/triage.md"] {
        std::fs::copy(from.join(name), folder.join(name))?;
    }
    changed(&folder.join("mainstay.yaml"), &CHANGES.map(|(old, new)| (old, new.to_owned())))?;
    let mut serve = server::command(house.binary()?, home.path(), &home.path().join("models"));
    let server = Server::start(serve.arg("serve").arg(&folder).envs(KEYS), PATIENCE)?;
    let report = asked(house, &folder, &server, KEYS, &[]).with_context(|| server.said())?;
    judged(&report, NOT_SHOWN).map(Ok)
}
