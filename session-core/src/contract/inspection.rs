//! What a server's settings mean for what a store promises.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use crate::Result;

/// A clock that differs by no more is not worth a word: log lines are this exact at best.
const CLOCK_NOTE: Duration = Duration::from_secs(2);
/// After a failover to a server whose clock differs by this much, users notice.
const CLOCK_WEAKER: Duration = Duration::from_secs(60);
/// A store whose oldest expired session is this old has no reaper: one that runs takes seconds.
const OVERDUE: Duration = Duration::from_secs(3_600);

/// The part of a store that looks at its own server: [`SessionStore::inspect`].
///
/// [`SessionStore::inspect`]: crate::SessionStore::inspect
#[async_trait]
pub trait Inspect: Send + Sync {
    /// Reads the server's settings and reports those that break or weaken what the store promises.
    /// Writes nothing. A few round trips; each has the store's time limit.
    ///
    /// # Errors
    /// Those of connecting. A setting that the user may not read is a [`Finding`], not an error.
    async fn inspection(&self) -> Result<Inspection>;

    /// Ends all sessions of this store **and** removes what holds them: its table, its collection or
    /// its keys. For a scratch store; there is no way back.
    ///
    /// # Errors
    /// The database's. The table may then still be there.
    async fn remove(&self) -> Result<()>;
}

/// What an inspection has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// Product and version, as far as the server tells: `Valkey 8.1.4`.
    pub server: String,
    /// What it found, the worst first.
    pub findings: Vec<Finding>,
}

impl Inspection {
    /// An inspection of `server` that has found nothing yet.
    #[must_use]
    pub fn of(server: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            findings: Vec::new(),
        }
    }

    /// Adds a finding. The worst come first.
    pub fn add(&mut self, finding: Finding) {
        let at = |other: &Finding| other.severity >= finding.severity;
        let at = self.findings.partition_point(at);
        self.findings.insert(at, finding);
    }

    /// Adds findings, if there are any.
    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    /// Adds [`Finding::unreadable`] of `settings`, unless there are none.
    pub fn add_unreadable(&mut self, settings: &[impl AsRef<str>]) {
        if !settings.is_empty() {
            self.add(Finding::unreadable(settings));
        }
    }

    /// Compares the server's Unix time, which was asked for at `asked` and has just come, with this
    /// machine's. The time that the answer took is no difference.
    pub fn compare_clock(&mut self, asked: SystemTime, server: Duration) {
        let unix = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()
        };
        let (earliest, latest) = (unix(asked), unix(SystemTime::now()));
        let (behind, ahead) = (
            earliest.saturating_sub(server),
            server.saturating_sub(latest),
        );
        if let Some(finding) = Finding::clock(behind, ahead) {
            self.add(finding);
        }
    }

    /// Takes note that the oldest session that has expired and was not reaped has been expired for
    /// `overdue`. Over an hour is [a finding](Finding).
    pub fn check_overdue(&mut self, overdue: Duration) {
        if overdue >= OVERDUE {
            self.add(Finding::new(
                "no-reaper",
                Severity::Weaker,
                format!(
                    "the oldest expired session has waited {} to be reaped",
                    Rough(overdue)
                ),
                "No reaper runs: the store grows, and observers are not told of expired sessions. \
                 Expired sessions stay invisible",
                "run a Reaper in at least one process, or `sessionctl reap` as a job",
            ));
        }
    }
}

/// Something about a server that breaks or weakens what the store promises, and its remedy.
///
/// `Display` writes it as one line. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// A name for programs, the same in every version: `redis-eviction`.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is the case: the setting and its value.
    pub what: String,
    /// Why it matters: which promise it breaks, and when.
    pub why: String,
    /// What to do about it.
    pub remedy: String,
}

