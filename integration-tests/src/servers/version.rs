//! The product and version of a server.

use std::time::{Duration, Instant};

use mongodb::bson::doc;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Row as _};

use super::Kind;

/// How long a server may take to answer; it may listen before it is ready.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits until the server at `url` answers, and returns its product and version.
pub(super) async fn of(kind: Kind, url: &str) -> Result<String, String> {
    let began = Instant::now();
    loop {
        let answer = match kind {
            Kind::Redis => redis(url).await,
            Kind::Mongo => mongo(url).await,
            Kind::Mysql => mysql(url).await,
            Kind::Postgres => postgres(url).await,
        };
        match answer {
            Err(_) if began.elapsed() < LIMIT => {
                tokio::time::sleep(Duration::from_millis(50)).await
            }
            answer => return answer,
        }
    }
}

async fn redis(url: &str) -> Result<String, String> {
    let client = redis::Client::open(url).map_err(text)?;
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .map_err(text)?;
    let info: String = redis::cmd("INFO")
        .arg("server")
        .query_async(&mut connection)
        .await
        .map_err(text)?;
    let line = |name: &str| info.lines().find_map(|line| line.strip_prefix(name));
    Ok(match (line("valkey_version:"), line("redis_version:")) {
        (Some(version), _) => format!("Valkey {}", version.trim()),
        (None, version) => format!("Redis {}", version.unwrap_or_default().trim()),
    })
}

async fn mongo(url: &str) -> Result<String, String> {
    let client = mongodb::Client::with_uri_str(url).await.map_err(text)?;
    let info = client
        .database("admin")
        .run_command(doc! { "buildInfo": 1 })
        .await
        .map_err(text)?;
    Ok(format!(
        "MongoDB {}",
        info.get_str("version").unwrap_or("?")
    ))
}

async fn mysql(url: &str) -> Result<String, String> {
    let options: MySqlConnectOptions = url.parse().map_err(text)?;
    let mut connection: MySqlConnection = options.connect().await.map_err(text)?;
    let version: String = sqlx::query_scalar("SELECT VERSION()")
        .fetch_one(&mut connection)
        .await
        .map_err(text)?;
    Ok(match version.split_once("-MariaDB") {
        Some((version, _)) => format!("MariaDB {version}"),
        None => format!("MySQL {version}"),
    })
}

async fn postgres(url: &str) -> Result<String, String> {
    let options: PgConnectOptions = url.parse().map_err(text)?;
    // PgBouncer does not know this setting, nor prepared statements.
    let options = options.extra_float_digits(None);
    let mut connection: PgConnection = options.connect().await.map_err(text)?;
    let row = sqlx::raw_sql("SHOW server_version").fetch_one(&mut connection);
    let version: String = row.await.and_then(|row| row.try_get(0)).map_err(text)?;
    let number = version.split(' ').next().unwrap_or_default();
    Ok(format!("PostgreSQL {number}"))
}

/// Makes the server at `url` a replica set of one node, and waits until it accepts writes.
pub(super) async fn initiate_replica_set(url: &str) -> Result<(), String> {
    let client = mongodb::Client::with_uri_str(url).await.map_err(text)?;
    let admin = client.database("admin");
    let set = doc! { "_id": "rs0", "members": [{ "_id": 0, "host": "127.0.0.1:27017" }] };
    let began = Instant::now();
    let mut set = set;
    // In a container the server has the standard port; otherwise it has the port in the URL.
    let own_port = url.split(['/', '?']).nth(2).unwrap_or_default().to_owned();
    loop {
        let hello = admin.run_command(doc! { "hello": 1 }).await;
        if hello
            .as_ref()
            .is_ok_and(|hello| hello.get_bool("isWritablePrimary").unwrap_or(false))
        {
            return Ok(());
        }
        let initiated = admin
            .run_command(doc! { "replSetInitiate": set.clone() })
            .await;
        if let Err(error) = &initiated
            && error.to_string().contains("No host described")
        {
            set = doc! { "_id": "rs0", "members": [{ "_id": 0, "host": &own_port }] };
            continue;
        }
        if began.elapsed() > LIMIT {
            return Err(format!("no replica set: {hello:?} {initiated:?}"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
