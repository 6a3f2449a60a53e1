//! What HTTP clients get from the core, without a socket.
#![allow(clippy::disallowed_methods, reason = "virtual time starts at some real moment")]

use std::time::{Duration, Instant, SystemTime};

use ecoute::config::{Config, ConnLimits, Encryption, Limits, Settings, Trust};
use ecoute::outbox::Outbox;
use ecoute::path::{Door, Ends};
use ecoute::server::{NO_ROOM, Server};
use ecoute::token::{self, Claims, Devices, Revoked, Rights};
use ecoute::web;
use ecoute::words::Role;

const SECRET: &[u8] = b"a secret of at least 32 bytes...";

fn ends() -> Ends {
    Ends { remote: "192.0.2.9:4000".parse().unwrap(), local: "192.0.2.1:8080".parse().unwrap(), door: Door::Main }
}

/// Sends bytes on a new conn; returns all that comes back, and whether the conn is to be closed.
fn exchange(server: &mut Server, now: Instant, bytes: &str) -> (String, bool) {
    let mut out = Outbox::new();
    let conn = server.handle_accept(now, ends(), &mut out).expect("there is room");
    server.handle_bytes(now, conn, bytes.as_bytes(), &mut out);
    let answer = server.pending_write(conn).to_vec();
    server.handle_written(now, conn, answer.len(), &mut out);
    let closes = server.should_close(conn);
    server.handle_hangup(now, conn, &mut out);
    // A compressed body is no text.
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert_eq!(answer.matches("\r\nDate: ").count(), answer.matches("HTTP/1.1 ").count(), "{answer}");
    (answer, closes)
}

fn server() -> (Server, Instant) {
    server_with(Encryption::Optional, Limits::default())
}

fn server_with(encryption: Encryption, limits: Limits) -> (Server, Instant) {
    let trust = Trust { token_secret: SECRET.to_vec(), issuer: None, revoked: Revoked::default() };
    let settings = Settings {
        advertised: vec!["192.0.2.1:8080".parse().unwrap()],
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        allowed_origins: vec!["https://app.example".into(), "capacitor://localhost".into(), "file://".into()],
        ice_servers: vec!["stun:stun.example".parse().unwrap()],
        devices: Devices::default(),
        encryption,
        can_serve_programs: |_| true,
        redirect: None,
        limits,
    };
    let now = Instant::now();
    (Server::new(Config { trust, settings }, [7; 32], now, SystemTime::now()), now)
}

#[test]
fn answers_say_what_the_wall_clock_shows() {
    let (mut server, now) = server();
    let ask = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    server.set_unix(now, SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777));
    let (answer, _) = exchange(&mut server, now + Duration::from_secs(23), ask);
    assert!(answer.contains("\r\nDate: Sun, 06 Nov 1994 08:50:00 GMT\r\n"), "{answer}");
}

fn token(role: Role, edit: impl FnOnce(&mut Claims)) -> String {
    let iat = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let (sub, name) = ("paul".to_owned(), None);
    let mut claims = Claims {
        sub,
        role,
        name,
        listen: None,
        device: false,
        rights: Rights::default(),
        exp: iat + 60,
        iat,
        nbf: None,
        after_revocation: None,
    };
    edit(&mut claims);
    token::mint(SECRET, &claims)
}