impl Finding {
    /// A finding.
    #[must_use]
    pub fn new(
        name: &'static str,
        severity: Severity,
        what: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            name,
            severity,
            what: what.into(),
            why: why.into(),
            remedy: remedy.into(),
        }
    }

    /// The server is a replica, or takes no writes for another reason: `what` says which.
    #[must_use]
    pub fn read_only(what: impl Into<String>) -> Self {
        Self::new(
            "read-only-server",
            Severity::Broken,
            what,
            "Every sign-in, save and sign-out fails here, and loads may show sessions that have \
             ended on the primary",
            "name the primary in the URL, or an address that follows it",
        )
    }

    /// The user may not read these settings, so nothing is known of them.
    #[must_use]
    pub fn unreadable(settings: &[impl AsRef<str>]) -> Self {
        let names: Vec<&str> = settings.iter().map(AsRef::as_ref).collect();
        Self::new(
            "unreadable-settings",
            Severity::Note,
            format!("the server does not tell {}", names.join(", ")),
            "The check can't say whether they weaken the store",
            "check as a user who may read them, or look at them yourself",
        )
    }

    fn clock(behind: Duration, ahead: Duration) -> Option<Self> {
        let (apart, direction) = match behind > ahead {
            true => (behind, "behind"),
            false => (ahead, "ahead of"),
        };
        if apart < CLOCK_NOTE {
            return None;
        }
        let severity = match apart >= CLOCK_WEAKER {
            true => Severity::Weaker,
            false => Severity::Note,
        };
        Some(Self::new(
            "clock-difference",
            severity,
            format!(
                "the server's clock is {} {direction} this machine's",
                Rough(apart)
            ),
            "Sessions follow the server's clock alone, so nothing is wrong while it is the primary. \
             After a failover to a server with the right time, sessions end that much too early or \
             too late; and times in logs do not match",
            "synchronise the clocks of both machines (NTP)",
        ))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            severity,
            what,
            why,
            remedy,
        } = self;
        write!(f, "{severity}: {what} ({name}). {why}. Remedy: {remedy}")
    }
}

/// How bad a [`Finding`] is, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// A power failure, a crash of the operating system or a failover may undo acknowledged writes,
    /// a sign-out among them; or a feature is missing.
    Weaker,
    /// A promise does not hold: in ordinary use, or after a restart or crash of the server.
    Broken,
}

impl Severity {
    /// The name for programs: `note`, `weaker` or `broken`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Weaker => "weaker",
            Self::Broken => "broken",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Weaker => "weaker",
            Self::Broken => "broken promise",
        })
    }
}

/// A duration in its greatest unit, rounded down: `3 h`.
struct Rough(Duration);

impl fmt::Display for Rough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0..120 => write!(f, "{seconds} s"),
            120..7_200 => write!(f, "{} min", seconds / 60),
            7_200..172_800 => write!(f, "{} h", seconds / 3_600),
            _ => write!(f, "{} days", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(inspection: &Inspection) -> Vec<&'static str> {
        let findings = inspection.findings.iter();
        findings.map(|finding| finding.name).collect()
    }

    #[test]
    fn the_worst_findings_come_first_and_equal_ones_in_their_order() {
        let mut inspection = Inspection::of("x");
        for (name, severity) in [
            ("a", Severity::Note),
            ("b", Severity::Broken),
            ("c", Severity::Weaker),
            ("d", Severity::Broken),
            ("e", Severity::Note),
        ] {
            inspection.add(Finding::new(name, severity, "", "", ""));
        }
        assert_eq!(names(&inspection), ["b", "d", "c", "a", "e"]);
    }

    #[test]
    fn a_clock_is_told_by_how_much_it_differs_beyond_the_time_of_the_answer() {
        let second = Duration::from_secs(1);
        assert_eq!(Finding::clock(second, Duration::ZERO), None);
        let ahead = Finding::clock(Duration::ZERO, 3 * second).expect("told");
        assert_eq!(ahead.severity, Severity::Note);
        assert!(ahead.what.contains("3 s ahead of"), "{ahead}");
        let behind = Finding::clock(7_200 * second, Duration::ZERO).expect("told");
        assert_eq!(behind.severity, Severity::Weaker);
        assert!(behind.what.contains("2 h behind"), "{behind}");
        let mut inspection = Inspection::of("x");
        let asked = SystemTime::now() - 60 * second;
        let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH);
        inspection.compare_clock(asked, since(asked).expect("later") + 30 * second);
        assert!(names(&inspection).is_empty(), "it may be right");
        inspection.compare_clock(asked, since(asked).expect("later") - 30 * second);
        assert_eq!(names(&inspection), ["clock-difference"]);
    }

    #[test]
    fn a_session_that_waits_for_an_hour_has_no_reaper() {
        let mut inspection = Inspection::of("x");
        inspection.check_overdue(OVERDUE - Duration::from_secs(1));
        assert!(names(&inspection).is_empty());
        inspection.check_overdue(OVERDUE);
        assert_eq!(names(&inspection), ["no-reaper"]);
    }
}
