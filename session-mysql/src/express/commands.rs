//! The way to the table, for an operation by its name.

use std::sync::Arc;

use session_core::backend::{Backend, Call, Create, Destroy, Operation, Policy, Save, Sent, Touch};
use session_core::{Ended, Error, Record, Result, Saved, SessionId, Ttl};
use sqlx::mysql::MySqlRow;

use super::schema::Statements;
use super::table::Shape;
use crate::command;
use crate::connector::{MysqlClient, MysqlConnector};
use crate::statement::Bound;
use crate::table::{Difference, Table};

/// Sends nothing by itself.
#[derive(Debug)]
struct Bare(Policy);

type Answers<T> = Result<Vec<Result<T>>>;

fn none<T>() -> Answers<T> {
    Err(Error::store("answer", "no operation"))
}

impl Backend for Bare {
    type Client = MysqlClient;
    const NAME: &'static str = "mysql";

    fn policy(&self) -> Policy {
        self.0
    }

    async fn create(&self, _: &Call<MysqlClient>, _: &[Create]) -> Answers<Saved> {
        none()
    }

    async fn load(&self, _: &Call<MysqlClient>, _: &[SessionId]) -> Answers<Option<Record>> {
        none()
    }

    async fn save(&self, _: &Call<MysqlClient>, _: &[Save]) -> Answers<Saved> {
        none()
    }

    async fn touch(&self, _: &Call<MysqlClient>, _: &[Touch]) -> Answers<Option<Ttl>> {
        none()
    }

    async fn destroy(&self, _: &Call<MysqlClient>, _: &[Destroy]) -> Answers<Option<Ended>> {
        none()
    }
}

#[derive(Clone)]
pub(super) struct Commands {
    store: session_core::backend::Store<Bare>,
    table: Arc<str>,
    pub(super) sql: Arc<Statements>,
}

impl Commands {
    pub(super) fn new(
        connector: MysqlConnector,
        policy: Policy,
        table: &str,
        sql: Statements,
    ) -> Self {
        let first = connector.client();
        Self {
            store: session_core::backend::Store::new(Bare(policy), connector, first),
            table: table.into(),
            sql: Arc::new(sql),
        }
    }

    pub(super) fn no_table(&self) -> Error {
        Error::misconfigured("there is no such table: migrate the store first")
    }
}

fn named(operation: &str) -> Operation {
    let mut all = Operation::ALL.into_iter();
    let found = all.find(|other| other.as_str() == operation);
    found.unwrap_or(Operation::Save)
}

macro_rules! commands {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        impl Commands {$(
            pub(super) async fn $name(&self, operation: &str $(, $argument: $type)*) -> $answer {
                let work = |call| async move {
                    command::Commands::new(&call, &self.table).$name($($argument),*).await
                };
                self.store.by_command(named(operation), work).await
            }
        )*}
    };
}

commands! {
    fetch(statement: impl Fn() -> Bound) -> Result<Vec<MySqlRow>>;
    fetch_from_writable(wanted: usize, statement: impl Fn() -> Bound) -> Result<Vec<MySqlRow>>;
    write(statement: impl Fn() -> Bound) -> Result<Sent<Option<u64>>>;
    execute(statement: impl Fn() -> Bound) -> Result<Sent<u64>>;
    table() -> Result<Option<Table>>;
    table_or_create(create: impl Fn() -> Bound) -> Result<Table>;
    check_rights(columns: &[&str]) -> Result<()>;
    require_of(checked: Result<Shape, Difference>) -> Result<Shape>;
}
