//! One run: servers, workers, faults at random times, and the judgement.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::Result;
use crate::clock::Micros;
use crate::dice::Dice;
use crate::fault::{Durability, FaultKind, Injected};
use crate::history::{FaultLine, History, Line, Log, RunLine};
use crate::judge::{Report, judge};
use crate::options::{LIMIT, with_options};
use crate::topology::{self, Topology};
use crate::worker::{GRACE, Settings};

/// What a run is to be.
#[derive(Clone, Debug)]
pub struct Run {
    /// One of [`topology::NAMES`].
    pub topology: String,
    /// The program that has the subcommand `worker`.
    pub program: PathBuf,
    pub seed: u64,
    pub duration: Duration,
    /// Callers of each worker.
    pub callers: u32,
    /// How many sessions are in use at a time.
    pub slots: u64,
    /// The idle limit of most sessions; some have a shorter one.
    pub idle: Duration,
    /// Which faults; `None`: all that the topology can have, and those of workers.
    pub faults: Option<Vec<String>>,
    /// The pauses between them.
    pub pause: (Duration, Duration),
    /// One call in so many is dropped while it is under way; 0: none is.
    pub drops: u64,
    /// Whether to wait until ends that a killed process had claimed are told.
    pub patient: bool,
    /// The directory of the history, which is kept.
    pub directory: PathBuf,
}

/// How long a process may keep the end of a session that it has claimed to itself.
const CLAIM: Duration = Duration::from_secs(60);
/// For a worker to connect at the beginning and to end.
const MARGIN: Duration = Duration::from_secs(45);

const KILL: &str = "kill-worker";
const STOP: &str = "stop-worker";
const OF_WORKERS: [FaultKind; 2] = [FaultKind::new(KILL), FaultKind::new(STOP)];

/// The file of the history in the directory of a run.
pub const HISTORY: &str = "history.jsonl";

impl Run {
    /// Makes the run and judges it.
    ///
    /// # Errors
    /// The servers or workers do not start, a fault can't be made, or a worker fails.
    pub async fn run(&self) -> Result<Report> {
        let topology = topology::start(&self.topology).await?;
        std::fs::create_dir_all(&self.directory)?;
        for file in [HISTORY, "board"] {
            let _ = std::fs::remove_file(self.directory.join(file));
        }
        let log = Log::open(&self.history())?;
        log.write(&Line::Run(RunLine {
            at: Micros::now(),
            topology: self.topology.clone(),
            description: topology.description(),
            seed: self.seed,
            grace: u64::try_from(GRACE.as_micros())?,
            patient: self.patient,
        }));
        let mut workers = Workers::start(self, &*topology)?;
        let mut dice = Dice::of_part(self.seed, u64::MAX);
        let until = workers.until;
        loop {
            let pause = dice.duration(self.pause.0, self.pause.1);
            // The last fault leaves time to see how soon callers succeed again.
            if Micros::now().plus(pause + Duration::from_secs(2)) >= until {
                break;
            }
            tokio::time::sleep(pause).await;
            let Some(fault) = self.choose(&*topology, &mut dice) else {
                break;
            };
            let injected = match OF_WORKERS.iter().any(|of| of.name == fault.name) {
                true => {
                    workers
                        .inject(fault.name, &*topology, &log, &mut dice)
                        .await?
                }
                false => topology.inject(fault.name, &mut dice).await?,
            };
            log.write(&Line::Fault(line(&fault, injected)?));
        }
        workers.finish().await?;
        History::read(&self.history()).map(|history| judge(&history))
    }

    /// Where its history is.
    #[must_use]
    pub fn history(&self) -> PathBuf {
        self.directory.join(HISTORY)
    }

    fn choose(&self, topology: &dyn Topology, dice: &mut Dice) -> Option<FaultKind> {
        let is_chosen = |fault: &FaultKind| match &self.faults {
            Some(names) => names.iter().any(|name| name == fault.name),
            None => true,
        };
        let own = OF_WORKERS.iter().filter(|_| topology.processes() > 1);
        let possible: Vec<_> = own
            .chain(topology.faults())
            .filter(|fault| is_chosen(fault))
            .collect();
        (!possible.is_empty()).then(|| **dice.pick(&possible))
    }

