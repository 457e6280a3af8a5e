//! What a store promises: the traits that stores implement, and the types in their signatures.

pub(crate) mod credential;
pub(crate) mod description;
pub(crate) mod info;
pub(crate) mod inspection;
pub(crate) mod invalidation;
pub(crate) mod lifetime;
pub(crate) mod notice;
pub(crate) mod owner;
pub(crate) mod past;
mod record;
pub(crate) mod stamp;
pub(crate) mod store;
pub(crate) mod token;
pub(crate) mod wrapper;

pub use credential::Credential;
pub use description::Description;
pub use info::SessionInfo;
pub use inspection::{Finding, Inspect, Inspection, Severity};
pub use invalidation::{Invalidation, InvalidationStream};
pub use lifetime::{Lifetime, Timeout, Ttl};
pub use notice::{Notice, NoticeStream};
pub use owner::Owner;
pub use past::Past;
pub use record::{Anchor, Draft, Ended, Record, Saved, TokenChange, Version};
pub use stamp::Stamp;
pub use store::{Capabilities, Cursor, Page, SessionDirectory, SessionStore, shared};
pub use token::{SessionId, SessionToken};
pub use wrapper::StoreWrapper;
