//! An address that leads to one server after another, or nowhere.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub(crate) struct Relay {
    pub(crate) port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// The port that new connections lead to; 0: they are taken and never answered.
    to: AtomicUsize,
    open: AtomicUsize,
    made: AtomicUsize,
    /// How many of the connections that were made carry nothing any more.
    silent: watch::Sender<usize>,
    connections: Mutex<Vec<AbortHandle>>,
}

impl Relay {
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(State::default());
        state.to.store(usize::from(to), SeqCst);
        let of_all = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&of_all);
                let task = tokio::spawn(async move { state.pass_on(client).await });
                let mut all = of_all.connections.lock().expect("whole");
                all.push(task.abort_handle());
            }
        });
        Self { port, state }
    }

    /// Leads new connections to another server; those that are open go on.
    pub(crate) fn switch(&self, to: u16) {
        self.state.to.store(usize::from(to), SeqCst);
    }

    /// Breaks the connections that are open.
    pub(crate) fn cut(&self) {
        for task in self.state.connections.lock().expect("whole").drain(..) {
            task.abort();
        }
    }

    /// The connections that are open stay so, and nothing comes back over them any more.
    pub(crate) fn fall_silent(&self) {
        self.state.silent.send_replace(self.state.made.load(SeqCst));
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.state.open.load(SeqCst)
    }
}

struct Counted<'s>(&'s AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl State {
    async fn pass_on(&self, mut client: TcpStream) {
        self.open.fetch_add(1, SeqCst);
        let _counted = Counted(&self.open);
        let number = self.made.fetch_add(1, SeqCst);
        let mut silent = self.silent.subscribe();
        let to = self.to.load(SeqCst);
        if to == 0 {
            std::future::pending::<()>().await;
        }
        let server = TcpStream::connect(("127.0.0.1", to as u16)).await;
        if let Ok(mut server) = server {
            tokio::select! {
                // It ends when either side does.
                _ = copy_bidirectional(&mut client, &mut server) => {}
                () = until_silent(&mut silent, number) => std::future::pending().await,
            }
        }
    }
}

/// Waits until the connection of this number is to carry nothing any more.
async fn until_silent(silent: &mut watch::Receiver<usize>, number: usize) {
    let _ = silent.wait_for(|until| number < *until).await;
}
