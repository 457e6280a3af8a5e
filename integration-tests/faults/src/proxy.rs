//! A TCP proxy in front of a server: the network, with its faults.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How many bytes pass at a time where the network drips.
const DRIP: usize = 16;

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// All bytes pass at once.
    Whole,
    /// Bytes wait this long, in each direction.
    Slow(Duration),
    /// Answers come in pieces of 16 bytes, this long apart.
    Drips(Duration),
    /// One answer of this many ends in its middle, and its connection with it.
    CutsAnswers(u64),
    /// Bytes vanish, and the connections that lost some stay silent for good.
    Swallows,
    /// Connections are closed as soon as they are made.
    Refuses,
}

/// A port of 127.0.0.1 that leads to a server. The port closes when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    listener: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    server: Mutex<SocketAddr>,
    state: watch::Sender<State>,
    /// How many connections there were.
    connections: AtomicU64,
    /// How many pieces of answers came since answers are cut.
    answers: AtomicU64,
}

/// Connections are numbered from 0 as they come.
#[derive(Clone, Copy, Debug)]
struct State {
    network: Network,
    /// Connections with a smaller number have been reset.
    reset: u64,
    /// Connections with a smaller number are silent.
    silent: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Question,
    Answer,
}

impl Proxy {
    /// Starts to lead connections to `server`.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            server: Mutex::new(server),
            state: watch::Sender::new(State {
                network: Network::Whole,
                reset: 0,
                silent: 0,
            }),
            connections: AtomicU64::new(0),
            answers: AtomicU64::new(0),
        });
        let listening = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            port,
            shared,
            listener: listening,
        })
    }

    /// Returns the port that it listens on.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns how many connections there were.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Leads new connections to another server. Those that are open stay where they are.
    pub fn lead_to(&self, server: SocketAddr) {
        *self.shared.server() = server;
    }

    /// Changes what the network does from now on.
    pub fn set(&self, network: Network) {
        self.shared.answers.store(0, Ordering::SeqCst);
        self.shared.state.send_modify(|state| {
            // Bytes of these may have vanished.
            if state.network == Network::Swallows {
                state.silent = self.connections();
            }
            state.network = network;
        });
    }

    /// Closes all open connections, as a machine does that has lost its memory of them.
    pub fn reset_all(&self) {
        let all = self.connections();
        self.shared.state.send_modify(|state| state.reset = all);
    }

    /// Lets the connections that are open fall silent for good; new ones work.
    pub fn silence(&self) {
        let all = self.connections();
        self.shared.state.send_modify(|state| state.silent = all);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.reset_all();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // Out of descriptors, for instance: a client may yet give some back.
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // Connections break here.
            let _ = shared.serve(client, number).await;
        });
    }
}

impl Shared {
    fn server(&self) -> std::sync::MutexGuard<'_, SocketAddr> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn network(&self) -> Network {
        self.state.borrow().network
    }

    async fn serve(&self, mut client: TcpStream, number: u64) -> io::Result<()> {
        if self.network() == Network::Refuses {
            return client.set_zero_linger();
        }
        client.set_nodelay(true)?;
        let address = *self.server();
        let mut server = TcpStream::connect(address).await?;
        server.set_nodelay(true)?;
        let mut state = self.state.subscribe();
        let reset = {
            let (mut from_client, mut to_client) = client.split();
            let (mut from_server, mut to_server) = server.split();
            tokio::select! {
                ended = self.pass(&mut from_client, &mut to_server, number, Direction::Question) => ended?,
                ended = self.pass(&mut from_server, &mut to_client, number, Direction::Answer) => ended?,
                _ = state.wait_for(|state| number < state.reset) => true,
            }
        };
        if reset {
            client.set_zero_linger()?;
            server.set_zero_linger()?;
        }
        Ok(())
    }

    /// Passes bytes on until one side has closed the connection, or it is cut here: then it is true.
    async fn pass(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        number: u64,
        direction: Direction,
    ) -> io::Result<bool> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = from.read(&mut buffer).await?;
            let bytes = &buffer[..length];
            if bytes.is_empty() {
                return Ok(false);
            }
            if self.is_silent(number) {
                continue;
            }
            match self.network() {
                Network::Slow(pause) => tokio::time::sleep(pause).await,
                Network::Drips(pause) if direction == Direction::Answer => {
                    self.drip(bytes, pause, to).await?;
                    continue;
                }
                Network::CutsAnswers(one_in) if direction == Direction::Answer => {
                    let answers = self.answers.fetch_add(1, Ordering::SeqCst) + 1;
                    if answers.is_multiple_of(one_in) {
                        to.write_all(&bytes[..bytes.len() / 2]).await?;
                        return Ok(false);
                    }
                }
                _ => {}
            }
            // The pause may have ended in a silence.
            if !self.is_silent(number) {
                to.write_all(bytes).await?;
            }
        }
    }

    fn is_silent(&self, number: u64) -> bool {
        let state = self.state.borrow();
        number < state.silent || state.network == Network::Swallows
    }

    async fn drip(
        &self,
        bytes: &[u8],
        pause: Duration,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        for piece in bytes.chunks(DRIP) {
            to.write_all(piece).await?;
            if self.network() == Network::Drips(pause) {
                tokio::time::sleep(pause).await;
            }
        }
        Ok(())
    }
}
