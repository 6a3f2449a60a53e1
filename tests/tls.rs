//! TLS of the real program over loopback: versions, resumption, certificates that change, and clients that misbehave.
//!
//! Invariant: every wait is bounded.
#![allow(clippy::disallowed_methods, reason = "tests of the program wait for it in real time")]

mod support;

use std::fs;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustls::{AlertDescription, HandshakeKind, ProtocolVersion};
use serde_json::Value;
use support::client::{connect, get, read_response, register_on, request};
use support::tls::{Certificate, get_tls, handshake, handshake_on, session};
use support::{Ecoute, WAIT, program, resident_bytes, run};
use tempfile::TempDir;
use tungstenite::Message;

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3];
const TLS13: ProtocolVersion = ProtocolVersion::TLSv1_3;

/// Starts a server with a certificate from files in its data directory.
fn start(certificate: &Certificate) -> Ecoute {
    let data = TempDir::new().unwrap();
    let arguments = certificate.write(data.path());
    Ecoute::start_with(data, &arguments.each_ref().map(String::as_str))
}

#[test]
fn both_versions_carry_pages_and_resume() {
    let certificate = Certificate::new();
    let ecoute = start(&certificate);
    for version in VERSIONS {
        let config = certificate.client(version);
        let (stream, status, page) = get_tls(ecoute.address, &config, "/admin");
        assert_eq!((status, page.contains("<title>")), (200, true), "{version:?}");
        assert_eq!(stream.conn.protocol_version(), Some(version));
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Full));
        let (again, status, _) = get_tls(ecoute.address, &config, "/health");
        assert_eq!((status, again.conn.handshake_kind()), (200, Some(HandshakeKind::Resumed)), "{version:?}");
        let without = certificate.client_with(version, &[]);
        assert_eq!(get_tls(ecoute.address, &without, "/health").1, 200, "{version:?} without ALPN");
        let error = handshake(ecoute.address, &certificate.client_with(version, &[b"h2"])).unwrap_err();
        assert_alert(&error, AlertDescription::NoApplicationProtocol);
    }
}

