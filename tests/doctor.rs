//! `ecoute doctor` against set-ups that are broken on purpose: what it says of each, and the line that mends it.
//!
//! Addresses that are nobody's, and firewalls, are those of network namespaces. Invariant: every wait is bounded.
#![allow(clippy::disallowed_methods, reason = "tests of the program wait for it in real time")]

mod support;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ecoute::token::{self, Claims, Rights};
use ecoute::words::Role;
use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;
use support::{Ecoute, PROGRAM, program, run};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(86_400);

/// What `ecoute doctor` said.
struct Said {
    lines: Vec<String>,
    code: i32,
}

impl Said {
    fn new(output: Output) -> Said {
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        eprint_all(&lines, &output.stderr);
        Said { lines, code: output.status.code().expect("it ended by itself") }
    }

    /// Asserts that it said this of something, and that this mends it.
    fn says(&self, verdict: &str, text: &str, mend: &str) {
        let is_it = |line: &&String| line.starts_with(verdict) && line.contains(text);
        let at = self.lines.iter().position(|line| is_it(&line));
        let at = at.unwrap_or_else(|| panic!("no {verdict} with {text:?} in {:#?}", self.lines));
        let below = self.lines.get(at + 1).unwrap_or_else(|| panic!("no mend in {:#?}", self.lines));
        assert!(below.trim_start().starts_with("→ ") && below.contains(mend), "{below}");
        assert_eq!(self.code, i32::from(self.lines.iter().any(|line| line.starts_with("wrong"))));
    }

    fn is_well(&self) {
        assert!(!self.lines.iter().any(|line| line.starts_with("wrong")), "{:#?}", self.lines);
        assert_eq!(self.code, 0);
    }

    fn has(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.contains(text))
    }
}

#[allow(clippy::disallowed_macros, reason = "a failed test shows what was said")]
fn eprint_all(lines: &[String], stderr: &[u8]) {
    eprintln!("{}\n{}", lines.join("\n"), String::from_utf8_lossy(stderr));
}

fn doctor(arguments: &[&str]) -> Said {
    let begin = Instant::now();
    let said = Said::new(run(program().arg("doctor").args(arguments)));
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    said
}

/// At a server's URL, with a token in the environment.
fn doctor_at(url: &str, token: &str) -> Said {
    Said::new(run(program().args(["doctor", "--url", url]).env("ECOUTE_TOKEN", token)))
}

/// On the machine of a server that listens at `listen`.
fn doctor_on(listen: SocketAddr, data: &Path) -> Said {
    doctor(&["--listen", &listen.to_string(), "--data", data.to_str().unwrap()])
}

fn url(ecoute: &Ecoute) -> String {
    format!("http://{}", ecoute.address)
}

/// Runs a shell script in a network of its own, which has 203.0.113.7 as its only public address and no way out; its
/// neighbours there swallow everything. The script finds the program as `$E`, and `serve` runs it where `$L` says. What it
/// leaves running ends by itself.
fn in_namespace(script: &str) -> Said {
    let data = TempDir::new().unwrap();
    let set_up = "set -e; ip link set lo up; ip addr add 203.0.113.7/32 dev lo; ip addr add 10.0.0.2/32 dev lo; \
         ip route add 203.0.113.0/24 dev lo; \
         serve() { timeout 20 $E --listen ${L:-0.0.0.0:8080} --data $D \"$@\" 2>$D/log & \
         for n in $(seq 100); do grep -q 'listening address=' $D/log 2>/dev/null && return; sleep 0.05; done; }; \
         finish() { code=$?; kill $(jobs -p) 2>/dev/null || true; exit $code; }; trap finish EXIT; ";
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net", "bash", "-c", &format!("{set_up}{script}")]);
    command.env("E", PROGRAM).env("D", data.path());
    Said::new(run(&mut command))
}

/// A server in front of another one that changes the first head in each direction.
struct Front {
    address: SocketAddr,
}

#[derive(Clone, Copy)]
struct Edit {
    request: fn(&str) -> String,
    response: fn(&str) -> String,
}

const UNTOUCHED: Edit = Edit { request: str::to_owned, response: str::to_owned };

