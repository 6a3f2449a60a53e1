//! What is heard while nobody reads the log: a pipe is full, a terminal is stopped, a disk takes its time.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::assert_tone;
use crate::drive::Browser;
use crate::people::{microphone, open_both};
use crate::support::client::fill_log;
use crate::support::{Ecoute, program};

/// How many lines of 1 KB are more than what the system and the queue before it take.
const LINES: usize = 800;

const LOG: [&str; 2] = ["--log", "info,http=debug"];

/// A server whose log goes to a terminal.
fn start_on_terminal() -> Ecoute {
    let data = TempDir::new().unwrap();
    let server = program();
    let (path, data_path) = (server.get_program().to_str().unwrap(), data.path().to_str().unwrap());
    let line = format!("exec '{path}' --listen 127.0.0.1:0 --data '{data_path}' {}", LOG.join(" "));
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec script -qec "$0" /dev/null >&2"#, &line]);
    Ecoute::start_command(command, data)
}

/// A server each line of whose log takes half a second to be written.
fn start_on_slow_disk() -> Ecoute {
    let data = TempDir::new().unwrap();
    let mut command = Command::new("bash");
    let slow = r#"exec "$0" "$@" 2> >(while IFS= read -r line; do echo "$line"; sleep 0.5; done >&2)"#;
    command.args(["-c", slow]).arg(program().get_program());
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path()).args(LOG);
    Ecoute::start_command(command, data)
}

/// Asserts that a tone is heard without a hole while lines are written that nobody reads.
fn assert_heard(ecoute: &Ecoute) {
    let tone = microphone(440.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let (_lea, paul) = open_both(ecoute, [&phone, &desk], ["", ""]);
    let (address, is_over) = (ecoute.address, AtomicBool::default());
    thread::scope(|scope| {
        fill_log(address, LINES);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                fill_log(address, 10);
                thread::sleep(Duration::from_millis(100));
            }
        });
        assert_tone(&paul, 440.0);
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_tone_goes_on_while_a_pipe_is_full() {
    let ecoute = Ecoute::start_with(TempDir::new().unwrap(), &LOG);
    let reading = Arc::clone(&ecoute.reading);
    let _unread = reading.lock().unwrap();
    assert_heard(&ecoute);
}

#[test]
fn a_tone_goes_on_while_a_terminal_is_stopped() {
    let ecoute = start_on_terminal();
    let reading = Arc::clone(&ecoute.reading);
    let _unread = reading.lock().unwrap();
    assert_heard(&ecoute);
}

#[test]
fn a_tone_goes_on_while_a_disk_takes_its_time() {
    assert_heard(&start_on_slow_disk());
}
