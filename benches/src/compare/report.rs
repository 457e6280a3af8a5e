//! The printed report and the file of results.

use benches::results::{Line, Run, table};
use session_core::Error;

use super::Options;

pub(crate) struct Report {
    json: bool,
    write: Option<String>,
    run: Run,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            json: options.json,
            write: options.write.clone(),
            run: Run {
                title: options.title.clone(),
                cores: std::thread::available_parallelism().map_or(1, usize::from),
                sessions: Some(options.sessions),
                rounds: options.rounds,
                round_ms: Some(options.time.as_millis() as u64),
                delay_us: options.delay.as_micros() as u64,
                servers: Vec::new(),
                commit: options.commit.clone(),
                note: None,
                lines: Vec::new(),
            },
        }
    }

    pub(crate) fn server(&mut self, description: &str) {
        let servers = &mut self.run.servers;
        if !servers.iter().any(|known| known == description) {
            servers.push(description.to_owned());
        }
    }

    /// Says how a contender works on its server, not on standard output, which may be JSON.
    pub(crate) fn contender(&self, name: &str, how: &str) {
        eprintln!("{name}: {how}");
    }

    /// Adds the contenders of one operation and prints them at once, because a run takes minutes.
    pub(crate) fn add(&mut self, lines: &[Line]) {
        if !self.json && self.run.lines.is_empty() {
            print!("{}", table::HEAD);
        }
        for line in lines {
            if self.json {
                println!("{}", serde_json::to_string(line).expect("numbers and text"));
            } else {
                print!("{}", table::row(line));
            }
        }
        self.run.lines.extend_from_slice(lines);
    }

    /// Prints the conditions, and writes the file that was asked for.
    pub(crate) fn finish(self) -> Result<(), Error> {
        if !self.json {
            println!("\n{}", table::conditions(&self.run));
        }
        let Some(path) = self.write else {
            return Ok(());
        };
        let text = self.run.write().expect("numbers and text");
        std::fs::write(&path, text).expect("the file of --write can be written");
        Ok(())
    }
}

/// `number` with so many decimals.
pub(crate) fn round(number: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (number * scale).round() / scale
}
