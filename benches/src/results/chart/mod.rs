//! The charts of `docs/performance.md`, as SVG.
//!
//! They are written without a charting library, so that the same figures give the same bytes, which
//! a test compares with the committed files.

mod axis;
mod latency;
mod ratio;
mod svg;

use std::collections::BTreeMap;

use super::Run;

/// A backend in the charts. Its position in the list determines its colour and marker.
#[derive(Clone, Copy, Debug)]
struct Backend {
    name: &'static str,
    title: &'static str,
}

const BACKENDS: [Backend; 4] = [
    Backend {
        name: "memory",
        title: "memory",
    },
    Backend {
        name: "redis",
        title: "Redis",
    },
    Backend {
        name: "mysql",
        title: "MySQL",
    },
    Backend {
        name: "mongo",
        title: "MongoDB",
    },
];

/// The size of the sessions in the charts, in bytes.
const PAYLOAD: usize = 300;

/// Draws every chart that the runs have figures for, by file name without `.svg`.
#[must_use]
pub fn all(runs: &BTreeMap<String, Run>) -> Vec<(&'static str, String)> {
    let charts = [
        ("loads", ratio::chart(runs, "load", "Loads")),
        ("saves", ratio::chart(runs, "save", "Saves")),
        ("latency", latency::chart(runs)),
    ];
    let drawn = |(name, svg): (_, Option<String>)| Some((name, svg?));
    charts.into_iter().filter_map(drawn).collect()
}
