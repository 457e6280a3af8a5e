//! Sessions in Redis, Redis Cluster or Valkey.
//!
//! | product | the conformance suite runs on |
//! |---|---|
//! | Redis | 7.0, 8.0, 8.2; 6.2 has the commands that the scripts use too, and is not tested |
//! | Redis Cluster | 7.0, three primaries; it always takes scripts |
//! | Valkey | 9.1, also for a user without scripts; also as a cluster of three primaries with a replica each |
//!
//! Other tests run behind Sentinels (Redis 7.0, Valkey 9.1), and with TLS to a server and to Sentinels
//! (Redis 7.0). Redis 8.4 is not tested; its `IFDEQ` is not used.
//!
//! ```no_run
//! # async fn example() -> session_redis::Result<()> {
//! use session_redis::{RedisStore, Sessions};
//!
//! let store = RedisStore::connect("redis://127.0.0.1/").await?;
//! let sessions = Sessions::new(store);
//!
//! let session = sessions.start();
//! session.insert("name", "Napoleon")?;
//! session.save().await?;
//! # Ok(()) }
//! ```
//!
//! # What is stored
//!
//! | key | value |
//! |---|---|
//! | `prefix{id}` | one session: a header, the owner, the credential, the description, the data |
//! | `prefixowner:hash` | the index of one owner: a sorted set of session ids, by deadline; `hash` is the SHA-256 of the owner |
//! | `prefixexpiry:{NN}.due` | the [expiry index](#expiry), in 16 shards: a sorted set of session ids, by when to look for them |
//! | `prefixexpiry:{NN}.known` | a hash: of each of these, version 1, when it began (8 bytes, as above) and its owner |
//! | `prefixexpiry:{NN}.claims` | which of them are being reported |
//!
//! The braces around the id are part of the key; they make the id the hash tag of Redis Cluster.
//! Characters of an id that are not URL-safe are percent-encoded.
//!
//! The header is 53 bytes. Numbers are big-endian, times and limits are in milliseconds:
//!
//! | bytes | content |
//! |---|---|
//! | 0 | version, 4 |
//! | 1–8 | when the session began, Unix time of the server |
//! | 9–16 | deadline, Unix time of the server, 0 for never; the key expires in the last millisecond before it |
//! | 17–32 | stamp |
//! | 33–34 | length of the owner |
//! | 35–42 | idle limit, 0 for none |
//! | 43–50 | absolute limit, 0 for none |
//! | 51 | length of the credential |
//! | 52 | length of the description |
//!
//! The key of a session that is written without scripts may expire some milliseconds after its
//! deadline: the server counts its idle limit from the write, the value from the earliest moment
//! that the write may have. A load goes by the value. So a key whose expiry was removed is no
//! session after its deadline either.
//!
//! # Compare-and-set, or scripts
//!
//! Every write compares what is stored with what it expects, and replaces it, in one step. Servers
//! with `SET … IFEQ` (Valkey 8.1 and later; Redis 8.4 has it too and is not tested) do so by their
//! own commands, without scripts, so the user needs no right to run any. Other servers run a
//! script. Each new connection asks the server with the command itself;
//! [`RedisBackend::lane`] tells. A cluster and a `ConnectionManager` always take scripts.
//!
//! Both ways write the same bytes, so instances of both may share keys, for example during an
//! upgrade or after a failover to an older server.
//!
//! Without scripts:
//!
//! * A save replaces exactly the bytes that were loaded, which [`Version`](session_core::Version)
//!   carries. If the session was only touched since, the save reads those bytes and is sent again:
//!   that is no conflict.
//! * A deadline comes from a reading of the server's clock, which is at most 1 s old and belongs to
//!   one connection. It is early by the uncertainty of the reading: at most 0.25 ms, or twice the
//!   least that the link allows, and never late. A key never outlives the absolute limit.
//! * A touch reads the session and writes the whole value. A `destroy_owned_by` reads the values of
//!   the sessions that it ends.
//!
//! # Round trips
//!
//! | operation | without scripts | with scripts | cluster |
//! |---|---|---|---|
//! | load | 1 | 1 | 1 |
//! | create | 1 | 1 | 1; 2 with an owner |
//! | save | 1; 3 if it was only touched since | 1 | 1; 2 with an owner |
//! | touch | 2 | 1; 2 with an owner, if the deadline moves | 1; 3 |
//! | destroy | 1; 2 for a version of which only the stamp is known | 1 | 1 |
//! | `owned_by`, a page | 1, and 1 for each id, up to 64 at a time | the same | the same |
//! | `destroy_owned_by` | 3 for each 1,000 ids of the index | 2 | 1 for each id, up to 64 at a time |
//!
//! Without scripts, a create or save that makes the owner's index takes two more, and these one:
//!
//! * a write whose connection has no good reading of the clock, if nothing was written for 1 s;
//! * a save for which only the stamp of the version is known;
//! * a conflict, to learn that it is one.
//!
//! A load, and a write without scripts, also sends `TIME` if the last answer to it is older than
//! 1 s, or 0.5 s. A destroy of a session with an owner also removes the id from the owner index,
//! without waiting for the answer. Saves of one batch that set the same limits share one call of
//! the script.
//!
//! # Repeats
//!
//! The driver opens a broken connection again, and the store repeats the commands that were sent on
//! it, up to three times for each cause within the [time limit](RedisStoreBuilder::timeout). It
//! also repeats a command that a server refuses because it is not the primary or not ready: on a
//! new connection, because the address may lead to another server by then.
//!
//! The stamp shows what the first attempt did. Where it no longer can, a save or create answers
//! [`Saved::Unknown`](session_core::Saved::Unknown), and a destroy that finds no session answers
//! [`Ended::unknown`]. A repeated create brings a session back if another process has ended it
//! between the two attempts; only an operation that ends all sessions of an owner or of the store
//! can do so.
//!
//! # Clusters
//!
//! A URL such as `redis+cluster://user:password@host1:7000,host2:7000/` or
//! [`Connection::cluster`] names some of the nodes, which tell the store of the others. Each
//! primary has a connection of its own, and batches are made for each. A command that another node
//! answers with `MOVED` or `ASK` is sent again there; it was not executed, and the others of its
//! batch were. When a primary fails, only its own sessions are unavailable until a replica takes
//! over; `docs/operations.md` tells what the store does meanwhile.
//!
//! Listings walk over the slots, not over the nodes: each session that exists throughout is found
//! while slots move and after a failover. A prefix with a hash tag puts all sessions into one slot,
//! which a listing then reads as a whole for each page.
//!
//! # Expiry
//!
//! Redis removes expired sessions itself and reports none, unless
//! [`RedisStoreBuilder::expiry_reports`] is set. Then a create also writes an entry of the expiry
//! index, in the same round trip, and a [`Reaper`] looks for each session when its time has passed.
//! If the session is gone, the reaper claims the entry, reports the session, and removes the entry;
//! if not, the entry gets the session's new deadline. An entry is written again after a save that is
//! a sign-in, or sets a shorter lifetime than another save of this process did; the caller does not
//! wait for that. Other saves, and touches, cost nothing more.
//!
//! A claim that was not confirmed for 60 s, because its process died, is taken over by another
//! reaper: each expiry is reported at least once, and once only while no process dies and no answer
//! is lost. A create whose outcome is unknown may be reported though it was not stored.
//!
//! # Owner indexes
//!
//! An owner index may name too many sessions, never too few. An id is added before its session is
//! written and before a touch extends it, and stays until the session is destroyed or its deadline
//! has passed by an hour. A session that gets another owner stays in the old index too, so readers
//! of an index check the owner of each session. Each write to an index removes some of the entries
//! whose time has passed (without scripts each new entry does), and the index itself expires an hour
//! after its last session (without scripts after the longest that one could live). The store
//! does not use Redis' `expired` events, which may come late or never.
//!
//! On one server the index entry and the session are sent in one pipeline. If the server refuses
//! only the entry (the user may not run `ZADD`, or memory is short), the session is written without
//! it. Its caller gets an error that [is doubtful](session_core::Error::is_doubtful), other saves of
//! the batch succeed, and the next save or touch adds the entry. In a cluster, where the entry goes
//! first, the session is not written.
//!
//! Indexes are read by `ZSCAN`, which returns each id that is present throughout at least once;
//! ranks shift when entries are removed. A cursor of `ZSCAN` and `SCAN` belongs to the process that
//! began it. `INFO server`, once for each connection that continues a listing, tells which that is:
//! after a failover or a restart the listing begins again, so sessions may come twice and none is
//! missed. For a user who may not run `INFO` it goes on, and may miss some: start it again.
//!
//! If the key of an index holds a value of another type, the store does not replace it, because a
//! new index would lack the existing sessions. Sessions of that owner are written without an index,
//! and `owned_by` and `destroy_owned_by` read all sessions of the store.
//!
//! # Notices
//!
//! A store publishes the sessions that it destroys and signs in anew, on the channel
//! `prefixended:database`: streams in [other processes](session_core::Session::ended) close then. It
//! listens only while a stream is open, on a connection of its own. The destroy script publishes by
//! itself, which costs no round trip; a sign-in, and a destroy without scripts, sends one `PUBLISH`
//! whose answer is not waited for.
//! [`RedisStoreBuilder::notices`] switches it off. A user who may not publish or listen to
//! that channel (`&session:*` in an ACL) is no error: streams close within the lease then, and a
//! warning says why. A store that is made of a `ConnectionManager` publishes and can't listen: its
//! streams have the lease.
//!
//! # Invalidations
//!
//! A store tells of all writes to its sessions, also by other programs, if it is [asked
//! to](session_core::SessionStore::invalidations), as by `CachedStore` of the crate `session-cached`:
//! by `CLIENT TRACKING` in broadcasting mode, on a connection of its own, which is pinged. It needs
//! RESP3, and the right to `CLIENT TRACKING`. There are none in a cluster, nor of a store that is
//! made of a `ConnectionManager`, nor behind Sentinel, nor in Express' layout.
//!
//! # Connections
//!
//! A store uses one multiplexed connection, in a cluster one for each primary, or
//! [more](RedisStoreBuilder::connections); another one for [notices](#notices) while a stream is
//! open, and another one for [invalidations](#invalidations) while they are listened to. It
//! replaces a connection if a call is given up and nothing has arrived for half of the [time
//! limit](RedisStoreBuilder::timeout), or if the server is not the primary; of several connections,
//! all if a call over one of them waits for so long. The next call uses the new connection.
//!
//! Certificates, passwords of a [file](RedisStoreBuilder::password_file) and
//! [credentials that expire](RedisStoreBuilder::credentials) are read anew for each connection. A
//! server that ends a connection because its token has expired costs the calls in flight one repeat.
//!
//! # Sentinel
//!
//! With `redis+sentinel://host1,host2,host3/group`, or [`Connection::sentinel`], the store asks the
//! Sentinels for the primary of the group each time it opens a connection: all of them at once, and
//! of different answers it takes the one with the latest configuration epoch among those that arrive
//! within 100 ms of the first. A Sentinel that is down costs no time. If the server that they name
//! can't be connected to or is a replica, they are asked again every 200 ms, for three fifths of the
//! [time limit](RedisStoreBuilder::timeout) of a call at most.
//!
//! After a failover the store leaves the old primary:
//!
//! | the old primary | the store leaves it |
//! |---|---|
//! | has died | at once, because the connection breaks |
//! | has become a replica | when it refuses a write |
//! | still takes writes | when a Sentinel tells of the failover |
//! | is silent | when a Sentinel tells of the failover, or a call has waited for its time limit |
//!
//! While it has a connection, the store subscribes to `+switch-master` at each Sentinel, over a
//! connection of its own, and asks each once a second. It leaves the primary when the first of them
//! names another, with a later configuration epoch or after that Sentinel has named this primary.
//! This matters because a replaced primary may go on taking writes, which are lost: for up to ten
//! seconds after `SENTINEL FAILOVER`, and after a pause or a partition until the Sentinels reach
//! it. Two gaps remain: writes that the old primary takes before a Sentinel tells the store, and a
//! store that is cut off, with the old primary, from all Sentinels that know of the failover.
//! `min-replicas-to-write` at the servers bounds both.
//!
//! The Sentinels' user needs `SENTINEL GET-MASTER-ADDR-BY-NAME`, and should have `SENTINEL MASTER`
//! for the epoch and `SUBSCRIBE` on `+switch-master`; without the latter a failover is noticed up to a
//! second later. With TLS, the addresses that the Sentinels name must be in the servers'
//! certificates. The tests run three Sentinels, a primary and a replica, of Redis 7.0 and Valkey 9.1.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answers;
mod backend;
mod builder;
mod certificates;
mod check;
mod client;
mod clock;
mod cluster;
mod command;
mod compare;
mod connection;
mod connector;
mod credentials;
mod directory;
mod error;
mod expiry;
#[cfg(feature = "express")]
pub mod express;
mod inspection;
mod invalidations;
mod keepalive;
mod keys;
mod lane;
mod link;
mod links;
mod load;
mod notices;
mod opener;
mod options;
mod owner_index;
mod record;
mod rights;
mod route;
mod save_many;
mod scan;
mod script;
mod scripted;
mod sentinel;
mod server;
mod url;

pub use redis;
pub use session_core::{
    self, Cursor, Description, EndId, EndKind, EndReason, Ended, Error, ErrorKind, Event, Flash,
    Lifetime, Limits, Observer, OnReuse, Owner, Page, Reaper, Result, Session, SessionDirectory,
    SessionEnd, SessionId, SessionInfo, SessionStore, SessionToken, Sessions, SessionsBuilder,
    Timeout, Ttl,
};

pub use backend::{RedisBackend, RedisStore};
pub use builder::RedisStoreBuilder;
pub use client::RedisClient;
pub use connection::Connection;
pub use url::url_options;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
