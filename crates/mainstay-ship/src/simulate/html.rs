//! A report as one page: a table and a drawing for each policy. Nothing of it is fetched from elsewhere, no script
//! runs, and every text is escaped.

use super::chart::reduce;
use super::report::{Report, Row};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1c2430;\
background:#fff}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{padding:.3rem .6rem;\
text-align:right;border-bottom:1px solid #d8dee6;white-space:nowrap}th:first-child,td:first-child{text-align:left}\
th{font-weight:600}.wide{overflow-x:auto}svg{width:100%;height:auto;background:#f6f8fa}figure{margin:1.5rem 0}\
figcaption{font-weight:600}.key{color:#5a6676;font-weight:400}dt{font-weight:600;float:left;width:5rem}dd{margin:0 0 0 5rem}\
@media(prefers-color-scheme:dark){body{background:#10151c;color:#dbe2ea}svg{background:#1a212b}th,td{border-color:#2d3744}\
.key{color:#93a0b0}}";

/// The drawing, in its own units.
const WIDTH: usize = 960;
const HEIGHT: usize = 180;
const MARGIN: usize = 44;
/// Points of a line.
const POINTS: usize = 800;

/// The page.
#[must_use]
pub fn page(report: &Report) -> String {
    let facts: String = report
        .facts()
        .iter()
        .map(|(word, fact)| format!("<dt>{}</dt><dd>{}</dd>\n", escape(word), escape(fact)))
        .collect();
    let cells = report.cells();
    let row = |tag: &str, row: &Vec<String>| {
        let cells: String = row.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let head = cells.first().map(|cells| row("th", cells)).unwrap_or_default();
    let body: String = cells.iter().skip(1).map(|cells| row("td", cells)).collect();
    let drawings: String = report.rows.iter().map(|row| drawing(report, row)).collect();
    let notes: String = report.notes().iter().map(|note| format!("<li>{}</li>\n", escape(note))).collect();
    let notes = if notes.is_empty() { notes } else { format!("<h2>Notes</h2>\n<ul>\n{notes}</ul>\n") };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Autoscaling of {source}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>Autoscaling, simulated</h1>\n<dl>\n{facts}</dl>\n\
         <div class=\"wide\"><table>\n<thead>\n{head}</thead>\n<tbody>\n{body}</tbody>\n</table></div>\n\
         {drawings}{notes}</body>\n</html>\n",
        source = escape(&report.source),
    )
}

/// In flight and waiting on the left scale, replicas on the right one.
fn drawing(report: &Report, row: &Row) -> String {
    let of = |take: fn(&super::Sample) -> u32| -> Vec<u32> { row.samples.iter().map(take).collect() };
    let (running, waiting, ready) =
        (of(|sample| sample.running), of(|sample| sample.waiting), of(|sample| sample.ready));
    let load: Vec<u32> = running.iter().zip(&waiting).map(|(running, waiting)| running + waiting).collect();
    let most = |values: &[u32]| values.iter().copied().max().unwrap_or(0).max(1);
    // All drawings of a page share the scale of replicas, so that they can be compared at a glance.
    let replicas =
        report.rows.iter().flat_map(|row| row.samples.iter().map(|s| s.ready)).max().unwrap_or(0).max(1);
    let (load_most, minutes) = (most(&load), report.span_ms / 60_000);
    let (right, bottom) = (WIDTH - MARGIN, HEIGHT - 24);
    let (name, label) = (escape(row.name), escape(&format!("{} over {minutes} minutes", row.name)));
    format!(
        "<figure>\n<figcaption>{name} <span class=\"key\">blue: in flight; red: of these waiting; black or white line: \
         replicas</span></figcaption>\n\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">\n\
         <path d=\"{}\" fill=\"#4c8dd6\" fill-opacity=\".55\"/>\n\
         <path d=\"{}\" fill=\"#d6453d\" fill-opacity=\".75\"/>\n\
         <path d=\"{}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.5\"/>\n\
         <g fill=\"currentColor\" font-size=\"12\">\n\
         <text x=\"{x}\" y=\"14\" text-anchor=\"end\">{load_most}</text>\n\
         <text x=\"{x}\" y=\"{bottom}\" text-anchor=\"end\">0</text>\n\
         <text x=\"{y}\" y=\"14\">{replicas}</text>\n\
         <text x=\"{y}\" y=\"{bottom}\">0</text>\n\
         <text x=\"{MARGIN}\" y=\"{base}\">0 min</text>\n\
         <text x=\"{right}\" y=\"{base}\" text-anchor=\"end\">{minutes} min</text>\n\
         </g>\n</svg>\n</figure>\n",
        area(&load, load_most),
        area(&waiting, load_most),
        steps(&ready, replicas),
        x = MARGIN - 6,
        y = right + 6,
        base = HEIGHT - 6,
    )
}

/// The corners of a curve that steps from value to value.
fn steps(values: &[u32], most: u32) -> String {
    let values = reduce(values, POINTS);
    let (width, top, bottom) = ((WIDTH - 2 * MARGIN) as f64, 8.0, (HEIGHT - 24) as f64);
    let x = |column: usize| MARGIN as f64 + width * column as f64 / values.len().max(1) as f64;
    let y = |value: u32| bottom - (bottom - top) * f64::from(value) / f64::from(most.max(1));
    let mut path = String::new();
    for (column, value) in values.iter().enumerate() {
        let is_first = column == 0;
        if !is_first && values[column - 1] == *value {
            continue;
        }
        path.push_str(&if is_first {
            format!("M{:.1} {:.1}", x(0), y(*value))
        } else {
            format!("H{:.1}V{:.1}", x(column), y(*value))
        });
    }
    if !path.is_empty() {
        path.push_str(&format!("H{:.1}", x(values.len())));
    }
    path
}

/// The same, filled down to the ground.
fn area(values: &[u32], most: u32) -> String {
    let path = steps(values, most);
    if path.is_empty() { path } else { format!("{path}V{}H{MARGIN}Z", HEIGHT - 24) }
}

/// Text as it stands in an element or an attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use mainstay_core::plan::Pace;

    use super::*;
    use crate::simulate::policies;
    use crate::simulate::report::Asked;
    use crate::simulate::{Service, Setup, Trace};

    fn report(source: &str) -> Report {
        let text = "seconds,input_tokens,output_tokens\n0,100,100\n1,100,100\n70,100,100\n";
        let trace = Trace::read(text).unwrap();
        let service = Service::default();
        let setup = Setup {
            replicas_min: 1,
            replicas_max: 4,
            target: None,
            concurrency: service.concurrency,
            start_ms: service.start_ms,
            metric_lag_ms: 15_000,
            takes_ms_mean: 1800.0,
            load_mean: 0.1,
            scale_up: Pace::UP,
            scale_down: Pace::DOWN,
        };
        let asked = Asked { trace: &trace, service, setup, slo_ms: 5000, replica_hour: 0.01 };
        let all: Vec<_> = policies::ALL.iter().collect();
        Report::of(&asked, source.to_owned(), "a test".to_owned(), &all)
    }

    #[test]
    fn the_page_is_whole_and_fetches_nothing() {
        let page = page(&report("a trace"));
        for part in
            ["<!doctype html>", "<th>policy</th>", "<td>hpa-default</td>", "</html>", "Content-Security"]
        {
            assert!(page.contains(part), "no {part}");
        }
        assert_eq!(page.matches("<svg").count(), policies::ALL.len());
        for part in ["<script", "http://", "https://", "url(", "NaN"] {
            assert!(!page.contains(part), "{part}");
        }
        let opened = page.matches("<figure>").count();
        assert_eq!(opened, page.matches("</figure>").count());
    }

    #[test]
    fn text_from_outside_is_escaped() {
        let page = page(&report("<script>alert('x')</script>\"&"));
        assert!(!page.contains("<script"));
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"));
    }

    #[test]
    fn a_curve_steps_where_the_value_changes() {
        // 872 units wide, two values: the change is in the middle, at 44 + 436.
        assert_eq!(steps(&[0, 2], 2), "M44.0 156.0H480.0V8.0H916.0");
        assert_eq!(area(&[1, 1], 1), "M44.0 8.0H916.0V156H44Z");
        assert_eq!(steps(&[], 1), "");
    }

    #[test]
    fn the_terminal_has_the_same_table() {
        let text = report("a trace").text(100);
        for part in ["policy", "hpa-default", "cloud-run", "in flight if nobody waited", "note: ", "over 5 s"]
        {
            assert!(text.contains(part), "no {part}: {text}");
        }
        assert_eq!(report("x").json()["policies"].as_array().map(Vec::len), Some(policies::ALL.len()));
    }
}
