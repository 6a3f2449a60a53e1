//! How people get to the real program: several addresses, the way from HTTP to HTTPS, links, servers of others that help.
//!
//! Invariant: every wait is bounded.
#![allow(clippy::disallowed_methods, reason = "tests of the program wait for it in real time")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustls::ProtocolVersion;
use serde_json::{Value, json};
use support::client::{connect, get, read_response, register, request};
use support::tls::{Certificate, get_tls};
use support::{Ecoute, program, run};
use tempfile::TempDir;

/// Returns the addresses that a line of the log names.
fn addresses(line: &str) -> Vec<SocketAddr> {
    let list = line.split_once("address=").unwrap().1.split(' ').next().unwrap();
    list.split(',').map(|address| address.parse().unwrap()).collect()
}

/// Starts a server with a certificate for a trial and a port that leads to it.
fn start_with_redirect(arguments: &[&str]) -> (Ecoute, SocketAddr) {
    let arguments = [&["--tls-self-signed", "--http-redirect", "127.0.0.1:0"], arguments].concat();
    let ecoute = Ecoute::start_with(TempDir::new().unwrap(), &arguments);
    let line = ecoute.lines.iter().find(|line| line.contains("plain HTTP is sent to HTTPS")).unwrap();
    let address = addresses(line)[0];
    (ecoute, address)
}

/// Sends bytes and returns all that comes back.
fn exchange(address: SocketAddr, bytes: &str) -> String {
    let mut stream = connect(address).into_inner();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn several_addresses_each_for_tcp_and_udp() {
    let data = TempDir::new().unwrap();
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0", "--listen", "127.0.0.2:0", "--tls-self-signed", "--data"]);
    let ecoute = Ecoute::start_command(
        {
            command.arg(data.path());
            command
        },
        data,
    );
    let line = ecoute.lines.iter().find(|line| line.contains("listening address=")).unwrap();
    let bound = addresses(line);
    assert_eq!(bound.len(), 2, "{line}");
    for address in &bound {
        assert!(line.split_once("advertised=").unwrap().1.contains(&address.to_string()), "{line}");
    }
    let certificate = Certificate::self_signed(&ecoute).client(ProtocolVersion::TLSv1_3);
    for &address in &bound {
        assert_eq!(get(address, "/health", "").0, 200);
        assert_eq!(get_tls(address, &certificate, "/commercial").1, 200);
        // A check that names no session has no answer; that the socket is there, a refusal would tell.
        let udp = UdpSocket::bind((address.ip(), 0)).unwrap();
        udp.connect(address).unwrap();
        for _ in 0..2 {
            udp.send(b"\0\x01\0\0\x21\x12\xa4\x42............").unwrap();
            thread::sleep(Duration::from_millis(20));
        }
    }
    let port = bound[0].port();
    let other = SocketAddr::from(([127, 0, 0, 3], port));
    assert!(TcpStream::connect(other).is_err(), "only what was asked for");

    let many = ["127.0.0.1:0"; 9].join(",");
    let output = run(program().env("ECOUTE_LISTEN", many).arg("--data").arg(ecoute.data.path()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("9 addresses"), "{output:?}");
}

#[test]
fn plain_http_is_sent_to_https() {
    let (ecoute, redirect) = start_with_redirect(&[]);
    let port = ecoute.address.port();
    let answer = exchange(redirect, &request("/commercial?lang=fr", ""));
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    assert!(answer.contains(&format!("\r\nLocation: https://localhost:{port}/commercial?lang=fr\r\n")), "{answer}");
    assert!(exchange(redirect, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(
        exchange(redirect, &format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(17_000))).starts_with("HTTP/1.1 431 ")
    );

    let (_public, redirect) = start_with_redirect(&["--public-url", "https://ecoute.example"]);
    let answer = exchange(redirect, &request("/admin", ""));
    assert!(answer.contains("\r\nLocation: https://ecoute.example/admin\r\n"), "{answer}");
}

#[test]
fn an_authority_finds_its_challenge_and_nothing_else() {
    let (ecoute, redirect) = start_with_redirect(&[]);
    let webroot = ecoute.data.path().join("webroot");
    assert!(webroot.is_dir(), "certbot wants it to be there");
    let folder = webroot.join(".well-known/acme-challenge");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("to-ken_1"), "to-ken_1.thumbprint").unwrap();
    let (status, body) = get(redirect, "/.well-known/acme-challenge/to-ken_1", "");
    assert_eq!((status, body.as_str()), (200, "to-ken_1.thumbprint"));
    for path in
        ["", "missing", "..", "../../../secret", "%2e%2e/%2e%2e/%2e%2e/secret", "../acme-challenge/to-ken_1"]
    {
        assert_eq!(get(redirect, &format!("/.well-known/acme-challenge/{path}"), "").0, 404, "{path}");
    }
    assert_eq!(get(redirect, "/secret", "").0, 308);

    // Who has said all waits for a file as well.
    let mut half_closed = connect(redirect);
    half_closed.get_mut().write_all(request("/.well-known/acme-challenge/to-ken_1", "").as_bytes()).unwrap();
    half_closed.get_mut().shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_response(&mut half_closed).0, 200);
    assert_eq!(half_closed.read(&mut [0]).unwrap(), 0);
}

/// Whoever holds conns to the port open keeps nobody out, at either door.
#[test]
fn crowds_and_sleepers_at_the_redirect_end() {
    let (ecoute, redirect) = start_with_redirect(&[]);
    let begin = Instant::now();
    let mut sleepers: Vec<TcpStream> = (0..400).map(|_| connect(redirect).into_inner()).collect();
    for sleeper in &mut sleepers {
        sleeper.write_all(b"GET / HT").unwrap();
    }
    assert_eq!(get(redirect, "/", "").0, 308);
    assert_eq!(get(ecoute.address, "/health", "").0, 200);
    let mut last = sleepers.pop().unwrap();
    let mut told = String::new();
    last.read_to_string(&mut told).unwrap();
    assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
    let elapsed = begin.elapsed();
    assert!((4..8).contains(&elapsed.as_secs()), "{elapsed:?}");
}

#[test]
fn links_are_drawn_and_warn_of_plain_http() {
    let ecoute = Ecoute::start();
    let link = |arguments: &[&str]| {
        let mut command = program();
        command.args(["link", "--role", "commercial", "--id", "lea", "--data"]).arg(ecoute.data.path());
        let output = run(command.args(arguments));
        assert!(output.status.success(), "{output:?}");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (stdout, stderr) = link(&["--public-url", "https://ecoute.example", "--qr"]);
    let mut lines = stdout.lines();
    assert!(lines.next().unwrap().starts_with("https://ecoute.example/commercial#t="), "{stdout}");
    let drawn: Vec<&str> = lines.collect();
    assert!(drawn.len() > 20 && drawn.iter().any(|line| line.contains('█')), "{stdout}");
    assert_eq!(stderr, "");
    let (_, stderr) = link(&["--public-url", "http://192.0.2.1:8080"]);
    assert!(stderr.contains("HTTPS") && stderr.lines().count() == 1, "{stderr}");
    let (stdout, stderr) = link(&[]);
    assert!(stdout.starts_with("http://localhost:8080/commercial#t="), "{stdout}");
    assert_eq!(stderr, "");
    let output = run(program()
        .env("ECOUTE_PUBLIC_URL", "https://ecoute.example/")
        .args(["link", "--role", "admin", "--id", "paul", "--data"])
        .arg(ecoute.data.path()));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("https://ecoute.example/admin#t="), "{output:?}");
}

/// What a supervisor who registers now is told of STUN and TURN servers.
fn ice_servers(ecoute: &Ecoute) -> Value {
    let (_websocket, mut answer) = register(ecoute.address, &ecoute.token("admin", "paul", "Paul D."));
    answer["data"]["ice_servers"].take()
}

#[test]
fn clients_are_told_of_stun_and_turn_servers() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("turn");
    fs::write(&file, "paul\nfirst \"secret\"\n").unwrap();
    let (stun, turn) = ("stun:stun.example", "turn:turn.example:3478?transport=udp");
    let servers = format!("{stun},{turn}");
    let arguments = ["--ice-server", &servers, "--ice-credentials", file.to_str().unwrap(), "--log=debug"];
    let mut ecoute = Ecoute::start_with(data, &arguments);
    let told = |credential: &str| json!([{ "urls": stun }, { "urls": turn, "username": "paul", "credential": credential }]);
    assert_eq!(ice_servers(&ecoute), told("first \"secret\""));

    fs::write(&file, "paul\nsecond secret\n").unwrap();
    ecoute.wait_for_line("credentials of the TURN servers replaced");
    assert_eq!(ice_servers(&ecoute), told("second secret"));
    fs::write(&file, "third secret\n").unwrap();
    ecoute.wait_for_line("not two lines but 1");
    assert_eq!(ice_servers(&ecoute), told("second secret"), "what was good stays");
    ecoute.signal(Signal::SIGTERM);
    let (log, _) = ecoute.output();
    assert!(!log.iter().any(|line| line.contains("secret\"") || line.contains("second") || line.contains("third")));
}

