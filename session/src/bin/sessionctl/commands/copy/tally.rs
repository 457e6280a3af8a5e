//! What has become of how many sessions.

use serde_json::{Map, Value, json};

/// What has become of one session of FROM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was not in TO, and is now.
    Copied,
    /// It was in TO already.
    Unchanged,
    /// It was in TO already, and its deadline was moved.
    Extended,
    /// An older version was in TO.
    Updated,
    /// A newer version is in TO, which stays: TO is in use.
    Newer,
    /// Another version is in TO, which stays, because it is not known which is newer.
    Undecided,
    /// It has ended in FROM since it was listed.
    Ended,
    /// It can't be read or written.
    Failed,
}

/// The outcomes, with their names in JSON and in text.
const NAMES: [(Outcome, &str, &str); 8] = [
    (Outcome::Copied, "copied", "copied"),
    (Outcome::Unchanged, "unchanged", "there already"),
    (Outcome::Extended, "extended", "used since, deadline moved"),
    (Outcome::Updated, "updated", "changed since, replaced"),
    (Outcome::Newer, "newer", "newer in TO, kept"),
    (
        Outcome::Undecided,
        "undecided",
        "different in TO, kept: it is not known which is newer (--overwrite)",
    ),
    (Outcome::Ended, "ended", "ended meanwhile"),
    (Outcome::Failed, "failed", "failed"),
];

/// How many sessions had which outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    counts: [u64; NAMES.len()],
    /// How many sessions that were in TO only were ended; `None` if they were not looked for.
    pub(super) deleted: Option<u64>,
}

impl Tally {
    pub(super) fn add(&mut self, outcome: Outcome) {
        self.counts[outcome as usize] += 1;
    }

    pub(super) fn count(&self, outcome: Outcome) -> u64 {
        self.counts[outcome as usize]
    }

    /// How many sessions were looked at.
    pub(super) fn seen(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(super) fn needs_attention(&self) -> bool {
        self.count(Outcome::Failed) + self.count(Outcome::Undecided) > 0
    }

    pub(super) fn value(&self) -> Value {
        let counts = NAMES.iter().map(|(outcome, name, _)| {
            let count = self.count(*outcome);
            ((*name).to_owned(), json!(count))
        });
        let mut value: Map<String, Value> = counts.collect();
        value.insert("deleted".to_owned(), json!(self.deleted));
        value.into()
    }

    /// Of a value that [`value`](Self::value) has made.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let mut tally = Self::default();
        for (outcome, name, _) in NAMES {
            tally.counts[outcome as usize] = value.get(name)?.as_u64()?;
        }
        Some(tally)
    }

    pub(super) fn text(&self, is_dry_run: bool) -> String {
        let mut lines = vec![match is_dry_run {
            true => format!("Would have looked after {} sessions:", self.seen()),
            false => format!("Looked after {} sessions:", self.seen()),
        }];
        for (outcome, _, name) in NAMES {
            let count = self.count(outcome);
            if count > 0 {
                lines.push(format!("{count:>10}  {name}"));
            }
        }
        if let Some(deleted) = self.deleted {
            lines.push(format!("{deleted:>10}  in TO only, ended there"));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_read_as_it_was_written() {
        let mut tally = Tally::default();
        for (index, (outcome, ..)) in NAMES.iter().enumerate() {
            assert_eq!(*outcome as usize, index, "each has its place");
            for _ in 0..=index {
                tally.add(*outcome);
            }
        }
        assert_eq!(tally.seen(), 36);
        assert_eq!(Tally::read(&tally.value()), Some(tally));
        assert_eq!(Tally::read(&json!({ "copied": 1 })), None);
    }
}
