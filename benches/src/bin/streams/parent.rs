//! The process that starts the others, ends the sessions, and reports.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use benches::Latencies;
use integration_tests::servers;
use session_core::Sessions;
use session_redis::redis;

use crate::{Options, now, user};

/// The default of `stream_lease`, and some for a busy machine.
const LEASE: Duration = Duration::from_secs(5);
const SLACK: Duration = Duration::from_secs(3);

struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    fn start(options: &Options, number: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a program has a file"));
        command.args(["child", &options.url, &number.to_string()]);
        let Options {
            processes,
            streams,
            users,
            ..
        } = options;
        command.args([
            format!("processes={processes}"),
            format!("streams={streams}"),
            format!("users={users}"),
        ]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let (send, lines) = channel();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let input = child.stdin.take();
        Self {
            child,
            input,
            lines,
        }
    }

    fn wait_until_ready(&self) -> usize {
        let line = self.lines.recv_timeout(Duration::from_secs(300));
        let line = line.expect("it opens its streams");
        let count = line.strip_prefix("ready ").expect("its first line");
        count.parse().expect("a number")
    }

    /// The user and time of each close, and how many streams are open still.
    fn finish(mut self) -> (Vec<(usize, u64)>, usize) {
        drop(self.input.take());
        let (mut closed, mut open) = (Vec::new(), 0);
        for line in self.lines.iter() {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |n: usize| words[n].parse::<u64>().expect("a number");
            match words[0] {
                "closed" => closed.push((number(1) as usize, number(2))),
                _ => open = number(1) as usize,
            }
        }
        self.child.wait().expect("it ended");
        (closed, open)
    }
}

fn url(arguments: &[String]) -> String {
    let is_asked = |name: &str| arguments.iter().any(|argument| argument == name);
    let server = match () {
        () if is_asked("mongo") => servers::mongo(),
        () if is_asked("mysql") => servers::mysql(),
        () => servers::redis(),
    };
    let server = server.expect("a server that is not skipped");
    println!("{}", server.description);
    server.url.clone()
}

pub(crate) async fn run(arguments: &[String]) {
    let url = tokio::task::block_in_place(|| url(arguments));
    let options = Options::read(url, arguments);
    let sessions = Sessions::new(options.store(!options.is_cut).await);
    let directory = sessions.store().directory().expect("one");
    directory.clear().await.expect("up");
    let processes: Vec<Process> = (0..options.processes)
        .map(|number| Process::start(&options, number))
        .collect();
    let open: usize = processes.iter().map(Process::wait_until_ready).sum();
    println!(
        "{open} streams in {} processes, {} users",
        options.processes, options.users
    );
    if options.is_cut {
        cut(&options.url).await;
    }
    let mut called = Vec::new();
    let mut calls = Latencies::default();
    for number in 0..options.users {
        called.push(now());
        calls
            .time(sessions.destroy_owned_by(user(number), None))
            .await
            .expect("up");
    }
    println!("destroy_owned_by: {calls}");
    tokio::time::sleep(LEASE + SLACK).await;
    let mut closes = Latencies::default();
    let mut left = 0;
    for process in processes {
        let (closed, open) = process.finish();
        left += open;
        for (whose, at) in closed {
            closes.add(Duration::from_micros(at.saturating_sub(called[whose])));
        }
    }
    println!(
        "closed: {} streams, {closes}; open after the lease: {left}",
        closes.count()
    );
}

/// Closes the connections that listen, and refuses others.
async fn cut(url: &str) {
    let client = redis::Client::open(url).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("up");
    for words in ["ACL SETUSER default -subscribe", "CLIENT KILL TYPE pubsub"] {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap_or_default());
        let sent = command
            .arg(words.collect::<Vec<_>>())
            .exec_async(&mut connection);
        sent.await.expect("up");
    }
}
