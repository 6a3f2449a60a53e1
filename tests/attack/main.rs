//! Attacks on the real program over its sockets. Two bystanders must notice nothing of any of them.
//!
//! What bytes mean is attacked in the simulation. Invariant: every wait is bounded.
#![allow(clippy::disallowed_methods, reason = "tests of the program wait for it in real time")]

mod bystanders;
mod datagrams;
mod journal;
mod kills;
mod shown;
mod slow_disk;
#[path = "../support/mod.rs"]
mod support;
mod unread;

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use bystanders::Bystanders;
use ecoute::web;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use serde_json::json;
use support::client::{close_code, connect, get, read_response, register, request};
use support::issuer::Issuer;
use support::{Ecoute, WAIT, processor_time, program};
use tempfile::TempDir;

/// How long a client may take for the head of its first request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Starts a server that offers nothing but loopback.
fn start(arguments: &[&str]) -> Ecoute {
    start_by(program(), arguments)
}

fn start_by(mut command: Command, arguments: &[&str]) -> Ecoute {
    let data = TempDir::new().unwrap();
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path()).args(arguments);
    Ecoute::start_command(command, data)
}

/// Starts a server that may open so many files.
fn start_with_files(files: usize) -> Ecoute {
    let mut command = Command::new("sh");
    let limited = format!(r#"ulimit -n {files} && exec "$0" "$@""#);
    command.args(["-c", &limited]).arg(program().get_program());
    start_by(command, &[])
}

#[test]
fn ten_thousand_half_open_conns() {
    const COUNT: usize = 10_000;
    allow_files(COUNT);
    let ecoute = start(&[]);
    let mut bystanders = Bystanders::start(&ecoute);
    // Places are kept for users only.
    bystanders.leave_http();
    let before = processor_time(ecoute.child.id());
    let begin = Instant::now();
    let flood: Vec<TcpStream> = bystanders.run_during(|| {
        let open = |n: usize| {
            let mut stream = connect(ecoute.address).into_inner();
            if n.is_multiple_of(10) {
                // The server may have refused it by now.
                let _ = stream.write_all(b"GET / HT");
            }
            stream
        };
        (0..COUNT).map(open).collect()
    });
    // Whoever had their second makes room for the next.
    let filled = Instant::now();
    bystanders.run_until(|_| get(ecoute.address, "/health", "").0 == 200);
    assert!(filled.elapsed() < Duration::from_secs(3), "{:?}", filled.elapsed());
    let turned_away = flood.iter().filter(|stream| is_turned_away(stream)).count();
    assert!(turned_away > COUNT / 2, "{turned_away}");
    bystanders.run_for((HEAD_TIMEOUT + Duration::from_millis(500)).saturating_sub(begin.elapsed()));
    bystanders.run_until(|_| get(ecoute.address, "/health", "").0 == 200);
    let used = processor_time(ecoute.child.id()) - before;
    assert!(used < begin.elapsed() / 2, "{used:?} of {:?}", begin.elapsed());
    let closed = bystanders.run_during(|| flood.into_iter().filter(is_closed).count());
    assert_eq!(closed, COUNT);
    bystanders.assert_undisturbed();
}

/// Tells whether the server said that it has no room, or closed.
fn is_turned_away(stream: &TcpStream) -> bool {
    let mut start = [0; 12];
    stream.set_nonblocking(true).unwrap();
    match stream.peek(&mut start) {
        Ok(length) => length == 0 || start == *b"HTTP/1.1 503",
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// Tells whether nothing comes from the server any more.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(false).unwrap();
    let mut rest = Vec::new();
    (&*stream).read_to_end(&mut rest).is_ok()
}

/// Few files may be open, and strangers hold as many as they can.
#[test]
fn newcomers_get_in_where_descriptors_are_the_bound() {
    let mut ecoute = start_with_files(60);
    let address = ecoute.address;
    let (mut websocket, _) = register(address, &ecoute.token("admin", "paul", "Paul"));
    let mut bystanders = Bystanders::start(&ecoute);
    // Places are kept for users only.
    bystanders.leave_http();
    let _silent: Vec<_> = (0..150).map(|_| connect(address)).collect();
    let begin = Instant::now();
    bystanders.run_during(|| {
        for _ in 0..10 {
            assert_eq!(get(address, "/health", "").0, 200);
        }
    });
    assert!(begin.elapsed() < HEAD_TIMEOUT / 2, "{:?}", begin.elapsed());

    // Who must go is told all the same: the list is a file that must be opened.
    let begin = Instant::now();
    let running = &mut ecoute;
    let code = bystanders.run_during(move || {
        running.revoke("paul");
        close_code(&mut websocket)
    });
    assert_eq!(code, 4401);
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    bystanders.assert_undisturbed();
}

/// Lets a process open so many files from now on.
fn limit_files(process: u32, files: usize) {
    let mut command = Command::new("prlimit");
    let limited = command.args(["--pid", &process.to_string(), &format!("--nofile={files}:")]).status();
    assert!(limited.unwrap().success());
}

#[test]
fn no_descriptors_are_left() {
    let mut ecoute = start_with_files(600);
    let mut bystanders = Bystanders::start(&ecoute);
    let process = ecoute.child.id();
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    limit_files(process, open + 2);
    let mut clients: Vec<_> = (0..20).map(|_| connect(ecoute.address)).collect();
    ecoute.wait_for_line("can't be accepted");
    let before = processor_time(process);
    bystanders.run_for(Duration::from_secs(2));
    let used = processor_time(process) - before;
    assert!(used < Duration::from_millis(300), "it spins: {used:?}");

    limit_files(process, 600);
    bystanders.run_during(|| {
        for client in &mut clients {
            client.get_mut().write_all(request("/health", "").as_bytes()).unwrap();
            assert_eq!(read_response(client).0, 200);
        }
    });
    bystanders.assert_undisturbed();
}

#[test]
fn resets_in_the_middle_of_everything() {
    let ecoute = start(&[]);
    let mut bystanders = Bystanders::start(&ecoute);
    let token = ecoute.token("admin", "paul", "Paul");
    bystanders.run_during(|| {
        for n in 0..300 {
            let stream = match n % 3 {
                0 => connect(ecoute.address).into_inner(),
                // In the middle of a request, and with answers on their way.
                1 => {
                    let mut stream = connect(ecoute.address).into_inner();
                    let sent = request("/admin", "").repeat(10) + "GET / HT";
                    stream.write_all(sent.as_bytes()).unwrap();
                    stream
                }
                _ if n % 9 == 2 => {
                    let (mut websocket, _) = register(ecoute.address, &token);
                    websocket.get_mut().write_all(&[0x81, 0xfe, 0x10]).unwrap();
                    websocket.get_ref().try_clone().unwrap()
                }
                _ => {
                    let mut stream = connect(ecoute.address).into_inner();
                    stream.write_all(request("/ws", "").as_bytes()).unwrap();
                    stream
                }
            };
            // Closing without waiting sends a reset.
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    });
    bystanders.assert_undisturbed();
    let listed = status(&ecoute);
    assert_eq!(listed["total_listeners"], 1, "{listed}");
}

#[test]
fn clients_that_ask_for_much_and_never_read() {
    const COUNT: usize = 3000;
    allow_files(COUNT);
    let ecoute = start(&[]);
    let mut bystanders = Bystanders::start(&ecoute);
    // They hold what they are sent for 10 s, and everybody without a user may be cut for it.
    bystanders.leave_http();
    let before = resident_kib(&ecoute);
    let address = ecoute.address;
    let clients: Vec<TcpStream> = bystanders.run_during(move || {
        let ask = |_| {
            let mut client = narrow(address);
            client.write_all(request(&web::module("/ecoute-client.js"), "").repeat(16).as_bytes()).unwrap();
            // It looks at the first byte only, so that it is not one of many that wait to be accepted.
            client.peek(&mut [0]).unwrap();
            client
        };
        (0..COUNT).map(ask).collect()
    });
    bystanders.run_for(Duration::from_secs(1));
    // They asked for 864 MB.
    let grown = resident_kib(&ecoute) - before;
    assert!(grown < 100 * 1024, "{grown} KiB");
    assert_eq!(bystanders.run_during(|| get(address, "/health", "").0), 200);
    drop(clients);
    bystanders.assert_undisturbed();
}

/// Each bad token costs a signature to be verified, and each request an answer: audio must not wait for them.
#[test]
fn a_flood_of_requests() {
    let issuer = Issuer::es256();
    let keys = TempDir::new().unwrap();
    let path = keys.path().join("keys");
    std::fs::write(&path, issuer.pem()).unwrap();
    let ecoute = start(&[
        "--token-public-key",
        path.to_str().unwrap(),
        "--token-issuer=https://idp.example",
        "--token-audience=ecoute",
    ]);
    let mut bystanders = Bystanders::start(&ecoute);
    // Other requests wait for their turn, and would hold up the bystanders themselves.
    bystanders.leave_http();
    let token = Issuer::es256().sign(None, &json!({ "sub": "a", "role": "admin", "exp": 1, "iat": 1 }));
    let bad = request("/api/streaming/status", &format!("Authorization: Bearer {token}\r\n")).repeat(16);
    let good = request(&web::module("/ecoute-client.js"), "").repeat(16);
    let requests = [bad.as_str(), bad.as_str(), good.as_str()];
    // One that was late by chance is not so again.
    let gaps = [(); 3].map(|()| {
        bystanders.begin_anew();
        let end = Instant::now() + Duration::from_secs(1);
        bystanders.run_during(|| {
            thread::scope(|scope| {
                for requests in requests {
                    scope.spawn(move || ask_until(end, ecoute.address, requests));
                }
            });
        });
        bystanders.longest_gap()
    });
    let gap = gaps.into_iter().min().unwrap();
    assert!(gap < Duration::from_millis(60), "{gaps:?}");
    bystanders.assert_heard_all();
}

/// Sends requests over many conns at once, again and again.
fn ask_until(end: Instant, address: SocketAddr, requests: &str) {
    while Instant::now() < end {
        let mut clients: Vec<_> = (0..60).map(|_| connect(address).into_inner()).collect();
        for client in &mut clients {
            client.write_all(requests.as_bytes()).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        }
        assert!(clients.iter().all(is_closed));
    }
}

/// A client that has sent its last byte gets all that it asked for, though it reads slowly.
#[test]
fn half_closed_with_answers_on_their_way() {
    let ecoute = start(&[]);
    let mut bystanders = Bystanders::start(&ecoute);
    let (_, page) = get(ecoute.address, &web::module("/ecoute-client.js"), "");
    bystanders.run_during(|| {
        let mut client = BufReader::with_capacity(1024, narrow(ecoute.address));
        client.get_mut().write_all(request(&web::module("/ecoute-client.js"), "").repeat(16).as_bytes()).unwrap();
        client.get_mut().shutdown(Shutdown::Write).unwrap();
        thread::sleep(Duration::from_millis(300));
        for index in 0..16 {
            assert_eq!(read_response(&mut client), (200, page.clone()), "{index}");
        }
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    });
    bystanders.assert_undisturbed();
}

#[test]
fn a_websocket_that_is_half_closed_ends() {
    let ecoute = start(&[]);
    let mut bystanders = Bystanders::start(&ecoute);
    let (websocket, _) = register(ecoute.address, &ecoute.token("commercial", "lea", "Léa"));
    websocket.get_ref().shutdown(Shutdown::Write).unwrap();
    let begin = Instant::now();
    assert!(bystanders.run_during(|| is_closed(websocket.get_ref())));
    assert!(begin.elapsed() < WAIT, "{:?}", begin.elapsed());
    bystanders.assert_undisturbed();
}

#[test]
fn a_listener_whose_port_is_closed_costs_nobody_else_a_packet() {
    let ecoute = start(&[]);
    let mut bystanders = Bystanders::start(&ecoute);
    for n in 0..3 {
        bystanders.others.push(bystanders::Client::open(&ecoute, 10 + n, "admin", &format!("gone{n}")));
    }
    bystanders.run_until(|all| all.others.iter().all(|other| other.browser.connected));
    for other in &mut bystanders.others {
        other.browser.say("join_commercial_stream", json!({ "commercial_id": "speaker" }));
    }
    bystanders.run_until(|all| all.others.iter().all(|other| other.browser.heard.len() > 5));
    for other in &mut bystanders.others {
        other.close_port();
    }
    bystanders.run_for(Duration::from_secs(2));
    bystanders.assert_undisturbed();
}

/// A machine that slept: what should live goes on, and what arrived meanwhile is not lost.
#[test]
fn suspended_and_continued() {
    let ecoute = start(&[]);
    let mut bystanders = Bystanders::start(&ecoute);
    bystanders.stop_asking();
    ecoute.signal(Signal::SIGSTOP);
    bystanders.run_for(Duration::from_secs(4));
    ecoute.signal(Signal::SIGCONT);
    bystanders.run_for(Duration::from_secs(2));
    assert!(bystanders.longest_gap() > Duration::from_secs(1), "it was not suspended");
    bystanders.assert_heard_all();
    assert_eq!(get(ecoute.address, "/health", "").0, 200);
}

#[test]
fn interrupted_again_and_again() {
    let mut ecoute = start(&[]);
    let mut bystanders = Bystanders::start(&ecoute);
    let running = &mut ecoute;
    bystanders.run_during(move || {
        let mut client = connect(running.address);
        for _ in 0..300 {
            for signal in [Signal::SIGSTOP, Signal::SIGCONT, Signal::SIGWINCH, Signal::SIGCHLD, Signal::SIGURG] {
                running.signal(signal);
            }
            client.get_mut().write_all(request("/health", "").as_bytes()).unwrap();
            assert_eq!(read_response(&mut client).0, 200);
            drop(connect(running.address));
        }
    });
    bystanders.assert_undisturbed();
}

/// Lets this process open so many files, and some more.
fn allow_files(count: usize) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(hard > count as u64 + 500, "this test opens {count} files, and only {hard} are allowed");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

/// Connects so that the kernel of the server takes little at once: with a small window and small segments.
fn narrow(address: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_tcp_mss(536).unwrap();
    socket.set_read_timeout(Some(WAIT)).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.into()
}

/// Returns how much memory the server has, in KiB.
fn resident_kib(ecoute: &Ecoute) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", ecoute.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn status(ecoute: &Ecoute) -> serde_json::Value {
    let token = ecoute.token("monitor", "monitor", "M");
    let (_, body) = get(ecoute.address, "/api/streaming/status", &format!("Authorization: Bearer {token}\r\n"));
    serde_json::from_str(&body).unwrap()
}
