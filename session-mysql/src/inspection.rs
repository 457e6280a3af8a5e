//! Settings of a MySQL or MariaDB server that weaken what a store promises.

use session_core::{Finding, Inspection, Result, Severity};
use session_sql::{Commands, Told};

use crate::Mysql;

/// Microseconds since 1970, whatever the time zone of the connection is.
const CLOCK: &str = "\
SELECT CAST(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) AS BINARY)";

/// By how many seconds the time of statements, which a connection may set, is behind the server's.
const FROZEN: &str = "SELECT CAST(TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), SYSDATE()) AS BINARY)";

/// The one that is due first is found by its index.
const OVERDUE: &str = "\
SELECT CAST(TIMESTAMPDIFF(SECOND, `deadline`, UTC_TIMESTAMP()) AS BINARY)
FROM {table} WHERE `due` > 0 ORDER BY `due` LIMIT 1";

/// How many nodes a Galera cluster has: MariaDB's, and that of Percona's cluster.
const GALERA_SIZE: [&str; 2] = [
    "SELECT CAST(VARIABLE_VALUE AS BINARY) FROM information_schema.GLOBAL_STATUS \
     WHERE VARIABLE_NAME = 'wsrep_cluster_size'",
    "SELECT CAST(VARIABLE_VALUE AS BINARY) FROM performance_schema.global_status \
     WHERE VARIABLE_NAME = 'wsrep_cluster_size'",
];

/// Whether the server replicates from another; MySQL 8.0.22 and MariaDB 10.5.1 know the first.
const REPLICA: [&str; 2] = ["SHOW REPLICA STATUS", "SHOW SLAVE STATUS"];

pub(crate) async fn run(commands: Commands<'_, Mysql>) -> Result<Inspection> {
    let version = variable(commands, "version").await?;
    let version = version.text().unwrap_or("of an unknown version");
    let product = match version.contains("MariaDB") {
        true => "MariaDB",
        false => "MySQL",
    };
    let mut found = Inspection::of(format!("{product} {version}"));
    if version.contains("TiDB") {
        found.add(tidb());
    }
    check_role(commands, &mut found).await?;
    check_durability(commands, &mut found).await?;
    check_galera(commands, &mut found).await?;
    commands.compare_clock(CLOCK, &mut found).await?;
    check_frozen(commands, &mut found).await?;
    let overdue = OVERDUE.replace("{table}", &commands.target().quoted_table());
    commands.check_overdue(&overdue, &mut found).await?;
    Ok(found)
}

/// A system variable; no right is needed to read one.
async fn variable(commands: Commands<'_, Mysql>, name: &str) -> Result<Told> {
    let ask = format!("SELECT CAST(@@GLOBAL.{name} AS BINARY)");
    commands.ask(&ask, 1).await
}

fn is_on(told: &Told) -> bool {
    told.text()
        .is_some_and(|text| text == "1" || text.eq_ignore_ascii_case("ON"))
}

/// Whether the server takes writes, and from whom.
async fn check_role(commands: Commands<'_, Mysql>, found: &mut Inspection) -> Result<()> {
    if is_on(&variable(commands, "read_only").await?) {
        found.add(Finding::read_only(
            "the server is read_only, as a replica is",
        ));
        return Ok(());
    }
    let mut told = Told::Refused;
    for ask in REPLICA {
        if told == Told::Refused {
            told = commands.ask(ask, 0).await?;
        }
    }
    match told {
        Told::Row(_) => found.add(Finding::new(
            "writable-replica",
            Severity::Broken,
            "the server replicates from another, and takes writes all the same",
            "Sessions that are written here are unknown to the primary, and a sign-out at one is not \
             one at the other",
            "name the primary in the URL; set read_only on replicas",
        )),
        Told::Refused => found.add_unreadable(&["whether it is a replica (SHOW REPLICA STATUS)"]),
        Told::Nothing => {}
    }
    Ok(())
}

/// Whether the time of statements stands still: by an `init_connect` that sets `timestamp`.
async fn check_frozen(commands: Commands<'_, Mysql>, found: &mut Inspection) -> Result<()> {
    let apart = commands.ask(FROZEN, 1).await?.number().unwrap_or_default();
    if apart.abs() > 2 {
        found.add(Finding::new(
            "mysql-timestamp",
            Severity::Broken,
            format!("the time of statements is {apart} s behind the server's clock"),
            "Something sets the variable timestamp of each connection: its time stands still, so \
             sessions do not expire, or expire at once",
            "take timestamp out of init_connect, or out of the proxy's settings",
        ));
    }
    Ok(())
}

