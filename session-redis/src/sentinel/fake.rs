//! Sentinels of tests.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use redis::{Client, IntoConnectionInfo};

/// A Sentinel that names the primary at this port with this epoch, each time after `delay`: the
/// first question gets the first answer, and so on, and the last holds from then on. `None` says
/// that it does not know the group. It serves one connection at a time.
pub(super) fn fake(named: &'static [Option<(u16, u8)>], delay: Duration) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        let mut answers = named.iter().copied();
        let last = named.last().copied().flatten();
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            while matches!(connection.read(&mut [0; 1024]), Ok(1..)) {
                std::thread::sleep(delay);
                let answer = answer(answers.next().unwrap_or(last));
                let _ = connection.write_all(answer.as_bytes());
            }
        }
    });
    let info = format!("redis://127.0.0.1:{at}").into_connection_info();
    let info = info.expect("a URL");
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    Client::open(info.set_redis_settings(settings)).expect("a client")
}

fn answer(named: Option<(u16, u8)>) -> String {
    let Some((port, epoch)) = named else {
        return "*-1\r\n-ERR No such master with that name\r\n".to_owned();
    };
    let length = port.to_string().len();
    let address = format!("*2\r\n$1\r\nh\r\n${length}\r\n{port}\r\n");
    address + &format!("*2\r\n$12\r\nconfig-epoch\r\n$1\r\n{epoch}\r\n")
}
