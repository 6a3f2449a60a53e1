//! Starts the real program on a port of its own and ends it with the test.
//!
//! Invariant: every wait is bounded, and no child outlives its [`Ecoute`].
#![allow(dead_code, reason = "each test crate uses a part of it")]
#![allow(clippy::disallowed_methods, reason = "tests of the program wait for it in real time")]

pub mod client;
pub mod issuer;
pub mod slow_disk;
pub mod tls;

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tls::shared;

/// How long the program may take for anything.
pub const WAIT: Duration = Duration::from_secs(10);

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ecoute");

/// A running server with its data in a directory of its own.
pub struct Ecoute {
    pub child: Child,
    /// Where IPv4 clients of this machine reach it.
    pub address: SocketAddr,
    /// Where it listens.
    bound: SocketAddr,
    pub data: TempDir,
    /// What it wrote to stderr, as far as [`Ecoute::wait_for_line`] read.
    pub lines: Vec<String>,
    stderr: Receiver<String>,
    stdout: Receiver<String>,
    /// While a test holds it nobody reads stderr, but for a few KiB on their way.
    pub reading: Arc<Mutex<()>>,
}

/// Writes which devices there are; returns where.
fn devices_in(data: &Path) -> PathBuf {
    let path = data.join("devices.json");
    let list = r#"[{"id": "cam", "place": "Caméra"}, {"id": "hall", "place": "Hall d'entrée"}]"#;
    std::fs::write(&path, list).unwrap();
    path
}

/// A command whose stdout is read, killed with the test.
pub struct Terminal {
    pub child: Child,
    lines: Vec<String>,
    stdout: Receiver<String>,
}

impl Ecoute {
    /// Starts a server on IPv4 and IPv6, and returns once it listens.
    pub fn start() -> Ecoute {
        Ecoute::start_with(TempDir::new().unwrap(), &[])
    }

    /// Starts a server with more arguments on a data directory that may have been used before.
    pub fn start_with(data: TempDir, arguments: &[&str]) -> Ecoute {
        Ecoute::start_at("[::]:0", data, arguments)
    }

    /// Starts a server that listens at other addresses of this machine.
    pub fn start_at(listen: &str, data: TempDir, arguments: &[&str]) -> Ecoute {
        let mut command = program();
        command.args(["--listen", listen, "--data"]).arg(data.path()).args(arguments);
        command.arg("--devices").arg(devices_in(data.path()));
        if over_tls() {
            shared().keep_in(data.path());
            command.arg("--tls-self-signed");
        }
        Ecoute::start_command(command, data)
    }

    /// Starts a command that runs the server on port 0, with `data` as its data directory.
    pub fn start_command(mut command: Command, data: TempDir) -> Ecoute {
        let reading = Arc::default();
        let (child, stdout, stderr) = spawn(&mut command, &reading);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut ecoute =
            Ecoute { child, address, bound: address, data, lines: Vec::new(), stderr, stdout, reading };
        let line = ecoute.wait_for_line("listening address=");
        let (_, rest) = line.split_once("address=").unwrap();
        let bound: SocketAddr = rest.split([' ', ',']).next().unwrap().parse().unwrap();
        ecoute.bound = bound;
        ecoute.address.set_port(bound.port());
        ecoute
    }

    /// Ends the server with a signal and starts it again on the same port and data.
    pub fn restart(&mut self, signal: Signal) {
        self.restart_with(signal, &[]);
    }

    /// Restarts the server with more arguments.
    pub fn restart_with(&mut self, signal: Signal, arguments: &[&str]) {
        self.end(signal);
        self.start_again(arguments);
    }

    /// Ends the server with a signal; there is none until [`Ecoute::start_again`].
    pub fn end(&mut self, signal: Signal) {
        self.signal(signal);
        self.wait_for_exit(WAIT);
    }

    /// Starts a server that ended, on the same port and data.
    pub fn start_again(&mut self, arguments: &[&str]) {
        let mut command = program();
        command.args(["--listen", &self.bound.to_string(), "--data"]).arg(self.data.path());
        command.args(arguments).arg("--devices").arg(devices_in(self.data.path()));
        if over_tls() {
            command.arg("--tls-self-signed");
        }
        (self.child, self.stdout, self.stderr) = spawn(&mut command, &self.reading);
        self.lines.clear();
        self.wait_for_line("listening address=");
    }

    /// Returns a token as `ecoute token` prints it.
    pub fn token(&self, role: &str, id: &str, name: &str) -> String {
        self.print(&["token", "--role", role, "--id", id, "--name", name])
    }

