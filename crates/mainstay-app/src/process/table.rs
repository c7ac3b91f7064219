//! The processes of this machine, as proc(5) lists them.

use std::path::Path;

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    /// It has ended, and its parent has not waited for it.
    pub(super) is_zombie: bool,
}

/// Every process; `None` where there is no `/proc`.
pub(super) fn entries() -> Option<impl Iterator<Item = Entry>> {
    let processes = Path::new("/proc").read_dir().ok()?.filter_map(Result::ok);
    let stats = processes.filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok());
    Some(stats.filter_map(|stat| read(&stat)))
}

/// Reads a line of proc(5) `stat`.
fn read(stat: &str) -> Option<Entry> {
    let (id, rest) = stat.split_once(" (")?;
    // State, parent and group follow the command's closing parenthesis; a command may hold parentheses itself.
    let mut fields = rest.rsplit_once(')')?.1.split_ascii_whitespace();
    let (state, parent, group) = (fields.next()?, fields.next()?, fields.next()?);
    let is_zombie = matches!(state, "Z" | "X");
    Some(Entry { id: id.parse().ok()?, parent: parent.parse().ok()?, group: group.parse().ok()?, is_zombie })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_the_command_is_called() {
        let entry = |is_zombie| Some(Entry { id: 12, parent: 1, group: 77, is_zombie });
        assert_eq!(read("12 (a) b)) S 1 77 77 0 -1"), entry(false));
        assert_eq!(read("12 (sh) Z 1 77 77 0 -1"), entry(true));
        assert_eq!(read("nonsense"), None);
    }

    #[test]
    fn we_are_in_the_table() {
        let id = i32::try_from(std::process::id()).unwrap();
        assert!(entries().unwrap().any(|entry| entry.id == id && !entry.is_zombie));
    }
}
