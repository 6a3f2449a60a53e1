//! The machine that a server runs on: its secret, its port, and what the system gives it.
//!
//! Invariant: changes nothing; a port that is tried is free again at once.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ecoute::config::AdmissionLimits;
use ecoute::host::secret::{self, SecretError};
use ecoute::host::watch::WatchedFile;
use ecoute::peer::Unfit;
use ecoute::token::{LeftOut, PUBLIC_KEYS_BYTES_MAX, PublicKeys};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::resource::{Resource, getrlimit};

use super::process::{self, Process};
use super::report::{Finding, Report};
use super::stream::{self, Shown, Stream};
use super::visit::Place;
use super::{Limit, Server, certificate, http, local, wall, words};

/// Files that a server opens besides its clients.
const FILES_BESIDES: u64 = 304;
/// With fewer files a team of some size finds no room.
const FILES_MIN: u64 = 1024;
/// What a server takes with all its tables full, in bytes (the table in `config.rs`).
const MEMORY_FULL_BYTES: u64 = 512 << 20;
/// What it takes with a few people.
const MEMORY_MIN_BYTES: u64 = 48 << 20;
/// What one more session takes, all in.
const SESSION_BYTES: u64 = 80_000;
/// What the program takes before the first.
const PROGRAM_BYTES: u64 = 15_000_000;
/// Room for bursts in the kernel's socket buffers.
const BUFFER_BYTES: u64 = 4 << 20;
/// Where the packaged server has its secret.
const PACKAGED_SECRET: &str = "/var/lib/ecoute/secret";
/// How many keys that are left out are named.
const LEFT_OUT_MAX: usize = 8;
/// Where a package puts the unit.
const UNITS: [&str; 3] = [
    "/etc/systemd/system/ecoute.service",
    "/usr/lib/systemd/system/ecoute.service",
    "/lib/systemd/system/ecoute.service",
];

/// A server that answers.
pub struct Found {
    pub process: Option<Process>,
    /// Its certificate, where it speaks TLS.
    pub shown: Option<Shown>,
}

/// Returns the secret that the server signs with.
pub fn examine_data(server: &Server, limit: Limit, report: &mut Report<'_>) -> Option<Vec<u8>> {
    let path = server.secret.display();
    match secret::load(&server.secret) {
        Ok(secret) => {
            let mode = fs::metadata(&server.secret).map_or(0, |metadata| metadata.permissions().mode());
            report.add(if mode & 0o007 == 0 {
                Finding::ok(format!("the secret is at {path}"))
            } else {
                Finding::warning(format!("everybody on this machine can read {path}"), format!("chmod 600 {path}"))
            });
            Some(secret)
        }
        // A server makes it at its first start; where none answers, that is to come.
        Err(SecretError::Missing { .. }) if !is_elsewhere() && !server.is_answered(limit) => {
            let text = format!(
                "no server ran here yet, or it has another --data: the first start makes the secret at {path}"
            );
            report.add(Finding::ok(text));
            None
        }
        Err(SecretError::Missing { .. }) => {
            let text = format!("there is no secret at {path}: no server ran here with this data directory");
            let mend = if is_elsewhere() {
                "sudo sh -c 'set -a; . /etc/default/ecoute; ecoute doctor --data /var/lib/ecoute'"
            } else {
                "ecoute doctor --data DIR   # the server's; a server makes it at its first start"
            };
            report.add(Finding::wrong(text, mend));
            None
        }
        Err(SecretError::Unreadable { error, .. }) => {
            let text = format!("the secret at {path} can't be read: {error}");
            report.add(Finding::wrong(text, "sudo ecoute doctor   # or as the user that the server runs as"));
            None
        }
        Err(SecretError::Guessable { why, .. }) => {
            let text = format!("the secret at {path} {why}: whoever guesses it lets themselves in as anybody");
            report.add(Finding::wrong(
                text,
                format!("openssl rand -hex 32 > {path} && systemctl restart ecoute   # all links end"),
            ));
            None
        }
        Err(error @ SecretError::Itself) => {
            report.add(Finding::wrong(error.to_string(), "ecoute doctor --secret-file FILE"));
            None
        }
        Err(error) => {
            let text = format!("the secret at {path} can't be used: {error}");
            report.add(Finding::wrong(
                text,
                format!("rm {path} && systemctl restart ecoute   # makes a new one; all links end"),
            ));
            None
        }
    }
}

