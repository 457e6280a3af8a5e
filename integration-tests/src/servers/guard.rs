//! Shells that outlive the tests for a moment to end the servers that they have started.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Runs `script` with `arguments` in a shell whose standard input is a pipe of this process: `cat`
/// in the script returns when this process has ended, however it ends.
///
/// The shell has its own process group, so that an interrupt of the tests does not reach it.
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

/// Starts "$@", writes its process id to folder $1, and sends it the signal $2 when the tests have
/// ended. A process that stands still only heeds `KILL`, so it goes on.
pub(super) const RUN_SERVER: &str = r#"
dir=$1 signal=$2; shift 2
"$@" >>"$dir/log" 2>&1 </dev/null &
echo $! >"$dir/pid"
cat >/dev/null
kill "-$signal" "$(cat "$dir/pid")"
kill -CONT "$(cat "$dir/pid")"
wait
"#;

/// Removes folder $1 when the tests have ended.
pub(super) const REMOVE_FOLDER: &str = r#"cat >/dev/null; sleep 1; rm -rf "$1""#;

/// Removes the container $1 when the tests have ended.
pub(super) const REMOVE_CONTAINER: &str = r#"cat >/dev/null; docker rm -f -v "$1""#;

/// Makes the guard's script go on now instead of when the process ends.
pub(super) fn release(mut guard: Child) {
    drop(guard.stdin.take());
    // The shell ends by itself; waiting avoids a zombie process.
    let _ = guard.wait();
}

/// Unmounts the disk at folder $1 and removes the folder when the tests have ended.
pub(super) const REMOVE_DISK: &str = r#"cat >/dev/null; sleep 2; umount -l "$1"; rmdir "$1""#;

/// Removes the network namespaces "$@" when the tests have ended.
pub(super) const REMOVE_NETWORKS: &str =
    r#"cat >/dev/null; sleep 1; for name; do ip netns del "$name"; done"#;
