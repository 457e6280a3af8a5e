//! A pooler that sends reads to a standby: a store does not start behind it.

use std::collections::HashMap;
use std::io;

use integration_tests::servers::{self, Kind, Private};
use session_core::{ErrorKind, SessionStore};
use session_postgres::PostgresStore;
use session_postgres::express::{Express, ExpressStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{id, table};

const READY: u8 = b'Z';

/// Splits as Pgpool-II does: a `SELECT` without a lock goes to the second server, anything else to
/// the first. Returns its URL.
async fn splitting(ports: [u16; 2]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                // Connections break here.
                let _ = pass_on(client, ports).await;
            });
        }
    });
    format!("postgres://postgres@127.0.0.1:{port}/test?sslmode=disable")
}

/// A message: its type, its length and the rest. The first of a connection has no type.
async fn read_message(from: &mut TcpStream, is_first: bool) -> io::Result<Vec<u8>> {
    let head = if is_first { 4 } else { 5 };
    let mut message = vec![0; head];
    from.read_exact(&mut message).await?;
    let length = message[head - 4..].try_into().map_or(0, u32::from_be_bytes) as usize;
    message.resize(head - 4 + length, 0);
    from.read_exact(&mut message[head..]).await?;
    Ok(message)
}

/// The texts in a message, each of which ends with a zero.
fn texts(message: &[u8]) -> impl Iterator<Item = String> {
    let texts = message[5..].split(|byte| *byte == 0);
    texts.map(|text| String::from_utf8_lossy(text).into_owned())
}

fn is_read(statement: &str) -> bool {
    let text = statement.to_uppercase();
    text.starts_with("SELECT") && !text.contains("FOR UPDATE")
}

/// Whether `message` goes to the replica; `None` if it belongs to the message before.
fn is_for_replica(message: &[u8], prepared: &mut HashMap<String, bool>) -> Option<bool> {
    let mut texts = texts(message);
    match message[0] {
        b'Q' => Some(is_read(&texts.next()?)),
        b'P' => {
            let (name, statement) = (texts.next()?, texts.next()?);
            let is_read = is_read(&statement);
            prepared.insert(name, is_read);
            Some(is_read)
        }
        b'B' => prepared.get(&texts.nth(1)?).copied(),
        _ => None,
    }
}

async fn pass_on(mut client: TcpStream, ports: [u16; 2]) -> io::Result<()> {
    let mut primary = TcpStream::connect(("127.0.0.1", ports[0])).await?;
    let mut replica = TcpStream::connect(("127.0.0.1", ports[1])).await?;
    let login = read_message(&mut client, true).await?;
    replica.write_all(&login).await?;
    primary.write_all(&login).await?;
    while read_message(&mut replica, false).await?[0] != READY {}
    let (mut prepared, mut is_replica) = (HashMap::new(), false);
    let (mut answer, mut others) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            message = read_message(&mut client, false) => {
                let message = message?;
                is_replica = is_for_replica(&message, &mut prepared).unwrap_or(is_replica);
                let server = if is_replica { &mut replica } else { &mut primary };
                server.write_all(&message).await?;
            }
            read = primary.read(&mut answer) => send_on(&mut client, &answer[..read?]).await?,
            read = replica.read(&mut others) => send_on(&mut client, &others[..read?]).await?,
        }
    }
}

async fn send_on(client: &mut TcpStream, answer: &[u8]) -> io::Result<()> {
    match answer {
        [] => Err(io::ErrorKind::UnexpectedEof.into()),
        answer => client.write_all(answer).await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_sends_reads_to_a_standby_is_refused() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let start = || {
        let primary = Private::start(Kind::Postgres, &[]);
        let standby = Private::standby(&primary);
        (primary, standby)
    };
    let (primary, standby) = tokio::task::spawn_blocking(start).await.expect("started");
    for (ports, is_split) in [
        ([primary.port, primary.port], false),
        ([primary.port, standby.port], true),
    ] {
        let url = splitting(ports).await;
        let native = PostgresStore::builder().table(table()).connect(&url).await;
        let express = ExpressStore::builder(Express::new("secret")).table(table());
        let express = express.connect(&url).await;
        if is_split {
            for error in [native.expect_err("split"), express.expect_err("split")] {
                assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
                let text = error.to_string();
                assert!(text.contains("two servers answer"), "{text}");
            }
        } else {
            express.expect("one server");
            let store = native.expect("one server");
            assert_eq!(store.load(&id()).await.expect("up"), None);
        }
    }
}