#[test]
fn a_websocket_speaks_over_tls() {
    let certificate = Certificate::new();
    let ecoute = start(&certificate);
    for version in VERSIONS {
        let stream = handshake(ecoute.address, &certificate.client(version)).unwrap();
        let (mut websocket, answer) = register_on(stream, &ecoute.token("commercial", "lea", "Léa"));
        assert_eq!(answer["event"], "user_registered", "{answer}");
        websocket.send(Message::text(r#"{"event":"ping","data":{"t":7}}"#)).unwrap();
        // The note of the journal comes when it was read: before the answer, or behind it.
        let mut awaited = vec!["pong", "journal_note"];
        while !awaited.is_empty() {
            if let Message::Text(text) = websocket.read().unwrap() {
                let event = serde_json::from_str::<Value>(&text).unwrap()["event"].clone();
                awaited.retain(|name| event != *name);
            }
        }
        websocket.close(None).unwrap();
        while let Ok(message) = websocket.read() {
            assert!(!matches!(message, Message::Text(_)), "{message}");
        }
    }
}

#[test]
fn plain_requests_are_sent_to_https_but_not_those_for_health() {
    let ecoute = start(&Certificate::new());
    let mut client = connect(ecoute.address);
    client.get_mut().write_all(request("/commercial?lang=fr", "Connection: close\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    assert!(answer.contains("\r\nLocation: https://localhost/commercial?lang=fr\r\n"), "{answer}");
    assert!(!answer.contains("Strict-Transport-Security"), "{answer}");
    assert_eq!(get(ecoute.address, "/api/streaming/status", "").0, 308);
    assert_eq!(get(ecoute.address, "/ws", "").0, 308);
    assert_eq!(get(ecoute.address, "/health", ""), (200, r#"{"status":"ok"}"#.to_owned()));
}

#[test]
fn a_new_certificate_is_used_without_a_restart() {
    let (first, second) = (Certificate::new(), Certificate::new());
    let mut ecoute = start(&first);
    let (mut kept, ..) = get_tls(ecoute.address, &first.client(TLS13), "/health");
    assert!(handshake(ecoute.address, &second.client(TLS13)).is_err(), "not yet");

    // Between two writes the two files do not belong together.
    fs::write(ecoute.data.path().join("cert.pem"), &second.pem).unwrap();
    ecoute.wait_for_line("do not belong together");
    assert_eq!(get_tls(ecoute.address, &first.client(TLS13), "/health").1, 200);
    fs::write(ecoute.data.path().join("key.pem"), &second.key).unwrap();
    ecoute.wait_for_line("certificate renewed");
    assert_eq!(get_tls(ecoute.address, &second.client(TLS13), "/health").1, 200);
    assert!(handshake(ecoute.address, &first.client(TLS13)).is_err(), "no more");
    kept.write_all(request("/health", "").as_bytes()).unwrap();
    assert_eq!(read_response(&mut BufReader::new(kept)).0, 200, "who was there stays");

    // By signal, at once, and though nothing changed.
    ecoute.signal(Signal::SIGHUP);
    ecoute.wait_for_line("certificate renewed");
    let third = Certificate::new();
    third.write(ecoute.data.path());
    ecoute.signal(Signal::SIGHUP);
    ecoute.wait_for_line("certificate renewed");
    assert_eq!(get_tls(ecoute.address, &third.client(TLS13), "/health").1, 200);

    // Damaged ones change nothing either, each told once.
    fs::write(ecoute.data.path().join("cert.pem"), "nonsense").unwrap();
    ecoute.wait_for_line("holds no PEM certificate");
    fs::write(ecoute.data.path().join("cert.pem"), third.pem.replace("MII", "MIX")).unwrap();
    ecoute.wait_for_line("the one from before stays");
    fs::remove_file(ecoute.data.path().join("cert.pem")).unwrap();
    ecoute.wait_for_line("what was read before stays in force");
    assert_eq!(get_tls(ecoute.address, &third.client(TLS13), "/health").1, 200);
}

#[test]
fn certificates_that_can_not_be_used_are_refused_at_the_start() {
    let (one, other) = (Certificate::new(), Certificate::new());
    let data = TempDir::new().unwrap();
    let path = |name: &str| data.path().join(name).to_str().unwrap().to_owned();
    one.write(data.path());
    fs::write(path("other.pem"), &other.key).unwrap();
    fs::write(path("nonsense"), "nonsense").unwrap();
    let (cert, key, other, nonsense, missing) =
        (path("cert.pem"), path("key.pem"), path("other.pem"), path("nonsense"), path("missing"));
    let cases: &[(&str, &[&str], &str)] = &[
        ("another key", &["--tls-cert", &cert, "--tls-key", &other], "do not belong together"),
        ("no certificate", &["--tls-cert", &nonsense, "--tls-key", &key], "no PEM certificate"),
        ("no key", &["--tls-cert", &cert, "--tls-key", &nonsense], "no PEM private key"),
        ("a key for a certificate", &["--tls-cert", &key, "--tls-key", &key], "no PEM certificate"),
        ("missing", &["--tls-cert", &missing, "--tls-key", &key], "name the certificate with --tls-cert"),
        ("alone", &["--tls-cert", &cert], "--tls-key"),
        ("both", &["--tls-cert", &cert, "--tls-key", &key, "--tls-self-signed"], "cannot be used with"),
    ];
    for (name, arguments, want) in cases {
        let output = run(program().args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path()).args(*arguments));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name}: {stderr}");
        assert!(stderr.contains(want), "{name}: {stderr}");
    }
}

#[test]
fn a_certificate_for_a_trial_is_made_once() {
    let mut ecoute = Ecoute::start_with(TempDir::new().unwrap(), &["--tls-self-signed"]);
    let path = ecoute.data.path().join("self-signed.pem");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let told = |ecoute: &Ecoute| {
        let line = ecoute.lines.iter().find(|line| line.contains("certificate loaded")).unwrap();
        line.split_once("sha256=").unwrap().1.to_owned()
    };
    let certificate = Certificate::self_signed(&ecoute);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &certificate.der);
    let hex: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(told(&ecoute), hex.join(":"));
    let (_, status, page) = get_tls(ecoute.address, &certificate.client(TLS13), "/commercial");
    assert_eq!((status, page.contains("<title>")), (200, true));

    ecoute.restart_with(Signal::SIGTERM, &["--tls-self-signed"]);
    assert_eq!(told(&ecoute), hex.join(":"), "kept");
    assert_eq!(get_tls(ecoute.address, &certificate.client(TLS13), "/health").1, 200);
}

#[test]
fn a_client_that_never_finishes_its_handshake_is_cut() {
    let certificate = Certificate::new();
    let ecoute = start(&certificate);
    let mut hello = Vec::new();
    session(&certificate.client(TLS13)).write_tls(&mut hello).unwrap();
    let begin = Instant::now();
    let mut clients = [
        ("nothing", connect(ecoute.address).into_inner(), &hello[..0]),
        ("a byte", connect(ecoute.address).into_inner(), &hello[..1]),
        ("half", connect(ecoute.address).into_inner(), &hello[..hello.len() / 2]),
        ("one side", connect(ecoute.address).into_inner(), &hello[..]),
    ];
    for (_, stream, bytes) in &mut clients {
        stream.write_all(bytes).unwrap();
    }
    for (name, stream, _) in &mut clients {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap_or_else(|error| panic!("{name}: {error}"));
        let elapsed = begin.elapsed();
        assert!((4..7).contains(&elapsed.as_secs()), "{name}: {elapsed:?}");
    }
}

#[test]
fn a_handshake_byte_by_byte() {
    let certificate = Certificate::new();
    let ecoute = start(&certificate);
    for version in VERSIONS {
        let mut client = session(&certificate.client(version));
        let mut stream = connect(ecoute.address).into_inner();
        while client.is_handshaking() {
            let mut flight = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut flight).unwrap();
            }
            for byte in flight {
                stream.write_all(&[byte]).unwrap();
                thread::sleep(Duration::from_micros(200));
            }
            if client.is_handshaking() {
                assert_ne!(client.read_tls(&mut stream).unwrap(), 0, "{version:?}");
                client.process_new_packets().unwrap();
            }
        }
        let mut stream = BufReader::new(rustls::StreamOwned::new(client, stream));
        stream.get_mut().write_all(request("/health", "").as_bytes()).unwrap();
        assert_eq!(read_response(&mut stream).0, 200, "{version:?}");
    }
}

#[test]
fn garbage_ends_the_client_that_sent_it_alone() {
    let certificate = Certificate::new();
    let ecoute = start(&certificate);
    let config = certificate.client(TLS13);
    let mut bystander = handshake(ecoute.address, &config).unwrap();

    let mut at_once = connect(ecoute.address).into_inner();
    at_once.write_all(&[22; 3000]).unwrap();
    let mut answer = Vec::new();
    at_once.read_to_end(&mut answer).unwrap();
    assert_eq!(answer[..3], [21, 3, 3], "an alert: {answer:?}");

    for version in VERSIONS {
        let mut later = handshake(ecoute.address, &certificate.client(version)).unwrap();
        later.sock.write_all(b"\x17\x03\x03\x00\x20GET / HTTP/1.1 without any TLS..").unwrap();
        let error = later.read(&mut [0; 16]).unwrap_err();
        assert_alert(&error, AlertDescription::BadRecordMac);
    }
    bystander.write_all(request("/health", "").as_bytes()).unwrap();
    assert_eq!(read_response(&mut BufReader::new(bystander)).0, 200);
}

/// Rustls joins messages of a handshake up to 64 KiB, whatever they are.
#[test]
fn a_handshake_that_says_nothing_is_cut_early() {
    let ecoute = start(&Certificate::new());
    let mut client = connect(ecoute.address).into_inner();
    client.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    // A ClientHello of 60,000 bytes, in records of 1000.
    let mut hello = vec![1, 0, 0xea, 0x60];
    hello.resize(60_000, 0);
    let mut sent = 0;
    for part in hello.chunks(1000) {
        let mut record = vec![22, 3, 1, 3, 232];
        record.extend(part);
        record.resize(1005, 0);
        client.write_all(&record).unwrap();
        sent += 1000;
        // An alert comes, or nothing yet.
        if client.read_exact(&mut [0]).is_ok() {
            break;
        }
    }
    assert!((20_000..40_000).contains(&sent), "{sent}");
}

#[test]
fn who_says_goodbye_gets_the_answer_and_a_goodbye() {
    let certificate = Certificate::new();
    let ecoute = start(&certificate);
    for version in VERSIONS {
        let mut stream = handshake(ecoute.address, &certificate.client(version)).unwrap();
        stream.write_all(request("/admin", "").as_bytes()).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        stream.sock.shutdown(Shutdown::Write).unwrap();
        let mut stream = BufReader::new(stream);
        assert_eq!(read_response(&mut stream).0, 200, "{version:?}");
        // Without a close_notify this would be an error: somebody could have cut the answer.
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "{version:?}");

        let mut stream = BufReader::new(handshake(ecoute.address, &certificate.client(version)).unwrap());
        stream.get_mut().write_all(request("/health", "Connection: close\r\n").as_bytes()).unwrap();
        assert_eq!(read_response(&mut stream).0, 200);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the server's goodbye, {version:?}");
    }
}