impl Front {
    fn start(upstream: SocketAddr, tls: Option<Arc<ServerConfig>>, edit: Edit) -> Front {
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let tls = tls.clone();
                thread::spawn(move || {
                    let server = TcpStream::connect(upstream).unwrap();
                    match tls {
                        None => relay(client.try_clone().unwrap(), &client, server, edit),
                        Some(config) => {
                            let socket = client.try_clone().unwrap();
                            let session = ServerConnection::new(config).unwrap();
                            relay(StreamOwned::new(session, socket), &client, server, edit);
                        }
                    }
                });
            }
        });
        Front { address }
    }
}

/// Passes bytes on, in both directions, until one end is closed.
fn relay(mut client: impl Read + Write, client_socket: &TcpStream, mut server: TcpStream, edit: Edit) {
    for socket in [client_socket, &server] {
        socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    }
    let (mut asked, mut answered) = (false, false);
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        for to_server in [true, false] {
            let mut bytes = [0; 16 * 1024];
            let read = if to_server { client.read(&mut bytes) } else { server.read(&mut bytes) };
            let len = match read {
                Ok(0) => return,
                Ok(len) => len,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(_) => return,
            };
            let (is_first, change) = match to_server {
                true => (!std::mem::replace(&mut asked, true), edit.request),
                false => (!std::mem::replace(&mut answered, true), edit.response),
            };
            let passed = if is_first { edited(&bytes[..len], change) } else { bytes[..len].to_vec() };
            let written = if to_server { server.write_all(&passed) } else { client.write_all(&passed) };
            if written.is_err() {
                return;
            }
        }
    }
}

fn edited(bytes: &[u8], change: fn(&str) -> String) -> Vec<u8> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return bytes.to_vec() };
    let (head, rest) = bytes.split_at(end + 2);
    [change(std::str::from_utf8(head).unwrap()).as_bytes(), rest].concat()
}

/// A certificate authority, and what it vouches for.
struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("root.pem"), issuer.pem()).unwrap();
        Authority { folder, issuer }
    }

    /// Returns what a server shows.
    fn config(&self, name: &str, age: Duration, left: Result<Duration, Duration>) -> Arc<ServerConfig> {
        let (certificate, key) = self.sign(name, age, left);
        config(vec![certificate.der().clone()], &key)
    }

    /// Returns what is good for `name`, from so long ago to so long from now, or to so long ago.
    fn sign(&self, name: &str, age: Duration, left: Result<Duration, Duration>) -> (Certificate, KeyPair) {
        let now = SystemTime::now();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = (now - age).into();
        params.not_after = left.map_or_else(|ago| now - ago, |left| now + left).into();
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Writes a certificate and its key; returns their paths.
    fn write(&self, name: &str, (certificate, key): &(Certificate, KeyPair)) -> [String; 2] {
        let [certificate_path, key_path] =
            ["crt", "key"].map(|kind| self.folder.path().join(format!("{name}.{kind}")).display().to_string());
        fs::write(&certificate_path, certificate.pem()).unwrap();
        fs::write(&key_path, key.serialize_pem()).unwrap();
        [certificate_path, key_path]
    }

    fn doctor_at(&self, url: &str, token: &str) -> Said {
        let mut command = program();
        command.args(["doctor", "--url", url]).env("ECOUTE_TOKEN", token);
        Said::new(run(command.env("SSL_CERT_FILE", self.folder.path().join("root.pem"))))
    }
}

