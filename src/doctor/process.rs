//! Programs on this machine: which one has a port, what it may open and takes; and other programs that know more.
//!
//! Invariant: what `/proc` does not tell, or tells only others, is `None` and never a guess.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::{Limit, instant, since};

/// How long another program may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(5);
/// How much of its answer is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Of a listening TCP socket in `/proc/net/tcp` (`TCP_LISTEN`).
const LISTENS: &str = "0A";

/// A program that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub name: String,
}

/// Returns who listens on a TCP port.
pub fn of_tcp_port(port: u16) -> Option<Process> {
    find(&[("/proc/net/tcp", Some(LISTENS)), ("/proc/net/tcp6", Some(LISTENS))], port)
}

/// Returns who receives on a UDP port.
pub fn of_udp_port(port: u16) -> Option<Process> {
    find(&[("/proc/net/udp", None), ("/proc/net/udp6", None)], port)
}

fn find(tables: &[(&str, Option<&str>)], port: u16) -> Option<Process> {
    let mut sockets = Vec::new();
    for (path, state) in tables {
        let table = fs::read_to_string(path).unwrap_or_default();
        sockets.extend(table.lines().skip(1).filter_map(|line| inode(line, port, *state)));
    }
    owner(&sockets)
}

/// Reads a line of `/proc/net/tcp` or `udp` (proc_net_tcp(5)): the inode of the socket, if it is the port's.
fn inode(line: &str, port: u16, state: Option<&str>) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
    let is_it = u16::from_str_radix(local_port, 16) == Ok(port) && state.is_none_or(|state| fields[3] == state);
    is_it.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
}

/// Returns who has one of these sockets open; those of other users are seen by root alone.
fn owner(inodes: &[String]) -> Option<Process> {
    let targets: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        for file in fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten() {
            let target = fs::read_link(file.path()).unwrap_or_default();
            if targets.iter().any(|wanted| Path::new(wanted) == target) {
                let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                return Some(Process { pid, name: name.trim_end().to_owned() });
            }
        }
    }
    None
}

/// Returns how many files a process may have open.
pub fn files_max(pid: u32) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        soft => soft.parse().ok(),
    }
}

/// Returns how much memory a process takes, in bytes.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    kilobytes(status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?)
}

/// Returns how much memory the machine has left, in bytes.
pub fn available_bytes() -> Option<u64> {
    let memory = fs::read_to_string("/proc/meminfo").ok()?;
    kilobytes(memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?)
}

fn kilobytes(text: &str) -> Option<u64> {
    Some(text.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Returns how much memory a process's control group leaves, in bytes; `None` without a bound (cgroups(7)).
pub fn group_bytes(pid: Option<u32>) -> Option<u64> {
    let groups =
        fs::read_to_string(pid.map_or("/proc/self/cgroup".to_owned(), |pid| format!("/proc/{pid}/cgroup"))).ok()?;
    let number = |path: String| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let left = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        let (max, current) = match controllers {
            "" => {
                let folder = format!("/sys/fs/cgroup{group}");
                (number(format!("{folder}/memory.max"))?, number(format!("{folder}/memory.current"))?)
            }
            "memory" => {
                let folder = format!("/sys/fs/cgroup/memory{group}");
                (
                    number(format!("{folder}/memory.limit_in_bytes"))?,
                    number(format!("{folder}/memory.usage_in_bytes"))?,
                )
            }
            _ => return None,
        };
        Some(max.saturating_sub(current))
    };
    groups.lines().filter_map(left).min()
}

/// Returns what a program answers; `None` where it is missing, fails or takes too long.
pub fn ask(program: &str, arguments: &[&str], limit: Limit) -> Option<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let stdout = child.stdout.take()?;
    // A long answer must not fill the pipe while its end is waited for.
    let reader = thread::Builder::new().spawn(move || {
        let mut text = String::new();
        stdout.take(ANSWER_BYTES_MAX).read_to_string(&mut text).map(|_| text)
    });
    let until = instant() + limit.left(ANSWER);
    let status = loop {
        match child.try_wait().ok()? {
            Some(status) => break status,
            None if since(instant(), until).is_zero() => {
                // It may have ended just now.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            None => thread::park_timeout(LOOK),
        }
    };
    let text = reader.ok()?.join().ok()?.ok()?;
    status.success().then_some(text)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn finds_itself_by_its_ports() {
        let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("[::1]:0").unwrap());
        let pid = std::process::id();
        assert_eq!(of_tcp_port(tcp.local_addr().unwrap().port()).unwrap().pid, pid);
        assert_eq!(of_udp_port(udp.local_addr().unwrap().port()).unwrap().pid, pid);
        let port = tcp.local_addr().unwrap().port();
        drop(tcp);
        assert_eq!(of_tcp_port(port), None);
        assert!(files_max(pid).unwrap() > 3 && resident_bytes(pid).unwrap() > 1 << 20);
        assert!(available_bytes().unwrap() > 1 << 20);
    }

    #[test]
    fn other_programs_answer_fail_or_hang() {
        let limit = Limit::new();
        assert_eq!(ask("echo", &["a"], limit).as_deref(), Some("a\n"));
        assert_eq!(ask("false", &[], limit), None);
        assert_eq!(ask("no-such-program", &[], limit), None);
        let begin = instant();
        assert_eq!(ask("sleep", &["10"], limit), None);
        assert!(begin.elapsed() < Duration::from_secs(4));
    }
}
