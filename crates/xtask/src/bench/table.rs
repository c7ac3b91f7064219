//! A table in Markdown that also reads well in a terminal.

/// Rows of equal length under a heading.
#[derive(Debug, Default)]
pub(super) struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub(super) fn new(heading: &[&str]) -> Self {
        Self { heading: heading.iter().map(|&cell| cell.to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub(super) fn row(&mut self, mut cells: Vec<String>) {
        cells.resize(self.heading.len(), String::new());
        self.rows.push(cells);
    }

    /// The table, numbers to the right.
    pub(super) fn markdown(&self) -> String {
        let widths: Vec<usize> = (0..self.heading.len())
            .map(|at| {
                self.rows.iter().chain([&self.heading]).map(|row| row[at].chars().count()).max().unwrap_or(0)
            })
            .map(|width| width.max(3))
            .collect();
        let mut lines = vec![line(&self.heading, &widths)];
        let rules: Vec<String> = widths.iter().enumerate().map(|(at, width)| rule(at, *width)).collect();
        lines.push(format!("| {} |", rules.join(" | ")));
        lines.extend(self.rows.iter().map(|row| line(row, &widths)));
        lines.join("\n") + "\n"
    }
}

fn rule(at: usize, width: usize) -> String {
    if at == 0 { "-".repeat(width) } else { format!("{}:", "-".repeat(width - 1)) }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let cell = |(at, (text, width)): (usize, (&String, &usize))| {
        if at == 0 { format!("{text:<width$}") } else { format!("{text:>width$}") }
    };
    let cells: Vec<String> = cells.iter().zip(widths).enumerate().map(cell).collect();
    format!("| {} |", cells.join(" | "))
}

/// Shows a report, and writes it to `out` when there is one.
pub(super) fn publish(report: &str, out: Option<&std::path::Path>) -> anyhow::Result<()> {
    println!("\n{report}");
    if let Some(path) = out {
        std::fs::write(path, report)?;
        println!("written to {}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_short_rows_are_filled() {
        let mut table = Table::new(&["peer", "rps"]);
        table.row(vec!["ours".into(), "12345".into()]);
        table.row(vec!["theirs".into()]);
        assert_eq!(
            table.markdown(),
            "| peer   |   rps |\n| ------ | ----: |\n| ours   | 12345 |\n| theirs |       |\n"
        );
    }
}
