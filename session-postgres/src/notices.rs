//! Notices of sessions that end, by `LISTEN`: one channel for each table.
//!
//! The statements that end sessions and sign in announce that themselves, when they are committed. A
//! message is:
//!
//! | message | meaning |
//! |---|---|
//! | `-` and an id in hexadecimal digits | it has ended |
//! | `~` and an id | it has been signed in anew |
//! | `*` | sessions of the store have been cleared |
//! | `?` and digits | a listener asks whether it hears anything |
//!
//! Each role of the database may send any message on any channel. So a message ends nothing: it says
//! which session to ask the store for.

use std::fmt;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use session_core::backend::Call;
use session_core::{Error, Notice, NoticeStream, Result, Stamp};
use session_sql::record::{bytes, integer, parse_id};
use session_sql::{Commands, SqlClient};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Executor, Row};
use tokio::time::timeout;

use crate::Postgres;
use crate::schema::Statements;

/// How long the server may say nothing before it is asked whether it is there: a connection that a
/// firewall has forgotten looks like one on which nothing happens.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a connection is used, as those of the pool are: then the address may lead elsewhere.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// What says that notices may have been missed.
const MISSED: &str = "*";
const DEAF: &str = "the connection that listens hears nothing: behind a pooler in transaction mode, set \
                    `notices` to false";

/// What listens to the announcements of a table.
#[derive(Clone)]
pub(crate) struct Listener {
    options: PgConnectOptions,
}

/// One listening connection.
struct Listening {
    listener: PgListener,
    opened: Instant,
    options: PgConnectOptions,
    call: Call<SqlClient<Postgres>>,
    sql: Statements,
}

impl Listener {
    /// For connections with these options, with which a store connects too.
    pub(crate) const fn new(options: PgConnectOptions) -> Self {
        Self { options }
    }

    /// The notices from now on, over a connection of their own.
    pub(crate) fn listen(&self, call: Call<SqlClient<Postgres>>, sql: Statements) -> NoticeStream {
        let options = self.options.clone();
        let opened = async move {
            let listening = Listening::open(options, call, sql).await?;
            let first = stream::iter([Ok(Notice::Missed)]);
            let notices = stream::try_unfold(listening, |listening| async move {
                let (message, listening) = listening.next().await?;
                Ok::<_, Error>(Some((message, listening)))
            });
            let notices = notices.try_filter_map(|message| async move { Ok(read(&message)) });
            Ok::<_, Error>(first.chain(notices))
        };
        Box::pin(stream::once(opened).try_flatten())
    }
}

/// The process of the server that serves a connection.
const SELECT_PROCESS: &str = "SELECT pg_backend_pid()";

/// The name of the channel, by another connection than that of `process`. Two that have one process are
/// a pooler's, and what is bound to them would disturb other clients.
async fn channel(
    call: &Call<SqlClient<Postgres>>,
    sql: &Statements,
    process: i64,
) -> Result<String> {
    let commands = Commands::new(call, &sql.table);
    let rows = commands.fetch(|| sql.channel.query()).await?;
    let row = rows.first().ok_or_else(|| commands.target().no_table())?;
    if integer::<Postgres>(row, 1)? == process {
        return Err(commands.target().misconfigured(DEAF));
    }
    let name = bytes::<Postgres>(row, 0)?;
    Ok(String::from_utf8_lossy(name).into_owned())
}

/// Connects, and returns the process of the connection.
async fn connect(options: PgConnectOptions, limit: Duration) -> sqlx::Result<(PgListener, i64)> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .acquire_timeout(limit)
        .connect_lazy_with(options);
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.ignore_pool_close_event(true);
    listener.eager_reconnect(false);
    // In one message, since a pooler may send two over different connections.
    let row = listener.fetch_one(sqlx::raw_sql(SELECT_PROCESS)).await?;
    Ok((listener, row.try_get::<i32, _>(0)?.into()))
}