#[test]
fn stun_and_turn_servers_that_can_not_be_used() {
    let data = TempDir::new().unwrap();
    let file = |name: &str, contents: &str| {
        let path = data.path().join(name);
        fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (good, one_line) = (file("good", "paul\nsecret\n"), file("one", "paul secret\n"));
    let nine = ["stun:a"; 9].join(",");
    let cases: &[(&str, &[&str], &str)] = &[
        ("a web address", &["--ice-server=https://stun.example"], "write it as stun:"),
        ("nothing", &["--ice-server="], "write it as stun:"),
        ("two in one", &["--ice-server=stun:a stun:b"], "no host name"),
        ("no credentials", &["--ice-server=stun:a,turn:b"], "turn:b lets nobody in"),
        ("no file", &["--ice-server=turn:a", "--ice-credentials=missing"], "can't read missing"),
        ("one line", &["--ice-server=turn:a", "--ice-credentials", &one_line], "not two lines but 1"),
        ("nine", &["--ice-server", &nine], "9 STUN and TURN servers, more than 8"),
    ];
    for (name, arguments, part) in cases {
        let output = run(program().args(["--listen=127.0.0.1:0"]).env("ECOUTE_DATA", data.path()).args(*arguments));
        let error = String::from_utf8_lossy(&output.stderr);
        let line = error.lines().last().unwrap_or_default();
        assert_eq!(output.status.code(), Some(2), "{name}: {error}");
        assert!(line.starts_with("ecoute: ") && line.contains(part), "{name}: {error}");
        assert!(!error.contains("secret"), "{name}: {error}");
    }
    let output = run(program().args(["--listen=127.0.0.1:0", "--ice-credentials", &good]));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--ice-server"), "credentials for nobody: {output:?}");
}
