//! The real program over loopback: start and its errors, sockets, tokens, signals.
//!
//! Not what requests mean: that is tested where the core is. Invariant: every wait is bounded.
#![allow(clippy::disallowed_methods, reason = "tests of the program wait for it in real time")]

mod support;

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use support::client::{connect, get, read_response, register, request};
use support::{Ecoute, PROGRAM, Terminal, WAIT, processor_time, program, resident_bytes, run};
use tempfile::TempDir;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

/// How long the program may take to end after a signal.
const EXIT: Duration = Duration::from_secs(3);

#[test]
fn health_over_ipv4_and_ipv6() {
    let ecoute = Ecoute::start();
    assert_eq!(get(ecoute.address, "/health", ""), (200, r#"{"status":"ok"}"#.to_owned()));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, ecoute.address.port()));
    match TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => assert_eq!(get(v6, "/health", "").0, 200),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::AddrNotAvailable, "a machine without IPv6"),
    }
}

/// What other applications of the same host set goes along with every request.
#[test]
fn cookies_in_other_alphabets_lock_nobody_out() {
    let ecoute = Ecoute::start();
    let upgrade = b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate; \
        client_max_window_bits\r\n";
    let cookies = (0..180).map(|n| format!("c{n}={}", "x".repeat(60))).collect::<Vec<_>>().join("; ");
    let many = format!("Cookie: {cookies}\r\n");
    let lines: [&[u8]; 4] = [
        b"Cookie: ville=Montr\xe9al; a=b\r\n",
        "Cookie: ville=Montréal\r\n".as_bytes(),
        b"X-Authenticated-User: Jos\xe9\r\n",
        many.as_bytes(),
    ];
    for line in lines {
        for (path, more, status) in [("/commercial", b"".as_slice(), 200), ("/ws", upgrade, 101)] {
            let mut client = connect(ecoute.address);
            let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n");
            client.get_mut().write_all(&[head.as_bytes(), line, more, b"\r\n"].concat()).unwrap();
            assert_eq!(read_response(&mut client).0, status, "{path} with {}", line.escape_ascii());
        }
    }
    let mut client = connect(ecoute.address);
    client.get_mut().write_all(b"GET /ws HTTP/1.1\r\nHost: Montr\xe9al\r\n\r\n").unwrap();
    let (status, body) = read_response(&mut client);
    assert!(status == 400 && body.contains("the header Host is not text in UTF-8"), "{status} {body}");
    let mut client = connect(ecoute.address);
    let endless = format!("Cookie: {}\r\n", "x".repeat(17_000));
    client.get_mut().write_all(request("/admin", &endless).as_bytes()).unwrap();
    let (status, body) = read_response(&mut client);
    assert!(status == 431 && body.contains("more than 16384 bytes"), "{status} {body}");
}

#[test]
fn ipv4_only() {
    let data = TempDir::new().unwrap();
    let mut command = program();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    let ecoute = Ecoute::start_command(command, data);
    assert_eq!(get(ecoute.address, "/health", "").0, 200);
    assert!(ecoute.lines.iter().any(|line| line.contains(&format!("listening address={}", ecoute.address))));
}

