//! As much Markdown as the error pages use, as HTML: headings, paragraphs, lists, fenced code, code and bold words.
//! Not a general renderer.

use super::html::escape;

/// Renders a page.
pub(super) fn to_html(text: &str) -> String {
    let mut out = String::new();
    let mut open = Block::None;
    for line in text.lines() {
        if open == Block::Code {
            if line.starts_with("```") {
                open.close(&mut out);
            } else {
                out.push_str(&escape(line));
                out.push('\n');
            }
            continue;
        }
        let (block, start, body, end) = match line {
            "" => (Block::None, "", "", ""),
            line if line.starts_with("```") => (Block::Code, "", "", ""),
            line => match (line.strip_prefix("# "), line.strip_prefix("## "), line.strip_prefix("- ")) {
                (Some(title), _, _) => (Block::None, "<h1>", title, "</h1>\n"),
                (_, Some(title), _) => (Block::None, "<h2>", title, "</h2>\n"),
                (_, _, Some(item)) => (Block::List, "<li>", item, "</li>\n"),
                _ => (Block::Paragraph, "", line, "\n"),
            },
        };
        open.turn(block, &mut out);
        out.push_str(start);
        out.push_str(&inline(body));
        out.push_str(end);
    }
    open.close(&mut out);
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    None,
    Paragraph,
    List,
    Code,
}

impl Block {
    fn turn(&mut self, next: Self, out: &mut String) {
        if *self == next {
            return;
        }
        self.close(out);
        out.push_str(match next {
            Self::None => "",
            Self::Paragraph => "<p>",
            Self::List => "<ul>\n",
            Self::Code => "<pre>",
        });
        *self = next;
    }

    fn close(&mut self, out: &mut String) {
        out.push_str(match self {
            Self::None => "",
            Self::Paragraph => "</p>\n",
            Self::List => "</ul>\n",
            Self::Code => "</pre>\n",
        });
        *self = Self::None;
    }
}

/// Code and bold words. A mark without its twin stands for itself.
fn inline(text: &str) -> String {
    let escaped = escape(text);
    let coded = wrap(&escaped, "`", "code");
    wrap(&coded, "**", "strong")
}

fn wrap(text: &str, mark: &str, tag: &str) -> String {
    let parts: Vec<&str> = text.split(mark).collect();
    let mut out = String::with_capacity(text.len() + 16);
    for (i, part) in parts.iter().enumerate() {
        match (i % 2 == 1, i + 1 < parts.len()) {
            (true, true) => out.push_str(&format!("<{tag}>{part}</{tag}>")),
            (true, false) => out.push_str(&format!("{mark}{part}")),
            (false, _) => out.push_str(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, wanted: &str) {
        assert_eq!(to_html(text), wanted);
    }

    #[test]
    fn what_the_pages_use_is_rendered() {
        check("# A\n\n**B** c `d`.\n", "<h1>A</h1>\n<p><strong>B</strong> c <code>d</code>.\n</p>\n");
        check("- a\n- b\n\nc\nd", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n<p>c\nd\n</p>\n");
        check("```sh\na < b\n```\n", "<pre>a &lt; b\n</pre>\n");
        check("a `b", "<p>a `b\n</p>\n");
    }

    #[test]
    fn markup_in_the_text_is_text() {
        check("<script>x</script>", "<p>&lt;script&gt;x&lt;/script&gt;\n</p>\n");
    }
}
