//! The public types of the workspace, and those of them that have nothing to hide.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Types whose values never hold data, a token or a secret.
pub(super) const HARMLESS: &[&str] = &[
    // A URL by its scheme.
    "session Location",
    // Schemes.
    "session Schemes",
    // Rules, and what the middleware is around.
    "session-actix GuardMiddleware",
    "session-actix GuardService",
    // Nothing at all.
    "session-actix NoResponse",
    "session-actix SessionMiddleware",
    "session-actix SessionService",
    // Nothing at all.
    "session-actix TestSite",
    // Of the suite: which cases there are, and how they ended.
    "session-conformance Case",
    "session-conformance CaseReport",
    "session-conformance CheckedStore",
    "session-conformance Invariant",
    "session-conformance Need",
    "session-conformance Outcome",
    "session-conformance ReferenceFactory",
    "session-conformance ReferenceStore",
    "session-conformance Report",
    "session-conformance TestStore",
    "session-core Anchor",
    // A driver's client, which the backends' stores show by its address.
    "session-core Attempt",
    "session-core Backoff",
    "session-core BatchLimits",
    // Its operation and where it leads.
    "session-core Call",
    "session-core Capabilities",
    "session-core CircuitBreaker",
    "session-core Counts",
    // An id, which hides itself where it is a secret.
    "session-core EndId",
    "session-core EndKind",
    "session-core EndReason",
    "session-core ErrorKind",
    // Its error, which is shown.
    "session-core Failure",
    // Settings of a server.
    "session-core Finding",
    // Where its client leads.
    "session-core Fixed",
    // Settings of a server.
    "session-core Inspection",
    "session-core Invalidation",
    "session-core Lifetime",
    "session-core Limits",
    "session-core LogObserver",
    "session-core Meter",
    // An id, which hides itself where it is a secret.
    "session-core Notice",
    "session-core OnReuse",
    "session-core Operation",
    "session-core OperationCounts",
    // It is to be shown; `Owner` says so.
    "session-core Owner",
    // Times.
    "session-core Past",
    "session-core Policy",
    // Nothing at all.
    "session-core PresentedToken",
    "session-core Reaper",
    "session-core Refusal",
    "session-core Remedy",
    "session-core RetryStatus",
    // An answer, as that shows itself.
    "session-core Sent",
    "session-core SessionEnd",
    "session-core Severity",
    "session-core Stamp",
    // Its backend, and where it leads.
    "session-core Store",
    "session-core Timeout",
    "session-core TokenChange",
    "session-core Ttl",
    "session-core Unreadable",
    "session-express CookieOptions",
    "session-express KeygripHash",
    "session-express Priority",
    "session-express Renamed",
    "session-express SameSite",
    "session-memory MemoryStoreBuilder",
    "session-mongo Algorithm",
    // Connections: by address, without user and password.
    "session-mongo ConnectMongo",
    "session-mongo Encoding",
    "session-mongo ExpressStoreBuilder",
    "session-mongo MongoBackend",
    "session-mongo MongoStoreBuilder",
    "session-mysql ExpressMysqlSession",
    "session-mysql ExpressStoreBuilder",
    "session-mysql Mysql",
    "session-mysql MysqlStoreBuilder",
    "session-mysql MysqlTable",
    "session-postgres ConnectPgSimple",
    "session-postgres ExpressStoreBuilder",
    "session-postgres Postgres",
    "session-postgres PostgresStoreBuilder",
    "session-postgres PostgresTable",
    "session-redis ConnectRedis",
    "session-redis Connection",
    "session-redis ExpressStoreBuilder",
    "session-redis RedisBackend",
    "session-redis RedisClient",
    "session-redis RedisStoreBuilder",
    "session-sql Access",
    // Texts of statements, without what is bound.
    "session-sql BatchStatement",
    "session-sql Statement",
    "session-sql Cause",
    // A table, as the server describes it.
    "session-sql Column",
    "session-sql Expected",
    "session-sql Index",
    "session-sql Table",
    // Ids of native tables, stamps and owners.
    "session-sql Claimed",
    "session-sql Condition",
    "session-sql Removal",
    // Items, which hide what they have to.
    "session-sql Padded",
    "session-sql SqlBackend",
    // Its table, by name.
    "session-sql SqlKeyValue",
    // By address, without user and password.
    "session-sql SqlConnector",
    "session-sql Stage",
    "session-sql Target",
    // A setting of a server.
    "session-sql Told",
    "session-sql UrlRules",
    "session-sqlite Durability",
    "session-sqlite Sqlite",
    // By file.
    "session-sqlite SqliteStoreBuilder",
    "session-sqlite SqliteTable",
    // Its rules.
    "session-web CrossOriginProtection",
    // What is wrong with the form, by its fields' names.
    "session-web CsrfRejection",
    // Nothing at all.
    "session-web ErrorPages",
    // Its name.
    "session-web Exchange",
    // Its session, which is shown.
    "session-web FormToken",
    "session-web IsMultipart",
    // Its store, which is shown.
    "session-tower-sessions TowerSessionsStore",
    "session-web Https",
    "session-web NamePrefix",
    "session-web OnFailure",
    "session-web OnMismatch",
    "session-web Peer",
    "session-web Persistence",
    "session-web PlainErrors",
    "session-web Priority",
    "session-web Proxy",
    "session-web ProxyHeader",
    // Its rules.
    "session-web RequireOwner",
    "session-web GuardService",
    // A path that a client has asked for.
    "session-web ReturnTo",
    "session-web Rolling",
    "session-web SameSite",
    "session-web Secure",
    // Of a layer, which is shown.
    "session-web SessionService",
    // The names of its cookies; its own tests show that no value is shown.
    "session-web TestClient",
    "session-web Transport",
    // Names out of a table.
    "session-web UserAgent",
];

/// The public types of the workspace that have `Debug`, as `crate Type`.
pub(super) fn public_types() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut types = BTreeSet::new();
    for entry in std::fs::read_dir(root).expect("the workspace") {
        let folder = entry.expect("read").path();
        let name = folder.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_default().to_owned();
        if name.starts_with("session") {
            for file in sources(&folder.join("src")) {
                let text = std::fs::read_to_string(file).expect("a source");
                types.extend(types_in(&text).map(|of| format!("{name} {of}")));
            }
        }
    }
    types
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("read").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .collect()
}

fn types_in(text: &str) -> impl Iterator<Item = &str> {
    let blocks = text.split("\n\n");
    blocks.filter_map(move |block| {
        let is_declaration =
            |line: &&str| line.starts_with("pub struct ") || line.starts_with("pub enum ");
        let line = block.lines().find(is_declaration)?;
        let name = line.split([' ', '<', '(', ';']).nth(2)?;
        let derives = block.lines().take_while(|other| *other != line);
        let is_derived = derives
            .filter(|line| line.contains("derive("))
            .any(|line| line.contains("Debug"));
        let is_written = text.contains(&format!("Debug for {name}"));
        (is_derived || is_written).then_some(name)
    })
}
