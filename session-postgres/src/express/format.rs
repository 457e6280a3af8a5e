//! What a table must be like to hold Express' records, and how they are stored in it.

use bytes::Bytes;
use session_core::Result;
use session_sql::{Column, Dialect as _, Difference, Table};

use super::json;
use crate::{Postgres, check};

/// The length of an id of express-session.
const ID_CHARACTERS: usize = 32;

/// How records are stored in the columns of a table.
#[derive(Clone, Debug)]
pub(super) struct Format {
    /// Whether the server stores parsed values, in a column of type `jsonb`.
    pub(super) is_parsed: bool,
    /// The time zone of the times in the column `expire`; `None` if they have one.
    pub(super) time_zone: Option<String>,
}

impl Format {
    /// Of a table as this crate and connect-pg-simple create it.
    pub(super) fn new(time_zone: String) -> Self {
        Self {
            is_parsed: false,
            time_zone: Some(time_zone),
        }
    }

    /// Of `table`, where times without a zone are in `time_zone`.
    ///
    /// # Errors
    /// The difference that makes the table unusable.
    pub(super) fn of(table: &Table, time_zone: String) -> std::result::Result<Self, Difference> {
        check::is_table(table)?;
        check::no_row_security(table)?;
        let sid = table.column::<Postgres>("sid")?;
        if !holds_id(&sid.sql_type) {
            return Err(format!("{}, which can't hold a session id", typed(sid)));
        }
        if !table.is_unique_key("sid") {
            return Err("has no primary key or unique index on \"sid\" alone".to_owned());
        }
        let sess = table.column::<Postgres>("sess")?;
        let is_parsed = match &*sess.sql_type {
            "json" => false,
            "jsonb" => true,
            _ => return Err(format!("{}, not json or jsonb", typed(sess))),
        };
        let expire = table.column::<Postgres>("expire")?;
        let has_zone = match &*base_type(&expire.sql_type) {
            "timestamp without time zone" => false,
            "timestamp with time zone" => true,
            _ => return Err(format!("{}, not timestamp(6)", typed(expire))),
        };
        table.check_others::<Postgres>(&["sid", "sess", "expire"])?;
        Ok(Self {
            is_parsed,
            time_zone: (!has_zone).then_some(time_zone),
        })
    }

    /// # Errors
    /// [`ErrorKind::Value`](session_core::ErrorKind::Value) for a value that the column would
    /// change.
    pub(super) fn check(&self, json: &Bytes) -> Result<()> {
        match self.is_parsed {
            true => json::check(json),
            false => Ok(()),
        }
    }
}

/// `character varying(128)`, or without a limit.
fn holds_id(sql_type: &str) -> bool {
    let limit = sql_type.strip_prefix("character varying(");
    let limit = limit.and_then(|limit| limit.strip_suffix(')')?.parse().ok());
    match &*base_type(sql_type) {
        "text" => true,
        "character varying" => limit.is_none_or(|limit: usize| limit >= ID_CHARACTERS),
        _ => false,
    }
}

/// The type without its length or precision: `timestamp(6) without time zone` has it inside.
fn base_type(sql_type: &str) -> String {
    match (sql_type.find('('), sql_type.find(')')) {
        (Some(from), Some(to)) => format!("{}{}", &sql_type[..from], &sql_type[to + 1..]),
        _ => sql_type.to_owned(),
    }
}

fn typed(column: &Column) -> String {
    let name = Postgres::quoted(&column.name);
    format!("has a column {name} of type {}", column.sql_type)
}

#[cfg(test)]
mod tests {
    use session_sql::Index;

    use super::*;

    fn table(sid: &str, sess: &str, expire: &str) -> Table {
        let column = |name: &str, sql_type: &str| Column {
            name: name.to_owned(),
            sql_type: sql_type.to_owned(),
            ..Column::default()
        };
        Table {
            columns: vec![
                column("sid", sid),
                column("sess", sess),
                column("expire", expire),
            ],
            indexes: vec![Index {
                name: "session_pkey".to_owned(),
                is_primary: true,
                is_unique: true,
                columns: vec!["sid".to_owned()],
            }],
            ..Table::default()
        }
    }

    #[test]
    fn tables_of_each_type_that_express_can_use_are_accepted() {
        const LOCAL: &str = "timestamp without time zone";
        const PRECISE: &str = "timestamp(6) without time zone";
        const ZONED: &str = "timestamp(3) with time zone";
        for (sid, sess, expire, is_parsed, has_zone) in [
            ("character varying", "json", PRECISE, false, true),
            ("character varying(32)", "jsonb", LOCAL, true, true),
            ("text", "json", ZONED, false, false),
        ] {
            let format = Format::of(&table(sid, sess, expire), "Z".to_owned()).expect(sid);
            assert_eq!(format.is_parsed, is_parsed);
            assert_eq!(format.time_zone.is_some(), has_zone);
        }
        for (sid, sess, expire, named) in [
            ("character varying(31)", "json", PRECISE, "\"sid\""),
            ("uuid", "json", PRECISE, "\"sid\""),
            ("text", "text", PRECISE, "\"sess\""),
            ("text", "json", "bigint", "\"expire\""),
        ] {
            let difference = Format::of(&table(sid, sess, expire), "Z".to_owned());
            let difference = difference.expect_err(named);
            assert!(difference.contains(named), "{difference}");
        }
        let mut without_key = table("text", "json", PRECISE);
        without_key.indexes.clear();
        let difference = Format::of(&without_key, "Z".to_owned()).expect_err("no key");
        assert!(difference.contains("unique index"), "{difference}");
    }
}
