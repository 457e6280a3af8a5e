//! A way to the server on which answers are lost, held back or replaced.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
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
    /// The port of the server that new connections lead to.
    server: AtomicU16,
    /// How many connections there were.
    connections: AtomicUsize,
    /// What happens on the first so many connections.
    fault: Mutex<(usize, Fault)>,
    /// What becomes of the next new connections.
    next: Mutex<VecDeque<Next>>,
    /// The command whose answer is the next to be lost.
    command: Mutex<Option<&'static str>>,
    /// Whether connections get through.
    open: watch::Sender<bool>,
}

/// What happens on a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// What comes is taken, and nothing is answered.
    Silence,
    /// Each command is answered with this line, and does not reach the server.
    Refusal(&'static str),
    /// The same for what has this word only.
    RefusalOf(&'static str, &'static str),
}

/// What becomes of a new connection.
#[derive(Clone, Copy)]
pub(crate) enum Next {
    /// It is closed at once.
    Close,
    /// Each command is answered with this line.
    Refuse(&'static str),
    /// It leads to the server at this port.
    LeadTo(u16),
}

impl Proxy {
    pub(crate) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            server: AtomicU16::new(server),
            connections: AtomicUsize::new(0),
            fault: Mutex::new((0, Fault::None)),
            next: Mutex::default(),
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

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}/", self.address())
    }

    /// A store whose connection comes this way.
    pub(crate) async fn store(&self) -> RedisStore {
        RedisStore::connect(&self.url()).await.expect("set up")
    }

    /// New connections lead to the server at this port; those there are stay where they are.
    pub(crate) fn lead_to(&self, port: u16) {
        self.shared.server.store(port, Ordering::SeqCst);
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The connections that are open stay so, and nothing comes back over them any more.
    pub(crate) fn fall_silent(&self) {
        self.strike(Fault::Silence);
    }

    /// Over the connections that are open, each command is answered with this line.
    pub(crate) fn refuse(&self, line: &'static str) {
        self.strike(Fault::Refusal(line));
    }

    /// Over the connections that are open, each command with this word is answered with this line.
    pub(crate) fn refuse_only(&self, word: &'static str, line: &'static str) {
        self.strike(Fault::RefusalOf(word, line));
    }

    /// What becomes of the next new connections, in turn.
    pub(crate) fn next(&self, next: impl IntoIterator<Item = Next>) {
        self.shared.next.lock().expect("whole").extend(next);
    }

    fn strike(&self, fault: Fault) {
        *self.shared.fault.lock().expect("whole") = (self.connections(), fault);
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
        let number = self.connections.fetch_add(1, Ordering::SeqCst);
        let (mut port, mut refusal) = (self.server.load(Ordering::SeqCst), None);
        match self.next.lock().expect("whole").pop_front() {
            None => {}
            Some(Next::Close) => return Ok(()),
            Some(Next::Refuse(line)) => refusal = Some(Fault::Refusal(line)),
            Some(Next::LeadTo(other)) => port = other,
        }
        let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
        let (mut question, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        loop {
            tokio::select! {
                read = client.read(&mut question) => {
                    let question = &question[..read?];
                    if question.is_empty() {
                        return Ok(());
                    }
                    let has = |word| String::from_utf8_lossy(question).contains(word);
                    match refusal.unwrap_or_else(|| self.fault(number)) {
                        Fault::RefusalOf(word, line) if has(word) => {
                            let lines = format!("-{line}\r\n").repeat(commands(question));
                            client.write_all(lines.as_bytes()).await?;
                            continue;
                        }
                        Fault::None | Fault::RefusalOf(..) => server.write_all(question).await?,
                        Fault::Silence => continue,
                        Fault::Refusal(line) => {
                            let lines = format!("-{line}\r\n").repeat(commands(question));
                            client.write_all(lines.as_bytes()).await?;
                            continue;
                        }
                    }
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

    fn fault(&self, connection: usize) -> Fault {
        let (until, fault) = *self.fault.lock().expect("whole");
        if connection < until {
            fault
        } else {
            Fault::None
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

/// How many commands these bytes are, if they are whole and no argument looks like one.
fn commands(question: &[u8]) -> usize {
    let is_command = |line: &&[u8]| line.first() == Some(&b'*');
    question
        .split(|byte| *byte == b'\n')
        .filter(is_command)
        .count()
}
