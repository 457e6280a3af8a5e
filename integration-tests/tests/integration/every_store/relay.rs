//! A way to a server that others use too, so that the descriptors of one test can be told.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// Starts a relay to the server of `url`. Returns its port, and the URL that leads this way.
pub(super) async fn relay(url: &str) -> (u16, String) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let server = rest.split(['/', '?']).next().unwrap_or(rest).to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let through = url.replacen(&server, &format!("127.0.0.1:{port}"), 1);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let server = server.clone();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await?;
                copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    (port, through)
}
