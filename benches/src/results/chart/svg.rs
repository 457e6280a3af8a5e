//! An SVG document, element by element.

use std::fmt::Write;

/// Colours of text, lines and the four series. The background belongs to the image, so that it is
/// readable on any page.
const STYLE: &str = "\
.bg{fill:#fff;stroke:#d1d9e0}.grid{stroke:#d8dee4}.axis{stroke:#59636e}.one{stroke:#1f2328;stroke-dasharray:5 4}
text{fill:#1f2328;font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:13px}
.title{font-size:17px;font-weight:600}.note{fill:#59636e;font-size:12px}
.s0{stroke:#a8437f;fill:#a8437f}.s1{stroke:#c04f00;fill:#c04f00}.s2{stroke:#0969b0;fill:#0969b0}.s3{stroke:#00734f;fill:#00734f}
.open{fill:#fff}.path{fill:none;stroke-width:2}.mark{stroke-width:2}
@media (prefers-color-scheme:dark){
.bg{fill:#0d1117;stroke:#3d444d}.grid{stroke:#262c36}.axis{stroke:#9198a1}.one{stroke:#f0f6fc}
text{fill:#f0f6fc}.note{fill:#9198a1}
.s0{stroke:#e79bc8;fill:#e79bc8}.s1{stroke:#ff9d5c;fill:#ff9d5c}.s2{stroke:#6cb6ff;fill:#6cb6ff}.s3{stroke:#4ac99b;fill:#4ac99b}
.open{fill:#0d1117}.path{fill:none}}
";

/// The alignment of a text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// The appearance of a point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// The colour's number, 0 to 3.
    pub(super) series: usize,
    /// Circle, square, triangle or diamond, by number.
    pub(super) shape: usize,
    /// Whether only its outline is drawn.
    pub(super) is_open: bool,
}

/// A document that is being written.
pub(super) struct Svg {
    text: String,
}

impl Svg {
    /// A document with a title and a text alternative for screen readers.
    pub(super) fn new(width: u32, height: u32, title: &str, description: &str) -> Self {
        let (title, description) = (escape(title), escape(description));
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" role=\"img\" aria-labelledby=\"title desc\">\n\
             <title id=\"title\">{title}</title>\n<desc id=\"desc\">{description}</desc>\n\
             <style>\n{STYLE}</style>\n\
             <rect class=\"bg\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"6\"/>\n\
             <text class=\"title\" x=\"20\" y=\"30\">{title}</text>\n",
            width - 1,
            height - 1,
        );
        Self { text }
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let _ = writeln!(
            self.text,
            "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    pub(super) fn path(&mut self, series: usize, points: &[(f64, f64)]) {
        let points: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = writeln!(
            self.text,
            "<polyline class=\"s{series} path\" points=\"{}\"/>",
            points.join(" ")
        );
    }

    pub(super) fn mark(&mut self, mark: Mark, (x, y): (f64, f64)) {
        let open = if mark.is_open { " open" } else { "" };
        let class = format!("s{}{open} mark", mark.series);
        let _ = match mark.shape {
            0 => writeln!(
                self.text,
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"
            ),
            1 => writeln!(
                self.text,
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\"/>",
                x - 4.0,
                y - 4.0
            ),
            2 => writeln!(
                self.text,
                "<path class=\"{class}\" d=\"M{x:.1} {:.1}l5 9h-10z\"/>",
                y - 5.5
            ),
            _ => writeln!(
                self.text,
                "<path class=\"{class}\" d=\"M{x:.1} {:.1}l5.5 5.5l-5.5 5.5l-5.5 -5.5z\"/>",
                y - 5.5
            ),
        };
    }

    pub(super) fn text(&mut self, class: &str, anchor: Anchor, (x, y): (f64, f64), text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = writeln!(
            self.text,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
            escape(text)
        );
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