/// Tells whether the packaged server ran here, with its own data directory.
fn is_elsewhere() -> bool {
    Path::new(PACKAGED_SECRET).exists()
}

/// Looks at the keys of the identity provider, where one is named.
pub fn examine_public_keys(server: &Server, report: &mut Report<'_>) {
    let Some(path) = &server.public_keys else { return };
    let shown = path.display();
    let again = "save what is at the jwks_uri of the identity provider there";
    let read = WatchedFile::open(path, PUBLIC_KEYS_BYTES_MAX).map_err(|error| error.to_string());
    let parsed = read.and_then(|(_, contents)| {
        PublicKeys::parse(&contents).map_err(|error| format!("the public keys in {shown} can't be used: {error}"))
    });
    let keys = match parsed {
        Ok(keys) => keys,
        Err(text) => return report.add(Finding::wrong(text, again)),
    };
    report.add(Finding::ok(format!("{shown} holds {} public keys for tokens", keys.len())));
    for LeftOut { number, kid, fault } in
        keys.left_out().iter().filter(|key| !key.is_of_others()).take(LEFT_OUT_MAX)
    {
        let name = kid.as_deref().map(|kid| format!(" ({kid:?})")).unwrap_or_default();
        let text = format!("key {number}{name} in {shown} is left out: {fault}; tokens that it signed are refused");
        report.add(Finding::warning(text, again));
    }
}

impl Server {
    /// Tells whether anybody answers where the server is to listen.
    fn is_answered(&self, limit: Limit) -> bool {
        self.listens.iter().any(|&listen| stream::connect(local(listen), limit).is_ok())
    }
}

/// Looks who has a port; returns the server, if it is ours.
pub fn examine_port(server: &Server, listen: SocketAddr, limit: Limit, report: &mut Report<'_>) -> Option<Found> {
    let (address, port) = (local(listen), listen.port());
    if stream::connect(address, limit).is_err() {
        report.add(judge_free(server, listen));
        return None;
    }
    let process = process::of_tcp_port(port);
    let of_process = process.as_ref().map(|process| format!(" ({}, process {})", process.name, process.pid));
    let of_process = of_process.unwrap_or_default();
    if let Some(shown) = ask_health(address, limit) {
        report.add(Finding::ok(format!("écoute listens on {listen}{of_process}")));
        return Some(Found { process, shown });
    }
    let text = format!("port {port} is another program's{of_process}: it does not answer as écoute does");
    report.add(Finding::wrong(text, elsewhere(listen, process.as_ref())));
    None
}

/// Looks at the certificate that a server shows, and at the files that it takes it from, where there are such.
pub fn examine_certificate(server: &Server, shown: Option<&Shown>, report: &mut Report<'_>) {
    let (host, now) = (server.host.as_deref(), wall());
    let of_shown = shown.map(|shown| certificate::judge(shown, host, now)).unwrap_or_default();
    let of_files = server.tls.as_ref().map(|files| certificate::judge_files(files, shown, host, now));
    of_shown.into_iter().chain(of_files.unwrap_or_default()).for_each(|finding| report.add(finding));
}

