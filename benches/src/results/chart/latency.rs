//! The 99th percentile of the latency: a row for each backend and operation, a mark for each
//! contender.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::super::{Line, Role, Run};
use super::axis::{Axis, power_below};
use super::svg::{Anchor, Mark, Svg};
use super::{BACKENDS, PAYLOAD};

const RUN: &str = "compare";
const CALLERS: usize = 256;
const OPERATIONS: [&str; 2] = ["load", "save"];
const WIDTH: u32 = 800;
const ROW: f64 = 34.0;
const TOP: f64 = 92.0;

/// `None` if the run has no such figures.
pub(super) fn chart(runs: &BTreeMap<String, Run>) -> Option<String> {
    let rows = rows(runs.get(RUN)?);
    let times = || rows.iter().flat_map(|(_, marks)| marks).map(|mark| mark.1);
    let x = Axis {
        low: power_below(10.0, times().reduce(f64::min)?),
        high: times().reduce(f64::max)? * 1.4,
        begin: 150.0,
        end: 770.0,
    };
    let bottom = TOP + ROW * rows.len() as f64;
    let title = format!("99th percentile of the latency with {CALLERS} callers");
    let mut svg = Svg::new(WIDTH, bottom as u32 + 66, &title, &description(&rows));
    legend(&mut svg);
    for time in x.powers(10.0) {
        svg.line("grid", (x.at(time), TOP - 8.0), (x.at(time), bottom));
        let label = label(time);
        svg.text("", Anchor::Middle, (x.at(time), bottom + 20.0), &label);
    }
    svg.line("axis", (x.begin, bottom), (x.end, bottom));
    for (n, (name, marks)) in rows.iter().enumerate() {
        let y = TOP + ROW * (n as f64 + 0.5) - 4.0;
        svg.text("", Anchor::End, (x.begin - 14.0, y + 4.5), name);
        svg.line("grid", (x.begin, y), (x.end, y));
        // Ours last, above the others.
        for (line, time) in marks.iter().rev() {
            svg.mark(mark(line.role), (x.at(*time), y));
        }
    }
    svg.text(
        "note",
        Anchor::Start,
        (20.0, bottom + 48.0),
        "Logarithmic axis; less is better. Figures: compare.md.",
    );
    Some(svg.finish())
}

/// A name, and each contender with its latency in microseconds; ours first.
type Row<'a> = (String, Vec<(&'a Line, f64)>);

fn rows(run: &Run) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for backend in BACKENDS {
        for operation in OPERATIONS {
            let is_shown = |line: &&Line| {
                line.backend == backend.name
                    && line.operation == operation
                    && line.callers == CALLERS
                    && line.payload == PAYLOAD
            };
            let mut marks: Vec<(&Line, f64)> = run
                .lines
                .iter()
                .filter(is_shown)
                .filter_map(|line| Some((line, line.p99_us?)))
                .collect();
            marks.sort_by_key(|(line, _)| line.role as usize);
            if !marks.is_empty() {
                rows.push((format!("{} {operation}", backend.title), marks));
            }
        }
    }
    rows
}

fn mark(role: Role) -> Mark {
    let (series, shape, is_open) = match role {
        Role::Ours => (2, 0, false),
        Role::Raw => (1, 3, false),
        Role::Peer => (3, 2, true),
    };
    Mark {
        series,
        shape,
        is_open,
    }
}

fn title(role: Role) -> &'static str {
    match role {
        Role::Ours => "this project",
        Role::Raw => "raw driver, or a sharded map",
        Role::Peer => "tower-sessions, actix-session",
    }
}

fn legend(svg: &mut Svg) {
    for (role, x) in [(Role::Ours, 156.0), (Role::Raw, 278.0), (Role::Peer, 498.0)] {
        svg.mark(mark(role), (x, 58.0));
        svg.text("", Anchor::Start, (x + 12.0, 62.5), title(role));
    }
}

fn label(us: f64) -> String {
    if us < 1_000.0 {
        format!("{us:.0} µs")
    } else {
        format!("{:.0} ms", us / 1_000.0)
    }
}

/// The figures in words.
fn description(rows: &[Row<'_>]) -> String {
    let mut text = "Dot plot, in microseconds.".to_owned();
    for (name, marks) in rows {
        let figures: Vec<String> = marks
            .iter()
            .map(|(line, us)| format!("{} {us}", line.contender))
            .collect();
        let _ = write!(text, " {name}: {}.", figures.join(", "));
    }
    text
}
