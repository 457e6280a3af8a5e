//! An address that leads to one server after another, or nowhere.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
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
        let to = self.to.load(SeqCst);
        if to == 0 {
            std::future::pending::<()>().await;
        }
        let server = TcpStream::connect(("127.0.0.1", to as u16)).await;
        if let Ok(mut server) = server {
            // It ends when either side does.
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
    }
}
