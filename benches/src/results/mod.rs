//! Published measurements: the format of `benches/results`, and the tables and charts made from it.
//!
//! A file `NAME.jsonl` is one run of `compare`. Its first line is a [`Run`], which describes what
//! was measured and how; each further line is a [`Line`], as `compare --json` prints it.
//! [`files::generate`] makes `NAME.md` from each file, and the charts from all of them.

pub mod chart;
pub mod files;
pub mod table;

use serde::{Deserialize, Serialize};

/// The role of a contender in the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A store of this project.
    Ours,
    /// The driver alone, one query for each operation.
    Raw,
    /// A store of another library.
    Peer,
}

/// What was measured, and under which conditions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The heading of the table.
    pub title: String,
    /// Cores of the machine, for servers and clients together.
    pub cores: usize,
    /// Sessions in each store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<usize>,
    /// Rounds behind each median.
    pub rounds: usize,
    /// The length of a round, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_ms: Option<u64>,
    /// Delay added each way between client and server, in microseconds.
    pub delay_us: u64,
    /// Product and version of each server.
    pub servers: Vec<String>,
    /// The commit that was measured or, if that is not known, the one that published the figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// A note for readers of the figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The measurements, each on its own line of the file.
    #[serde(skip)]
    pub lines: Vec<Line>,
}

/// One contender's medians. A ratio is the median of the ratios within each round. Figures that
/// were not recorded are `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// `memory`, `redis`, `mysql` or `mongo`.
    pub backend: String,
    /// `load` or `save`.
    pub operation: String,
    /// Bytes of a session's data.
    pub payload: usize,
    /// Concurrent callers.
    pub callers: usize,
    /// The library or store.
    pub contender: String,
    /// Its role.
    pub role: Role,
    /// Operations a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ops_per_s: Option<f64>,
    /// Median latency in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_us: Option<f64>,
    /// 99th percentile of the latency in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_us: Option<f64>,
    /// CPU time of the client for each operation, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_us: Option<f64>,
    /// Operations a second, divided by the raw driver's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_raw: Option<f64>,
    /// Median latency, divided by the raw driver's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_raw_p50: Option<f64>,
    /// Operations a second, divided by those of the fastest peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_best_peer: Option<f64>,
    /// Operations a second, divided by those of the previous version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_before: Option<f64>,
    /// [`Line::ratio_raw`] of the previous version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_raw_before: Option<f64>,
}

impl Run {
    /// Reads the text of a `.jsonl` file.
    ///
    /// # Errors
    /// If a line is missing or is not in the format.
    pub fn read(text: &str) -> serde_json::Result<Self> {
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        let mut run: Self = serde_json::from_str(first)?;
        let lines = rest.lines().map(serde_json::from_str);
        run.lines = lines.collect::<Result<_, _>>()?;
        Ok(run)
    }

    /// Returns the text of the `.jsonl` file.
    ///
    /// # Errors
    /// None in practice: every field has a JSON form.
    pub fn write(&self) -> serde_json::Result<String> {
        let mut text = serde_json::to_string(self)?;
        text.push('\n');
        for line in &self.lines {
            text.push_str(&serde_json::to_string(line)?);
            text.push('\n');
        }
        Ok(text)
    }
}
