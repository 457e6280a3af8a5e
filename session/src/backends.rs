//! One function a backend: from a location to a store, or to the feature that is missing.

use std::sync::Arc;

use session_core::{Result, SessionStore};

use crate::location::Location;

/// The function of a backend whose feature is off.
macro_rules! missing {
    ($feature:literal, $name:ident) => {
        #[cfg(not(feature = $feature))]
        pub(crate) async fn $name(location: Location<'_>) -> Result<Arc<dyn SessionStore>> {
            Err(session_core::Error::misconfigured(format!(
                "{}: URLs need the feature {:?} of the crate `session`: turn it on in Cargo.toml",
                location.scheme(),
                $feature
            )))
        }
    };
}

/// Passes the options that are set in the URL to a backend's builder.
#[cfg(any(
    feature = "memory",
    feature = "redis",
    feature = "mongo",
    feature = "mysql"
))]
macro_rules! set {
    ($builder:ident, $($option:ident = $value:expr),+ $(,)?) => {
        $(if let Some(value) = $value {
            $builder = $builder.$option(value);
        })+
    };
}

#[cfg(feature = "memory")]
pub(crate) async fn memory(mut location: Location<'_>) -> Result<Arc<dyn SessionStore>> {
    let mut builder = session_memory::MemoryStore::builder();
    set!(
        builder,
        max_sessions = location.take_parsed("max_sessions", "100000")?,
        max_data = location.take_parsed("max_data", "1048576")?,
        expiry_grace = location.take_duration("expiry_grace")?,
    );
    let ours = ["max_sessions", "max_data", "expiry_grace"];
    location.finish(&ours)?;
    location.refuse_others(&ours)?;
    Ok(Arc::new(builder.build()?))
}
missing!("memory", memory);

#[cfg(feature = "redis")]
pub(crate) async fn redis(mut location: Location<'_>) -> Result<Arc<dyn SessionStore>> {
    let mut builder = session_redis::RedisStore::builder();
    set!(
        builder,
        prefix = location.take("prefix"),
        ca_file = location.take("ca_file"),
        timeout = location.take_duration("timeout")?,
        max_data = location.take_parsed("max_data", "1048576")?,
        migrate = location.take_parsed("migrate", "true or false")?,
    );
    let ours = ["prefix", "timeout", "max_data", "migrate", "ca_file"];
    location.finish(&ours)?;
    let drivers: &[_] = if location.scheme().ends_with("unix") {
        &["protocol", "db", "user", "pass"]
    } else {
        &["protocol"]
    };
    location.refuse_unknown(drivers, &ours)?;
    Ok(Arc::new(builder.connect(&location.driver_url()).await?))
}
missing!("redis", redis);

#[cfg(feature = "mongo")]
pub(crate) async fn mongo(mut location: Location<'_>) -> Result<Arc<dyn SessionStore>> {
    let mut builder = session_mongo::MongoStore::builder();
    set!(
        builder,
        collection = location.take("collection"),
        timeout = location.take_duration("timeout")?,
        max_data = location.take_parsed("max_data", "1048576")?,
        migrate = location.take_parsed("migrate", "true or false")?,
        expiry_grace = location.take_duration("expiry_grace")?,
    );
    location.finish(&[
        "collection",
        "timeout",
        "max_data",
        "migrate",
        "expiry_grace",
    ])?;
    Ok(Arc::new(builder.connect(&location.driver_url()).await?))
}
missing!("mongo", mongo);

#[cfg(feature = "mysql")]
pub(crate) async fn mysql(mut location: Location<'_>) -> Result<Arc<dyn SessionStore>> {
    let mut builder = session_mysql::MysqlStore::builder();
    set!(
        builder,
        table = location.take("table"),
        timeout = location.take_duration("timeout")?,
        max_data = location.take_parsed("max_data", "1048576")?,
        migrate = location.take_parsed("migrate", "true or false")?,
        connections = location.take_parsed("connections", "16")?,
    );
    location.finish(&["table", "timeout", "max_data", "migrate", "connections"])?;
    Ok(Arc::new(builder.connect(&location.driver_url()).await?))
}
missing!("mysql", mysql);
