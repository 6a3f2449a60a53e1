//! The program as a service: what it tells the service manager, and what the packaging promises it.
//!
//! Not an installation, which `packaging/try` does in a system of its own. Invariant: every wait is bounded.
#![allow(clippy::disallowed_methods, reason = "tests of the program wait for it in real time")]

mod support;

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use support::{Ecoute, PROGRAM, WAIT, program, run};
use tempfile::TempDir;

/// How long the program may be silent under watch; it speaks twice as often.
const WATCHDOG: Duration = Duration::from_millis(400);

#[test]
fn the_service_manager_hears_of_start_life_and_end() {
    let (mut ecoute, manager) = start_watched();
    assert_eq!(manager.next(WAIT), "READY=1\n");
    let begin = Instant::now();
    for _ in 0..5 {
        assert_eq!(manager.next(WATCHDOG), "WATCHDOG=1\n");
    }
    assert!(begin.elapsed() >= 3 * WATCHDOG / 2, "it need not be said more often: {:?}", begin.elapsed());

    ecoute.signal(Signal::SIGTERM);
    let next = manager.next(WAIT);
    let stopping = if next == "WATCHDOG=1\n" { manager.next(WAIT) } else { next };
    assert_eq!(stopping, "STOPPING=1\n");
    assert_eq!(ecoute.wait_for_exit(WAIT).0.code(), Some(0));
}

#[test]
fn a_loop_that_hangs_says_nothing() {
    let (ecoute, manager) = start_watched();
    assert_eq!(manager.next(WAIT), "READY=1\n");
    assert_eq!(manager.next(WATCHDOG), "WATCHDOG=1\n");
    ecoute.signal(Signal::SIGSTOP);
    // What was said before the signal arrived may still wait here.
    while manager.wait(WATCHDOG / 4).is_some() {}
    assert_eq!(manager.wait(3 * WATCHDOG), None);
    ecoute.signal(Signal::SIGCONT);
    assert_eq!(manager.next(WATCHDOG), "WATCHDOG=1\n");
}

#[test]
fn the_journal_keeps_the_time_itself() {
    let shown = |is_journal: bool| {
        let (mut reader, writer) = io::pipe().unwrap();
        let stream = fs::metadata(format!("/proc/self/fd/{}", writer.as_raw_fd())).unwrap();
        let inode = stream.ino() + u64::from(!is_journal);
        let data = TempDir::new().unwrap();
        let mut command = program();
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path()).stdin(Stdio::null());
        command.env("JOURNAL_STREAM", format!("{}:{inode}", stream.dev())).stderr(writer);
        let mut child = command.spawn().unwrap();
        // Its last copy of the pipe's end goes with it.
        drop(command);
        let mut text = [0; 64];
        reader.read_exact(&mut text).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        String::from_utf8_lossy(&text).into_owned()
    };
    assert!(shown(true).starts_with("<6>INFO  ecoute"), "{}", shown(true));
    assert!(shown(false).starts_with("20"), "{}", shown(false));
}

#[test]
fn systemd_finds_no_fault_with_the_unit() {
    let directory = TempDir::new().unwrap();
    let unit = directory.path().join("ecoute.service");
    let text = packaged("ecoute.service");
    assert!(text.contains("ExecStart=/usr/bin/ecoute\n"));
    // It looks whether the program is there.
    fs::write(&unit, text.replace("/usr/bin/ecoute", PROGRAM)).unwrap();
    let output = run(Command::new("systemd-analyze").arg("verify").arg(&unit));
    let complaints = String::from_utf8(output.stderr).unwrap();
    // Other units of the machine are none of ours.
    assert!(output.status.success() && !complaints.contains("ecoute"), "{complaints}");

    let output =
        run(Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=20"]).arg(&unit));
    assert!(output.status.success(), "more exposed than 2.0 of 10: {}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn packaged_settings_are_options_of_the_program() {
    let help = String::from_utf8(run(program().args(["serve", "--help"])).stdout).unwrap();
    let help_of_link = String::from_utf8(run(program().args(["link", "--help"])).stdout).unwrap();
    let settings = packaged("default");
    let names: Vec<&str> = settings
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once('='))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("ECOUTE_"))
        .collect();
    assert!(names.len() > 3, "{names:?}");
    for name in names {
        let option = format!("{name}=]");
        assert!(help.contains(&option) || help_of_link.contains(&option), "{name}");
    }
}

/// Where systemd would listen.
struct ServiceManager {
    socket: UnixDatagram,
    _directory: TempDir,
}

impl ServiceManager {
    fn next(&self, limit: Duration) -> String {
        self.wait(limit).unwrap_or_else(|| panic!("nothing was said for {limit:?}"))
    }

    fn wait(&self, limit: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(limit)).unwrap();
        let mut said = [0; 256];
        match self.socket.recv(&mut said) {
            Ok(bytes) => Some(String::from_utf8(said[..bytes].to_vec()).unwrap()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }
}

fn packaged(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)).unwrap()
}

fn start_watched() -> (Ecoute, ServiceManager) {
    let (data, directory) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = directory.path().join("notify");
    let manager = ServiceManager { socket: UnixDatagram::bind(&path).unwrap(), _directory: directory };
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
    (Ecoute::start_command(command, data), manager)
}
