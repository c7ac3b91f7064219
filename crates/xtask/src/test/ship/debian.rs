//! Programs of Debian's newer release, in the target folder: its packages are fetched with lists of their own and
//! unpacked, and the system stays as it is. They run on the older release, too, for they are of one piece.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::{project, shell};

/// Longest for fetching the lists, and for fetching the packages.
const TIME_MAX: Duration = Duration::from_secs(5 * 60);
/// The packages.
const PACKAGES: [&str; 2] = ["docker-compose", "promtool"];
/// Where they come from.
const RELEASE: &str = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \
                       http://deb.debian.org/debian trixie main\n";

/// A folder with the programs under their paths, or the reason why there is none.
pub(in crate::test) fn programs() -> Result<PathBuf, String> {
    if !Path::new("/etc/debian_version").exists() {
        return Err("this is not Debian".to_owned());
    }
    installed().map_err(|error| super::super::first_line(&format!("{error:#}")))
}

fn installed() -> anyhow::Result<PathBuf> {
    let folder = project::tools_folder().join("debian");
    let (root, stamp) = (folder.join("root"), folder.join("installed"));
    let wanted = format!("{RELEASE}{}", PACKAGES.join(" "));
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(root);
    }
    println!("fetching {} …", PACKAGES.join(" and "));
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    for part in ["state/lists/partial", "cache/archives/partial", "packages"] {
        std::fs::create_dir_all(folder.join(part))?;
    }
    std::fs::write(folder.join("sources.list"), RELEASE)?;
    std::fs::write(folder.join("state/status"), "")?;
    shell::run_within(apt(&folder).args(["-qq", "update"]), TIME_MAX)?;
    shell::run_within(apt(&folder).args(["-qq", "download"]).args(PACKAGES), TIME_MAX)?;
    for entry in std::fs::read_dir(folder.join("packages"))? {
        shell::output(Command::new("dpkg-deb").arg("-x").arg(entry?.path()).arg(&root))
            .context("unpack a package")?;
    }
    std::fs::write(stamp, wanted)?;
    Ok(root)
}

/// `apt-get` with lists, cache and status of its own.
fn apt(folder: &Path) -> Command {
    let mut apt = Command::new("apt-get");
    let own = [
        ("Dir::Etc::SourceList", "sources.list"),
        ("Dir::State", "state"),
        ("Dir::State::status", "state/status"),
        ("Dir::Cache", "cache"),
    ];
    for (option, path) in own {
        apt.arg("-o").arg(format!("{option}={}", folder.join(path).display()));
    }
    apt.args(["-o", "Dir::Etc::SourceParts=/dev/null", "-o", "APT::Sandbox::User=root"]);
    apt.current_dir(folder.join("packages"));
    apt
}
