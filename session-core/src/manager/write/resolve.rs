//! What became of writes that were never answered: a pure function of what was sent and what is
//! stored now.

use crate::Stamp;
use crate::manager::identity::TokenState;

/// One write that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentWrite {
    /// The stamp that it leaves.
    pub(crate) stamp: Stamp,
    /// The stamp that it replaces; `None` for a create.
    pub(crate) expected: Option<Stamp>,
    /// Whether it may have happened for all that is known. Otherwise the store has said that it
    /// did not.
    pub(crate) is_doubtful: bool,
}

/// What a load has found.
#[derive(Clone, Copy)]
pub(crate) struct Found<'r> {
    /// The write that is in place.
    pub(crate) stamp: Stamp,
    /// What the record keeps of its token, the trail among it; `None` in layouts without room.
    pub(crate) token: Option<&'r TokenState>,
    /// Whether it is the same sign-in that the writer has opened.
    pub(crate) is_same_sign_in: bool,
}

/// What became of the writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The write at this place has happened, and no other one.
    Happened(usize),
    /// Another request has signed in since: the stored session is not for this writer.
    SignedInElsewhere,
    /// None has happened, and none of them can happen beside the next one.
    NoneHappened,
    /// One of them may have happened.
    Unknown,
}

/// What became of `sent`, in the order that keeps a writer from reading what is not its own: its
/// own stamps first, then the sign-in, and only then the record.
///
/// Each write names the one that it replaces. So if all of those are known (in place, or replaced
/// by a known write that is none of `sent`), none of `sent` has happened, and of one that arrives
/// late and the next one, only one can.
pub(crate) fn resolve(sent: &[SentWrite], found: Found<'_>) -> Finding {
    let knows = |stamp| found.stamp == stamp || found.token.is_some_and(|token| token.knows(stamp));
    if let Some(at) = sent.iter().rposition(|sent| knows(sent.stamp)) {
        return Finding::Happened(at);
    }
    if !found.is_same_sign_in {
        return Finding::SignedInElsewhere;
    }
    let is_clear = |sent: &SentWrite| !sent.is_doubtful || sent.expected.is_some_and(knows);
    match sent.iter().all(is_clear) {
        true => Finding::NoneHappened,
        false => Finding::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionToken;
    use crate::manager::identity::Grace;
    use std::time::Duration;

    fn stamps<const N: usize>() -> [Stamp; N] {
        std::array::from_fn(|_| Stamp::generate())
    }

    /// A record that was written by each of `writes`, one after the other.
    fn written(writes: &[Stamp]) -> (Stamp, TokenState) {
        let token = SessionToken::generate();
        let mut state = TokenState::of(&token, Duration::ZERO, Grace::DEFAULT, false);
        let (last, before) = writes.split_last().expect("at least one");
        for write in before {
            state = state.written_over(*write);
        }
        (*last, state)
    }

    fn sent(stamp: Stamp, expected: Stamp) -> SentWrite {
        SentWrite {
            stamp,
            expected: Some(expected),
            is_doubtful: true,
        }
    }

    fn finding(sent: &[SentWrite], writes: &[Stamp], is_same_sign_in: bool) -> Finding {
        let (stamp, token) = written(writes);
        let token = Some(&token);
        resolve(
            sent,
            Found {
                stamp,
                token,
                is_same_sign_in,
            },
        )
    }

    #[test]
    fn a_write_that_is_in_place_or_in_the_trail_has_happened() {
        let [first, mine, a, b] = stamps();
        let sent = [sent(mine, first)];
        for writes in [
            vec![first, mine],
            vec![first, mine, a],
            vec![first, mine, a, b],
        ] {
            assert_eq!(finding(&sent, &writes, true), Finding::Happened(0));
            assert_eq!(finding(&sent, &writes, false), Finding::Happened(0));
        }
    }

    #[test]
    fn a_write_whose_predecessor_is_known_has_not_happened() {
        let [first, mine, a, b] = stamps();
        let sent = [sent(mine, first)];
        for writes in [vec![first], vec![first, a], vec![first, a, b]] {
            assert_eq!(finding(&sent, &writes, true), Finding::NoneHappened);
            assert_eq!(finding(&sent, &writes, false), Finding::SignedInElsewhere);
        }
    }

    #[test]
    fn the_outcome_is_unknown_after_more_writes_than_the_trail_has() {
        let [first, mine] = stamps();
        let others: [Stamp; 9] = stamps();
        let sent = [sent(mine, first)];
        let after = |count: usize, before: &[Stamp]| [before, &others[..count]].concat();
        // Eight others leave the write in the trail, nine push it out.
        assert_eq!(
            finding(&sent, &after(8, &[first, mine]), true),
            Finding::Happened(0)
        );
        assert_eq!(
            finding(&sent, &after(9, &[first, mine]), true),
            Finding::Unknown
        );
        assert_eq!(
            finding(&sent, &after(8, &[first]), true),
            Finding::NoneHappened
        );
        assert_eq!(finding(&sent, &after(9, &[first]), true), Finding::Unknown);
        let refused = [SentWrite {
            is_doubtful: false,
            ..sent[0]
        }];
        assert_eq!(
            finding(&refused, &after(9, &[first]), true),
            Finding::NoneHappened
        );
    }

    #[test]
    fn every_attempt_is_asked_for_not_the_last_alone() {
        let [first, early, late, other] = stamps();
        // The first attempt arrived after it was looked for, and the second one was refused by it.
        let sent = [sent(early, first), sent(late, first)];
        assert_eq!(finding(&sent, &[first, early], true), Finding::Happened(0));
        assert_eq!(
            finding(&sent, &[first, early, other], true),
            Finding::Happened(0)
        );
        assert_eq!(finding(&sent, &[first, late], true), Finding::Happened(1));
        assert_eq!(finding(&sent, &[first, other], true), Finding::NoneHappened);
        let [unknown] = stamps();
        let sent = [
            SentWrite {
                expected: Some(unknown),
                ..sent[0]
            },
            sent[1],
        ];
        assert_eq!(finding(&sent, &[first, other], true), Finding::Unknown);
    }

    #[test]
    fn a_layout_without_a_trail_knows_what_is_in_place_only() {
        let [first, mine, other] = stamps();
        let sent = [sent(mine, first)];
        let found = |stamp| Found {
            stamp,
            token: None,
            is_same_sign_in: true,
        };
        assert_eq!(resolve(&sent, found(mine)), Finding::Happened(0));
        assert_eq!(resolve(&sent, found(first)), Finding::NoneHappened);
        assert_eq!(resolve(&sent, found(other)), Finding::Unknown);
    }
}
