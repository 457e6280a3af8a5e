//! What the errors of databases mean.

/// What an error of the database means, whatever its code is there.
///
/// Each dialect names its codes by these ([`Dialect::cause`](crate::Dialect::cause)); what follows
/// from them is the same for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A primary or unique key is taken. Nothing was written.
    Duplicate,
    /// The server can't parse the statement and has not executed it.
    Syntax,
    /// The user lacks a right on the table.
    Forbidden,
    /// The server, or the user's account, allows no more connections.
    Full(&'static str),
    /// The server is shutting down, takes no writes, or is not the one that prepared the statement.
    /// A new connection may lead to another. The statement was not executed.
    WrongServer(&'static str),
    /// A deadlock, a lock that is held, a row that changed under a snapshot: the same statement may
    /// succeed at once. It was not executed.
    Retryable(&'static str),
    /// The connection to the server broke behind what answers (a pooler, a proxy), or the disk failed.
    /// The statement may have been executed.
    Lost(&'static str),
    /// Another connection holds the whole database. The statement was not executed; it is sent
    /// again until 0.8 of the operation's time limit has passed, repeats included.
    Busy(&'static str),
    /// The server has no room for another prepared statement.
    NoRoomToPrepare(&'static str),
    /// The same statement may succeed later. It was not executed.
    Temporary(&'static str),
    /// The server stopped the statement: it took too long.
    Interrupted(&'static str),
    /// The user name, password or database is refused.
    Refused,
    /// There is no such database.
    NoDatabase,
    /// There is no such table.
    NoTable,
    /// The table lacks a column.
    NoColumn,
    /// A column can't hold a value. Nothing was written.
    DoesNotFit,
    /// The table can't have this name.
    BadName,
    /// Something about the server or the connection's options that must be changed: a sentence.
    Misconfigured(&'static str),
    /// None of these.
    Other,
}

impl Cause {
    /// Whether to repeat the statement.
    #[must_use]
    pub(crate) const fn may_repeat(&self) -> bool {
        matches!(
            self,
            Self::WrongServer(_) | Self::Retryable(_) | Self::Lost(_) | Self::NoRoomToPrepare(_)
        )
    }

    /// Whether the connection can't be used again.
    #[must_use]
    pub(crate) const fn is_broken(&self) -> bool {
        matches!(
            self,
            Self::WrongServer(_) | Self::Lost(_) | Self::NoRoomToPrepare(_)
        )
    }
}
