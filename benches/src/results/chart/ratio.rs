//! Operations a second relative to the raw driver's, by number of callers: a line for each backend.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::super::{Line, Role, Run};
use super::axis::{Axis, power_above, power_below};
use super::svg::{Anchor, Mark, Svg};
use super::{BACKENDS, PAYLOAD};

/// The runs with points, by precedence. Points of the first run are filled, those of the others
/// hollow.
const RUNS: [&str; 3] = ["compare", "few-callers", "few-callers-redis"];
const WIDTH: u32 = 800;
const HEIGHT: u32 = 472;
/// The minimum distance between the names at the ends of the lines, in pixels.
const NAMES_APART: f64 = 18.0;

struct Point {
    callers: usize,
    ratio: f64,
    is_open: bool,
}

/// `None` if no run has a ratio for `operation`.
pub(super) fn chart(runs: &BTreeMap<String, Run>, operation: &str, title: &str) -> Option<String> {
    let series = BACKENDS.map(|backend| points(runs, backend.name, operation));
    if series.iter().all(Vec::is_empty) {
        return None;
    }
    let (x, y) = axes(runs)?;
    let title = format!("{title} per second, as a multiple of the raw driver's");
    let mut svg = Svg::new(WIDTH, HEIGHT, &title, &description(&series));
    frame(&mut svg, &x, &y);
    let mut ends = Vec::new();
    for (n, points) in series.iter().enumerate() {
        let positions: Vec<(f64, f64)> = points
            .iter()
            .map(|point| (x.at(point.callers as f64), y.at(point.ratio)))
            .collect();
        svg.path(n, &positions);
        for (point, position) in points.iter().zip(&positions) {
            svg.mark(mark(n, point.is_open), *position);
        }
        if let (Some(point), Some(position)) = (points.last(), positions.last()) {
            ends.push((n, point.ratio, position.1));
        }
    }
    names(&mut svg, ends, x.end + 18.0);
    Some(svg.finish())
}

fn mark(series: usize, is_open: bool) -> Mark {
    Mark {
        series,
        shape: series,
        is_open,
    }
}

/// A backend's points in the order of their callers.
fn points(runs: &BTreeMap<String, Run>, backend: &str, operation: &str) -> Vec<Point> {
    let mut points: BTreeMap<usize, Point> = BTreeMap::new();
    for (n, name) in RUNS.into_iter().enumerate() {
        for line in runs.get(name).into_iter().flat_map(|run| &run.lines) {
            let is_shown = line.backend == backend && line.operation == operation;
            if let Some(ratio) = drawn(line)
                && is_shown
            {
                points.entry(line.callers).or_insert(Point {
                    callers: line.callers,
                    ratio,
                    is_open: n > 0,
                });
            }
        }
    }
    points.into_values().collect()
}

fn drawn(line: &Line) -> Option<f64> {
    line.ratio_raw
        .filter(|_| line.role == Role::Ours && line.payload == PAYLOAD)
}

/// The axes, which are the same for loads and saves, so that the charts can be compared.
fn axes(runs: &BTreeMap<String, Run>) -> Option<(Axis, Axis)> {
    let lines = || {
        let runs = RUNS.into_iter().filter_map(|name| runs.get(name));
        runs.flat_map(|run| &run.lines)
            .filter_map(|line| Some((line.callers as f64, drawn(line)?)))
    };
    let least = lines().map(|(_, ratio)| ratio).reduce(f64::min)?;
    let most = lines().map(|(_, ratio)| ratio).reduce(f64::max)?;
    let callers = lines().map(|(callers, _)| callers).reduce(f64::max)?;
    let x = Axis {
        low: 1.0,
        high: callers,
        begin: 80.0,
        end: 640.0,
    };
    let y = Axis {
        low: power_below(2.0, least),
        high: power_above(2.0, most),
        begin: 388.0,
        end: 76.0,
    };
    Some((x, y))
}

fn frame(svg: &mut Svg, x: &Axis, y: &Axis) {
    for ratio in y.powers(2.0) {
        let is_raw = (ratio - 1.0).abs() < 1e-9;
        let class = if is_raw { "one" } else { "grid" };
        let at = y.at(ratio);
        svg.line(class, (x.begin - 10.0, at), (x.end + 10.0, at));
        svg.text(
            "",
            Anchor::End,
            (x.begin - 18.0, at + 4.5),
            &format!("{ratio}×"),
        );
    }
    svg.text(
        "note",
        Anchor::Start,
        (20.0, 50.0),
        "Dashed line: the raw driver, one query for each operation; for memory, a sharded map. Both axes are logarithmic.",
    );
    svg.line("axis", (x.begin - 10.0, y.begin), (x.end + 10.0, y.begin));
    for callers in x.powers(2.0) {
        let at = x.at(callers);
        svg.line("axis", (at, y.begin), (at, y.begin + 5.0));
        svg.text(
            "",
            Anchor::Middle,
            (at, y.begin + 21.0),
            &callers.to_string(),
        );
    }
    let middle = f64::midpoint(x.begin, x.end);
    svg.text(
        "",
        Anchor::Middle,
        (middle, y.begin + 42.0),
        "concurrent callers",
    );
    svg.text(
        "note",
        Anchor::Start,
        (20.0, y.begin + 68.0),
        "Filled marks: compare.md. Hollow marks: runs with few callers, few-callers.md and few-callers-redis.md.",
    );
}

/// The backends' names beside the ends of their lines, moved apart where they would overlap.
fn names(svg: &mut Svg, mut ends: Vec<(usize, f64, f64)>, x: f64) {
    ends.sort_by(|a, b| a.2.total_cmp(&b.2));
    let mut last = f64::NEG_INFINITY;
    for (n, ratio, y) in ends {
        let y = y.max(last + NAMES_APART);
        last = y;
        svg.mark(mark(n, false), (x, y));
        let name = format!("{} {ratio:.2}×", BACKENDS[n].title);
        svg.text("", Anchor::Start, (x + 12.0, y + 4.5), &name);
    }
}

/// The figures in words.
fn description(series: &[Vec<Point>]) -> String {
    let mut text =
        "Line chart. Each backend's ratio to its raw driver by number of callers.".to_owned();
    for (backend, points) in BACKENDS.iter().zip(series) {
        let figures: Vec<String> = points
            .iter()
            .map(|point| format!("{} with {}", point.ratio, point.callers))
            .collect();
        if !figures.is_empty() {
            let _ = write!(text, " {}: {}.", backend.title, figures.join(", "));
        }
    }
    text
}