fn config(chain: Vec<rustls::pki_types::CertificateDer<'static>>, key: &KeyPair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

#[test]
fn all_is_well() {
    let ecoute = Ecoute::start();
    for (role, id) in [("admin", "paul"), ("commercial", "lea")] {
        let token = ecoute.token(role, id, "X");
        let said = doctor_at(&url(&ecoute), &token);
        said.is_well();
        assert!(said.has("the WebSocket opens") && said.has(&format!("the token is good: {id} ({role})")));
        assert!(said.has(&format!("audio by UDP to {}: answered in ", ecoute.address)));
        assert!(said.has("the same time"));
        assert_eq!(said.has("the journal is written, "), role == "admin");
        assert!(!said.has(&token), "a token is never printed");
    }
    let said = in_namespace("serve; $E doctor --listen 0.0.0.0:8080 --data $D");
    said.is_well();
    assert!(said.has("clients are told to send media to 203.0.113.7"));
    assert!(said.has("audio by UDP to 203.0.113.7:8080: answered in "));
    assert!(said.has("ufw allow 8080/tcp && ufw allow 8080/udp"));
    assert!(said.has("is good for WHIP and WHEP clients"));
    assert!(
        said.has("MiB are free for the journal")
            && said.has(" can be read")
            && said.has(" ms behind; entries so far: ")
    );
}

#[test]
fn the_journal_can_not_be_used() {
    let mut ecoute = Ecoute::start();
    let (address, data) = (ecoute.address, ecoute.data.path().to_owned());
    let (path, key, away) = (data.join("journal.db"), data.join("journal.key"), data.join("away"));
    fs::rename(&path, &away).unwrap();
    let said = doctor_on(address, &data);
    said.says("wrong", "no journal at ", "systemctl restart ecoute begins a new one");
    fs::rename(&away, &path).unwrap();
    ecoute.end(nix::sys::signal::Signal::SIGTERM);
    assert!(doctor_on(address, &data).has(" can be read"));

    fs::rename(&key, &away).unwrap();
    doctor_on(address, &data).says("wrong", "journal.key is gone", "ecoute restore COPY");
    fs::rename(&away, &key).unwrap();
    let before = fs::read(&path).unwrap();
    let journal = rusqlite::Connection::open(&path).unwrap();
    journal.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(journal);
    doctor_on(address, &data).says(
        "wrong",
        "was written by a newer ecoute (its version is 99",
        "the newer one again",
    );
    fs::write(&path, [&b"x"[..], &before].concat()).unwrap();
    doctor_on(address, &data).says("wrong", "is no journal of ecoute", ".bad && systemctl restart ecoute");
    let mut damaged = before.clone();
    damaged[100..4096].fill(0xa5);
    fs::write(&path, damaged).unwrap();
    doctor_on(address, &data).says("wrong", "is damaged", "or `ecoute restore` a copy");
    fs::write(&path, &before).unwrap();
    let names = || {
        let mut names: Vec<_> = fs::read_dir(&data).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let had = names();
    doctor_on(address, &data);
    assert_eq!(names(), had, "it makes no file");
}

#[test]
fn whoever_runs_the_server_may_not_write_the_journal() {
    let ecoute = Ecoute::start();
    let data = ecoute.data.path();
    // Of a server that root has started once, by mistake.
    let by_root = "chown 1234 $D2 $D2/journal.key; chown 0 $D2/journal.db; chmod 600 $D2/journal.db";
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let done = Command::new("sh").args(["-c", by_root]).env("D2", data).status().unwrap();
    assert!(done.success());
    let said = doctor_on(ecoute.address, data);
    let text = format!("{} may not be written by the user of ", data.join("journal.db").display());
    said.says("wrong", &text, &format!("chown --reference={}", data.display()));
    assert!(!said.has("journal.key may not be written"));
}

#[test]
fn the_disk_of_the_journal_is_full_or_read_only() {
    let on_disk = |script: &str| {
        let set_up = "set -e; mkdir $D/d; mount -t tmpfs -o size=20m tmpfs $D/d; timeout 20 $E --listen 127.0.0.1:0 \
                      --data $D/d 2>$D/log & sleep 1; kill $!; wait $! || true; ";
        let data = TempDir::new().unwrap();
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "bash", "-c", &format!("{set_up}{script}")]);
        command.env("E", PROGRAM).env("D", data.path());
        Said::new(run(&mut command))
    };
    let doctor = "$E doctor --listen 127.0.0.1:1 --data $D/d";
    let said = on_disk(&format!("head -c 10m /dev/zero >$D/d/filler; {doctor}"));
    said.says("wrong", "MiB are free for the journal, which takes 0 MiB: there is room for about", "df -h");
    let said = on_disk(&format!("mount -o remount,ro $D/d; {doctor}"));
    said.says("wrong", "/d is read-only: nothing is written down", "mount -o remount,rw");
}

