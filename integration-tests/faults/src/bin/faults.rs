//! Runs that break servers, and the judgement of what sessions were promised meanwhile.
//!
//! * `faults list`: topologies with their faults
//! * `faults run [OPTION VALUE]… TOPOLOGY…`: runs of these topologies
//! * `faults names`: the topologies' names
//! * `faults heading`: the heading of a table of the rows that runs print
//! * `faults judge FILE`: judges a history again
//!
//! `faults worker` is what a run starts.
#![forbid(unsafe_code)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use session_faults::judge::Report;
use session_faults::run::{Run, judge_file};
use session_faults::{Result, topology, worker};

const USAGE: &str = "\
faults list                            topologies with their faults
faults names                           the topologies' names
faults run [OPTION VALUE]… TOPOLOGY…   runs of these topologies, or of all by the name `all`
faults heading                         the heading of a table of the rows that runs print
faults judge FILE                      judges a history again

Options of runs, with their defaults:
  --seed NUMBER       of the sequence of operations and faults (the time)
  --seconds NUMBER    how long callers work (60)
  --callers NUMBER    of each worker (16)
  --slots NUMBER      sessions in use at a time (300)
  --idle SECONDS      the idle limit of most sessions (20)
  --fault NAME        only this fault, `none` for none; may be repeated (all)
  --pause SECONDS     the longest pause between faults (4)
  --drops NUMBER      one call in so many is dropped under way, 0 for none (60)
  --patient yes|no    wait for ends that a killed process has claimed (yes)
  --out DIRECTORY     where histories are kept (session-faults in the temporary directory)
";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "faults: {error}");
            ExitCode::from(2)
        }
    }
}

/// Does what is asked for; whether no promise was broken.
async fn run(arguments: &[String]) -> Result<bool> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => list().await,
        ["names"] => {
            writeln!(std::io::stdout(), "{}", topology::NAMES.join("\n"))?;
            Ok(true)
        }
        ["heading"] => {
            writeln!(std::io::stdout(), "{}", Report::HEADING)?;
            Ok(true)
        }
        ["judge", file] => {
            let report = judge_file(Path::new(file))?;
            show(&report)
        }
        ["worker", settings] => {
            worker::work(serde_json::from_str(settings)?).await?;
            Ok(true)
        }
        ["run", ref rest @ ..] => run_all(rest).await,
        _ => Err(USAGE.into()),
    }
}

async fn list() -> Result<bool> {
    let mut out = std::io::stdout();
    for name in topology::NAMES {
        let topology = topology::start(name).await?;
        writeln!(out, "{name}: {}", topology.description())?;
        for fault in topology.faults() {
            writeln!(out, "  {}: {:?}", fault.name, fault.durability)?;
        }
    }
    Ok(true)
}

async fn run_all(arguments: &[&str]) -> Result<bool> {
    let (template, names) = parse(arguments)?;
    let mut is_good = true;
    for name in names {
        let directory = template.directory.join(format!("{name}-{}", template.seed));
        let run = Run {
            topology: name.to_owned(),
            directory,
            ..template.clone()
        };
        writeln!(
            std::io::stdout(),
            "{name}: seed {}, {:?}",
            run.seed,
            run.duration
        )?;
        let report = run.run().await?;
        let is_kept = show(&report)?;
        if is_kept {
            std::fs::remove_dir_all(&run.directory)?;
        } else {
            writeln!(std::io::stdout(), "  history: {}", run.history().display())?;
        }
        is_good &= is_kept;
    }
    Ok(is_good)
}

/// Prints a report: as text, as a row of a table, and as one line of JSON; whether no promise was broken.
fn show(report: &Report) -> Result<bool> {
    let mut out = std::io::stdout();
    writeln!(out, "{report}")?;
    writeln!(out, "{}", report.row())?;
    writeln!(out, "{}", serde_json::to_string(report)?)?;
    Ok(report.violations.is_empty())
}

fn parse<'a>(arguments: &[&'a str]) -> Result<(Run, Vec<&'a str>)> {
    let mut run = defaults()?;
    let mut names = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(option) = argument.strip_prefix("--") else {
            names.push(*argument);
            continue;
        };
        let value = rest.next().ok_or(USAGE)?;
        let seconds = || value.parse().map(Duration::from_secs);
        match option {
            "seed" => run.seed = value.parse()?,
            "seconds" => run.duration = seconds()?,
            "callers" => run.callers = value.parse()?,
            "slots" => run.slots = value.parse()?,
            "idle" => run.idle = seconds()?,
            "pause" => run.pause.1 = seconds()?.max(run.pause.0),
            "drops" => run.drops = value.parse()?,
            "patient" => run.patient = *value == "yes",
            "out" => run.directory = PathBuf::from(value),
            "fault" => run.faults.get_or_insert_default().push((*value).to_owned()),
            _ => return Err(USAGE.into()),
        }
    }
    if names == ["all"] {
        names = topology::NAMES.to_vec();
    }
    match names.is_empty() {
        true => Err(USAGE.into()),
        false => Ok((run, names)),
    }
}

fn defaults() -> Result<Run> {
    Ok(Run {
        topology: String::new(),
        program: std::env::current_exe()?,
        seed: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        duration: Duration::from_secs(60),
        callers: 16,
        slots: 300,
        idle: Duration::from_secs(20),
        faults: None,
        pause: (Duration::from_millis(500), Duration::from_secs(4)),
        drops: 60,
        patient: true,
        directory: std::env::temp_dir().join("session-faults"),
    })
}
