//! A history as the judge reads it: calls with their answers.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::{Act, Answer, FaultLine, Line, RunLine, ToldLine, WorkerLine};
use crate::Result;
use crate::clock::Micros;

/// A call with its answer, if there is one.
#[derive(Clone, Debug)]
pub struct Call {
    pub process: u32,
    pub caller: u32,
    /// Its number in the process.
    pub number: u64,
    pub at: Micros,
    pub session: Option<String>,
    pub act: Act,
    pub answer: Option<(Micros, Answer)>,
}

impl Call {
    /// The answer of a call that succeeded, and when it came.
    #[must_use]
    pub fn success(&self) -> Option<(Micros, &Answer)> {
        let (at, answer) = self.answer.as_ref()?;
        answer.is_success().then_some((*at, answer))
    }

    /// When it ended, if it did: the caller may have gone away then.
    #[must_use]
    pub fn ended(&self) -> Option<Micros> {
        self.answer.as_ref().map(|(at, _)| *at)
    }
}

/// Everything that a history says.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub run: Option<RunLine>,
    pub workers: Vec<WorkerLine>,
    /// By the time of the call.
    pub calls: Vec<Call>,
    pub told: Vec<ToldLine>,
    pub faults: Vec<FaultLine>,
    pub killed: Vec<(u32, Micros)>,
    pub drained: Vec<(u32, Micros)>,
    /// By process: from when to when it did not run.
    pub lags: HashMap<u32, Vec<(Micros, Micros)>>,
}

impl History {
    /// Reads the history in this file.
    ///
    /// # Errors
    /// The file can't be read, or a line is none of a history.
    pub fn read(path: &Path) -> Result<Self> {
        let mut lines = Vec::new();
        for (number, line) in BufReader::new(File::open(path)?).lines().enumerate() {
            let line = serde_json::from_str(&line?);
            lines.push(line.map_err(|error| format!("line {}: {error}", number + 1))?);
        }
        Ok(Self::of(lines))
    }

    /// The history of these lines.
    #[must_use]
    pub fn of(lines: impl IntoIterator<Item = Line>) -> Self {
        let mut history = Self::default();
        let mut calls: BTreeMap<(u32, u64), Call> = BTreeMap::new();
        for line in lines {
            match line {
                Line::Run(run) => history.run = Some(run),
                Line::Worker(worker) => history.workers.push(worker),
                Line::Told(told) => history.told.push(told),
                Line::Fault(fault) => history.faults.push(fault),
                Line::Killed { process, at } => history.killed.push((process, at)),
                Line::Drained { process, at } => history.drained.push((process, at)),
                Line::Lag { process, from, to } => {
                    history.lags.entry(process).or_default().push((from, to));
                }
                Line::Call(call) => {
                    let of = (call.process, call.call);
                    calls.insert(
                        of,
                        Call {
                            process: call.process,
                            caller: call.caller,
                            number: call.call,
                            at: call.at,
                            session: call.session,
                            act: call.act,
                            answer: None,
                        },
                    );
                }
                Line::Answer(answer) => {
                    if let Some(call) = calls.get_mut(&(answer.process, answer.call)) {
                        call.answer = Some((answer.at, answer.answer));
                    }
                }
            }
        }
        history.calls = calls.into_values().collect();
        history.calls.sort_by_key(|call| call.at);
        history
    }
}
