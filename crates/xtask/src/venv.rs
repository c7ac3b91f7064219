//! Virtual environments with pinned packages, made once and kept in the target folder.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use crate::{project, shell};

/// The programs of a virtual environment named `name` that holds exactly what `requirements` (a requirements file's
/// text) asks for. Made when it is missing or asks for something else now. Errors say what is missing: Python, its
/// `venv` module, or the package index.
pub(crate) fn ensure(name: &str, requirements: &str) -> anyhow::Result<PathBuf> {
    let folder = project::tools_folder().join(name);
    let stamp = folder.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == requirements) {
        return Ok(folder.join("bin"));
    }
    println!("making the Python environment `{name}` …");
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    shell::output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let file = folder.join("requirements.txt");
    std::fs::write(&file, requirements)?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&file);
    shell::output(&mut pip)?;
    std::fs::write(stamp, requirements)?;
    Ok(folder.join("bin"))
}