#[test]
fn the_port_is_a_strangers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            // It need not have asked.
            let _ = client.write_all(b"HTTP/1.1 404 Not Found\r\nServer: other/1\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let data = TempDir::new().unwrap();
    let said = doctor_on(address, data.path());
    let text = format!("port {} is another program's (", address.port());
    said.says("wrong", &text, &format!("stop {}: kill {}", comm(), std::process::id()));
    said.says("wrong", &text, "ecoute serve --listen 127.0.0.1:8443");
    said.says("wrong", "no server ran here with this data directory", "ecoute doctor --data DIR");
    let said = doctor_at(&format!("http://{address}"), "x");
    said.says("wrong", "is not écoute: other/1 answers 404", "ecoute doctor --url URL");
}

fn comm() -> String {
    fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned()
}

#[test]
fn nobody_listens() {
    let mut ecoute = Ecoute::start();
    ecoute.child.kill().unwrap();
    ecoute.child.wait().unwrap();
    let (address, data) = (ecoute.address, ecoute.data.path().to_owned());
    let said = doctor_on(address, &data);
    let mend = format!("ecoute serve --listen {address} --data {}", data.display());
    said.says("wrong", &format!("nobody listens on {address}: the server does not run"), &mend);
    let said = doctor_at(&format!("http://{address}"), "x");
    said.says("wrong", &format!("TCP {address}: refused: nobody listens there"), "systemctl start ecoute");
    let taken = UdpSocket::bind(address).unwrap();
    let said = doctor_on(address, &data);
    let text = format!("UDP port {} is another program's ({}, process ", address.port(), comm());
    said.says("wrong", &text, "ecoute serve --listen 127.0.0.1:8443");
    drop(taken);
}

#[test]
fn before_the_first_start_nothing_is_wrong() {
    let said = in_namespace("$E doctor --listen 0.0.0.0:8080 --data $D/data || exit; test ! -e $D/data");
    let text = "nobody listens on 0.0.0.0:8080: the server was not started yet";
    said.says("warning", text, "ecoute serve --listen");
    assert!(said.has("no server ran here yet"), "{:?}", said.lines);
    said.is_well();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = TempDir::new().unwrap();
    let data = place.path().join("data");
    // A secret of one's own may be there before.
    let own = place.path().join("own");
    fs::write(&own, "9f2c4e81b7d0635a9f8e12c4d7b60a35\n").unwrap();
    let arguments =
        ["--listen", &free.to_string(), "--data", data.to_str().unwrap(), "--secret-file", own.to_str().unwrap()];
    let said = doctor(&arguments);
    said.says("warning", "the server was not started yet", "ecoute serve --listen");
    assert!(said.has("warning  everybody on this machine can read"), "the secret itself is good");
    fs::write(&own, "change-me-change-me-change-me-change-me\n").unwrap();
    doctor(&arguments).says("wrong", "is the placeholder of an example", "openssl rand -hex 32 > ");
    fs::write(&own, [0; 64]).unwrap();
    doctor(&arguments).says("wrong", "holds a pattern and no chance", "systemctl restart ecoute");
}

