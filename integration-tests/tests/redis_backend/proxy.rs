//! A way to the server on which answers are lost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_redis::RedisStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// The server's port.
    server: u16,
    /// The command whose answer is the next to be lost.
    command: Mutex<Option<&'static str>>,
    /// Whether connections get through.
    open: watch::Sender<bool>,
}

impl Proxy {
    pub(crate) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            server,
            command: Mutex::default(),
            open: watch::Sender::new(true),
        });
        let of_all = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&of_all);
                tokio::spawn(async move {
                    // Connections break here.
                    let _ = shared.pass_on(client).await;
                });
            }
        });
        Self { port, shared }
    }

    /// A store whose connection comes this way.
    pub(crate) async fn store(&self) -> RedisStore {
        let url = format!("redis://127.0.0.1:{}/", self.port);
        RedisStore::connect(&url).await.expect("set up")
    }

    /// Loses the answer to the next such command: the server does what was asked, the connection
    /// breaks, and no other gets through until it is [opened](Self::open).
    pub(crate) fn lose(&self, command: &'static str) {
        *self.shared.command.lock().expect("whole") = Some(command);
    }

    /// Waits until it is lost.
    pub(crate) async fn lost(&self) {
        let mut open = self.shared.open.subscribe();
        open.wait_for(|open| !open).await.expect("still there");
    }

    pub(crate) fn open(&self) {
        self.shared.open.send_replace(true);
    }
}

impl Shared {
    async fn pass_on(&self, mut client: TcpStream) -> std::io::Result<()> {
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.expect("still there");
        let mut server = TcpStream::connect(("127.0.0.1", self.server)).await?;
        let (mut question, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        loop {
            tokio::select! {
                read = client.read(&mut question) => {
                    let question = &question[..read?];
                    if question.is_empty() {
                        return Ok(());
                    }
                    server.write_all(question).await?;
                    if self.loses(question) {
                        let _answer = server.read(&mut answer).await?;
                        // It may have more to do than to give the first answer.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        self.open.send_replace(false);
                        return Ok(());
                    }
                }
                read = server.read(&mut answer) => {
                    let answer = &answer[..read?];
                    if answer.is_empty() {
                        return Ok(());
                    }
                    client.write_all(answer).await?;
                }
            }
        }
    }

    fn loses(&self, question: &[u8]) -> bool {
        let mut command = self.command.lock().expect("whole");
        let question = String::from_utf8_lossy(question);
        let loses = command.is_some_and(|command| question.contains(command));
        if loses {
            *command = None;
        }
        loses
    }
}
