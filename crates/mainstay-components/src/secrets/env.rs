//! `env:NAME`: a variable of Mainstay's own environment. It does not read `.env` files.

use std::env::VarError;
use std::path::Path;

use super::{Def, Missing};

/// The source `env`.
pub const DEF: Def = Def { source: "env", about: "A variable of Mainstay's environment.", read };

fn read(_: &Path, name: &str) -> Result<String, Missing> {
    std::env::var(name).map_err(|error| match error {
        VarError::NotPresent => Missing {
            why: "is not set in the environment".to_owned(),
            help: format!("set `{name}` before Mainstay starts, e.g. `export {name}=…`"),
        },
        VarError::NotUnicode(_) => Missing {
            why: "is not UTF-8 text".to_owned(),
            help: format!("set `{name}` to text before Mainstay starts"),
        },
    })
}