#[test]
fn keys_of_an_identity_provider() {
    let place = TempDir::new().unwrap();
    let keys = place.path().join("jwks.json");
    let data = place.path().join("data");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let asked = || {
        doctor(&["--listen", &free, "--data", data.to_str().unwrap(), "--token-public-key", keys.to_str().unwrap()])
    };
    asked().says("wrong", "can't read ", "jwks_uri");
    let good = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "good", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let other = json!({ "kty": "RSA", "kid": "e", "use": "enc", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB" });
    fs::write(&keys, json!({ "keys": [other, good, { "kty": "RSA", "kid": "old", "e": "AQAB" }] }).to_string())
        .unwrap();
    let said = asked();
    said.says("warning", r#"key 3 ("old") in "#, "jwks_uri");
    assert!(
        said.has("holds 1 public keys for tokens")
            && said.has(r#"is left out: "n" is missing"#)
            && !said.has("key 1 ")
    );
    fs::write(&keys, json!({ "keys": [other] }).to_string()).unwrap();
    asked().says("wrong", "none of its keys can be used; key 1: it is not for signatures", "jwks_uri");
}

#[test]
fn udp_is_blocked() {
    let rules = "nft add table inet f; nft add chain inet f i '{ type filter hook input priority 0; }'; \
                 nft add rule inet f i udp dport 8080 drop; serve; ";
    let said = in_namespace(&format!("{rules} $E doctor --listen 0.0.0.0:8080 --data $D"));
    said.says("wrong", "nftables drops 8080 over UDP in inet f i", "nft delete rule inet f i handle ");
    let text = "audio by UDP to 203.0.113.7:8080: no answer, though the address is this machine's";
    said.says("wrong", text, "ufw allow 8080/udp");
    let blocked =
        "UDP does not get through to the server: audio goes over TCP, and stutters where packets are lost";
    said.says("wrong", blocked, "ufw allow 8080/udp   # on the server, and in the firewalls between");
    let from_afar = "$E doctor --url http://203.0.113.7:8080 --token $($E token --role admin --id a --data $D)";
    let said = in_namespace(&format!("{rules} {from_afar}"));
    said.says("wrong", "audio by UDP to 203.0.113.7:8080: no answer", "ufw allow 8080/udp   # on the server");
    said.says("wrong", blocked, "ufw allow 8080/udp");
    assert!(said.has("audio by TCP to 203.0.113.7:8080: answered in "));
}

#[test]
fn a_firewall_drops_what_no_rule_lets_in() {
    let rules = "nft add table inet f; nft add chain inet f i '{ type filter hook input priority 0; policy drop; }'; \
                 nft add rule inet f i tcp dport 8080 accept; nft add rule inet f i iif lo tcp sport 8080 accept; serve; ";
    let said = in_namespace(&format!("{rules} $E doctor --listen 0.0.0.0:8080 --data $D"));
    let text = "nftables drops what no rule lets in, and none names 8080 over UDP";
    said.says("warning", text, "nft insert rule inet f i udp dport 8080 accept");
}

#[test]
fn an_advertised_address_is_not_reached() {
    let serve = "L=127.0.0.1:8080 serve --public-address 203.0.113.99; ";
    let said =
        in_namespace(&format!("{serve} $E doctor --listen 127.0.0.1:8080 --data $D --public-address 203.0.113.99"));
    let text = "audio by UDP to 203.0.113.99:8080: no answer; that is no address of this machine";
    said.says("warning", text, "ecoute doctor --url URL --token TOKEN   # from a machine elsewhere");
    said.says(
        "wrong",
        "UDP does not get through to the server: nobody can hear or be heard from here",
        "ufw allow 8080/udp",
    );
    let token = "--token $($E token --role admin --id a --data $D)";
    let said = in_namespace(&format!("{serve} $E doctor --url http://127.0.0.1:8080 {token}"));
    let text = "audio by UDP to 203.0.113.99:8080: no answer";
    said.says("wrong", text, "if 203.0.113.99 is its address; else: ecoute serve --public-address IP");
    // The machine's own follow.
    let serve = "serve --public-address 203.0.113.99; ";
    let said = in_namespace(&format!("{serve} $E doctor --url http://203.0.113.7:8080 {token}"));
    said.says(
        "warning",
        &format!("{text}: clients lose time on it"),
        "--public-address IP   # on the server; leave out 203.0.113.99",
    );
}

#[test]
fn a_private_address_is_advertised_by_a_public_host() {
    let said = in_namespace("L=10.0.0.2:8080 serve; $E doctor --listen 10.0.0.2:8080 --data $D");
    let text = "clients are told to send media to 10.0.0.2, which nobody outside of its own network reaches, though this \
                machine has 203.0.113.7";
    said.says("wrong", text, "ecoute serve --listen '[::]:8080'");
    let token = "--token $($E token --role admin --id a --data $D)";
    let said = in_namespace(&format!(
        "L=127.0.0.1:8080 serve --public-address 10.9.9.9; $E doctor --url http://127.0.0.1:8080 {token}"
    ));
    let text = "audio by UDP to 10.9.9.9:8080: no route to it; the server advertises a private address";
    said.says("wrong", text, "ecoute serve --public-address IP   # on the server: the address that clients reach");
}

#[test]
fn names_and_addresses_that_lead_nowhere() {
    let said = in_namespace("$E doctor --url http://ecoute.invalid --token x");
    said.says("wrong", "the name ecoute.invalid has no address", "ecoute.invalid. IN A IP");
    let said = in_namespace("$E doctor --url http://203.0.113.99:8080 --token x");
    let text = "TCP 203.0.113.99:8080: no answer: a firewall swallows it, or the address is wrong";
    said.says("wrong", text, "ufw allow 8080/tcp   # on the server");
}

#[test]
fn a_proxy_eats_the_upgrade() {
    let ecoute = Ecoute::start();
    let edit = Edit {
        request: |head| {
            head.lines().filter(|line| !line.starts_with("Upgrade:")).map(|line| format!("{line}\r\n")).collect()
        },
        response: |head| head.replace("\r\nDate:", "\r\nServer: eater/1.0\r\nDate:"),
    };
    let front = Front::start(ecoute.address, None, edit);
    let said = doctor_at(&format!("http://{}", front.address), &ecoute.token("admin", "paul", "P"));
    let text = "the WebSocket does not open: the proxy eater/1.0 drops the Upgrade header";
    said.says("wrong", text, "proxy_set_header Upgrade $http_upgrade;");
    assert!(!said.has("audio by"), "what can't be known is not said");
}

#[test]
fn a_proxy_finds_nobody_behind_it() {
    let ecoute = Ecoute::start();
    let edit = Edit {
        response: |_| "HTTP/1.1 502 Bad Gateway\r\nServer: front/2\r\nContent-Length: 0\r\n".to_owned(),
        ..UNTOUCHED
    };
    let front = Front::start(ecoute.address, None, edit);
    let said = doctor_at(&format!("http://{}", front.address), "x");
    said.says(
        "wrong",
        "front/2 answers 502: it is there, but does not reach écoute behind it",
        "systemctl restart ecoute",
    );
}

#[test]
fn tokens_that_are_not_good() {
    let ecoute = Ecoute::start();
    let secret = fs::read(ecoute.data.path().join("secret")).unwrap();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mint = |secret: &[u8], iat, exp| {
        let (sub, role) = ("paul".to_owned(), Role::Admin);
        token::mint(
            secret,
            &Claims {
                sub,
                role,
                name: None,
                listen: None,
                device: false,
                rights: Rights::default(),
                exp,
                iat,
                nbf: None,
                after_revocation: None,
            },
        )
    };
    let again = format!("ecoute link --role ROLE --id ID --public-url {}   # on the server", url(&ecoute));
    let expired = mint(&secret, now_s - 20_000, now_s - 10_000);
    let said = doctor_at(&url(&ecoute), &expired);
    said.says("wrong", "the token has expired 2 h ago", &again);
    let other = mint(b"another secret of at least 32 bytes", now_s, now_s + 600);
    let said = doctor_at(&url(&ecoute), &other);
    said.says("wrong", "the token is refused: it was signed with another secret", &again);
    let paul = ecoute.token("admin", "paul", "P");
    ecoute.revoke("paul");
    // As long as the server may take to notice.
    thread::sleep(Duration::from_millis(1200));
    doctor_at(&url(&ecoute), &paul).says("wrong", "the token is refused: its user was revoked", &again);
    let key = jsonwebtoken::EncodingKey::from_secret(secret.trim_ascii_end());
    let numeric = json!({ "sub": 7, "role": "admin", "iat": now_s, "exp": now_s + 600 });
    let numeric = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &numeric, &key).unwrap();
    doctor_at(&url(&ecoute), &numeric).says("wrong", "sub must be a text", "mend what makes the tokens");
    let said = doctor_at(&url(&ecoute), "nonsense");
    said.says("wrong", "the token is no token", &again);
    let said = doctor_at(&url(&ecoute), &ecoute.token("monitor", "nagios", "N"));
    said.says("warning", "the token is good, but a monitor's", "ecoute token --role admin");
    for token in [expired, other] {
        assert!(!said.has(&token));
    }
    let empty = TempDir::new().unwrap();
    let said = doctor(&["--url", &url(&ecoute), "--data", empty.path().to_str().unwrap()]);
    said.says("warning", "audio is not tested: that takes a token", "ECOUTE_TOKEN=… ecoute doctor --url URL");
}

#[test]
fn a_secret_is_not_the_servers() {
    let ecoute = Ecoute::start();
    let other = TempDir::new().unwrap();
    fs::write(other.path().join("secret"), "another secret of at least 32 bytes").unwrap();
    let said = doctor_on(ecoute.address, other.path());
    said.says(
        "wrong",
        "the server refuses a token made with the secret at hand: it runs with another one",
        "systemctl restart ecoute   # or name the right one with --data DIR or --secret-file FILE",
    );
    said.says("warning", "everybody on this machine can read", "chmod 600 ");
    fs::write(other.path().join("secret"), "short").unwrap();
    let said = doctor_on(ecoute.address, other.path());
    said.says("wrong", "can't be used: ", "systemctl restart ecoute");
}

#[test]
fn certificates() {
    let (ecoute, authority) = (Ecoute::start(), Authority::new("root"));
    let token = ecoute.token("admin", "paul", "P");
    let at = |config| {
        let front = Front::start(ecoute.address, Some(config), UNTOUCHED);
        format!("https://localhost:{}", front.address.port())
    };
    let said = authority.doctor_at(&at(authority.config("localhost", DAY, Ok(80 * DAY + DAY / 2))), &token);
    said.is_well();
    assert!(said.has("the certificate is good for 80 more days") && said.has("audio by UDP"));

    let late = at(authority.config("localhost", 70 * DAY, Ok(20 * DAY + DAY / 2)));
    let said = authority.doctor_at(&late, &token);
    said.says("warning", "the certificate is good for 20 more days, until ", "certbot renew");
    said.is_well();
    let urgent = at(authority.config("localhost", 84 * DAY, Ok(6 * DAY + DAY / 2)));
    authority.doctor_at(&urgent, &token).says("wrong", "good for 6 more days", "certbot renew");

    let expired = at(authority.config("localhost", 90 * DAY, Err(3 * DAY + DAY / 2)));
    let said = authority.doctor_at(&expired, &token);
    said.says("wrong", "the certificate expired on ", "certbot renew   # on the server");
    said.says(
        "warning",
        "the token is sent to nobody who can't prove to be the server",
        "mend the certificate first",
    );
    assert!(said.has(", 3 days ago") && !said.has("audio by"));

    let other = at(authority.config("other.example", DAY, Ok(80 * DAY)));
    let said = authority.doctor_at(&other, &token);
    let text = "the certificate is for other.example, not for localhost";
    said.says("wrong", text, "use https://other.example");

    let good = at(authority.config("localhost", DAY, Ok(80 * DAY)));
    let stranger = Authority::new("another root");
    let said = stranger.doctor_at(&good, &token);
    said.says("wrong", "nobody whom this machine trusts vouches for the certificate (issued by ", "fullchain.pem");

    let key = KeyPair::generate().unwrap();
    let alone = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let said = authority.doctor_at(&at(config(vec![alone.der().clone()], &key)), &token);
    let text = "the certificate is signed by itself, so browsers warn; it is the right one if the server's log says SHA-256 ";
    said.says("wrong", text, "ecoute serve --tls-cert FILE --tls-key FILE");

    let said = authority.doctor_at(&url(&ecoute).replace("http:", "https:"), &token);
    said.says("wrong", "answers, but speaks no TLS", "ecoute serve --tls-cert FILE --tls-key FILE");
}

#[test]
fn clocks_that_disagree() {
    let ecoute = Ecoute::start();
    let edit = Edit {
        response: |head| {
            let is_date = |line: &&str| line.starts_with("Date: ");
            let date = head.lines().find(is_date).expect("every answer has a date");
            let now = httpdate::parse_http_date(&date[6..]).unwrap();
            head.replace(&date[6..], &httpdate::fmt_http_date(now - Duration::from_secs(3600)))
        },
        ..UNTOUCHED
    };
    let front = Front::start(ecoute.address, None, edit);
    let said = doctor_at(&format!("http://{}", front.address), &ecoute.token("admin", "paul", "P"));
    let late = |seconds| format!("the server's clock is {seconds} s behind this machine's");
    let seconds = if said.has(&late(3600)) { 3600 } else { 3601 };
    said.says("wrong", &late(seconds), "timedatectl set-ntp true   # on the one of the two that is wrong");
    assert!(said.has("audio by UDP"));
}

#[test]
fn few_files_may_be_open() {
    let data = TempDir::new().unwrap();
    let server = format!("ulimit -n 512; exec {PROGRAM} --listen 127.0.0.1:0 --data {}", data.path().display());
    let mut command = Command::new("bash");
    command.args(["-c", &server]);
    let ecoute = Ecoute::start_command(command, data);
    let said = doctor_on(ecoute.address, ecoute.data.path());
    said.says(
        "wrong",
        "the server may open 512 files only, fewer than the 4096 clients that it takes need",
        "LimitNOFILE=8192   # in [Service]: systemctl edit ecoute; in a shell: ulimit -n 8192",
    );
}

#[test]
fn certificates_on_the_servers_machine() {
    let authority = Authority::new("root");
    let fresh = authority.sign("localhost", DAY, Ok(80 * DAY));
    let late = authority.sign("localhost", 70 * DAY, Ok(20 * DAY + DAY / 2));
    let [fresh_path, fresh_key] = authority.write("fresh", &fresh);
    let [late_path, late_key] = authority.write("late", &late);
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (redirect, nobody) = (free(), free());
    let options = ["--tls-cert", &late_path, "--tls-key", &late_key, "--http-redirect", &redirect];
    let ecoute = Ecoute::start_with(TempDir::new().unwrap(), &options);
    let (listen, data) = (ecoute.address.to_string(), ecoute.data.path().to_str().unwrap());
    let on = |certificate: &str, key: &str| {
        let mut command = program();
        command.args(["doctor", "--listen", &listen, "--data", data, "--tls-cert", certificate, "--tls-key", key]);
        Said::new(run(command.env("SSL_CERT_FILE", authority.folder.path().join("root.pem"))))
    };
    let said = on(&late_path, &late_key);
    said.says("warning", "the certificate is good for 20 more days", "certbot renew");
    assert!(said.has("audio by UDP to 127.0.0.1"), "on its own machine a server needs no name");
    let said = on(&fresh_path, &fresh_key);
    let text = format!("the server shows another certificate than the one in {fresh_path}");
    said.says("wrong", &text, "systemctl restart ecoute");
    let said = on(&fresh_path, &late_key);
    said.says("wrong", "the certificate and the key do not belong together", "certbot certificates");
    let said = on(&fresh_path, "/nowhere.key");
    said.says("wrong", "/nowhere.key can't be read", "--tls-key");

    let with = |options: &[&str]| doctor(&[&["--listen", &listen, "--data", data], options].concat());
    let said = with(&["--public-url", "https://other.example", "--http-redirect", &redirect]);
    let text = "the certificate is for localhost, not for other.example";
    said.says("wrong", text, "use https://localhost   # or get a certificate for other.example");
    assert!(said.has(&format!("http://{redirect} leads to https://")));
    let port = redirect.rsplit_once(':').unwrap().1;
    assert!(said.has(&format!(" && ufw allow {port}/tcp")) && !said.has(&format!("ufw allow {port}/udp")));
    let said = with(&["--http-redirect", &nobody]);
    said.says("warning", &format!("http://{nobody}: refused"), "ecoute serve --http-redirect [::]:80");
    let said = with(&["--listen", &nobody]);
    said.says("wrong", &format!("nobody listens on {nobody}"), "ecoute serve --listen");
    assert!(said.has(&format!("écoute listens on {listen}")));

    let trial = Ecoute::start_with(TempDir::new().unwrap(), &["--tls-self-signed"]);
    let said = doctor_on(trial.address, trial.data.path());
    let text = "the certificate is signed by itself, so browsers warn";
    said.says("wrong", text, "ecoute serve --tls-cert FILE --tls-key FILE");
    let fingerprint = trial.lines.iter().find_map(|line| line.split_once("sha256=")).unwrap().1;
    assert!(said.has(fingerprint), "{fingerprint}");
}
