//! Which token opens a session: what a record keeps of its token, and how a presented one is
//! judged.
//!
//! Split tokens (also known as selector and verifier): the id finds the record, the rest of the
//! token is verified here. Renewals rotate the secret, and a replaced secret that is used again
//! tells of theft (rotation with reuse detection, as in RFC 9700 §4.14).
//!
//! Everything here is a pure function of a credential, a token and the session's age by the
//! store's clock. `docs/architecture.md` has the layout of a credential and the states of a token.

mod judge;
mod state;
#[cfg(test)]
mod tests;
mod trail;

pub(crate) use judge::Verdict;
pub(crate) use state::{Grace, TokenState};
