//! Network namespaces: hosts of their own on this machine, and the cables between them.
//!
//! They have no names: the kernel ends them with the last thread, process or file that holds them, so nothing is left
//! behind, whatever happens to the test. Invariant: no address or rule is set outside of a namespace made here.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};

/// Marks the test that runs inside of a user namespace of its own.
const INSIDE: &str = "NETWORKS_INSIDE";

/// Runs a test where it may make networks: here as root, otherwise as the root of a user namespace.
pub fn with_networks(test: impl FnOnce()) {
    if nix::unistd::geteuid().is_root() {
        return test();
    }
    assert!(std::env::var_os(INSIDE).is_none(), "no root inside of a user namespace");
    let name = thread::current().name().expect("the test harness names its threads").to_owned();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", &name, "--nocapture"]).env(INSIDE, "1");
    let status = command.status().expect("unshare is installed (util-linux)");
    assert!(status.success(), "{name} failed: where user namespaces are not allowed, run it as root");
}

/// A host with nothing but a loopback interface, until a [`cable`] leads to it.
pub struct Namespace {
    file: File,
}

impl Namespace {
    pub fn new() -> Namespace {
        let file = thread::scope(|scope| {
            let made = scope.spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET).expect("making network namespaces is allowed to root");
                File::open("/proc/thread-self/ns/net").unwrap()
            });
            made.join().unwrap()
        });
        let namespace = Namespace { file };
        namespace.run("ip link set lo up");
        // Nobody else is there who could have an address. Asking takes a second, and is a change of network when it ends.
        namespace.run("sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0");
        namespace
    }

    /// Does something on this host; whatever it starts or opens stays there.
    pub fn enter<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let entered = || {
            setns(&self.file, CloneFlags::CLONE_NEWNET).unwrap();
            act()
        };
        thread::scope(|scope| {
            let done = scope.spawn(entered).join();
            done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Waits until the kernel has taken all interfaces into use: it takes up to a second, and to a browser that runs
    /// already it is a change of network.
    pub fn settle(&self) {
        let until = Instant::now() + Duration::from_secs(5);
        let is_coming =
            |text: &str| [" tentative", "state DOWN", "state LOWERLAYERDOWN"].iter().any(|w| text.contains(w));
        while is_coming(&self.run_with("ip -o link", "")) || is_coming(&self.run_with("ip -o address", "")) {
            assert!(Instant::now() < until, "interfaces do not come up");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs a command on this host that must succeed; its words are separated by single spaces.
    pub fn run(&self, command: &str) {
        self.run_with(command, "");
    }

    /// Gives nftables rules to this host's kernel, all or none of them.
    pub fn filter(&self, rules: &str) {
        self.run_with("nft -f -", rules);
    }

    fn run_with(&self, command: &str, input: &str) -> String {
        let output = self.enter(|| {
            let mut words = command.split(' ');
            let program = words.next().unwrap();
            let mut child = Command::new(program);
            // Where tools for administrators are, which others do not have in their path.
            child.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()));
            child.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child =
                child.spawn().unwrap_or_else(|error| panic!("{program}: {error}; bash tests/all installs it"));
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
            child.wait_with_output().unwrap()
        });
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {said}{input}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Lets this host pass on what is not for itself.
    pub fn forward(&self) {
        self.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    }
}

/// Joins two hosts: `(host, interface, addresses with their prefix length)` at each end.
pub fn cable(one: (&Namespace, &str, &[&str]), other: (&Namespace, &str, &[&str])) {
    let place = format!("/proc/{}/fd/{}", std::process::id(), other.0.file.as_raw_fd());
    one.0.run(&format!("ip link add {} type veth peer name {} netns {place}", one.1, other.1));
    for (host, interface, addresses) in [one, other] {
        set_addresses(host, interface, addresses);
    }
}

/// Gives an interface its addresses, and takes it into use.
pub fn set_addresses(host: &Namespace, interface: &str, addresses: &[&str]) {
    for address in addresses {
        host.run(&format!("ip address add {address} dev {interface}"));
    }
    host.run(&format!("ip link set {interface} up"));
}
