//! Settings of a PostgreSQL server that weaken what a store promises.

use session_core::{Finding, Inspection, Result, Severity};
use session_sql::Commands;

use crate::Postgres;

/// Settings that any user may read, as this connection has them: role and database may change some.
const SETTINGS: &str = "\
SELECT current_setting('server_version'), pg_is_in_recovery()::text,
    current_setting('default_transaction_read_only'), current_setting('fsync'),
    current_setting('full_page_writes'), current_setting('synchronous_commit'),
    current_setting('synchronous_standby_names'), current_setting('autovacuum'),
    (SELECT count(*)::text FROM pg_catalog.pg_stat_replication)";

const CLOCK: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text";

/// The one that is due first is found by its index.
const OVERDUE: &str = "\
SELECT extract(epoch FROM clock_timestamp() - deadline)::bigint::text
FROM {table} WHERE due IS NOT NULL ORDER BY due LIMIT 1";

/// `u` is an unlogged table.
const PERSISTENCE: &str = "\
SELECT relpersistence::text FROM pg_catalog.pg_class WHERE oid = to_regclass({name})";

pub(crate) async fn run(commands: Commands<'_, Postgres>) -> Result<Inspection> {
    let told = commands.ask(SETTINGS, 9).await?;
    let setting = |index| told.column(index).unwrap_or_default();
    let mut found = Inspection::of(format!("PostgreSQL {}", setting(0)));
    if told.text().is_none() {
        found.add_unreadable(&["its settings (current_setting)"]);
    }
    if setting(1) == "true" {
        found.add(Finding::read_only(
            "the server is a standby: it is in recovery",
        ));
    } else if setting(2) == "on" {
        found.add(Finding::read_only("default_transaction_read_only is on"));
    }
    found.extend(durability(setting(3), setting(4)));
    found.extend(commit(setting(5), setting(6)));
    found.extend(standbys(setting(8), setting(6)));
    if setting(7) == "off" {
        found.add(Finding::new(
            "postgres-autovacuum",
            Severity::Note,
            "autovacuum is off",
            "Each save leaves a dead row behind: the table grows without an end, and becomes slow",
            "set autovacuum = on, or run VACUUM as a job",
        ));
    }
    let table = commands.target().quoted_table();
    let name = format!("'{}'", table.replace('\'', "''"));
    let persistence = PERSISTENCE.replace("{name}", &name);
    if commands.ask(&persistence, 1).await?.text() == Some("u") {
        found.add(Finding::new(
            "postgres-unlogged",
            Severity::Weaker,
            format!("the table {table} is unlogged"),
            "A crash of the server empties it, and so does a failover: all users sign in again. No \
             ended session comes back",
            "leave the option `unlogged` out, and run ALTER TABLE … SET LOGGED",
        ));
    }
    commands.compare_clock(CLOCK, &mut found).await?;
    let overdue = OVERDUE.replace("{table}", &table);
    commands.check_overdue(&overdue, &mut found).await?;
    Ok(found)
}

fn durability(fsync: &str, full_page_writes: &str) -> Option<Finding> {
    let why = "A power failure or a crash of the operating system can damage the whole database beyond \
               repair, and undoes acknowledged sign-outs before that";
    match (fsync, full_page_writes) {
        ("off", _) => Some(Finding::new(
            "postgres-fsync",
            Severity::Broken,
            "fsync is off",
            why,
            "set fsync = on",
        )),
        (_, "off") => Some(Finding::new(
            "postgres-full-page-writes",
            Severity::Weaker,
            "full_page_writes is off",
            why,
            "set full_page_writes = on",
        )),
        _ => None,
    }
}

/// `local` waits for this server's disk and for no standby.
fn commit(synchronous_commit: &str, standby_names: &str) -> Option<Finding> {
    match synchronous_commit {
        "off" => Some(Finding::new(
            "postgres-synchronous-commit",
            Severity::Broken,
            "synchronous_commit is off",
            "A crash of the server undoes up to 0.6 s of acknowledged writes (three times \
             wal_writer_delay): a session that was signed out is there again",
            "set synchronous_commit = on for the role or the database of the store",
        )),
        "local" if !standby_names.is_empty() => Some(Finding::new(
            "postgres-synchronous-commit",
            Severity::Weaker,
            "synchronous_commit is local, although there are synchronous standbys",
            "A failover may undo the last acknowledged writes",
            "set synchronous_commit = on for the role or the database of the store",
        )),
        _ => None,
    }
}

fn standbys(count: &str, standby_names: &str) -> Option<Finding> {
    let has_some = count.parse::<u64>().is_ok_and(|count| count > 0);
    (has_some && standby_names.is_empty()).then(|| {
        Finding::new(
            "asynchronous-replicas",
            Severity::Weaker,
            format!("{count} replicas or receivers follow, and synchronous_standby_names is empty"),
            "A failover may undo the last acknowledged writes: a session that was signed out is \
             there again",
            "set synchronous_standby_names, for example to ANY 1 (*)",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_lost_decides_how_bad_it_is() {
        let severity = |finding: Option<Finding>| finding.map(|finding| finding.severity);
        assert_eq!(severity(durability("off", "on")), Some(Severity::Broken));
        assert_eq!(severity(durability("on", "off")), Some(Severity::Weaker));
        assert_eq!(severity(durability("on", "on")), None);
        assert_eq!(severity(commit("off", "")), Some(Severity::Broken));
        assert_eq!(severity(commit("local", "a")), Some(Severity::Weaker));
        assert_eq!(severity(commit("local", "")), None);
        assert_eq!(severity(standbys("2", "")), Some(Severity::Weaker));
        assert_eq!(severity(standbys("2", "ANY 1 (*)")), None);
        assert_eq!(severity(standbys("0", "")), None);
    }
}
