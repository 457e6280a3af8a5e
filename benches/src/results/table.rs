//! Markdown tables of a run.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{Line, Role, Run};

/// The head of the table with every figure of each line.
pub const HEAD: &str = "\
| backend | bytes | callers | operation | contender | ops/s | p50 µs | p99 µs | client CPU µs/op | ops/s to raw | p50 to raw | ops/s to best peer |
|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// A ratio that a run may have, and the heading of its table.
type Ratio = (fn(&Line) -> Option<f64>, &'static str);

const RATIOS: [Ratio; 3] = [
    (|line| line.ratio_before, "ops/s to the version before"),
    (|line| line.ratio_raw, "ops/s to raw"),
    (|line| line.ratio_raw_before, "ops/s to raw, version before"),
];

/// Generates the page of the run `name`: its conditions, and every figure.
#[must_use]
pub fn page(name: &str, run: &Run) -> String {
    let command = "cargo run --manifest-path benches/Cargo.toml -- charts";
    let mut page = format!(
        "<!-- Generated from {name}.jsonl by `{command}`. -->\n# {}\n\n{}\n\n",
        run.title,
        conditions(run)
    );
    if let Some(note) = &run.note {
        let _ = writeln!(page, "{note}\n");
    }
    if run.lines.iter().any(|line| line.ops_per_s.is_some()) {
        page.push_str(HEAD);
        for line in &run.lines {
            page.push_str(&row(line));
        }
        return page;
    }
    let tables: Vec<String> = RATIOS
        .into_iter()
        .filter_map(|ratio| by_callers(run, ratio))
        .collect();
    page.push_str(&tables.join("\n"));
    page
}

/// Describes the conditions in one sentence: the machine, the rounds, the servers.
#[must_use]
pub fn conditions(run: &Run) -> String {
    let mut text = format!("{} cores for servers and clients together", run.cores);
    if let Some(sessions) = run.sessions {
        let _ = write!(text, ", {sessions} sessions");
    }
    let _ = write!(text, ", medians of {} interleaved rounds", run.rounds);
    if let Some(round) = run.round_ms {
        let _ = write!(text, " of {round} ms");
    }
    if run.delay_us > 0 {
        let _ = write!(text, ", {} µs of delay added each way", run.delay_us);
    }
    // The memory store has none.
    if !run.servers.is_empty() {
        let _ = write!(text, "; {}", run.servers.join(", "));
    }
    text.push('.');
    if let Some(commit) = &run.commit {
        let _ = write!(text, " Commit {commit}.");
    }
    text
}

/// Formats a line as a row under [`HEAD`].
#[must_use]
pub fn row(line: &Line) -> String {
    let name = match line.role {
        Role::Ours => format!("**{}**", line.contender),
        Role::Raw | Role::Peer => line.contender.clone(),
    };
    let number = |number: Option<f64>, digits: usize| {
        number.map_or(String::new(), |number| format!("{number:.digits$}"))
    };
    format!(
        "| {} | {} | {} | {} | {name} | {} | {} | {} | {} | {} | {} | {} |\n",
        line.backend,
        line.payload,
        line.callers,
        line.operation,
        line.ops_per_s.map_or(String::new(), thousands),
        number(line.p50_us, 1),
        number(line.p99_us, 1),
        number(line.cpu_us, 2),
        number(line.ratio_raw, 2),
        number(line.ratio_raw_p50, 2),
        number(line.ratio_best_peer, 2),
    )
}

/// A table with a row for each backend and operation and a column for each number of callers;
/// `None` if no line has this ratio.
fn by_callers(run: &Run, (ratio, heading): Ratio) -> Option<String> {
    let lines = || run.lines.iter().filter(|line| ratio(line).is_some());
    let callers: BTreeSet<usize> = lines().map(|line| line.callers).collect();
    if callers.is_empty() {
        return None;
    }
    let mut table = format!("| {heading}, callers |");
    for callers in &callers {
        let _ = write!(table, " {callers} |");
    }
    let _ = writeln!(table, "\n|---|{}", "---|".repeat(callers.len()));
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for line in lines() {
        let row = (&*line.backend, &*line.operation);
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    for (backend, operation) in rows {
        let _ = write!(table, "| {backend} {operation} |");
        for callers in &callers {
            let mut found = lines().filter(|line| {
                line.backend == backend && line.operation == operation && line.callers == *callers
            });
            let _ = match found.next().and_then(ratio) {
                Some(ratio) => write!(table, " {ratio:.2} |"),
                None => write!(table, " – |"),
            };
        }
        table.push('\n');
    }
    Some(table)
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