    fn drain(&self) -> Duration {
        let lives = self.idle + Duration::from_secs(10);
        if self.patient { lives + CLAIM } else { lives }
    }
}

fn line(fault: &FaultKind, injected: Injected) -> Result<FaultLine> {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    Ok(FaultLine {
        name: fault.name.to_owned(),
        began: injected.began,
        ended: injected.ended,
        detail: injected.detail,
        may_lose: match fault.durability {
            Durability::Keeps => None,
            Durability::MayLoseRecent(recent) => Some(micros(recent)),
        },
        recovery: micros(fault.recovery),
        explains: fault
            .explains
            .iter()
            .map(|kind| (*kind).to_owned())
            .collect(),
        moves_clock: micros(fault.clock),
    })
}

/// The processes of a run. They end with it.
struct Workers {
    template: Settings,
    program: PathBuf,
    until: Micros,
    /// By place: the number of the process, and the process.
    running: Vec<(u32, Child)>,
    next: u32,
}

impl Workers {
    fn start(run: &Run, topology: &dyn Topology) -> Result<Self> {
        let until = Micros::now().plus(run.duration);
        let mut workers = Self {
            template: Settings {
                url: with_options(&topology.url()),
                seed: run.seed,
                process: 0,
                history: run.history(),
                board: run.directory.join("board"),
                slots: run.slots,
                callers: run.callers,
                until,
                idle: run.idle,
                drain: run.drain(),
                patient: run.patient,
                limit: LIMIT,
                drops: run.drops,
            },
            program: run.program.clone(),
            until,
            running: Vec::new(),
            next: 0,
        };
        for place in 0..topology.processes() {
            let worker = workers.spawn(place, topology)?;
            workers.running.push(worker);
        }
        Ok(workers)
    }

    fn spawn(&mut self, place: usize, topology: &dyn Topology) -> Result<(u32, Child)> {
        let process = self.next;
        self.next += 1;
        let settings = Settings {
            process,
            ..self.template.clone()
        };
        let child = Command::new(&self.program)
            .arg("worker")
            .arg(serde_json::to_string(&settings)?)
            .envs(topology.environment(place))
            .kill_on_drop(true)
            .spawn()?;
        Ok((process, child))
    }

    async fn inject(
        &mut self,
        fault: &str,
        topology: &dyn Topology,
        log: &Log,
        dice: &mut Dice,
    ) -> Result<Injected> {
        let place = usize::try_from(dice.number(0..self.running.len() as u64))?;
        let (process, child) = &mut self.running[place];
        let process = *process;
        let began = Micros::now();
        if fault == KILL {
            // Before it is dead, so that no call of it is taken for one that was answered.
            child.kill().await?;
            log.write(&Line::Killed {
                process,
                at: Micros::now(),
            });
            self.running[place] = self.spawn(place, topology)?;
            let detail = format!("process {process}");
            return Ok(Injected {
                began,
                ended: Micros::now(),
                detail,
            });
        }
        let id = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let id = id.ok_or("the worker has ended before its time")?;
        let pause = dice.duration(Duration::from_millis(100), Duration::from_millis(3_000));
        kill_process(id, Signal::STOP)?;
        tokio::time::sleep(pause).await;
        kill_process(id, Signal::CONT)?;
        let detail = format!("process {process} for {pause:?}");
        Ok(Injected {
            began,
            ended: Micros::now(),
            detail,
        })
    }

    /// Waits until all have ended.
    async fn finish(mut self) -> Result<()> {
        let left = self.until.since(Micros::now()) + self.template.drain + MARGIN;
        let all = async {
            for (process, child) in &mut self.running {
                let status = child.wait().await?;
                if !status.success() {
                    return Err(format!("worker {process} has failed: {status}").into());
                }
            }
            Ok(())
        };
        match tokio::time::timeout(left, all).await {
            Ok(result) => result,
            Err(_) => Err("a worker does not end: its calls hang".into()),
        }
    }
}

/// Judges the history in this file.
///
/// # Errors
/// It can't be read.
pub fn judge_file(path: &Path) -> Result<Report> {
    Ok(judge(&History::read(path)?))
}