/// What renews a certificate asks for it to be read again, however far the start is: the port is there before the loop.
#[test]
fn a_hangup_while_it_starts_ends_nothing() {
    for _ in 0..5 {
        let data = TempDir::new().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = program();
        command.args(["--listen", &address.to_string(), "--data"]).arg(data.path());
        let mut starting = Terminal::start(command.stderr(Stdio::null()));
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begin.elapsed() < WAIT, "nothing listens");
        }
        let process = Pid::from_raw(starting.child.id().try_into().unwrap());
        kill(process, Signal::SIGHUP).unwrap();
        assert_eq!(get(address, "/health", "").0, 200);
        kill(process, Signal::SIGTERM).unwrap();
        assert_eq!(starting.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn settings_from_the_environment() {
    let data = TempDir::new().unwrap();
    let mut command = program();
    command.env("ECOUTE_LISTEN", "127.0.0.1:0").env("ECOUTE_DATA", data.path());
    command.env("ECOUTE_PUBLIC_ADDRESS", "203.0.113.7,198.51.100.7:4000");
    let ecoute = Ecoute::start_command(command, data);
    let port = ecoute.address.port();
    let want = format!("advertised=203.0.113.7:{port},198.51.100.7:4000");
    assert!(ecoute.lines.iter().any(|line| line.ends_with(&want)), "{:#?}", ecoute.lines);
}

#[test]
fn tokens_open_what_needs_one() {
    let ecoute = Ecoute::start();
    let status = "/api/streaming/status";
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let admin = ecoute.token("admin", "responsable", "Responsable");
    assert_eq!(get(ecoute.address, status, &bearer(&admin)).0, 200);
    let commercial = ecoute.token("commercial", "lea", "Léa");
    assert_eq!(get(ecoute.address, status, &bearer(&commercial)).0, 403);
    assert_eq!(get(ecoute.address, status, "").0, 401);
    let other = Ecoute::start();
    assert_eq!(get(other.address, status, &bearer(&admin)).0, 401);

    let link = ecoute.link("admin", "responsable", "Responsable");
    let (page, token) = link.split_once("#t=").unwrap();
    assert_eq!(page, format!("http://{}/admin", ecoute.address));
    assert_eq!(get(ecoute.address, status, &bearer(token)).0, 200);
    assert_eq!(get(ecoute.address, "/admin", "").0, 200);
    let link = ecoute.link("commercial", "lea", "Léa");
    assert!(link.starts_with(&format!("http://{}/commercial#t=", ecoute.address)), "{link}");
}

#[test]
fn secret_is_private_kept_and_never_shown() {
    let mut first = Ecoute::start();
    let path = first.data.path().join("secret");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let secret = fs::read_to_string(&path).unwrap();
    let bearer = format!("Authorization: Bearer {}\r\n", first.token("admin", "a", "A"));

    first.end(Signal::SIGTERM);
    let second =
        Ecoute::start_with(std::mem::replace(&mut first.data, TempDir::new().unwrap()), &["--log", "trace"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), secret);
    assert_eq!(get(second.address, "/api/streaming/status", &bearer).0, 200);

    second.signal(Signal::SIGTERM);
    let mut second = second;
    second.wait_for_exit(EXIT);
    let (stdout, stderr) = second.output();
    assert_eq!(stdout, [""; 0], "a link is for a terminal");
    for line in stderr {
        let shown = line.contains("#t=") || line.contains("eyJ") || line.contains(secret.trim_end());
        assert!(!shown, "{line}");
    }
}

#[test]
fn links_are_printed_on_a_terminal() {
    let data = TempDir::new().unwrap();
    let server = format!("exec {} --listen 127.0.0.1:0 --data {}", path(PROGRAM.as_ref()), path(data.path()));
    // When `script` is killed its terminal goes away, and the server with it.
    let mut terminal = Terminal::start(Command::new("script").args(["-qec", &server, "/dev/null"]));
    let salesperson = terminal.wait_for_line("/commercial#t=");
    let supervisor = terminal.wait_for_line("/admin#t=");
    terminal.wait_for_line("listening address=");

    let (page, token) = supervisor.trim().split_once("/admin#t=").unwrap();
    let address = SocketAddr::new("127.0.0.1".parse().unwrap(), page.rsplit_once(':').unwrap().1.parse().unwrap());
    assert_eq!(page, format!("http://localhost:{}", address.port()));
    assert!(salesperson.trim().starts_with(page), "{salesperson}");
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(get(address, "/api/streaming/status", &bearer).0, 200);
}

/// Phones around find nothing at localhost.
#[test]
fn links_of_a_trial_lead_to_an_address_of_the_machine() {
    let data = TempDir::new().unwrap();
    let options = "--tls-self-signed --public-address 192.0.2.7:4433 --listen 127.0.0.1:0";
    let server = format!("exec {} {options} --data {}", path(PROGRAM.as_ref()), path(data.path()));
    let mut terminal = Terminal::start(Command::new("script").args(["-qec", &server, "/dev/null"]));
    let salesperson = terminal.wait_for_line("/commercial#t=");
    assert!(salesperson.trim().starts_with("https://192.0.2.7:4433/commercial#t="), "{salesperson}");
}

#[test]
fn port_in_use() {
    let data = TempDir::new().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    while TcpListener::bind(udp.local_addr().unwrap()).is_err() {
        udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    }
    let cases = [("TCP", tcp.local_addr().unwrap()), ("UDP", udp.local_addr().unwrap())];
    for (protocol, address) in cases {
        let output = run(program().args(["--listen", &address.to_string(), "--data"]).arg(data.path()));
        let want = format!("{protocol} port {} is in use", address.port());
        assert_refused(protocol, &output, &want);
    }
}

#[test]
fn secret_that_can_not_be_used() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("short");
    fs::write(&file, "hunter2\n").unwrap();
    let below_a_file = file.join("data");
    let (data, file, below_a_file) = (path(data.path()), path(&file), path(&below_a_file));
    let cases: &[(&str, &[&str], &str)] = &[
        ("unreadable", &["--data", &data, "--secret-file", &data], "can't read the secret"),
        ("too short", &["--data", &data, "--secret-file", &file], "has 7 bytes"),
        ("no data directory", &["--data", &below_a_file], "can't write to the data directory"),
        ("token without a secret", &["token", "--role", "admin", "--id", "a", "--data", &data], "no secret at"),
        ("link without a secret", &["link", "--role", "admin", "--id", "a", "--data", &data], "no secret at"),
    ];
    for (name, arguments, want) in cases {
        assert_refused(name, &run(program().env("ECOUTE_LISTEN", "127.0.0.1:0").args(*arguments)), want);
    }
}