#[test]
fn each_request_has_its_answer() {
    let (mut server, now) = server();
    let upgrade =
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a\r\n";
    let from = |origin: &str| format!("GET /ws HTTP/1.1\r\nHost: here:8080\r\nOrigin: {origin}\r\n{upgrade}\r\n");
    let status = |token: &str| {
        format!("GET /api/streaming/status HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")
    };
    let admin = token(Role::Admin, |_| {});
    let monitor = token(Role::Monitor, |_| {});
    let commercial = token(Role::Commercial, |_| {});
    let expired = token(Role::Admin, |claims| claims.exp = claims.iat - 1);
    let empty = r#"{"active_commercials":0,"total_listeners":0,"commercial_details":{}}"#;
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(17_000));
    let cases: &[(&str, String, &str, &str)] = &[
        ("health", "GET /health HTTP/1.1\r\nHost: a\r\n\r\n".into(), "200", r#"{"status":"ok"}"#),
        ("health, head", "HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n".into(), "200", "Content-Length: 15\r\n\r\n"),
        ("health, posted", "POST /health HTTP/1.1\r\nHost: a\r\n\r\n".into(), "405", "Allow: GET, HEAD"),
        ("nothing", "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n".into(), "404", r#""code":"not_found""#),
        ("start page", "GET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), "200", "text/html"),
        ("query", "GET /admin?x=1 HTTP/1.1\r\nHost: a\r\n\r\n".into(), "200", "default-src 'none'"),
        ("worker", "GET /service-worker.js HTTP/1.1\r\nHost: a\r\n\r\n".into(), "200", "worker-src 'self'"),
        (
            "manifest",
            "GET /commercial.webmanifest HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "200",
            "application/manifest+json",
        ),
        ("page, position", "GET /commercial HTTP/1.1\r\nHost: a\r\n\r\n".into(), "200", "geolocation=(self)"),
        ("library", "GET /ecoute.js HTTP/1.1\r\nHost: a\r\n\r\n".into(), "200", "text/javascript"),
        ("page, posted", "POST /admin HTTP/1.1\r\nHost: a\r\n\r\n".into(), "405", "Allow: GET, HEAD"),
        ("status, admin", status(&admin), "200", empty),
        ("status, monitor", status(&monitor), "200", empty),
        ("status, commercial", status(&commercial), "403", r#""code":"not_allowed""#),
        ("status, expired", status(&expired), "401", "WWW-Authenticate: Bearer"),
        (
            "status, no token",
            "GET /api/streaming/status HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "401",
            "token_refused",
        ),
        ("websocket, own origin", from("http://here:8080"), "101", "Sec-WebSocket-Accept: "),
        ("websocket, allowed origin", from("https://app.example"), "101", ""),
        ("websocket, program", from("x").replace("Origin: x\r\n", ""), "101", ""),
        ("websocket, foreign origin", from("https://evil.example"), "403", "origin_refused"),
        ("websocket, null origin", from("null"), "403", "origin_refused"),
        ("websocket, no upgrade", "GET /ws HTTP/1.1\r\nHost: a\r\n\r\n".into(), "426", "Upgrade: websocket"),
        (
            "websocket, old version",
            from("http://here:8080").replace("Version: 13", "Version: 8"),
            "426",
            "\r\nSec-WebSocket-Version: 13\r\n",
        ),
        (
            "websocket, a proxy's HTTP/1.0",
            from("http://here:8080").replace("HTTP/1.1", "HTTP/1.0"),
            "426",
            "a proxy in front must speak HTTP/1.1",
        ),
        ("slash", "GET /admin/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), "308", "\r\nLocation: /admin\r\n"),
        (
            "slash, query",
            "HEAD /commercial/?a=b HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "308",
            ": /commercial?a=b\r\n",
        ),
        ("slash, posted", "POST /commercial/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), "405", "Allow: GET, HEAD"),
        ("old health check", "GET /health HTTP/1.0\r\n\r\n".into(), "200", "Connection: close"),
        ("health check of HAProxy", "OPTIONS / HTTP/1.0\r\n\r\n".into(), "204", "Allow: GET, HEAD"),
        (
            "two tokens",
            "GET / HTTP/1.1\r\nHost: a\r\nOrigin: b\r\nOrigin: c\r\n\r\n".into(),
            "400",
            "header Origin comes twice",
        ),
        ("websocket, posted", "POST /ws HTTP/1.1\r\nHost: a\r\n\r\n".into(), "405", "Allow: GET\r\n"),
        ("long", long, "431", "Connection: close"),
        ("no http", "\u{16}\u{3}\u{1}".into(), "400", "Connection: close"),
    ];
    for (name, request, status, part) in cases {
        let (answer, _) = exchange(&mut server, now, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer}");
        assert!(answer.contains(part), "{name}: {answer}");
    }
}

#[test]
fn pages_of_the_own_origin_however_the_host_is_written_and_named_apps_open_a_websocket() {
    let (mut server, now) = server();
    let whole =
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a\r\n";
    let proxy = "10.0.0.1:4000";
    let cases = [
        ("as browsers write it", "", "ecoute.example", "https://ecoute.example", "", "101"),
        ("the port of HTTPS", "", "ecoute.example:443", "https://ecoute.example", "", "101"),
        ("the port of HTTP", "", "ecoute.example:80", "http://ecoute.example", "", "101"),
        ("capitals", "", "Ecoute.Example", "https://ecoute.example", "", "101"),
        ("the root's dot", "", "ecoute.example.", "https://ecoute.example", "", "101"),
        ("IPv6", "", "[2001:DB8::1]:80", "http://[2001:db8::1]", "", "101"),
        ("another port", "", "ecoute.example:443", "https://ecoute.example:444", "", "403"),
        ("the other scheme's port", "", "ecoute.example:80", "https://ecoute.example", "", "403"),
        ("an app", "", "ecoute.example", "capacitor://localhost", "", "101"),
        ("a page in a file", "", "ecoute.example", "file://", "", "101"),
        ("capitals in what is allowed", "", "ecoute.example", "https://APP.example:443", "", "101"),
        ("another app", "", "ecoute.example", "ionic://localhost", "", "403"),
        ("an app at its own host", "", "localhost", "ionic://localhost", "", "403"),
        ("no origin at all", "", "ecoute.example", "null", "", "403"),
        // A proxy that names itself to us, as Apache does.
        (
            "by a proxy",
            proxy,
            "inside:8080",
            "https://ecoute.example",
            "X-Forwarded-Host: ecoute.example\r\n",
            "101",
        ),
        (
            "by two proxies",
            proxy,
            "inside:8080",
            "https://ecoute.example",
            "X-Forwarded-Host: ecoute.example:443, between\r\n",
            "101",
        ),
        (
            "by a proxy, another's",
            proxy,
            "inside",
            "https://evil.example",
            "X-Forwarded-Host: ecoute.example\r\n",
            "403",
        ),
        ("by nobody known", "", "inside", "https://ecoute.example", "X-Forwarded-Host: ecoute.example\r\n", "403"),
    ];
    for (name, remote, host, origin, more, status) in cases {
        let mut out = Outbox::new();
        let remote = remote.parse().unwrap_or(ends().remote);
        let conn = server.handle_accept(now, Ends { remote, ..ends() }, &mut out).unwrap();
        let head = format!("GET /ws HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n{more}{whole}\r\n");
        server.handle_bytes(now, conn, head.as_bytes(), &mut out);
        let answer = String::from_utf8_lossy(server.pending_write(conn)).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer}");
        server.handle_hangup(now, conn, &mut out);
    }
    let ask = "OPTIONS /whep/lea HTTP/1.1\r\nHost: a\r\nOrigin: capacitor://localhost\r\n\r\n";
    let (answer, _) = exchange(&mut server, now, ask);
    assert!(answer.contains("\r\nAccess-Control-Allow-Origin: capacitor://localhost\r\n"), "{answer}");
}

/// An offer of one encoder, which would connect nowhere.
const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n\
    a=sendonly\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\na=fingerprint:sha-256 \
    00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n";

#[test]
fn programs_and_pages_of_allowed_origins_stream_over_whip() {
    let (mut server, now) = server();
    let token = token(Role::Commercial, |claims| claims.sub = "lea".into());
    let mut ask = |method: &str, path: &str, origin: &str, more: &str, body: &str| {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n{more}Content-Length: {length}\r\n\r\n{body}"
        );
        exchange(&mut server, now, &request).0
    };
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let post = format!("{bearer}Content-Type: application/sdp; charset=utf-8\r\n");

    let preflight =
        ask("OPTIONS", "/whip/lea", "https://app.example", "Access-Control-Request-Method: POST\r\n", "");
    for part in [
        "HTTP/1.1 200 OK\r\n",
        "\r\nAccept-Post: application/sdp\r\n",
        "\r\nAccess-Control-Allow-Origin: https://app.example\r\n",
        "\r\nAccess-Control-Allow-Methods: POST, OPTIONS\r\n",
        "\r\nAccess-Control-Allow-Headers: Authorization, Content-Type, If-Match\r\n",
    ] {
        assert!(preflight.contains(part), "{part}: {preflight}");
    }
    let foreign = ask("OPTIONS", "/whip/lea", "https://evil.example", "", "");
    assert!(!foreign.contains("Access-Control-Allow-Origin"), "{foreign}");

    let created = ask("POST", "/whip/lea", "https://app.example", &post, OFFER);
    for part in [
        "HTTP/1.1 201 Created\r\n",
        "\r\nContent-Type: application/sdp\r\n",
        "\r\nLink: <stun:stun.example>; rel=\"ice-server\"\r\n",
        "\r\nAccess-Control-Allow-Origin: https://app.example\r\n",
        "\r\nAccess-Control-Expose-Headers: Location, ETag, Link\r\n",
    ] {
        assert!(created.contains(part), "{part}: {created}");
    }
    let location = created.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap();
    let secret = location.strip_prefix("/whip/lea/").unwrap();
    assert!(secret.len() >= 32 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "{secret}");

    let refused = ask("PATCH", location, "https://app.example", &post, "a=ice-ufrag:x\r\n");
    assert!(
        refused.starts_with("HTTP/1.1 415") && refused.contains("application/trickle-ice-sdpfrag"),
        "{refused}"
    );
    assert!(refused.contains("\r\nContent-Type: application/problem+json\r\n"), "{refused}");
    let methods = ask("OPTIONS", location, "https://app.example", "", "");
    assert!(methods.contains("\r\nAccess-Control-Allow-Methods: PATCH, DELETE, OPTIONS\r\n"), "{methods}");
    assert!(ask("DELETE", location, "https://app.example", &bearer, "").starts_with("HTTP/1.1 200 "));
    assert!(ask("DELETE", location, "https://app.example", &bearer, "").starts_with("HTTP/1.1 404 "));
}

#[test]
fn a_conn_lives_as_long_as_its_client_wants() {
    let (mut server, now) = server();
    let cases = [
        ("keep-alive", "GET /health HTTP/1.1\r\nHost: a\r\n\r\n", 1, false),
        ("close", "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 1, true),
        ("HTTP/1.0", "GET /health HTTP/1.0\r\n\r\n", 1, true),
        ("pipelined", "GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n", 2, false),
        (
            "a body that nobody uses",
            "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n\
             helloGET /health HTTP/1.1\r\nHost: a\r\n\r\n",
            2,
            false,
        ),
    ];
    for (name, request, answers, closes) in cases {
        let (answer, closed) = exchange(&mut server, now, request);
        assert_eq!((answer.matches("HTTP/1.1 200").count(), closed), (answers, closes), "{name}: {answer}");
    }
}

#[test]
fn a_page_is_sent_once_and_then_only_confirmed() {
    let (mut server, now) = server();
    let (answer, _) = exchange(&mut server, now, "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n");
    let etag = answer.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap();
    assert!(etag.starts_with('"') && etag.len() == 34, "strong and quoted: {etag}");
    assert!(answer.contains("\r\nCross-Origin-Opener-Policy: same-origin\r\n"), "who opened it has no hold on it");
    for (known, status) in [(etag, "304"), ("\"other\"", "200"), ("*", "304")] {
        let request = format!("GET /admin HTTP/1.1\r\nHost: a\r\nIf-None-Match: {known}\r\n\r\n");
        let (answer, _) = exchange(&mut server, now, &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{known}: {answer}");
        assert!(answer.contains(etag), "{known}: {answer}");
    }
}

#[test]
fn a_module_is_kept_for_good_and_served_in_one_version_alone() {
    let (mut server, now) = server();
    let mut get = |path: &str| exchange(&mut server, now, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).0;
    let module = web::module("/ecoute.js");
    let answer = get(&module);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\r\nCache-Control: public, max-age=31536000, immutable\r\n"), "{answer}");
    // What others import is asked for each time, and so is what names the version.
    for path in ["/ecoute.js", "/useEcoute.js", "/admin", "/service-worker.js", "/page.css"] {
        assert!(get(path).contains("\r\nCache-Control: no-cache\r\n"), "{path}");
    }
    assert!(get("/ecoute.js").ends_with(&format!("\r\n\r\nexport * from \".{module}\";\n")));
    assert!(get("/admin").contains(&format!(" src=\"{}\"", web::module("/admin.js"))));
    // Of another version there is nothing, so that nothing is mixed; nobody may keep that for true.
    for path in ["/0123456789abcdef/ecoute.js", "/words.js", &module.replacen('/', "//", 1)] {
        let answer = get(path);
        assert!(answer.starts_with("HTTP/1.1 404 ") && !answer.contains("immutable"), "{path}: {answer}");
    }
}

#[test]
fn a_page_is_compressed_for_who_can_read_it() {
    let (mut server, now) = server();
    let (plain, _) = exchange(&mut server, now, "GET /page.css HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!plain.contains("Content-Encoding"), "{plain}");
    let (gzip, _) =
        exchange(&mut server, now, "GET /page.css HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip, br\r\n\r\n");
    assert!(gzip.contains("Content-Encoding: gzip\r\n") && gzip.contains("Vary: Accept-Encoding\r\n"), "{gzip}");
    let tag = |answer: &str| answer.lines().find_map(|line| line.strip_prefix("ETag: ")).map(str::to_owned);
    assert_ne!(tag(&plain), tag(&gzip), "two forms, two tags (RFC 9110 §8.8.3)");
    let length = |answer: &str| -> usize {
        let length = answer.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        length.parse().unwrap()
    };
    assert!(length(&gzip) * 2 < length(&plain));
}

#[test]
fn who_finds_no_room_reads_why_and_asks_again() {
    let answer = std::str::from_utf8(NO_ROOM).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    let has = |line: &str| head.split("\r\n").any(|other| other == line);
    assert!(has("Retry-After: 10") && has("Refresh: 10") && has("Connection: close"), "{head}");
    assert!(has(&format!("Content-Length: {}", body.len())), "{head}");
    assert!(body.contains("Trop de connexions") && body.contains("Too many connections"), "{body}");
}

#[test]
fn other_origins_are_told_only_if_they_are_allowed() {
    let (mut server, now) = server();
    let ask =
        |method: &str, origin: &str| format!("{method} /ecoute.js HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n\r\n");
    for method in ["GET", "OPTIONS"] {
        let (answer, _) = exchange(&mut server, now, &ask(method, "https://app.example"));
        assert!(answer.contains("Access-Control-Allow-Origin: https://app.example\r\n"), "{answer}");
        assert!(answer.contains("Vary: Origin\r\n"), "{answer}");
        let (answer, _) = exchange(&mut server, now, &ask(method, "https://evil.example"));
        assert!(!answer.contains("Access-Control-Allow-Origin"), "{answer}");
    }
    let (answer, _) = exchange(&mut server, now, &ask("OPTIONS", "https://app.example"));
    assert!(
        answer.starts_with("HTTP/1.1 204 ") && answer.contains("Authorization, Content-Type, If-Match"),
        "{answer}"
    );
}

#[test]
fn every_refusal_says_why_in_the_form_of_its_path() {
    let (mut server, now) = server();
    let ask = |method: &str, path: &str, more: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\n{more}\r\n")
    };
    let long = "Content-Length: 65537\r\n";
    let (error, document) = ("application/json", "application/problem+json");
    let cases: &[(&str, String, &str, &str, &str)] = &[
        ("path", ask("GET", "/nothing", ""), "404", error, r#"{"error":{"code":"not_found","message":""#),
        ("path, options", ask("OPTIONS", "/nothing", ""), "404", error, "not_found"),
        ("method", ask("POST", "/ecoute.js", ""), "405", error, r#""code":"method_not_allowed""#),
        ("body", ask("POST", "/health", long), "413", error, r#""code":"content_too_large""#),
        ("token", ask("GET", "/api/streaming/status", ""), "401", error, r#""code":"token_refused""#),
        ("no upgrade", ask("GET", "/ws", ""), "426", error, r#""code":"upgrade_required""#),
        ("program's path", ask("POST", "/whip/%ff", ""), "404", document, r#""status":404"#),
        ("program's method", ask("GET", "/whep/lea", ""), "405", document, "\r\nAllow: POST, OPTIONS\r\n"),
        ("program's body", ask("POST", "/whip/lea", long), "413", document, r#""title":"Content Too Large""#),
        ("program's token", ask("POST", "/whip/lea", ""), "401", document, "\r\nWWW-Authenticate: Bearer\r\n"),
    ];
    for (name, request, status, content_type, part) in cases {
        let (answer, closes) = exchange(&mut server, now, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer}");
        assert!(answer.contains(&format!("\r\nContent-Type: {content_type}\r\n")), "{name}: {answer}");
        assert!(answer.contains(part), "{name}: {answer}");
        assert!(answer.contains("\r\nAccess-Control-Allow-Origin: https://app.example\r\n"), "{name}: {answer}");
        assert_eq!(closes, request.contains(long), "{name}");
    }
    // Of what can't be read, nobody knows the path.
    for (bytes, status, code) in
        [("\u{16}\u{3}\u{1}", "400", "bad_request"), (&"x".repeat(17_000), "431", "request_h")]
    {
        let (answer, closes) = exchange(&mut server, now, bytes);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && closes, "{answer}");
        assert!(answer.contains(&format!(r#"{{"error":{{"code":"{code}"#)), "{answer}");
    }
}

#[test]
fn a_preflight_names_what_its_path_serves() {
    let (mut server, now) = server();
    let cases = [
        ("/ecoute.js", "204", "GET, HEAD"),
        (&web::module("/ecoute-client.js"), "204", "GET, HEAD"),
        ("/api/streaming/status", "204", "GET, HEAD"),
        ("/ws", "204", "GET"),
        ("/whep/lea", "200", "POST, OPTIONS"),
        ("/whep/lea/12", "200", "PATCH, DELETE, OPTIONS"),
    ];
    for (path, status, methods) in cases {
        let request = format!("OPTIONS {path} HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\n\r\n");
        let (answer, _) = exchange(&mut server, now, &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        for header in [
            format!("Allow: {methods}"),
            format!("Access-Control-Allow-Methods: {methods}"),
            "Access-Control-Allow-Headers: Authorization, Content-Type, If-Match".to_owned(),
            "Access-Control-Allow-Origin: https://app.example".to_owned(),
            "Access-Control-Allow-Credentials: true".to_owned(),
            "Vary: Origin".to_owned(),
        ] {
            assert!(answer.contains(&format!("\r\n{header}\r\n")), "{path}: {answer}");
        }
    }
}

#[test]
fn half_a_body_is_told_in_the_form_of_its_path() {
    let (mut server, now) = server();
    for (path, part) in [("/health", r#""code":"request_timeout""#), ("/whip/lea", r#""status":408"#)] {
        let mut out = Outbox::new();
        let conn = server.handle_accept(now, ends(), &mut out).unwrap();
        let half = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
        server.handle_bytes(now, conn, half.as_bytes(), &mut out);
        server.handle_timeout(now + ConnLimits::default().body_timeout, &mut out);
        let answer = String::from_utf8_lossy(server.pending_write(conn)).into_owned();
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\r\nConnection: close\r\n"), "{answer}");
        assert!(answer.contains(part), "{answer}");
        server.handle_hangup(now, conn, &mut out);
    }
}

#[test]
fn half_a_request_is_told_that_it_took_too_long() {
    let (mut server, now) = server();
    let mut out = Outbox::new();
    let conn = server.handle_accept(now, ends(), &mut out).unwrap();
    server.handle_bytes(now, conn, b"GET / HT", &mut out);
    let (due, _) = server.next_deadline().unwrap();
    assert_eq!(due - now, ConnLimits::default().head_timeout);
    server.handle_timeout(due, &mut out);
    let answer = String::from_utf8_lossy(server.pending_write(conn)).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\r\nDate: "), "{answer}");
    // A client that does not read even that is closed all the same.
    server.handle_timeout(due + Duration::from_secs(3), &mut out);
    assert!(server.should_close(conn));
}

#[test]
fn who_comes_plain_is_sent_to_https() {
    let upgrade =
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a\r\n";
    let lasting = "Strict-Transport-Security: max-age=2592000\r\n";
    let get = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{upgrade}\r\n");
    let from = |origin: &str| format!("GET /ws HTTP/1.1\r\nHost: here\r\nOrigin: {origin}\r\n{upgrade}\r\n");
    let cases: &[(&str, Encryption, bool, String, &str, &str)] = &[
        ("allowed", Encryption::Optional, false, get("/", "here"), "200", "text/html"),
        ("plain", Encryption::Required, false, get("/", "here"), "308", "Location: https://here/\r\n"),
        (
            "path",
            Encryption::Lasting,
            false,
            get("/a%20b?c=d", "h:8"),
            "308",
            "Location: https://h:8/a%20b?c=d\r\n",
        ),
        ("target", Encryption::Required, false, get("http://x/a", "here"), "308", "Location: https://x/a\r\n"),
        ("websocket", Encryption::Required, false, get("/ws", "here"), "308", "Location: https://here/ws\r\n"),
        ("another's health", Encryption::Required, false, get("/health", "here"), "308", "https://here/health\r\n"),
        ("no host", Encryption::Required, false, "GET / HTTP/1.0\r\n\r\n".into(), "400", "Connection: close"),
        ("no path", Encryption::Required, false, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".into(), "400", "close"),
        ("encrypted", Encryption::Required, true, get("/", "here"), "200", "text/html"),
        ("frames inside of TLS", Encryption::Required, true, "\0\x14".into(), "400", "close"),
        ("keeps to it", Encryption::Lasting, true, get("/", "here"), "200", lasting),
        ("own page", Encryption::Required, true, from("https://here"), "101", "Upgrade: websocket"),
        ("a page that came plain", Encryption::Required, true, from("http://here"), "403", "origin_refused"),
        ("a page behind a proxy", Encryption::Optional, false, from("https://here"), "101", "Upgrade: websocket"),
        ("allowed page", Encryption::Required, true, from("https://app.example"), "101", "Upgrade: websocket"),
    ];
    for (name, encryption, is_encrypted, bytes, status, part) in cases {
        let (mut server, now) = server_with(*encryption, Limits::default());
        let mut out = Outbox::new();
        let conn = server.handle_accept(now, ends(), &mut out).unwrap();
        if *is_encrypted {
            server.handle_secured(now, conn, &mut out);
        }
        server.handle_bytes(now, conn, bytes.as_bytes(), &mut out);
        let answer = String::from_utf8_lossy(server.pending_write(conn)).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer}");
        assert!(answer.contains(part), "{name}: {answer}");
        let may_last = *name == "keeps to it";
        assert_eq!(answer.contains("Strict-Transport-Security"), may_last, "{name}: {answer}");
    }
    let (mut server, now) = server_with(Encryption::Lasting, Limits::default());
    let mut out = Outbox::new();
    let conn = server.handle_accept(now, ends(), &mut out).unwrap();
    server.handle_secured(now, conn, &mut out);
    server.handle_bytes(now, conn, get("/", "here:8443").as_bytes(), &mut out);
    let answer = String::from_utf8_lossy(server.pending_write(conn)).into_owned();
    assert!(!answer.contains("Strict-Transport-Security"), "it would be for port 80 too: {answer}");
}

#[test]
fn a_handshake_and_the_first_request_have_five_seconds_each() {
    let (mut server, now) = server_with(Encryption::Required, Limits::default());
    let mut out = Outbox::new();
    let after = |ms: u64| now + Duration::from_millis(ms);
    let silent = server.handle_accept(now, ends(), &mut out).unwrap();
    let slow = server.handle_accept(now, ends(), &mut out).unwrap();
    server.handle_secured(after(4900), slow, &mut out);
    server.handle_timeout(after(5001), &mut out);
    assert!(server.should_close(silent) && !server.should_close(slow));
    server.handle_timeout(after(9899), &mut out);
    assert!(!server.should_close(slow));
    server.handle_timeout(after(9901), &mut out);
    assert!(server.should_close(slow));
}

#[test]
fn what_tls_holds_counts_as_buffered() {
    let mut limits = Limits::default();
    limits.admission.buffered_bytes_max = 100_000;
    let (mut server, now) = server_with(Encryption::Required, limits);
    let mut out = Outbox::new();
    let mut accept = |server: &mut Server| server.handle_accept(now, ends(), &mut out).unwrap();
    let (first, second) = (accept(&mut server), accept(&mut server));
    server.handle_tls_bytes(now, first, 60_000, &mut out);
    server.handle_tls_bytes(now + Duration::from_millis(1), second, 30_000, &mut out);
    server.handle_timeout(now + Duration::from_millis(2), &mut out);
    assert!(!server.should_close(first));
    assert_eq!(server.table_sizes().buffered_bytes, 90_000);
    server.handle_tls_bytes(now + Duration::from_millis(3), second, 60_000, &mut out);
    server.handle_timeout(now + Duration::from_millis(4), &mut out);
    assert!(server.should_close(first) && !server.should_close(second), "the one that waited longest");
    assert_eq!(server.stats().conns_cut_for_room, 1);
    server.handle_hangup(now, first, &mut out);
    server.handle_hangup(now, second, &mut out);
    assert_eq!(server.table_sizes().buffered_bytes, 0);
}
