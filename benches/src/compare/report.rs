//! What is printed.

use std::fmt::Write;

use super::Options;

/// One contender's line.
pub(crate) struct Line {
    pub(crate) backend: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) payload: usize,
    pub(crate) callers: usize,
    pub(crate) contender: String,
    pub(crate) ops_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) cpu_us: f64,
    pub(crate) ratio_raw: Option<f64>,
    pub(crate) ratio_raw_p50: Option<f64>,
    pub(crate) ratio_best_peer: Option<f64>,
    pub(crate) is_ours: bool,
}

pub(crate) struct Report {
    json: bool,
    write: Option<String>,
    about: String,
    servers: Vec<String>,
    table: String,
}

const HEAD: &str = "\
| backend | bytes | callers | operation | contender | ops/s | p50 µs | p99 µs | client CPU µs/op | ops/s to raw | p50 to raw | ops/s to best peer |
|---|---|---|---|---|---|---|---|---|---|---|---|
";

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let about = format!(
            "{cores} cores for servers and clients together, {} sessions, medians of {} \
             interleaved rounds of {:?}, {:?} added each way.",
            options.sessions, options.rounds, options.time, options.delay
        );
        Self {
            json: options.json,
            write: options.write.clone(),
            about,
            servers: Vec::new(),
            table: HEAD.to_owned(),
        }
    }

    pub(crate) fn server(&mut self, description: &str) {
        if !self.servers.iter().any(|known| known == description) {
            self.servers.push(description.to_owned());
        }
    }

    pub(crate) fn add(&mut self, lines: Vec<Line>) {
        for line in lines {
            if self.json {
                println!("{}", json(&line));
            } else {
                print!("{}", row(&line));
            }
            self.table.push_str(&row(&line));
        }
    }

    /// Writes the table where it was asked for.
    pub(crate) fn finish(self) {
        let text = format!(
            "{} {}.\n\n{}",
            self.about,
            self.servers.join("; "),
            self.table
        );
        if !self.json {
            println!("\n{} {}.", self.about, self.servers.join("; "));
        }
        let Some(path) = self.write else { return };
        let old = std::fs::read_to_string(&path).expect("a file");
        let (begin, end) = ("<!-- compare -->\n", "<!-- end -->");
        let (head, rest) = old.split_once(begin).expect("the first mark");
        let (_, tail) = rest.split_once(end).expect("the second mark");
        std::fs::write(&path, format!("{head}{begin}{text}{end}{tail}")).expect("written");
    }
}

fn row(line: &Line) -> String {
    let mut row = String::new();
    let name = match line.is_ours {
        true => format!("**{}**", line.contender),
        false => line.contender.clone(),
    };
    let ratio = |ratio: Option<f64>| ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
    let _ = writeln!(
        row,
        "| {} | {} | {} | {} | {name} | {} | {:.1} | {:.1} | {:.2} | {} | {} | {} |",
        line.backend,
        line.payload,
        line.callers,
        line.operation,
        thousands(line.ops_per_s),
        line.p50_us,
        line.p99_us,
        line.cpu_us,
        ratio(line.ratio_raw),
        ratio(line.ratio_raw_p50),
        ratio(line.ratio_best_peer),
    );
    row
}

fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn json(line: &Line) -> String {
    let value = serde_json::json!({
        "backend": line.backend,
        "operation": line.operation,
        "payload": line.payload,
        "callers": line.callers,
        "contender": line.contender,
        "ops_per_s": line.ops_per_s.round(),
        "p50_us": (line.p50_us * 100.0).round() / 100.0,
        "p99_us": (line.p99_us * 100.0).round() / 100.0,
        "cpu_us": (line.cpu_us * 100.0).round() / 100.0,
        "ratio_raw": line.ratio_raw,
        "ratio_raw_p50": line.ratio_raw_p50,
        "ratio_best_peer": line.ratio_best_peer,
    });
    value.to_string()
}
