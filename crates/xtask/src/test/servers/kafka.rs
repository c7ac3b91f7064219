//! Kafka, which no Debian package brings: its jars come from Maven's registry, by Maven's own client, into the target
//! folder. `tests/kafka` says which, and what each file must be.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::{project, shell};

/// Longest for fetching them.
const TIME_MAX: Duration = Duration::from_secs(5 * 60);

/// Fetches the jars, unless those that are wanted are there. Errors: why they cannot be had.
pub(super) fn install() -> anyhow::Result<()> {
    let (from, folder) = (project::root().join("tests/kafka"), project::tools_folder().join("kafka"));
    let sums = std::fs::read_to_string(from.join("jars.sha256"))?;
    // Tests take the jars only where this file is.
    let stamp = folder.join("installed.sha256");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == sums) {
        return Ok(());
    }
    shell::output(Command::new("mvn").arg("--version")).context("there is no Maven")?;
    println!("fetching the jars of Kafka …");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    std::fs::copy(from.join("pom.xml"), folder.join("pom.xml"))?;
    let mut maven = Command::new("mvn");
    maven.args(["--quiet", "--batch-mode", "dependency:copy-dependencies"]).current_dir(&folder);
    shell::run_within(&mut maven, TIME_MAX)?;
    verify(&folder.join("jars"), &from.join("jars.sha256"), &sums)?;
    std::fs::write(stamp, sums)?;
    Ok(())
}

/// Whether the folder holds exactly what the list names.
fn verify(jars: &Path, list: &Path, sums: &str) -> anyhow::Result<()> {
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--strict", "--quiet"]).arg(list).current_dir(jars);
    shell::output(&mut check).context("compare the jars with tests/kafka/jars.sha256")?;
    let (found, wanted) = (std::fs::read_dir(jars)?.count(), sums.lines().count());
    anyhow::ensure!(found == wanted, "tests/kafka/jars.sha256 names {wanted} jars, and there are {found}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_and_one_too_many_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let (jars, list) = (folder.path().join("jars"), folder.path().join("list"));
        std::fs::create_dir(&jars).unwrap();
        std::fs::write(jars.join("a.jar"), "").unwrap();
        let sums = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a.jar\n";
        std::fs::write(&list, sums).unwrap();
        verify(&jars, &list, sums).unwrap();
        std::fs::write(jars.join("b.jar"), "").unwrap();
        assert!(verify(&jars, &list, sums).is_err(), "one too many");
        std::fs::remove_file(jars.join("b.jar")).unwrap();
        std::fs::write(jars.join("a.jar"), "changed").unwrap();
        assert!(verify(&jars, &list, sums).is_err(), "another file");
    }
}
