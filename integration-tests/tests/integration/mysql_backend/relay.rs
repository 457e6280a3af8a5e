//! A way to a server that can be led to another one, and that can answer in a server's place.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use session_mysql::sqlx::mysql::MySqlConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::url;

const QUERY: u8 = 0x03;
const PREPARE: u8 = 0x16;
const EXECUTE: u8 = 0x17;

/// A server can't parse the statement.
const SYNTAX: u16 = 1064;
/// In the place of an error: no answer.
const SWALLOW: u16 = 0;

pub(crate) struct Relay {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: Mutex<String>,
    made: AtomicUsize,
    refusal: Mutex<Refusal>,
    /// Whether the server is to seem one that does not know `DELETE … RETURNING`, as MySQL.
    is_mysql: AtomicBool,
    /// Whether new connections are closed at once.
    is_closed: AtomicBool,
}

/// Connections that were made before `until` get the error `number` as the answer to everything
/// with this word.
#[derive(Clone, Copy, Default)]
struct Refusal {
    until: usize,
    number: u16,
    word: &'static str,
}

/// Where the shared server is.
pub(crate) fn address() -> String {
    let options: MySqlConnectOptions = url().parse().expect("a good URL");
    format!("{}:{}", options.get_host(), options.get_port())
}

impl Relay {
    pub(crate) async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            target: Mutex::new(target.to_owned()),
            made: AtomicUsize::new(0),
            refusal: Mutex::default(),
            is_mysql: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        });
        let of_all = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if of_all.is_closed.load(Ordering::SeqCst) {
                    continue;
                }
                let number = of_all.made.fetch_add(1, Ordering::SeqCst);
                let shared = Arc::clone(&of_all);
                tokio::spawn(async move {
                    // Connections break here.
                    let _ = shared.pass_on(client, number).await;
                });
            }
        });
        Self { port, shared }
    }

    /// A URL that comes this way.
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        let port = self.port;
        format!("mysql://{user}@127.0.0.1:{port}/{database}?ssl-mode=DISABLED")
    }

    /// New connections lead to `target`. Those there are stay where they are.
    pub(crate) fn switch(&self, target: &str) {
        target.clone_into(&mut self.shared.target.lock().expect("whole"));
    }

    /// The connections there are get an error as the answer to everything; new ones do not.
    pub(crate) fn refuse(&self, number: u16) {
        self.refuse_statements(number, "");
    }

    /// The same for statements with this word that were not sent before.
    pub(crate) fn refuse_statements(&self, number: u16, word: &'static str) {
        let until = self.made();
        *self.shared.refusal.lock().expect("whole") = Refusal {
            until,
            number,
            word,
        };
    }

    /// The server seems to be MySQL, or what it is.
    pub(crate) fn seem_mysql(&self, is_mysql: bool) {
        self.shared.is_mysql.store(is_mysql, Ordering::SeqCst);
    }

    /// New connections are closed at once. Those there are stay.
    pub(crate) fn close(&self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
    }

    /// The connections there are swallow everything; new ones do not.
    pub(crate) fn swallow(&self) {
        self.refuse(SWALLOW);
    }

    /// How many connections were made.
    pub(crate) fn made(&self) -> usize {
        self.shared.made.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn refusal(&self, connection: usize, question: &[u8]) -> Option<u16> {
        let question = String::from_utf8_lossy(question);
        if self.is_mysql.load(Ordering::SeqCst) && question.contains("RETURNING") {
            return Some(SYNTAX);
        }
        let refusal = *self.refusal.lock().expect("whole");
        let is_refused = connection < refusal.until && question.contains(refusal.word);
        is_refused.then_some(refusal.number)
    }

    async fn pass_on(&self, mut client: TcpStream, connection: usize) -> std::io::Result<()> {
        let target = self.target.lock().expect("whole").clone();
        let mut server = TcpStream::connect(target).await?;
        let (mut question, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        loop {
            tokio::select! {
                read = client.read(&mut question) => {
                    let question = &question[..read?];
                    if question.is_empty() {
                        return Ok(());
                    }
                    match self.refusal(connection, question) {
                        None => server.write_all(question).await?,
                        Some(SWALLOW) => {}
                        Some(number) => client.write_all(&refusals(question, number)).await?,
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
}

/// The answer to each of the commands in `packets` that has one.
fn refusals(packets: &[u8], number: u16) -> Vec<u8> {
    let (mut answers, mut rest) = (Vec::new(), packets);
    while let [a, b, c, 0, command, ..] = *rest {
        if [QUERY, PREPARE, EXECUTE].contains(&command) {
            let mut body = vec![0xff];
            body.extend(number.to_le_bytes());
            body.extend(b"#HY000refused");
            answers.extend([u8::try_from(body.len()).expect("short"), 0, 0, 1]);
            answers.extend(body);
        }
        let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        rest = rest.get(4 + length..).unwrap_or_default();
    }
    answers
}
