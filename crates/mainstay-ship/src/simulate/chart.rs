//! Charts for a terminal, of eighths of a line's height. Any width will do; it is kept within bounds.

use super::report::Row;

/// Columns of a chart.
const WIDTH_MIN: usize = 40;
const WIDTH_MAX: usize = 200;
/// Lines of the large chart.
const LINES: usize = 6;
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// As many values as there are columns: of each column's seconds, the highest.
#[must_use]
pub fn reduce(values: &[u32], columns: usize) -> Vec<u32> {
    let columns = columns.min(values.len());
    let slice = |column: usize| {
        let (from, to) = (column * values.len() / columns, (column + 1) * values.len() / columns);
        values[from..to].iter().copied().max().unwrap_or(0)
    };
    (0..columns).map(slice).collect()
}

/// The same with the mean of each column's seconds, in thousandths.
fn means(values: &[u32], columns: usize) -> Vec<u32> {
    let columns = columns.min(values.len());
    let slice = |column: usize| {
        let values = &values[column * values.len() / columns..(column + 1) * values.len() / columns];
        let sum: u64 = values.iter().map(|value| u64::from(*value)).sum();
        u32::try_from(sum * 1000 / values.len() as u64).unwrap_or(u32::MAX)
    };
    (0..columns).map(slice).collect()
}

/// A value as eighths of `height` lines; what is more than nothing shows.
fn eighths(value: u32, most: u32, height: usize) -> usize {
    let full = height * 8;
    let share = usize::try_from(u64::from(value) * full as u64 / u64::from(most.max(1))).unwrap_or(full);
    share.clamp(usize::from(value > 0), full)
}

/// A chart of several lines with its scale and its time.
pub(super) fn band(values: &[u32], span_ms: u64, width: usize) -> String {
    let most = values.iter().copied().max().unwrap_or(0);
    let scale = most.to_string();
    let margin = scale.len();
    let columns = reduce(values, width.clamp(WIDTH_MIN, WIDTH_MAX).saturating_sub(margin + 2).max(1));
    let mut out = String::new();
    for line in (0..LINES).rev() {
        let label = if line + 1 == LINES {
            scale.as_str()
        } else if line == 0 {
            "0"
        } else {
            ""
        };
        let blocks = columns.iter().map(|value| {
            let filled = eighths(*value, most, LINES).saturating_sub(line * 8).min(8);
            BLOCKS[filled]
        });
        out.push_str(&format!("{label:>margin$} │{}", blocks.collect::<String>()));
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
    let end = format!("{} min", span_ms / 60_000);
    let gap = columns.len().saturating_sub(5).max(end.chars().count() + 1);
    out.push_str(&format!("{:>margin$} 0 min{end:>gap$}\n", ""));
    out
}

/// A line for each policy: its replicas on one scale, and below it where requests wait.
pub(super) fn strips(rows: &[Row], width: usize) -> String {
    let name = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let columns = width.clamp(WIDTH_MIN, WIDTH_MAX).saturating_sub(name + 2).max(1);
    let most = rows.iter().flat_map(|row| row.samples.iter().map(|sample| sample.ready)).max().unwrap_or(0);
    let mut out = String::new();
    for row in rows {
        let ready: Vec<u32> = row.samples.iter().map(|sample| sample.ready).collect();
        let waiting: Vec<u32> = row.samples.iter().map(|sample| sample.waiting).collect();
        let full = most.saturating_mul(1000);
        let bars: String =
            means(&ready, columns).into_iter().map(|value| BLOCKS[eighths(value, full, 1)]).collect();
        let dots: String =
            reduce(&waiting, columns).into_iter().map(|value| if value > 0 { '·' } else { ' ' }).collect();
        out.push_str(format!("{:<name$}  {bars}", row.name).trim_end());
        out.push('\n');
        if !dots.trim_end().is_empty() {
            out.push_str(format!("{:<name$}  {dots}", "").trim_end());
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::engine::{Outcome, Sample};
    use crate::simulate::report::Figures;

    #[test]
    fn columns_hold_the_highest_of_their_seconds() {
        assert_eq!(reduce(&[1, 5, 2, 0, 3, 4], 3), [5, 2, 4]);
        assert_eq!(reduce(&[1, 5], 10), [1, 5]);
        assert_eq!(reduce(&[], 10), Vec::<u32>::new());
        assert_eq!(means(&[1, 5, 2, 0, 3, 4], 3), [3000, 1000, 3500]);
    }

    #[test]
    fn a_band_has_its_scale_and_stays_within_the_width() {
        let values: Vec<u32> = (0..3600).map(|second| second / 30).collect();
        let text = band(&values, 3_600_000, 60);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), LINES + 1);
        assert!(lines[0].starts_with("119 │") && lines[5].starts_with("  0 │"), "{text}");
        assert!(lines[6].ends_with("60 min"), "{text}");
        for width in [0, 40, 80, 100_000] {
            let widest = band(&values, 3_600_000, width).lines().map(|line| line.chars().count()).max();
            assert!(widest.unwrap() <= width.clamp(WIDTH_MIN, WIDTH_MAX), "{width}");
        }
        assert!(band(&[], 0, 80).contains("0 │"));
    }

    #[test]
    fn a_strip_shows_replicas_and_where_requests_wait() {
        let sample = |ready, waiting| Sample { ready, waiting, ..Sample::default() };
        let row = Row {
            name: "hpa",
            figures: Figures::of(&Outcome::default(), 0, 0.0),
            notes: Vec::new(),
            samples: vec![sample(0, 3), sample(1, 0), sample(8, 0)],
        };
        assert_eq!(strips(&[row], 80), "hpa   ▁█\n     ·\n");
    }
}