    /// Returns a token that works for so long.
    pub fn token_for(&self, ttl: &str, role: &str, id: &str) -> String {
        self.print(&["token", "--ttl", ttl, "--role", role, "--id", id])
    }

    /// Returns a token for what streams without a page.
    pub fn device_token(&self, id: &str, name: &str) -> String {
        self.print(&["token", "--role", "commercial", "--device", "--id", id, "--name", name])
    }

    /// Revokes every token that a user has.
    pub fn revoke(&self, id: &str) {
        self.print(&["revoke", id]);
    }

    /// Returns a link as `ecoute link` prints it, to this server.
    pub fn link(&self, role: &str, id: &str, name: &str) -> String {
        self.print(&["link", "--role", role, "--id", id, "--name", name, "--public-url", &self.url()])
    }

    /// Returns where browsers find the pages, without a slash at the end.
    pub fn url(&self) -> String {
        format!("{}://{}", if over_tls() { "https" } else { "http" }, self.address)
    }

    /// Returns the next line on stderr that contains `part`.
    pub fn wait_for_line(&mut self, part: &str) -> String {
        wait_for_line(&self.stderr, &mut self.lines, part)
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Returns how the program ended and how long that took; panics after `limit`.
    pub fn wait_for_exit(&mut self, limit: Duration) -> (ExitStatus, Duration) {
        let begin = Instant::now();
        while begin.elapsed() < limit {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, begin.elapsed());
            }
            thread::sleep(Duration::from_millis(2));
        }
        panic!("still running after {limit:?}");
    }

    /// Returns all that an ended program wrote, stdout and stderr.
    pub fn output(mut self) -> (Vec<String>, Vec<String>) {
        let until = Instant::now() + WAIT;
        let rest = |lines: &Receiver<String>| -> Vec<String> {
            let next = || lines.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
            std::iter::from_fn(next).collect()
        };
        let stdout = rest(&self.stdout);
        let mut stderr = std::mem::take(&mut self.lines);
        stderr.extend(rest(&self.stderr));
        (stdout, stderr)
    }

    fn print(&self, arguments: &[&str]) -> String {
        let output = run(program().args(arguments).arg("--data").arg(self.data.path()));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}

impl Drop for Ecoute {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Terminal {
    pub fn start(command: &mut Command) -> Terminal {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = lines_of(child.stdout.take().unwrap(), Arc::default());
        Terminal { child, lines: Vec::new(), stdout }
    }

    /// Returns the next line that contains `part`.
    pub fn wait_for_line(&mut self, part: &str) -> String {
        wait_for_line(&self.stdout, &mut self.lines, part)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &mut Command, reading: &Arc<Mutex<()>>) -> (Child, Receiver<String>, Receiver<String>) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdout = lines_of(child.stdout.take().unwrap(), Arc::default());
    let stderr = lines_of(child.stderr.take().unwrap(), Arc::clone(reading));
    (child, stdout, stderr)
}

/// Tells whether tests that do not say otherwise run over TLS, as the whole suite of the browser does once.
pub fn over_tls() -> bool {
    std::env::var_os("ECOUTE_TEST_TLS").is_some()
}

/// Returns the program, without settings from the environment of the test.
pub fn program() -> Command {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ECOUTE_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command that is expected to end by itself.
pub fn run(command: &mut Command) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(child.id() as i32);
    let (ended, end) = channel();
    // What it prints may be more than a pipe holds.
    let waiting = thread::spawn(move || {
        let output = child.wait_with_output().unwrap();
        // Where it took too long, nobody waits for it.
        let _ = ended.send(());
        output
    });
    if end.recv_timeout(WAIT).is_err() {
        kill(pid, Signal::SIGKILL).unwrap();
        panic!("still running: {:?}", waiting.join().unwrap());
    }
    waiting.join().unwrap()
}

/// Returns how much memory of a process is in use, in bytes.
pub fn resident_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Returns how much processor time a process used until now.
pub fn processor_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat")).unwrap();
    // The second field is the name in parentheses; user and system time are fields 14 and 15, in 1/100 s (proc(5)).
    let (_, after_name) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = after_name.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn wait_for_line(source: &Receiver<String>, lines: &mut Vec<String>, part: &str) -> String {
    let until = Instant::now() + WAIT;
    loop {
        match source.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                lines.push(line.clone());
                if line.contains(part) {
                    return line;
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                panic!("no line with {part:?} in {lines:#?}")
            }
        }
    }
}

fn lines_of(source: impl Read + Send + 'static, reading: Arc<Mutex<()>>) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            drop(reading.lock());
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
