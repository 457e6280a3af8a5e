use super::*;

#[test]
fn names_are_quoted_and_never_read_as_sql() {
    assert_eq!(
        quoted("a\"; DROP TABLE b; --"),
        "\"a\"\"; DROP TABLE b; --\""
    );
    assert_eq!(quoted(&qualified(Some("a.b"), "c")), "\"a.b\".\"c\"");
    let odd = Statements::new("{ids}{live}", false, true);
    let count = odd.count.text();
    assert!(count.contains("\"{ids}{live}\""), "{count}");
}

/// A name stands in a literal in a literal.
#[test]
fn a_migration_quotes_what_it_contains() {
    let table = "it's \\ E'";
    let text = create_once(table, &create_table(table, false));
    assert!(text.starts_with("DO E'BEGIN"), "{text}");
    assert!(
        text.contains("to_regclass(E''\"it''''s \\\\\\\\ E''''\"'')"),
        "{text}"
    );
    assert!(text.contains("CREATE TABLE \"it''s \\\\ E''\" ("), "{text}");
}

/// A change of the layout needs another [`VERSION`].
#[test]
fn the_table_is_unchanged() {
    let table = "\
CREATE TABLE \"session_store\" (
    \"id\" bytea NOT NULL PRIMARY KEY,
    \"version\" smallint NOT NULL,
    \"deadline\" timestamptz NULL,
    \"born\" timestamptz NOT NULL,
    \"idle\" bigint NULL,
    \"absolute\" bigint NULL,
    \"due\" bigint GENERATED ALWAYS AS (floor(date_part('epoch',
        \"deadline\" - timestamptz '2000-01-01 00:00:00+00') / 600)::bigint) STORED,
    \"claimed\" timestamptz NULL,
    \"stamp\" bytea NOT NULL,
    \"credential\" bytea NOT NULL,
    \"description\" bytea NULL,
    \"owner\" bytea NULL,
    \"data\" bytea NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    toast.autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_threshold = 1000);
CREATE INDEX ON \"session_store\" (\"owner\", \"id\") WHERE \"owner\" IS NOT NULL;
CREATE INDEX ON \"session_store\" (\"due\")";
    assert_eq!(schema("session_store"), table);
    let unlogged = create_table("session_store", true);
    let same = table.replace("CREATE TABLE", "CREATE UNLOGGED TABLE");
    assert_eq!(unlogged, same);
    let version = FRAGMENTS.iter().find(|(name, _)| *name == "{version}");
    assert_eq!(version.map(|(_, text)| *text), Some("2"));
    assert_eq!(VERSION, 2);
}

#[test]
fn every_fragment_is_filled_in() {
    let all = format!("{:?}", Statements::new("t", false, true));
    for (name, _) in FRAGMENTS {
        assert!(!all.contains(name), "{name} is left in {all}");
    }
    for name in [
        "{table}",
        "{name}",
        "{n.",
        "{FROM}",
        "{locked}",
        "{announce",
        "{channel}",
        "{room}",
    ] {
        assert!(!all.contains(name), "{name} is left in {all}");
    }
}

#[test]
fn a_statement_binds_values_or_arrays() {
    let sql = Statements::new("t", false, true);
    let one = sql.destroy.one.text();
    assert!(one.contains("\nUSING (SELECT s.id,"), "{one}");
    assert!(
        one.contains("s.id = $1::bytea OFFSET 0 FOR UPDATE) AS l"),
        "{one}"
    );
    assert!(one.contains("($2::bytea IS NULL"), "{one}");
    assert!(!one.contains("unnest"), "{one}");
    let many = sql.destroy.many.text();
    let rows = "USING unnest($1::bytea[], $2::bytea[]) AS n (id, expected), LATERAL (";
    assert!(many.contains(rows), "{many}");
    assert!(
        many.contains("s.id = n.id OFFSET 0 FOR UPDATE) AS l"),
        "{many}"
    );
    assert!(many.contains("(n.expected IS NULL"), "{many}");
}