/// The answers do not fit into the socket's buffers, so writing stops and goes on, many times.
#[test]
fn slow_reader_gets_everything() {
    let certificate = Certificate::new();
    let ecoute = start(&certificate);
    let config = certificate.client(TLS13);
    let (_, _, page) = get_tls(ecoute.address, &config, "/admin");
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_read_timeout(Some(WAIT)).unwrap();
    socket.connect(&ecoute.address.into()).unwrap();
    let mut stream = handshake_on(socket.into(), &config).unwrap();
    let count = 60_000 / request("/admin", "").len();
    stream.write_all(request("/admin", "").repeat(count).as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(200));
    let mut client = BufReader::with_capacity(1024, stream);
    for index in 0..count {
        assert_eq!(read_response(&mut client), (200, page.clone()), "{index}");
    }
}

#[test]
fn clients_that_never_read_hold_little_and_others_are_served() {
    let certificate = Certificate::new();
    let ecoute = start(&certificate);
    let config = certificate.client(TLS13);
    get_tls(ecoute.address, &config, "/ecoute.js");
    let before = resident_bytes(ecoute.child.id());
    let mut clients: Vec<_> = (0..40).map(|_| handshake(ecoute.address, &config).unwrap()).collect();
    for client in &mut clients {
        client.sock.set_write_timeout(Some(Duration::from_millis(5))).unwrap();
        let requests = request("/admin", "").repeat(2000);
        if let Err(error) = client.write_all(requests.as_bytes()) {
            assert!(matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionReset
            ));
        }
    }
    let begin = Instant::now();
    assert_eq!(get_tls(ecoute.address, &config, "/health").1, 200);
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    let grown = resident_bytes(ecoute.child.id()).saturating_sub(before);
    assert!(grown < 40 * 512 * 1024, "{grown}");
}

/// What an idle client costs, held against the memory table of the configuration.
#[test]
fn idle_clients_cost_what_the_table_says() {
    let certificate = Certificate::new();
    let ecoute = start(&certificate);
    let config = certificate.client(TLS13);
    let open = |count: usize| -> Vec<_> {
        let open = |_| BufReader::new(handshake(ecoute.address, &config).unwrap());
        let mut clients: Vec<_> = (0..count).map(open).collect();
        for client in &mut clients {
            client.get_mut().write_all(request("/health", "").as_bytes()).unwrap();
            assert_eq!(read_response(client).0, 200);
        }
        clients
    };
    let _warm = open(100);
    let before = resident_bytes(ecoute.child.id());
    let clients = open(400);
    let each = resident_bytes(ecoute.child.id()).saturating_sub(before) / clients.len() as u64;
    assert!(each < IDLE_BYTES_MAX, "{each}");
}

const IDLE_BYTES_MAX: u64 = 24_000;

fn assert_alert(error: &std::io::Error, want: AlertDescription) {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    assert_eq!(inner, Some(&rustls::Error::AlertReceived(want)), "{error}");
}
