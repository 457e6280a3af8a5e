//! Servers in Docker containers, through `testcontainers`.

use testcontainers::core::{ContainerPort, WaitFor};
use testcontainers::runners::AsyncRunner;
use testcontainers::{Image, ImageExt};

use super::guard::{REMOVE_CONTAINER, guarded};
use super::lookup::Found;
use super::product::Product;
use super::{Kind, version};

/// A database's image, the message that it prints when it is ready, and its port.
struct Database {
    name: String,
    tag: String,
    ready: WaitFor,
    port: [ContainerPort; 1],
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

impl Image for Database {
    fn name(&self) -> &str {
        &self.name
    }

    fn tag(&self) -> &str {
        &self.tag
    }

    fn ready_conditions(&self) -> Vec<WaitFor> {
        vec![self.ready.clone()]
    }

    fn expose_ports(&self) -> &[ContainerPort] {
        &self.port
    }

    fn cmd(&self) -> impl IntoIterator<Item = impl Into<std::borrow::Cow<'_, str>>> {
        self.arguments.iter().copied()
    }

    fn env_vars(
        &self,
    ) -> impl IntoIterator<
        Item = (
            impl Into<std::borrow::Cow<'_, str>>,
            impl Into<std::borrow::Cow<'_, str>>,
        ),
    > {
        self.environment.iter().copied()
    }
}

impl Database {
    fn of(product: &Product) -> Self {
        let kind = product.kind;
        let chosen = std::env::var(product.variable("IMAGE"))
            .ok()
            .filter(|image| !image.is_empty());
        let (port, ready) = match kind {
            Kind::Redis => (6379, "Ready to accept connections"),
            Kind::Mongo => (27017, "Waiting for connections"),
            // The official image starts a temporary server first, without a port.
            Kind::Mysql => (3306, "port: 3306"),
            // The official image starts a temporary server first, with a socket file only.
            Kind::Postgres => (5432, "listening on IPv4 address"),
        };
        let official = product.image.unwrap_or(product.name);
        let image = chosen.unwrap_or_else(|| official.to_owned());
        // The project's own images need no arguments; official ones do.
        let own = image.starts_with("session-test/");
        let (name, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
        Self {
            name: name.to_owned(),
            tag: tag.to_owned(),
            ready: WaitFor::message_on_either_std(ready),
            port: [ContainerPort::Tcp(port)],
            arguments: match kind {
                Kind::Mongo if !own => &["--replSet", "rs0", "--bind_ip_all"],
                Kind::Mysql if !own => &["--max-connections=1000", "--max-allowed-packet=64M"],
                Kind::Postgres if !own => &["-c", "max_connections=1000"],
                _ => &[],
            },
            environment: match kind {
                Kind::Mysql if !own => &[
                    ("MYSQL_ALLOW_EMPTY_PASSWORD", "yes"),
                    ("MYSQL_ROOT_HOST", "%"),
                    ("MYSQL_DATABASE", "test"),
                ],
                Kind::Postgres if !own => &[
                    ("POSTGRES_HOST_AUTH_METHOD", "trust"),
                    ("POSTGRES_DB", "test"),
                ],
                _ => &[],
            },
        }
    }
}

/// Starts a container that ends with this process.
pub(super) async fn start(product: &Product) -> Result<Found, String> {
    let kind = product.kind;
    let database = Database::of(product);
    let port = database.port[0];
    let image = format!("{}:{}", database.name, database.tag);
    let failed = |error: &dyn std::fmt::Display| format!("docker image {image}: {error}");
    let container = database
        .with_label("session-test", kind.name())
        .start()
        .await
        .map_err(|error| failed(&error))?;
    let guard = guarded(REMOVE_CONTAINER, &[container.id()]).map_err(|error| failed(&error))?;
    let port = container
        .get_host_port_ipv4(port)
        .await
        .map_err(|error| failed(&error))?;
    // Leaked, because dropping them would end the container before the process ends.
    std::mem::forget(container);
    std::mem::forget(guard);
    let url = match kind {
        Kind::Redis => format!("redis://127.0.0.1:{port}/"),
        Kind::Mongo => format!("mongodb://127.0.0.1:{port}/app?directConnection=true"),
        Kind::Mysql => format!("mysql://root@127.0.0.1:{port}/test"),
        Kind::Postgres => format!("postgres://postgres@127.0.0.1:{port}/test"),
    };
    if kind == Kind::Mongo {
        version::initiate_replica_set(&url).await?;
    }
    Ok(Found {
        url,
        how: format!("docker image {image} (testcontainers)"),
    })
}