/// Returns what écoute shows of itself, with TLS or without; `None` where somebody else answers.
fn ask_health(address: SocketAddr, limit: Limit) -> Option<Option<Shown>> {
    let is_ours = |mut stream: Stream, is_https| {
        let authority = Place::new(is_https, &address).authority();
        let answer = http::get(&mut stream, &authority, "/health", "", limit);
        answer.is_ok_and(|answer| answer.body.starts_with(br#"{"status":"#))
    };
    if let Ok((stream, shown)) = stream::connect_tls(address, &address.ip().to_string(), limit)
        && is_ours(stream, true)
    {
        return Some(Some(shown));
    }
    let plain = stream::connect(address, limit).ok()?;
    is_ours(Stream::Plain(plain), false).then_some(None)
}

/// Nobody listens: says whether a server could.
fn judge_free(server: &Server, listen: SocketAddr) -> Finding {
    let port = listen.port();
    let tried = TcpListener::bind(listen).map(drop).map_err(|error| ("TCP", error));
    let tried = tried.and_then(|()| UdpSocket::bind(listen).map(drop).map_err(|error| ("UDP", error)));
    let Err((way, error)) = tried else {
        let is_new = [&server.data, &server.secret].iter().any(|path| matches!(path.try_exists(), Ok(false)));
        let state = if is_new { "was not started yet" } else { "does not run" };
        let text = format!("nobody listens on {listen}: the server {state}");
        let mend = if UNITS.iter().any(|unit| Path::new(unit).exists()) {
            "systemctl start ecoute".to_owned()
        } else {
            format!("ecoute serve --listen {listen} --data {}", server.data.display())
        };
        return if is_new { Finding::warning(text, mend) } else { Finding::wrong(text, mend) };
    };
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let process = if way == "UDP" { process::of_udp_port(port) } else { process::of_tcp_port(port) };
            let name = process.as_ref().map(|process| format!(" ({}, process {})", process.name, process.pid));
            let text = format!(
                "{way} port {port} is another program's{}: the server can't start",
                name.unwrap_or_default()
            );
            Finding::wrong(text, elsewhere(listen, process.as_ref()))
        }
        io::ErrorKind::PermissionDenied => Finding::wrong(
            format!("{way} port {port} is not allowed to this user: the server can't start"),
            "AmbientCapabilities=CAP_NET_BIND_SERVICE   # in [Service]: systemctl edit ecoute; or --listen [::]:8080",
        ),
        io::ErrorKind::AddrNotAvailable => Finding::wrong(
            format!("this machine has no address {}: the server can't start", listen.ip()),
            format!("ecoute serve --listen [::]:{port}"),
        ),
        _ => Finding::wrong(
            format!("{way} {listen}: {}", words(&error)),
            format!("ecoute serve --listen [::]:{port}"),
        ),
    }
}

fn elsewhere(listen: SocketAddr, process: Option<&Process>) -> String {
    let other = SocketAddr::new(listen.ip(), if listen.port() == 8443 { 9443 } else { 8443 });
    let stop = process.map(|process| format!("   # or stop {}: kill {}", process.name, process.pid));
    format!("ecoute serve --listen {other}{}", stop.unwrap_or_default())
}

/// Looks at what the system gives: files, memory, room for bursts.
pub fn examine_limits(process: Option<&Process>, report: &mut Report<'_>) {
    let pid = process.map(|process| process.pid);
    let of_server = pid.and_then(process::files_max);
    // A server raises its own limit as far as it may.
    let own = || getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(_, hard)| hard);
    if let Some(files) = of_server.or_else(own) {
        report.add(judge_files(files, of_server.is_some()));
    }
    if let Some(available) = process::available_bytes() {
        let group = process::group_bytes(pid);
        let taken = pid.and_then(process::resident_bytes).unwrap_or(0);
        let is_group = group.is_some_and(|group| group < available);
        report.add(judge_memory(group.unwrap_or(u64::MAX).min(available).saturating_add(taken), is_group));
    }
    let of_kernel = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/net/core/{name}")).ok()?;
        text.trim().parse().ok()
    };
    if let (Some(received), Some(sent)) = (of_kernel("rmem_max"), of_kernel("wmem_max")) {
        report.add(judge_buffers(received, sent));
    }
}

fn judge_files(files: u64, is_of_server: bool) -> Finding {
    let clients = AdmissionLimits::default().conns_max as u64;
    let who = if is_of_server { "the server" } else { "a server started like this command" };
    if files >= clients + FILES_BESIDES {
        return Finding::ok(format!("{who} may open files enough for {clients} clients"));
    }
    let text = format!("{who} may open {files} files only, fewer than the {clients} clients that it takes need");
    let mend = "LimitNOFILE=8192   # in [Service]: systemctl edit ecoute; in a shell: ulimit -n 8192";
    if files < FILES_MIN { Finding::wrong(text, mend) } else { Finding::warning(text, mend) }
}

fn judge_memory(bytes: u64, is_group: bool) -> Finding {
    let mib = bytes >> 20;
    if bytes >= MEMORY_FULL_BYTES {
        return Finding::ok(format!("{mib} MiB of memory are enough for a full server"));
    }
    let people = bytes.saturating_sub(PROGRAM_BYTES) / SESSION_BYTES;
    let text = format!("{mib} MiB of memory are enough for about {people} people at once");
    let mend = match is_group {
        true => "MemoryMax=640M   # in [Service]: systemctl edit ecoute; or docker run --memory 640m",
        false => "systemctl list-units --type=service   # stop what is not needed, or take a machine with 1 GiB",
    };
    if bytes < MEMORY_MIN_BYTES { Finding::wrong(text, mend) } else { Finding::warning(text, mend) }
}

