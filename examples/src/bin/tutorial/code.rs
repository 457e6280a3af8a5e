//! The code of a page, shown on that page: parts of the very files that are compiled.
//!
//! A part begins after a line `// code: NAME` and goes to the next line `// end`.

use crate::html::escape;

/// A part of a file of this program.
#[derive(Clone, Copy)]
pub(crate) struct Code {
    pub(crate) file: &'static str,
    pub(crate) name: &'static str,
    pub(crate) source: &'static str,
}

/// The part of this name of a file beside this one.
macro_rules! code {
    ($file:literal, $name:literal) => {
        $crate::code::Code {
            file: $file,
            name: $name,
            source: include_str!($file),
        }
    };
}
pub(crate) use code;

impl Code {
    /// The lines between the markers; `None` without them.
    fn text(&self) -> Option<&'static str> {
        let begin = format!("// code: {}\n", self.name);
        let (_, rest) = self.source.split_once(&begin)?;
        let (text, _) = rest.split_once("\n// end\n")?;
        Some(text)
    }
}

/// The section of a page that shows these parts.
pub(crate) fn section(parts: &[Code]) -> String {
    if parts.is_empty() {
        return String::new();
    }
    let shown: String = (0..)
        .zip(parts)
        .map(|(nth, part)| {
            let open = if nth == 0 { " open" } else { "" };
            format!(
                "<details{open}><summary>{} in <code>{}</code></summary><pre><code>{}</code></pre></details>",
                part.name,
                part.file,
                escape(part.text().unwrap_or("(not found)"))
            )
        })
        .collect();
    format!("<section id=\"code\"><h2>The code of this page</h2>{shown}</section>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_what_its_markers_enclose() {
        let source = "//! x\n// code: a\nfn a() {\n}\n// end\n// code: b\nfn b() {}\n// end\n";
        let part = |name| Code {
            file: "x.rs",
            name,
            source,
        };
        assert_eq!(part("a").text(), Some("fn a() {\n}"));
        assert_eq!(part("b").text(), Some("fn b() {}"));
        assert_eq!(part("c").text(), None);
    }
}