/// What a crash undoes.
async fn check_durability(commands: Commands<'_, Mysql>, found: &mut Inspection) -> Result<()> {
    let flush = variable(commands, "innodb_flush_log_at_trx_commit").await?;
    match flush.number() {
        None => found.add_unreadable(&["innodb_flush_log_at_trx_commit"]),
        Some(1) => {}
        Some(number) => found.add(not_flushed(number)),
    }
    let doublewrite = variable(commands, "innodb_doublewrite").await?;
    if doublewrite.text() == Some("OFF") || doublewrite.number() == Some(0) {
        found.add(Finding::new(
            "mysql-doublewrite",
            Severity::Weaker,
            "innodb_doublewrite is off",
            "A power failure in the middle of a page's write can damage the table, unless the file \
             system writes whole pages at once",
            "set innodb_doublewrite = ON",
        ));
    }
    if !is_on(&variable(commands, "log_bin").await?) {
        return Ok(());
    }
    let sync = variable(commands, "sync_binlog").await?.number();
    if let Some(number) = sync.filter(|number| *number != 1) {
        found.add(Finding::new(
            "mysql-sync-binlog",
            Severity::Weaker,
            format!("sync_binlog is {number}"),
            "After a power failure, replicas may lack the last sign-ins and sign-outs, and a replica \
             that becomes the primary brings ended sessions back",
            "set sync_binlog = 1",
        ));
    }
    Ok(())
}

/// `innodb_flush_log_at_trx_commit` is 2, 0, or MariaDB's 3, which flushes more than 1 does.
fn not_flushed(number: i64) -> Finding {
    let (severity, when) = match number {
        0 => (Severity::Broken, "A crash of the server"),
        2 => (
            Severity::Weaker,
            "A power failure, or a crash of the operating system",
        ),
        _ => (Severity::Note, "A crash"),
    };
    Finding::new(
        "mysql-flush-log",
        severity,
        format!("innodb_flush_log_at_trx_commit is {number}"),
        format!(
            "{when} undoes about the last second of acknowledged writes: a session that was signed \
             out is there again"
        ),
        "set innodb_flush_log_at_trx_commit = 1",
    )
}

/// Whether other nodes take writes too, and how far behind their reads may be.
async fn check_galera(commands: Commands<'_, Mysql>, found: &mut Inspection) -> Result<()> {
    if !is_on(&variable(commands, "wsrep_on").await?) {
        return Ok(());
    }
    let mut size = Told::Refused;
    for ask in GALERA_SIZE {
        if size.number().is_none() {
            size = commands.ask(ask, 1).await?;
        }
    }
    let waits = variable(commands, "wsrep_sync_wait").await?.number();
    found.extend(galera(size.number(), waits.unwrap_or_default()));
    Ok(())
}

/// `sync_wait` is a set of bits: 1 has reads wait, 2 updates and deletes, 4 inserts.
fn galera(size: Option<i64>, sync_wait: i64) -> Option<Finding> {
    let nodes = match size {
        Some(..=1) => return None,
        Some(size) => size.to_string(),
        None => "an unknown number of".to_owned(),
    };
    let what = format!("a Galera cluster of {nodes} nodes, each of which takes writes");
    Some(match sync_wait & 7 {
        7 => Finding::new(
            "galera-writers",
            Severity::Note,
            what,
            "Writes of one session over several nodes are certified one against the other, and one \
             of them is sent again: correct, but slower",
            "let the URL lead to one node at a time",
        ),
        waits => Finding::new(
            "galera-writers",
            Severity::Broken,
            format!("{what}, and wsrep_sync_wait is {waits}"),
            "Over another node than the last write's, a load shows a session that was signed out \
             already, and a save misses what was just saved",
            "let the URL lead to one node at a time, or set wsrep_sync_wait = 7",
        ),
    })
}

fn tidb() -> Finding {
    Finding::new(
        "tidb",
        Severity::Broken,
        "the server is TiDB",
        "It accepts SKIP LOCKED and does not heed it: reapers wait for each other and for requests, \
         and what one has claimed another may claim",
        "use MySQL or MariaDB; or run one Reaper in all, and observe the conformance suite",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_galera_writers_are_broken_unless_all_statements_wait() {
        assert_eq!(galera(Some(1), 0), None);
        let severity = |size, waits| galera(size, waits).expect("told").severity;
        assert_eq!(severity(Some(3), 0), Severity::Broken);
        assert_eq!(severity(Some(3), 1), Severity::Broken);
        assert_eq!(severity(None, 0), Severity::Broken);
        assert_eq!(severity(Some(3), 15), Severity::Note);
    }

    #[test]
    fn what_a_crash_undoes_depends_on_what_crashes() {
        assert_eq!(not_flushed(0).severity, Severity::Broken);
        assert_eq!(not_flushed(2).severity, Severity::Weaker);
        assert_eq!(not_flushed(3).severity, Severity::Note);
    }
}