#[test]
fn a_secret_that_can_be_guessed_is_refused() {
    let place = TempDir::new().unwrap();
    let file = place.path().join("guessed");
    let (data, shown) = (path(&place.path().join("data")), path(&file));
    let cases: &[(&str, &[u8], &str)] = &[
        ("NULs", &[0; 64], "holds a pattern"),
        ("one byte", &[b'x'; 64], "holds a pattern"),
        ("a byte order mark", b"\xef\xbb\xbf9f2c4e81b7d0635a9f8e12c4d7b60a35\r\n", "byte order mark"),
        ("an example's", b"change-me-to-something-of-32-bytes\n", "placeholder"),
    ];
    for (name, contents, want) in cases {
        fs::write(&file, contents).unwrap();
        let serve = run(program().args(["--listen=127.0.0.1:0", "--data", &data, "--secret-file", &shown]));
        assert_refused(name, &serve, want);
        let token = ["token", "--role=admin", "--id=a", "--data", &data, "--secret-file", &shown];
        assert_refused(name, &run(program().args(token)), "openssl rand -hex 32");
    }
    fs::write(&file, "9f2c4e81b7d0635a9f8e12c4d7b60a35\r\n").unwrap();
    let ecoute = Ecoute::start_with(TempDir::new().unwrap(), &["--secret-file", &shown]);
    let token =
        run(program().args(["token", "--role=monitor", "--id=m", "--data", &data, "--secret-file", &shown]));
    let token = String::from_utf8(token.stdout).unwrap();
    let (status, _) =
        get(ecoute.address, "/api/streaming/status", &format!("Authorization: Bearer {}\r\n", token.trim()));
    assert_eq!(status, 200);
}

/// A variable invites to it; the secret must not be shown, and no file be made that is called like it.
#[test]
fn a_secret_in_place_of_its_file_is_refused() {
    for secret in ["9f2c4e81b7d0635a9f8e12c4d7b60a35", "n5zC0d/Z3WqQvQ1pJm4E8yq9t0b1sYw6+UO6zFh2Q1A="] {
        refuses_as_file(secret);
    }
}

