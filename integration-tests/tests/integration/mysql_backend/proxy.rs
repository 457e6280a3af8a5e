//! A way to the server that loses the answer to a statement, and its connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use session_mysql::MysqlStore;
use session_mysql::sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::url;

/// The commands of the protocol that are looked at.
const QUERY: u8 = 0x03;
const PREPARE: u8 = 0x16;
const EXECUTE: u8 = 0x17;

pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: String,
    /// The word whose statement is the next to lose its answer.
    word: Mutex<Option<&'static str>>,
    /// The statements that were carried out.
    executed: Mutex<Vec<String>>,
    /// Whether anything gets through.
    open: watch::Sender<bool>,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let options: MySqlConnectOptions = url().parse().expect("a good URL");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            server: format!("{}:{}", options.get_host(), options.get_port()),
            word: Mutex::default(),
            executed: Mutex::default(),
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

    /// A store whose connections come this way.
    pub(crate) async fn store(&self, table: &str) -> MysqlStore {
        let options: MySqlConnectOptions = url().parse().expect("a good URL");
        let options = options
            .host("127.0.0.1")
            .port(self.port)
            .ssl_mode(MySqlSslMode::Disabled);
        let builder = MysqlStore::builder().table(table);
        builder.connect_with(options).await.expect("set up")
    }

    /// How often statements with `word` were carried out.
    pub(crate) fn count(&self, word: &str) -> usize {
        let executed = self.shared.executed.lock().expect("whole");
        executed.iter().filter(|text| text.contains(word)).count()
    }

    /// Loses the answer to the next statement with `word`: the server carries it out, the
    /// connection breaks, and nothing gets through on another until it is [opened](Self::open).
    pub(crate) fn lose(&self, word: &'static str) {
        *self.shared.word.lock().expect("whole") = Some(word);
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
        let mut server = TcpStream::connect(&self.server).await?;
        let mut statements = HashMap::new();
        let mut prepared = None;
        let (mut question, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        loop {
            tokio::select! {
                read = client.read(&mut question) => {
                    let question = &question[..read?];
                    if question.is_empty() {
                        return Ok(());
                    }
                    open.wait_for(|open| *open).await.expect("still there");
                    server.write_all(question).await?;
                    let text = question.get(5..).unwrap_or_default();
                    let text = match question.get(4) {
                        Some(&PREPARE) => {
                            prepared = Some(text.to_vec());
                            continue;
                        }
                        Some(&EXECUTE) => statements.get(&text[..4]).map(Vec::as_slice),
                        Some(&QUERY) => Some(text),
                        _ => None,
                    };
                    if text.is_some_and(|text| self.loses(text)) {
                        server.readable().await?;
                        self.open.send_replace(false);
                        return Ok(());
                    }
                }
                read = server.read(&mut answer) => {
                    let answer = &answer[..read?];
                    if answer.is_empty() {
                        return Ok(());
                    }
                    if let (Some(text), Some([0, id @ ..])) = (prepared.take(), answer.get(4..9)) {
                        statements.insert(id.to_vec(), text);
                    }
                    client.write_all(answer).await?;
                }
            }
        }
    }

    fn loses(&self, text: &[u8]) -> bool {
        let mut word = self.word.lock().expect("whole");
        let text = String::from_utf8_lossy(text);
        let mut executed = self.executed.lock().expect("whole");
        executed.push(text.clone().into_owned());
        let loses = word.is_some_and(|word| text.contains(word));
        if loses {
            *word = None;
        }
        loses
    }
}
