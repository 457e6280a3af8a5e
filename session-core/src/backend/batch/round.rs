//! A batch in rounds, in each of which no two operations are about the same session.

use std::collections::HashMap;
use std::ops::Range;

use tracing::Span;

use super::in_flight::{Entry, Message};
use super::runtime::oneshot;
use super::{BatchOperation, Duplicates, Item};
use crate::{Error, Result, SessionId};

/// Operations of which no two are about the same session.
pub(super) struct Round<O: BatchOperation> {
    pub(super) items: Vec<O::Item>,
    /// Those of the callers that have one.
    pub(super) spans: Vec<Span>,
    callers: Vec<Callers<O>>,
}

/// The callers of one answer: the first, and others whose operation was coalesced with its own.
struct Callers<O: BatchOperation> {
    first: Option<oneshot::Sender<Message<O>>>,
    others: Vec<oneshot::Sender<Message<O>>>,
}

impl<O: BatchOperation> Round<O> {
    /// The first round of a batch, and what is left for the next ones.
    pub(super) fn of(batch: Vec<Entry<O>>) -> (Self, Vec<Entry<O>>) {
        let mut round = Self {
            items: Vec::with_capacity(batch.len()),
            spans: Vec::new(),
            callers: Vec::with_capacity(batch.len()),
        };
        let mut later = Vec::new();
        for (entry, earlier) in with_earlier(batch) {
            match earlier {
                None => round.push(entry),
                Some(place) if O::DUPLICATES == Duplicates::Coalesce => {
                    round.callers[place].others.push(entry.caller);
                    round.add_span(entry.span);
                }
                Some(_) => later.push(entry),
            }
        }
        (round, later)
    }

    fn push(&mut self, entry: Entry<O>) {
        self.add_span(entry.span);
        self.items.push(entry.item);
        self.callers.push(Callers {
            first: Some(entry.caller),
            others: Vec::new(),
        });
    }

    fn add_span(&mut self, span: Span) {
        if !span.is_disabled() {
            self.spans.push(span);
        }
    }

    pub(super) fn answer(&mut self, part: Range<usize>, answers: Vec<Result<O::Answer>>) {
        debug_assert_eq!(answers.len(), part.len(), "an answer for each");
        for (place, answer) in part.zip(answers) {
            self.answer_one(place, answer);
        }
    }

    pub(super) fn fail(&mut self, part: Range<usize>, error: &Error) {
        for place in part {
            self.answer_one(place, Err(error.clone()));
        }
    }

    fn answer_one(&mut self, place: usize, answer: Result<O::Answer>) {
        let Callers { first, others } = &mut self.callers[place];
        // A caller that has gone away needs no answer.
        for caller in others.drain(..) {
            let _ = caller.send(Message::Answer(answer.clone()));
        }
        let _ = (first.take()).map(|caller| caller.send(Message::Answer(answer)));
    }
}

/// Each entry, with the place of its session among the different ones if that came earlier.
fn with_earlier<O: BatchOperation>(
    batch: Vec<Entry<O>>,
) -> impl Iterator<Item = (Entry<O>, Option<usize>)> {
    let mut places: HashMap<&SessionId, usize> = HashMap::new();
    let mut earlier = Vec::new();
    if batch.len() > 1 {
        places.reserve(batch.len());
        for entry in &batch {
            let next = places.len();
            let place = *places.entry(entry.item.id()).or_insert(next);
            earlier.push((place < next).then_some(place));
        }
    }
    let earlier = earlier.into_iter().chain(std::iter::repeat(None));
    batch.into_iter().zip(earlier)
}