fn refuses_as_file(secret: &str) {
    let place = TempDir::new().unwrap();
    let started = |arguments: &[&str]| {
        let mut command = program();
        command.env("ECOUTE_SECRET_FILE", secret).current_dir(place.path());
        let output = run(command.args(arguments).args(["--data", "data"]));
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        assert!(!String::from_utf8_lossy(&said).contains(secret), "{output:?}");
        output
    };
    assert_refused("serve", &started(&["serve", "--listen=127.0.0.1:0"]), "looks like the secret itself");
    assert_refused("token", &started(&["token", "--role=admin", "--id=a"]), "looks like the secret itself");
    let doctor = started(&["doctor", "--listen=127.0.0.1:1"]);
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("looks like the secret itself"), "{doctor:?}");
    assert!(!place.path().join(secret).exists());
}

/// Compose files and units pass variables on whether somebody has set them or not.
#[test]
fn empty_variables_are_as_good_as_none() {
    let help = String::from_utf8(run(program().args(["doctor", "--help"])).stdout).unwrap();
    let named = help.split("[env:").skip(1).filter_map(|rest| rest.trim().split(['=', ']']).next());
    let names: Vec<&str> = named.collect();
    assert!(names.len() > 20 && names.contains(&"ECOUTE_LISTEN") && names.contains(&"ECOUTE_TOKEN"), "{names:?}");
    for blank in ["", " "] {
        let data = TempDir::new().unwrap();
        let mut command = program();
        command.envs(names.iter().map(|name| (name, blank)));
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path());
        let ecoute = Ecoute::start_command(command, data);
        let mut command = program();
        command.envs(names.iter().map(|name| (name, blank)));
        let minted = run(command.args(["link", "--role=admin", "--id=a", "--data"]).arg(ecoute.data.path()));
        assert!(
            minted.status.success() && minted.stdout.starts_with(b"http://localhost:8080/admin#t="),
            "{minted:?}"
        );
        // Alone, each is as good as none too.
        let one = program()
            .env("ECOUTE_TOKEN_ISSUER", blank)
            .args(["--data", "/proc/none", "--listen=127.0.0.1:0"])
            .output();
        assert!(String::from_utf8_lossy(&one.unwrap().stderr).contains("can't write to the data directory"));
    }
    let output = run(program().args(["--listen=127.0.0.1:0", "--token-issuer="]));
    assert_eq!(output.status.code(), Some(2), "what is typed is meant");
}

/// Nothing is to be written where the secret is at hand, as in a container whose file system is read-only.
#[test]
fn a_data_directory_may_be_read_only() {
    let place = TempDir::new().unwrap();
    let own = place.path().join("own");
    fs::write(&own, "9f2c4e81b7d0635a9f8e12c4d7b60a35\n").unwrap();
    // Root may write everywhere but there.
    for data in ["/proc/sys", "/proc/none"] {
        let mut command = program();
        command.args(["--listen", "127.0.0.1:0", "--data", data, "--secret-file"]).arg(&own);
        let ecoute = Ecoute::start_command(command, TempDir::new().unwrap());
        let warned = ecoute.lines.iter().any(|line| line.contains("nobody can be revoked: can't write"));
        assert!(warned, "{data}: {:?}", ecoute.lines);
        assert_eq!(get(ecoute.address, "/health", "").0, 200);
    }
    // A secret that was made there before is as good.
    let mounted = TempDir::new().unwrap();
    fs::copy(&own, mounted.path().join("secret")).unwrap();
    let mut command = Command::new("unshare");
    let script =
        r#"mount --bind "$D" "$D" && mount -o remount,ro,bind "$D" && exec "$0" --listen 127.0.0.1:0 --data "$D""#;
    command.args(["--map-root-user", "--mount", "sh", "-c", script, PROGRAM]).env("D", mounted.path());
    let ecoute = Ecoute::start_command(command, mounted);
    assert!(ecoute.lines.iter().any(|line| line.contains("nobody can be revoked: ")), "{:?}", ecoute.lines);
    assert_eq!(get(ecoute.address, "/health", "").0, 200);
    let missing = path(&place.path().join("none").join("secret"));
    let start =
        |arguments: &[&str]| run(program().args(["--listen=127.0.0.1:0", "--data", "/proc/sys"]).args(arguments));
    assert_refused("no secret either", &start(&[]), "can't write to the data directory");
    assert_refused("nor where one is named", &start(&["--secret-file", &missing]), "can't make the secret");
    let trial = start(&["--secret-file", &path(&own), "--tls-self-signed"]);
    assert_eq!(trial.status.code(), Some(2), "a certificate is made there: {trial:?}");
    assert!(String::from_utf8_lossy(&trial.stderr).contains("ecoute: can't write the certificate"), "{trial:?}");
}

