//! A relay that delays every byte, like the network to another machine.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Starts a relay to `server` with a delay each way and returns its port. It uses threads, because
/// Tokio's timers count whole milliseconds.
pub(crate) fn relay(server: u16, delay: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else {
                continue;
            };
            for stream in [&client, &server] {
                stream.set_nodelay(true).expect("a socket");
            }
            let copy = |stream: &TcpStream| stream.try_clone().expect("a socket");
            carry(copy(&client), copy(&server), delay);
            carry(server, client, delay);
        }
    });
    port
}

fn carry(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if sender
                .send((Instant::now() + delay, buffer[..read].to_vec()))
                .is_err()
            {
                break;
            }
        }
    });
    std::thread::spawn(move || {
        for (due, bytes) in receiver {
            // The kernel wakes a thread about 50 µs late.
            let early = Duration::from_micros(55);
            std::thread::sleep(
                due.saturating_duration_since(Instant::now())
                    .saturating_sub(early),
            );
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
