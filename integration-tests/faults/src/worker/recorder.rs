//! Calls and answers on their way into the history.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use session_core::Error;

use crate::clock::Micros;
use crate::history::{Act, Answer, AnswerLine, CallLine, Line, Log};

/// Numbers the calls of a process.
#[derive(Debug)]
pub(super) struct Recorder {
    process: u32,
    next: AtomicU64,
    log: Arc<Log>,
}

/// A call that was written to the history, and has no answer there yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending(u64);

impl Recorder {
    pub(super) fn new(process: u32, log: Arc<Log>) -> Self {
        let next = AtomicU64::new(0);
        Self { process, next, log }
    }

    pub(super) const fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// A number that no other call or value of the run has.
    pub(super) fn unique(&self) -> u64 {
        u64::from(self.process) << 40 | self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Says that a call is about to be sent.
    pub(super) fn call(&self, caller: u32, session: Option<String>, act: Act) -> Pending {
        let call = self.unique();
        self.log.write(&Line::Call(CallLine {
            process: self.process,
            caller,
            call,
            at: Micros::now(),
            session,
            act,
        }));
        Pending(call)
    }

    /// Says what came of it.
    pub(super) fn answer(&self, call: Pending, answer: Answer) {
        let at = Micros::now();
        self.log.write(&Line::Answer(AnswerLine {
            process: self.process,
            call: call.0,
            at,
            answer,
        }));
    }

    /// As [`answer`](Self::answer), of a call that says how many.
    pub(super) fn finish_count(
        &self,
        call: Pending,
        result: Result<usize, Error>,
    ) -> Result<usize, Error> {
        self.answer(
            call,
            match &result {
                Ok(count) => Answer::EndedMany {
                    count: *count as u64,
                },
                Err(error) => failed(error),
            },
        );
        result
    }
}

/// The answer that is an error.
pub(super) fn failed(error: &Error) -> Answer {
    Answer::Failed {
        kind: format!("{:?}", error.kind()),
        doubtful: error.is_doubtful(),
        text: error.to_string(),
    }
}
