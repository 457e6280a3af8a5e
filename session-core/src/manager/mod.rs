//! What an application holds: a store with rules, and the sessions opened in it.

pub(crate) mod csrf;
pub(crate) mod data;
pub(crate) mod description;
pub(crate) mod end_id;
pub(crate) mod ended;
pub(crate) mod ending;
pub(crate) mod expiry;
pub(crate) mod finite;
pub(crate) mod flash;
pub(crate) mod guard;
pub(crate) mod handle;
pub(crate) mod identity;
pub(crate) mod in_doubt;
pub(crate) mod judged_token;
pub(crate) mod lifecycle;
pub(crate) mod limits;
#[cfg(feature = "metrics")]
mod metrics;
pub(crate) mod observer;
pub(crate) mod ordered_map;
pub(crate) mod password;
pub(crate) mod patch;
pub(crate) mod presented_token;
pub(crate) mod reaper;
pub(crate) mod reserved;
pub(crate) mod reuse;
pub(crate) mod same;
pub(crate) mod session;
pub(crate) mod sessions;
pub(crate) mod unsaved;
pub(crate) mod value;
pub(crate) mod variables;
pub(crate) mod watch;
pub(crate) mod write;

pub use data::Data;
pub use end_id::{EndId, EndKind};
pub use ended::SessionEnd;
pub use flash::Flash;
pub use handle::{RequestSession, SessionHandle};
pub use limits::Limits;
pub use observer::{EndReason, Event, LogObserver, Observer, Refusal, Unreadable};
pub use presented_token::PresentedToken;
pub use reaper::Reaper;
pub use reuse::OnReuse;
pub use session::Session;
pub use sessions::{SessionStream, Sessions, SessionsBuilder};
