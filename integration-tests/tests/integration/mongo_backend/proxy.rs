//! A way to the server that holds a command up, before it or before its answer, which is then lost.

use std::io::Result;
use std::sync::{Arc, Mutex};

use session_core::SessionId;
use session_mongo::MongoStore;
use session_mongo::mongodb::Client;
use session_mongo::mongodb::options::{ClientOptions, ServerAddress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::url;

/// The bytes of `OP_MSG` before its first document: header, flags, kind of the section.
const BEFORE_DOCUMENT: usize = 21;

pub(crate) struct Proxy {
    port: u16,
    next: Next,
}

type Next = Arc<Mutex<Option<Trap>>>;

/// What waits for a command.
struct Trap {
    command: &'static str,
    /// What is in its bytes.
    about: String,
    loses_answer: bool,
    reached: oneshot::Sender<()>,
    released: oneshot::Receiver<()>,
}

/// A command that is held up until this is dropped.
pub(crate) struct Held {
    reached: oneshot::Receiver<()>,
    /// Dropped, it lets the command go on.
    _release: oneshot::Sender<()>,
}

impl Held {
    /// Waits until the command is there, or until the server has carried it out.
    pub(crate) async fn reached(&mut self) {
        (&mut self.reached).await.expect("it is sent");
    }
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let options = ClientOptions::parse(url()).await.expect("a good URL");
        let server = options.hosts[0].to_string();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let next = Next::default();
        let of_all = Arc::clone(&next);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.expect("it is up");
                tokio::spawn(pass_on(client, server, Arc::clone(&of_all)));
            }
        });
        Self { port, next }
    }

    /// A store that reaches the server this way, by a driver that repeats writes or does not, as on
    /// a server without a replica set.
    pub(crate) async fn store(&self, collection: &str, retry_writes: bool) -> MongoStore {
        let mut options = ClientOptions::parse(url()).await.expect("a good URL");
        options.hosts = vec![ServerAddress::Tcp {
            host: "127.0.0.1".to_owned(),
            port: Some(self.port),
        }];
        options.direct_connection = Some(true);
        options.retry_writes = Some(retry_writes);
        let client = Client::with_options(options).expect("a client");
        let builder = MongoStore::builder().collection(collection);
        let store = builder.build(client.database("backend")).await;
        store.expect("set up")
    }

    /// Has the server carry out the next such command about `id`, and loses its answer and its
    /// connection.
    pub(crate) fn lose(&self, command: &'static str, id: &SessionId) {
        drop(self.set(command, id, true));
    }

    /// The same, but the connection breaks only when what this gives is dropped.
    pub(crate) fn lose_late(&self, command: &'static str, id: &SessionId) -> Held {
        self.set(command, id, true)
    }

    /// Holds the next such command about `id` up.
    pub(crate) fn hold(&self, command: &'static str, id: &SessionId) -> Held {
        self.set(command, id, false)
    }

    /// Whether what was to be held up or lost has come by.
    pub(crate) fn is_done(&self) -> bool {
        self.next.lock().expect("whole").is_none()
    }

    fn set(&self, command: &'static str, id: &SessionId, loses_answer: bool) -> Held {
        let (at, reached) = oneshot::channel();
        let (release, released) = oneshot::channel();
        *self.next.lock().expect("whole") = Some(Trap {
            command,
            about: id.as_str().to_owned(),
            loses_answer,
            reached: at,
            released,
        });
        Held {
            reached,
            _release: release,
        }
    }
}

/// Passes whole messages on, both ways, until one side or a trap ends it.
async fn pass_on(client: TcpStream, server: TcpStream, next: Next) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let swallow = Arc::new(Mutex::new(None));
    let back = tokio::spawn(answers(from_server, to_client, Arc::clone(&swallow)));
    // Connections break here.
    let _ = commands(from_client, to_server, &next, &swallow).await;
    back.abort();
}

/// Where to say that the next answer has come, which is not passed on.
type Swallow = Arc<Mutex<Option<oneshot::Sender<()>>>>;

async fn commands(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    next: &Next,
    swallow: &Swallow,
) -> Result<()> {
    loop {
        let command = message(&mut client).await?;
        let trap = {
            let mut next = next.lock().expect("whole");
            next.take_if(|trap| trap.catches(&command))
        };
        let Some(trap) = trap else {
            server.write_all(&command).await?;
            continue;
        };
        if trap.loses_answer {
            let (came, answer) = oneshot::channel();
            *swallow.lock().expect("whole") = Some(came);
            server.write_all(&command).await?;
            let _ = answer.await;
        }
        let _ = trap.reached.send(());
        let _ = trap.released.await;
        if trap.loses_answer {
            return Ok(());
        }
        server.write_all(&command).await?;
    }
}

async fn answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    swallow: Swallow,
) -> Result<()> {
    loop {
        let answer = message(&mut server).await?;
        let came = swallow.lock().expect("whole").take();
        match came {
            Some(came) => drop(came.send(())),
            None => client.write_all(&answer).await?,
        }
    }
}

/// A message begins with its length.
async fn message(from: &mut OwnedReadHalf) -> Result<Vec<u8>> {
    let length = from.read_u32_le().await?;
    let mut message = vec![0; length as usize];
    message[..4].copy_from_slice(&length.to_le_bytes());
    from.read_exact(&mut message[4..]).await?;
    Ok(message)
}

impl Trap {
    fn catches(&self, message: &[u8]) -> bool {
        // The length of the document and the type of its first field come before that field's name.
        let name = message.get(BEFORE_DOCUMENT + 5..).unwrap_or_default();
        let about = self.about.as_bytes();
        name.starts_with(&[self.command.as_bytes(), b"\0"].concat())
            && message.windows(about.len()).any(|part| part == about)
    }
}