impl Listening {
    async fn open(
        options: PgConnectOptions,
        call: Call<SqlClient<Postgres>>,
        sql: Statements,
    ) -> Result<Self> {
        let limit = call.timeout();
        let late = |_| Error::no_answer(call.name(), call.place(), limit);
        let failed = |error| failed(&call, &sql, &error);
        let connected = timeout(limit, connect(options.clone(), limit)).await;
        let (mut listener, process) = connected.map_err(late)?.map_err(failed)?;
        let channel = channel(&call, &sql, process).await?;
        let listens = timeout(limit, listener.listen(&channel)).await;
        listens.map_err(late)?.map_err(failed)?;
        let mut listening = Self {
            listener,
            opened: Instant::now(),
            options,
            call,
            sql,
        };
        listening.check_hears().await?;
        Ok(listening)
    }

    /// Sends a message by another connection, and waits for it: a pooler may have given back the
    /// connection that listens.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if it does not arrive in time.
    async fn check_hears(&mut self) -> Result<()> {
        let asked = format!("?{}", hex::encode(Stamp::generate().as_bytes()));
        let commands = Commands::new(&self.call, &self.sql.table);
        let send = || self.sql.announce.query().bind(asked.clone());
        commands.fetch_written(send).await?;
        let limit = self.call.timeout();
        let heard = async {
            while self.receive().await? != asked {}
            Ok(())
        };
        let heard = timeout(limit, heard).await;
        heard.unwrap_or_else(|_| {
            Err(Commands::new(&self.call, &self.sql.table)
                .target()
                .misconfigured(DEAF))
        })
    }

    /// The next message. A connection that is too old is replaced, after which messages may have been
    /// missed.
    ///
    /// # Errors
    /// If the connection is lost: messages may be, too.
    async fn next(mut self) -> Result<(String, Self)> {
        loop {
            if self.opened.elapsed() > MAX_AGE {
                let new = Self::open(self.options, self.call, self.sql).await?;
                return Ok((MISSED.to_owned(), new));
            }
            match timeout(SILENCE, self.receive()).await {
                Ok(message) => return Ok((message?, self)),
                Err(_) => self.ask().await?,
            }
        }
    }

    /// # Errors
    /// If the connection is lost.
    async fn receive(&mut self) -> Result<String> {
        match self.listener.try_recv().await {
            Ok(Some(message)) => Ok(message.payload().to_owned()),
            Ok(None) => {
                let commands = Commands::new(&self.call, &self.sql.table);
                let lost = commands.target().at("the connection was closed");
                Err(Error::unavailable("notices", lost))
            }
            Err(error) => Err(failed(&self.call, &self.sql, &error)),
        }
    }

    /// Asks the server whether it is there. Messages that arrive meanwhile are kept.
    async fn ask(&mut self) -> Result<()> {
        let limit = self.call.timeout();
        match timeout(limit, self.listener.execute("SELECT 1")).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failed(&self.call, &self.sql, &error)),
            Err(_) => {
                let (name, place) = (self.call.name(), self.call.place());
                Err(Error::no_answer(name, place, limit))
            }
        }
    }
}

fn failed(call: &Call<SqlClient<Postgres>>, sql: &Statements, error: &sqlx::Error) -> Error {
    let commands = Commands::new(call, &sql.table);
    commands.target().error::<Postgres>(error)
}

/// What a message says. One of another version may say anything, and no message is believed that says
/// that a session has ended.
fn read(message: &str) -> Option<Notice> {
    if message == MISSED {
        return Some(Notice::Missed);
    }
    let digits = message.strip_prefix(['-', '~'])?;
    let id = parse_id(&hex::decode(digits).ok()?).ok()?;
    Some(Notice::Changed(id))
}

/// Hides the options, which may contain a password.
impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use session_core::SessionId;

    use super::*;

    #[test]
    fn messages_say_which_sessions_to_ask_for() {
        let id = SessionId::from_stored("abc").expect("valid");
        assert_eq!(read("-616263"), Some(Notice::Changed(id.clone())));
        assert_eq!(read("~616263"), Some(Notice::Changed(id)));
        assert_eq!(read("*"), Some(Notice::Missed));
        for nonsense in ["-61626", "-ü", "", "?616263", "616263", "**", "ü"] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_listener_shows_no_password() {
        let options = "postgres://u:hunter2@h/d".parse().expect("a URL");
        let shown = format!("{:?}", Listener::new(options));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
