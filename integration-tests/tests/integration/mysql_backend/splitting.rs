//! A proxy that sends reads to a replica: a store does not start behind it.

use integration_tests::servers::{self, Kind, Private};
use session_core::{ErrorKind, SessionStore};
use session_mysql::MysqlStore;
use session_mysql::express::{Express, ExpressStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{id, table};

const QUERY: u8 = 0x03;
const PREPARE: u8 = 0x16;
const EXECUTE: u8 = 0x17;
const CLOSE: u8 = 0x19;

/// What a statement's number is changed by if the replica has prepared it.
const OF_REPLICA: u8 = 0x80;

/// Splits as ProxySQL does by its usual rules: a `SELECT` without a lock goes to the second server,
/// anything else to the first. Returns its URL. Accounts need no password.
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
    format!("mysql://root@127.0.0.1:{port}/test?ssl-mode=DISABLED")
}

fn is_read(statement: &[u8]) -> bool {
    let text = String::from_utf8_lossy(statement).to_uppercase();
    text.starts_with("SELECT") && !text.contains("FOR UPDATE")
}

async fn read_packet(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut packet = vec![0; 4];
    from.read_exact(&mut packet).await?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]);
    packet.resize(4 + length as usize, 0);
    from.read_exact(&mut packet[4..]).await?;
    Ok(packet)
}

async fn pass_on(mut client: TcpStream, ports: [u16; 2]) -> std::io::Result<()> {
    let mut primary = TcpStream::connect(("127.0.0.1", ports[0])).await?;
    let mut replica = TcpStream::connect(("127.0.0.1", ports[1])).await?;
    // Both greet, and both get the same login, which has no password in it.
    client.write_all(&read_packet(&mut primary).await?).await?;
    read_packet(&mut replica).await?;
    let login = read_packet(&mut client).await?;
    replica.write_all(&login).await?;
    primary.write_all(&login).await?;
    read_packet(&mut replica).await?;
    client.write_all(&read_packet(&mut primary).await?).await?;
    let (mut is_replica, mut is_preparing) = (false, false);
    let (mut answer, mut others) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            packet = read_packet(&mut client) => {
                let mut packet = packet?;
                let statement = packet.get(5..).unwrap_or_default();
                is_preparing = packet[4] == PREPARE;
                is_replica = match packet[4] {
                    QUERY | PREPARE => is_read(statement),
                    EXECUTE | CLOSE => packet[8] & OF_REPLICA != 0,
                    _ => false,
                };
                if matches!(packet[4], EXECUTE | CLOSE) {
                    packet[8] &= !OF_REPLICA;
                }
                let server = if is_replica { &mut replica } else { &mut primary };
                server.write_all(&packet).await?;
            }
            read = primary.read(&mut answer) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                client.write_all(&answer[..read]).await?;
            }
            read = replica.read(&mut others) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                if is_preparing && is_replica && others[4] == 0 {
                    others[8] |= OF_REPLICA;
                    is_preparing = false;
                }
                client.write_all(&others[..read]).await?;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_sends_reads_to_another_server_is_refused() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let start = || tokio::task::spawn_blocking(|| Private::start(Kind::Mysql, &[]));
    let (one, other) = tokio::join!(start(), start());
    let (one, other) = (one.expect("started"), other.expect("started"));
    for (ports, is_split) in [
        ([one.port, one.port], false),
        ([one.port, other.port], true),
    ] {
        let url = splitting(ports).await;
        let native = MysqlStore::builder().table(table()).connect(&url).await;
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