#[test]
fn flags_out_of_range() {
    let data = TempDir::new().unwrap();
    let secret = data.path().join("secret");
    fs::write(&secret, "9f2c4e81b7d0635a9f8e12c4d7b60a35").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let many = "192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4,192.0.2.5,192.0.2.6,192.0.2.7,192.0.2.8,192.0.2.9";
    let token = |more: &[&'static str]| [&["token"], more].concat();
    let cases: &[(&str, Vec<&str>, &str)] = &[
        ("listen", vec!["--listen", "8080"], "--listen"),
        ("port too large", vec!["--listen", "127.0.0.1:65536"], "--listen"),
        ("not ours", vec!["--listen", "203.0.113.77:0"], "no address of this machine"),
        ("public address", vec!["--public-address", "203.0.113"], "--public-address"),
        ("no such host", vec!["--listen", "127.0.0.1:0", "--public-address", "nobody.invalid"], "nobody.invalid"),
        ("no host", vec!["--listen", "127.0.0.1:0", "--public-address", "0.0.0.0"], "one host"),
        ("nine addresses", vec!["--listen", "127.0.0.1:0", "--public-address", many], "9 addresses"),
        ("origin", vec!["--allow-origin", "app.example/path"], "--allow-origin"),
        ("log", vec!["--log", "http=loud"], "http=loud"),
        ("role", token(&["--role", "boss", "--id", "a"]), "choose admin, commercial or monitor"),
        ("id", token(&["--role", "admin", "--id", "a b"]), "128 printable"),
        ("ttl", token(&["--role", "admin", "--id", "a", "--ttl", "0s"]), "3650d"),
        ("scope", token(&["--role", "commercial", "--id", "a", "--listen", "b"]), "--role admin"),
        ("scope of nobody", token(&["--role", "admin", "--id", "a", "--listen", "b,"]), "128 printable"),
        ("device", token(&["--role", "admin", "--id", "a", "--device"]), "--role commercial"),
        ("link", vec!["link", "--role", "monitor", "--id", "a"], "no page"),
        ("url", vec!["link", "--role", "admin", "--id", "a", "--public-url", "here"], "https://"),
        ("nowhere to redirect to", vec!["--listen", "127.0.0.1:0", "--http-redirect", "127.0.0.1:0"], "nowhere"),
    ];
    for (name, arguments, want) in cases {
        assert_refused(name, &run(program().env("ECOUTE_DATA", data.path()).args(arguments)), want);
    }
    let output = run(program().env("ECOUTE_DATA", data.path()).env("ECOUTE_LISTEN", "nonsense"));
    assert_refused("environment", &output, "nonsense");
    for arguments in [&["--no-such-flag"][..], &["token", "--id", "a"], &["no-such-command"]] {
        assert_eq!(run(program().args(arguments)).status.code(), Some(2), "{arguments:?}");
    }
    assert!(run(program().arg("--help")).status.success());
}

#[test]
fn two_hundred_at_once() {
    let ecoute = Ecoute::start();
    let mut clients: Vec<_> = (0..200).map(|_| connect(ecoute.address)).collect();
    for client in &mut clients {
        client.get_mut().write_all(request("/health", "").as_bytes()).unwrap();
    }
    for client in &mut clients {
        assert_eq!(read_response(client).0, 200);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let ecoute = Ecoute::start();
    let mut client = connect(ecoute.address);
    let paths = ["/health", "/no-such-page", "/api/streaming/status"];
    let requests: String = (0..30).map(|index| request(paths[index % 3], "")).collect();
    client.get_mut().write_all(requests.as_bytes()).unwrap();
    for index in 0..30 {
        assert_eq!(read_response(&mut client).0, [200, 404, 401][index % 3], "{index}");
    }
}

#[test]
fn strangers_behind_a_proxy_are_counted_by_their_own_address() {
    let ecoute = Ecoute::start_with(TempDir::new().unwrap(), &["--trusted-proxy", "127.0.0.1"]);
    // Whoever does not register counts fully.
    let upgrade =
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a\r\n";
    let ask = |client: u8| {
        let mut stream = connect(ecoute.address);
        let header = format!("{upgrade}X-Forwarded-For: 192.0.2.1, 203.0.113.{client}\r\n");
        stream.get_mut().write_all(request("/ws", &header).as_bytes()).unwrap();
        (read_response(&mut stream).0, stream)
    };
    let kept: Vec<_> = (0..64).map(|_| ask(7)).collect();
    assert!(kept.iter().all(|(status, _)| *status == 101));
    assert_eq!(ask(7).0, 429);
    assert_eq!(ask(8).0, 101, "another client of the same proxy");
    assert_eq!(get(ecoute.address, "/health", "").0, 200, "the proxy itself");
}

#[test]
fn request_byte_by_byte() {
    let ecoute = Ecoute::start();
    let mut client = connect(ecoute.address);
    for byte in request("/health", "").bytes() {
        client.get_mut().write_all(&[byte]).unwrap();
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(read_response(&mut client).0, 200);
}

/// The answers do not fit into the socket's buffers, so writing stops and goes on, many times.
#[test]
fn slow_reader_gets_everything() {
    let ecoute = Ecoute::start();
    let (_, page) = get(ecoute.address, "/admin", "");
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_read_timeout(Some(WAIT)).unwrap();
    socket.connect(&ecoute.address.into()).unwrap();
    let mut client = BufReader::with_capacity(1024, TcpStream::from(socket));
    let count = 60_000 / request("/admin", "").len();
    client.get_mut().write_all(request("/admin", "").repeat(count).as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(200));
    for index in 0..count {
        assert_eq!(read_response(&mut client), (200, page.clone()), "{index}");
    }
}

#[test]
fn half_closed_client_gets_its_answer() {
    let ecoute = Ecoute::start();
    let mut client = connect(ecoute.address);
    client.get_mut().write_all(request("/health", "").as_bytes()).unwrap();
    client.get_mut().shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_response(&mut client).0, 200);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

/// A reset would make some clients throw away the refusal that they have not read yet.
#[test]
fn refused_client_that_is_still_sending_gets_no_reset() {
    let ecoute = Ecoute::start();
    let mut client = connect(ecoute.address);
    let head = format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(200_000));
    client.get_mut().write_all(head.as_bytes()).unwrap();
    assert_eq!(read_response(&mut client).0, 431);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    for _ in 0..5 {
        client.get_mut().write_all(&[b'x'; 1000]).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn no_processor_time_is_used_while_nothing_happens() {
    let ecoute = Ecoute::start();
    let mut client = connect(ecoute.address);
    client.get_mut().write_all(request("/health", "").as_bytes()).unwrap();
    read_response(&mut client);
    for _ in 0..20 {
        drop(TcpStream::connect(ecoute.address).unwrap());
    }
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.send_to(b"noise", ecoute.address).unwrap();
    assert_idle(&ecoute);
}

#[test]
fn more_clients_than_open_files() {
    let data = TempDir::new().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -n 40 && exec "$0" "$@""#]).arg(program().get_program());
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    let ecoute = Ecoute::start_command(command, data);
    let _clients: Vec<_> = (0..100).map(|_| connect(ecoute.address)).collect();
    // Who waits longest makes room.
    let begin = Instant::now();
    for _ in 0..10 {
        assert_eq!(get(ecoute.address, "/health", "").0, 200);
    }
    assert!(begin.elapsed() < WAIT / 4, "{:?}", begin.elapsed());
    assert_idle(&ecoute);
}

/// Some MiB stay: pages in which something small is in use, as the names of people who were just here.
#[test]
fn the_memory_of_a_storm_is_given_back() {
    const LISTENERS: usize = 400;
    const OF_EACH: u64 = 30_000;
    let ecoute = Ecoute::start();
    let process = ecoute.child.id();
    let before = resident_bytes(process);
    let offer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
        c=IN IP4 0.0.0.0\r\na=mid:0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n\
        a=fingerprint:sha-256 6B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08\r\n\
        a=setup:actpass\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n";
    let open_audio = json!({ "event": "open_audio", "data": { "sdp": offer } }).to_string();
    let storm: Vec<_> = (0..LISTENERS)
        .map(|n| {
            let (mut websocket, _) = register(ecoute.address, &ecoute.token("admin", &format!("a{n}"), "A"));
            websocket.send(Message::text(open_audio.as_str())).unwrap();
            while !websocket.read().unwrap().to_text().unwrap().contains("audio_ready") {}
            websocket
        })
        .collect();
    let taken = resident_bytes(process) - before;
    assert!(taken > LISTENERS as u64 * OF_EACH, "{taken}");
    drop(storm);
    let begin = Instant::now();
    while resident_bytes(process) > before + taken / 2 {
        assert!(begin.elapsed() < WAIT, "{} of {taken} stay", resident_bytes(process) - before);
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn sigterm_tells_clients_and_ends() {
    let mut ecoute = Ecoute::start();
    let mut websocket = open_websocket(&ecoute);
    ecoute.signal(Signal::SIGTERM);
    let begin = Instant::now();
    let mut was_told = false;
    loop {
        match websocket.read().unwrap() {
            Message::Text(text) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                was_told |= message["event"] == "server_draining";
            }
            Message::Close(frame) => {
                assert_eq!(frame.unwrap().code, CloseCode::Restart);
                break;
            }
            _ => {}
        }
    }
    assert!(was_told);
    let (status, _) = ecoute.wait_for_exit(EXIT);
    assert_eq!(status.code(), Some(0));
    assert!(begin.elapsed() < EXIT, "{:?}", begin.elapsed());
}

#[test]
fn signals_end_an_idle_server() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut ecoute = Ecoute::start();
        ecoute.signal(signal);
        assert_eq!(ecoute.wait_for_exit(EXIT).0.code(), Some(0), "{signal}");
    }
}

#[test]
fn client_that_never_leaves_does_not_hold_the_end_up() {
    let mut ecoute = Ecoute::start();
    let _websocket = open_websocket(&ecoute);
    ecoute.signal(Signal::SIGINT);
    let begin = Instant::now();
    ecoute.wait_for_line("stopping");
    assert_eq!(get(ecoute.address, "/health", "").0, 503);
    let _late_and_silent = connect(ecoute.address);
    assert_eq!(ecoute.wait_for_exit(EXIT).0.code(), Some(0));
    assert!(begin.elapsed() < EXIT, "{:?}", begin.elapsed());
}

#[test]
fn second_signal_ends_at_once() {
    let mut ecoute = Ecoute::start();
    let _websocket = open_websocket(&ecoute);
    ecoute.signal(Signal::SIGTERM);
    ecoute.wait_for_line("stopping");
    ecoute.signal(Signal::SIGTERM);
    let (status, elapsed) = ecoute.wait_for_exit(EXIT);
    assert_eq!(status.code(), Some(0));
    assert!(elapsed < Duration::from_millis(500), "{elapsed:?}");
}

fn assert_refused(name: &str, output: &Output, part: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{name}: {output:?}");
    let is_one_line = stderr.ends_with('\n') && stderr.trim_end().lines().count() == 1;
    assert!(is_one_line && stderr.starts_with("ecoute: ") && stderr.contains(part), "{name}: {stderr}");
}

fn assert_idle(ecoute: &Ecoute) {
    thread::sleep(Duration::from_millis(200));
    let before = processor_time(ecoute.child.id());
    thread::sleep(Duration::from_millis(1000));
    let used = processor_time(ecoute.child.id()) - before;
    assert!(used <= Duration::from_millis(50), "{used:?}");
}

fn path(path: &std::path::Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Returns a WebSocket that has registered as a salesperson.
fn open_websocket(ecoute: &Ecoute) -> WebSocket<TcpStream> {
    let (websocket, answer) = register(ecoute.address, &ecoute.token("commercial", "lea", "Léa"));
    assert_eq!(answer["event"], "user_registered", "{answer}");
    websocket
}
