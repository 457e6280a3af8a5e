//! What outlives the tests by a moment, to end what they started.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Runs `script` with `arguments` in a shell whose standard input is a pipe held by this process:
/// `cat` in it returns when this process has ended, in whatever way.
///
/// It has a process group of its own, so a key that interrupts the tests does not reach it.
pub(super) fn guarded(script: &str, arguments: &[&str]) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", script, "guard"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

/// Starts "$@" beside folder $1, notes its id there, and ends both with the tests.
pub(super) const RUN_SERVER: &str = r#"
dir=$1; shift
"$@" >>"$dir/log" 2>&1 </dev/null &
echo $! >"$dir/pid"
cat >/dev/null
kill -9 "$(cat "$dir/pid")"
wait
"#;

/// Removes folder $1 when the tests have ended.
pub(super) const REMOVE_FOLDER: &str = r#"cat >/dev/null; sleep 1; rm -rf "$1""#;

/// Removes the container $1 when the tests have ended.
pub(super) const REMOVE_CONTAINER: &str = r#"cat >/dev/null; docker rm -f -v "$1""#;

/// Ends what the guard keeps now, rather than with the process.
pub(super) fn release(mut guard: Child) {
    drop(guard.stdin.take());
    // It ends by itself; this only leaves no zombie.
    let _ = guard.wait();
}
