//! What was found, as text and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use session_conformance::Outcome;
use session_store::{Error, Finding, Inspection, Severity};

use super::miniature::Tried;
use super::{is_unreachable, refusal};
use crate::exit::{Exit, Failure};

/// What was found.
#[derive(Default)]
pub(super) struct Report {
    inspection: Inspection,
    tried: Vec<Tried>,
    /// Why the promises were not tried.
    skipped: Option<&'static str>,
    pub(super) took: Duration,
}

impl Report {
    pub(super) fn inspected(&mut self, inspection: Inspection) {
        let before = std::mem::replace(&mut self.inspection, inspection);
        self.inspection.extend(before.findings);
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.inspection.add(finding);
    }

    /// An error of the store: a finding, unless there is no server to ask.
    pub(super) fn refused(&mut self, error: Error) -> Result<(), Failure> {
        if says_read_only(&error) {
            self.add(Finding::read_only(error.to_string()));
            return Ok(());
        }
        if is_unreachable(&error) {
            return Err(error.into());
        }
        self.add(refusal(&error.to_string()));
        Ok(())
    }

    pub(super) fn skip(&mut self, why: &'static str) {
        self.skipped = Some(why);
    }

    /// Each promise that is not kept is a finding.
    pub(super) fn tried(&mut self, tried: Vec<Tried>) {
        for one in &tried {
            if let Outcome::Failed(why) = &one.outcome {
                self.add(Finding::new(
                    one.case.name,
                    Severity::Broken,
                    format!("not kept: {}", one.promise()),
                    format!("{}. {why}", one.case.invariant.rule()),
                    "this server, or what is in front of it, can't hold sessions: see docs/checks.md",
                ));
            }
        }
        self.tried = tried;
    }

    fn has(&self, name: &str) -> bool {
        let mut findings = self.inspection.findings.iter();
        findings.any(|finding| finding.name == name)
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.has("read-only-server")
    }

    pub(super) fn is_refused(&self) -> bool {
        self.has("refused")
    }

    /// Notes need no attention.
    pub(super) fn exit(&self) -> Exit {
        let worst = self.inspection.findings.first();
        match worst.is_some_and(|worst| worst.severity > Severity::Note) {
            true => Exit::Findings,
            false => Exit::Done,
        }
    }

    pub(super) fn json(&self) -> Value {
        let findings = self.inspection.findings.iter().map(|finding| {
            json!({
                "name": finding.name,
                "severity": finding.severity.as_str(),
                "what": finding.what,
                "why": finding.why,
                "remedy": finding.remedy,
            })
        });
        let tried = self.tried.iter().map(|one| {
            let (outcome, why) = match &one.outcome {
                Outcome::Passed => ("kept", None),
                Outcome::NotRun(why) => ("not tried", Some(*why)),
                Outcome::Failed(why) => ("not kept", Some(&**why)),
            };
            json!({
                "promise": one.case.name,
                "outcome": outcome,
                "why": why,
                "milliseconds": one.took.as_millis() as u64,
            })
        });
        json!({
            "server": self.inspection.server,
            "findings": findings.collect::<Vec<_>>(),
            "promises": tried.collect::<Vec<_>>(),
            "not_tried": self.skipped,
            "milliseconds": self.took.as_millis() as u64,
        })
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |start: &str, rest: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{start}{}", wrapped(rest, start.chars().count()));
        };
        if !self.inspection.server.is_empty() {
            line("", &self.inspection.server);
        }
        for finding in &self.inspection.findings {
            line("", "");
            let severity = finding.severity.to_string();
            line(
                &format!("{severity}: "),
                &format!("{} ({})", finding.what, finding.name),
            );
            line("  why:    ", &finding.why);
            line("  remedy: ", &finding.remedy);
        }
        line("", "");
        line("", &self.summary());
        text.trim_end().to_owned()
    }

    fn summary(&self) -> String {
        let of = |severity| {
            let findings = self.inspection.findings.iter();
            findings.filter(|found| found.severity == severity).count()
        };
        let mut summary = format!(
            "{} broken, {} weaker, {} notes; ",
            of(Severity::Broken),
            of(Severity::Weaker),
            of(Severity::Note)
        );
        let kept = |one: &&Tried| one.outcome == Outcome::Passed;
        summary += &match (self.skipped, self.tried.is_empty()) {
            (Some(why), _) => format!("no promise was tried: {why}"),
            (None, true) => "no promise was tried".to_owned(),
            (None, false) => {
                let kept = self.tried.iter().filter(kept).count();
                format!(
                    "{kept} of {} promises that were tried are kept",
                    self.tried.len()
                )
            }
        };
        for one in &self.tried {
            if let Outcome::NotRun(why) = one.outcome {
                summary += &format!("; not tried: {} ({why})", one.promise());
            }
        }
        summary + &format!(" ({:.1} s)", self.took.as_secs_f64())
    }
}

/// Whether a store can't be opened because its server takes no writes. That it is so is no kind of
/// error of its own: for an application, a server that fails over is away for a while.
fn says_read_only(error: &Error) -> bool {
    let text = error.to_string();
    is_unreachable(error)
        && ["read-only", "standby"]
            .iter()
            .any(|word| text.contains(word))
}

/// The text in lines of up to 100 characters, the second and later ones indented.
fn wrapped(text: &str, indent: usize) -> String {
    let mut wrapped = String::with_capacity(text.len());
    let mut column = indent;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if !wrapped.is_empty() {
            let fits = column + 1 + length <= 100;
            wrapped += &match fits {
                true => " ".to_owned(),
                false => format!("\n{}", " ".repeat(indent)),
            };
            column = if fits { column + 1 } else { indent };
        }
        wrapped += word;
        column += length;
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_wrapped_and_indented() {
        let text = "word ".repeat(30);
        let wrapped = wrapped(&text, 10);
        assert!(wrapped.lines().count() == 2, "{wrapped}");
        assert!(wrapped.lines().all(|line| line.chars().count() <= 100));
        assert!(
            wrapped
                .lines()
                .nth(1)
                .is_some_and(|line| line.starts_with("          word"))
        );
    }

    #[test]
    fn notes_alone_are_no_findings_that_need_attention() {
        let mut report = Report::default();
        let finding = |severity| Finding::new("x", severity, "a", "b", "c");
        report.add(finding(Severity::Note));
        assert_eq!(report.exit(), Exit::Done);
        report.add(finding(Severity::Weaker));
        assert_eq!(report.exit(), Exit::Findings);
        let text = report.text();
        assert!(
            text.starts_with("weaker: a (x)") || text.contains("\nweaker: a (x)"),
            "{text}"
        );
        assert!(text.contains("0 broken, 1 weaker, 1 notes"), "{text}");
    }
}