fn judge_buffers(received: u64, sent: u64) -> Finding {
    if received.min(sent) >= BUFFER_BYTES {
        return Finding::ok("the kernel has room for bursts of datagrams");
    }
    let text = format!(
        "the kernel has little room for bursts of datagrams ({} KiB in, {} KiB out): with hundreds of listeners some are lost",
        received >> 10,
        sent >> 10
    );
    Finding::warning(
        text,
        "sysctl -w net.core.rmem_max=4194304 net.core.wmem_max=4194304   # and into /etc/sysctl.d/ecoute.conf",
    )
}

/// Asks whether the clock follows others: tokens are judged by it.
pub fn examine_clock(limit: Limit, report: &mut Report<'_>) {
    let asked = process::ask("timedatectl", &["show", "--property=NTPSynchronized", "--value"], limit);
    match asked.as_deref().map(str::trim) {
        Some("yes") => report.add(Finding::ok("the clock is synchronized")),
        Some("no") => {
            let text =
                "the clock is not synchronized: when it is off, tokens look expired, or as if not yet issued";
            report.add(Finding::warning(text, "timedatectl set-ntp true"));
        }
        // As in a container, where the host minds the clock.
        Some(_) | None => report.add(Finding::ok("who sets the clock can't be told here")),
    }
}

/// Says whether WHIP and WHEP clients can connect; a server that runs may have loaded an older library.
pub fn judge_openssl(rehearsed: Result<(), Unfit>, version: &str) -> Finding {
    match rehearsed {
        Ok(()) => Finding::ok(format!("{version} is good for WHIP and WHEP clients")),
        Err(why) => Finding::wrong(
            format!("WHIP and WHEP clients are refused, pages are served: {version} failed its test: {why}"),
            "apt update && apt upgrade && systemctl restart ecoute   # the updates of libssl3",
        ),
    }
}

/// Returns the addresses of the interfaces that are up.
pub fn own_addresses() -> io::Result<Vec<IpAddr>> {
    let mut own = Vec::new();
    for interface in getifaddrs()?.filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP)) {
        let Some(storage) = interface.address else { continue };
        let v4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let v6 = storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()));
        own.extend(v4.or(v6));
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;

    #[test]
    fn an_openssl_that_is_not_fit_is_wrong() {
        let finding = judge_openssl(Ok(()), "OpenSSL 3.0.2");
        assert_eq!((finding.verdict, finding.mend), (Verdict::Ok, None));
        let finding = judge_openssl(Err(Unfit::Unconnected), "OpenSSL 9.0.1");
        assert_eq!(finding.verdict, Verdict::Wrong);
        assert!(finding.text.contains("OpenSSL 9.0.1 failed its test"), "{}", finding.text);
        assert!(finding.mend.unwrap().contains("libssl3"));
    }

    #[test]
    fn limits_at_their_edges() {
        let cases = [
            ("files, enough", judge_files(4400, true), Verdict::Ok, "files enough for 4096 clients"),
            ("files, few", judge_files(4399, true), Verdict::Warning, "the server may open 4399 files only"),
            ("files, too few", judge_files(1023, false), Verdict::Wrong, "started like this command may open 1023"),
            ("memory, enough", judge_memory(512 << 20, false), Verdict::Ok, "512 MiB of memory"),
            (
                "memory, some",
                judge_memory(256 << 20, true),
                Verdict::Warning,
                "256 MiB of memory are enough for about 3167 people",
            ),
            ("memory, little", judge_memory(47 << 20, true), Verdict::Wrong, "47 MiB of memory"),
            ("buffers, enough", judge_buffers(4 << 20, 4 << 20), Verdict::Ok, "has room"),
            ("buffers, Debian's", judge_buffers(212_992, 4 << 20), Verdict::Warning, "(208 KiB in, 4096 KiB out)"),
        ];
        for (name, found, verdict, text) in cases {
            assert_eq!(found.verdict, verdict, "{name}: {found:?}");
            assert!(found.text.contains(text), "{name}: {found:?}");
        }
        assert!(judge_files(1023, false).mend.unwrap().starts_with("LimitNOFILE=8192"));
        assert!(judge_memory(47 << 20, true).mend.unwrap().starts_with("MemoryMax="));
    }
}
