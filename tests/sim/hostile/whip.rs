//! Requests that no honest program makes, or too many of them: refused with the right words, felt by nobody else.

use std::net::SocketAddr;

use ecoute::config::Limits;
use ecoute::keys::ConnKey;
use ecoute::words::Role;
use stage::link::Quality;
use stage::scenario::assert_hears;
use stage::scene::{Scene, stranger};
use stage::stranger::address;
use stage::world::World;
use stage::world::programs::{Answer, Ask, FRAGMENT, Kind};

const END: &str = "a=end-of-candidates\r\n";
const NOBODY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

fn request(method: &str, path: &str, token: &str) -> String {
    Ask { method, ..Ask::delete(path, token) }.to_http()
}

fn from_here(world: &mut World, request: &str) -> Answer {
    world.ask_from(([127, 0, 0, 1], 5000).into(), request)
}

#[test]
fn paths_and_methods() {
    let mut world = World::new(1, Quality::PERFECT);
    let token = world.token(Role::Commercial, "lea", |_| {});
    let session = format!("/whip/lea/{NOBODY}");
    let cases: &[(&str, &str, u16)] = &[
        ("GET", "/whip/lea", 405),
        ("HEAD", "/whip/lea", 405),
        ("PUT", "/whep/lea", 405),
        ("PATCH", "/whip/lea", 405),
        ("DELETE", "/whip/lea", 405),
        ("GET", &session, 405),
        ("HEAD", &session, 405),
        ("POST", &session, 405),
        ("BREW", &session, 405),
        ("DELETE", &session, 404),
        ("PATCH", &session, 404),
        ("DELETE", "/whip/lea/", 405),
        ("POST", "/whip/lea/", 415),
        ("POST", "/whip/tom/", 403),
        ("OPTIONS", "/whep/x/", 200),
        ("POST", "/whip//", 404),
        ("DELETE", "/whip/lea/0", 404),
        ("DELETE", "/whip/lea/a/b", 404),
        ("DELETE", &format!("{session}/"), 404),
        ("POST", "/whip", 404),
        ("POST", "/whep", 404),
        ("POST", "/whip%2Flea", 404),
        ("POST", "/WHIP/lea", 404),
        ("POST", "/whip/%ff", 404),
        ("POST", "/whip/", 404),
        ("POST", "/whip/lea%2Fx", 403),
        ("POST", "/whip/tom", 403),
        ("POST", "/whip/%6c%65a", 415),
        ("POST", "/whip/lea?x=y", 415),
        ("OPTIONS", "/whip/lea", 200),
        ("OPTIONS", "/whep/x", 200),
        ("OPTIONS", &session, 200),
    ];
    for (method, path, status) in cases {
        let answer = from_here(&mut world, &request(method, path, &token));
        assert_eq!(answer.status, *status, "{method} {path}: {answer:?}");
        let is_endpoint = path.trim_end_matches('/').matches('/').count() < 3;
        let allow = if is_endpoint { "POST, OPTIONS" } else { "PATCH, DELETE, OPTIONS" };
        assert!(answer.header("Allow").is_none_or(|found| found == allow), "{method} {path}: {answer:?}");
        assert_eq!(answer.header("Allow").is_some(), matches!(status, 405 | 200), "{method} {path}: {answer:?}");
        assert!(*method != "HEAD" || answer.body.is_empty(), "{answer:?}");
        world.run_ms(100);
    }
    world.end();
}

#[test]
fn what_may_be_asked_without_a_token() {
    let mut world = World::new(1, Quality::PERFECT);
    let options = from_here(&mut world, &request("OPTIONS", "/whip/lea", ""));
    assert_eq!((options.status, options.header("Accept-Post")), (200, Some("application/sdp")));
    let options = from_here(&mut world, &request("OPTIONS", &format!("/whep/lea/{NOBODY}"), ""));
    assert_eq!((options.status, options.header("Accept-Patch")), (200, Some(FRAGMENT)));
    let session = format!("/whip/lea/{NOBODY}");
    let expired = world.token(Role::Commercial, "lea", |claims| claims.exp = claims.iat - 1);
    let tokens = [
        ("", "Bearer"),
        ("x", "Bearer error=\"invalid_token\""),
        (expired.as_str(), "Bearer error=\"invalid_token\", error_description=\"expired\""),
    ];
    for (n, (token, challenge)) in tokens.into_iter().enumerate() {
        for ask in [
            Ask::post("/whip/lea", token, "v=0"),
            Ask::post("/whep/lea", token, "v=0"),
            Ask::patch(&session, token, None, END),
            Ask::delete(&session, token),
        ] {
            let answer = world.ask_from(stranger(n), &ask.to_http());
            let challenged = answer.header("WWW-Authenticate").unwrap_or_default();
            assert!(answer.status == 401 && challenged.starts_with(challenge), "{ask:?}: {challenged}");
            assert_eq!(
                challenged == "Bearer",
                token.is_empty(),
                "who sends none is told of no error (RFC 6750 §3.1)"
            );
            assert_eq!(answer.header("Content-Type"), Some("application/problem+json"));
        }
    }
    world.end();
}

#[test]
fn an_id_may_be_percent_encoded() {
    let mut world = World::new(1, Quality::PERFECT);
    let id = "a&b=c+d@e.fr";
    let token = world.token(Role::Commercial, id, |claims| claims.device = true);
    let device = world.program(Kind::Whip, id, &token);
    assert_eq!(world.post(device, "a%26b%3Dc+d%40e.fr").status, 201);
    let admin = world.token(Role::Admin, "paul", |_| {});
    let paul = world.program(Kind::Whep, "paul", &admin);
    assert_eq!(world.post(paul, id).status, 201);
    world.settle();
    world.run_ms(1000);
    assert_hears(&world, paul, device, 500, 90);
    let names = [device, paul].map(|who| world.location(who).rsplit('/').next().unwrap().to_owned());
    for name in &names {
        assert!(name.len() == 48 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    }
    assert_ne!(names[0][16..], names[1][16..]);
    // Half a name is none, however it is written.
    for wrong in [
        names[0][..47].to_owned(),
        format!("{}0", names[0]),
        names[0].to_uppercase(),
        format!("{}{}", &names[0][..16], &NOBODY[..32]),
    ] {
        let path = format!("/whip/x/{wrong}");
        let answer = from_here(&mut world, &Ask::delete(&path, &token).to_http());
        assert!(answer.status == 404 || wrong == names[0], "{wrong}");
        world.run_ms(100);
    }
    assert_eq!(world.delete(paul).status, 200);
    assert_eq!(world.delete(device).status, 200);
    world.end();
}

#[test]
fn requests_one_behind_the_other() {
    let mut world = World::new(1, Quality::PERFECT);
    let token = world.token(Role::Commercial, "lea", |_| {});
    let who = world.program(Kind::Whip, "lea", &token);
    let now = world.now;
    let offer = world.browsers[who].make_offer(now, str0m::media::Direction::SendOnly);
    let post = Ask::post("/whip/lea", &token, &offer).to_http();
    let conn = world.knock(address(1, 1)).unwrap();
    // All at once, and the second one is refused.
    let both = world.send_bytes(conn, format!("{post}{post}").as_bytes());
    assert!(both.starts_with("HTTP/1.1 201 ") && both.contains("HTTP/1.1 409 "), "{both}");
    let location = both.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap().to_owned();
    let patch = Ask::patch(&location, &token, Some("*"), END).to_http();
    let delete = Ask::delete(&location, &token).to_http();
    let all = world.send_bytes(conn, format!("{patch}{delete}{patch}{delete}").as_bytes());
    let statuses: Vec<&str> = all.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["204", "200", "404", "404"]);
    // Byte by byte.
    let mut answer = String::new();
    for byte in post.bytes() {
        answer += &world.send_bytes(conn, &[byte]);
    }
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    // Who hangs up right behind the offer has made a session that ends by itself.
    world.hang_up(conn);
    world.run_ms(12_000);
    assert_eq!(world.server.table_sizes().peers, 0);
    world.end();
}

#[test]
fn half_a_body_is_waited_for_and_made_nothing_of() {
    let mut world = World::new(1, Quality::PERFECT);
    let token = world.token(Role::Commercial, "lea", |_| {});
    let head = Ask::post("/whip/lea", &token, &"x".repeat(5000)).to_http();
    let conns: Vec<ConnKey> = (0..20).map(|n| world.knock(address(2, n)).unwrap()).collect();
    for &conn in &conns {
        world.push(conn, &head.as_bytes()[..head.len() - 100]);
    }
    world.run_ms(9000);
    assert_eq!(world.server.table_sizes().conns, 20);
    assert!(world.pull(conns[0], 1000).is_empty());
    world.run_ms(2000);
    let answer = world.pull(conns[0], 1000);
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
    // One that is announced as too long is not waited for.
    let conn = world.knock(address(3, 1)).unwrap();
    let bytes_max = world.limits.conn.body_bytes_max;
    let head = format!(
        "POST /whip/lea HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
        bytes_max + 1
    );
    assert!(world.send_bytes(conn, head.as_bytes()).starts_with("HTTP/1.1 413 "));
    world.hang_up(conn);
    world.end();
}

#[test]
fn requests_of_a_user_and_of_an_address_have_a_rate() {
    let mut world = World::new(1, Quality::PERFECT);
    let session = format!("/whip/lea/{NOBODY}");
    let burst = world.limits.admission.of_program.rate.burst;
    let lea = world.token(Role::Commercial, "lea", |_| {});
    let ask = Ask::delete(&session, &lea).to_http();
    let over = |world: &mut World, from: &dyn Fn(u32) -> SocketAddr, ask: &str| {
        let statuses: Vec<u16> = (0..burst + 10).map(|n| world.ask_from(from(n), ask).status).collect();
        assert!(statuses.iter().all(|status| [404, 429].contains(status)), "{statuses:?}");
        statuses.iter().filter(|status| **status == 429).count()
    };
    assert_eq!(over(&mut world, &|n| address(n as u8, 1), &ask), 10, "one user from many addresses");
    world.run_ms(10_000);
    let loopback = |n: u32| SocketAddr::from(([127, 0, 0, 1], n as u16));
    assert_eq!(over(&mut world, &loopback, &ask), 10, "one user of this machine");
    world.run_ms(10_000);
    let burst_of_all = world.limits.admission.of_programs_network.rate.burst;
    let users: Vec<String> = (0..burst_of_all + 10)
        .map(|n| {
            let token = world.token(Role::Commercial, &format!("user{n}"), |_| {});
            Ask::delete(&session, &token).to_http()
        })
        .collect();
    let mut count = |from: SocketAddr| users.iter().filter(|ask| world.ask_from(from, ask).status == 429).count();
    assert_eq!(count(address(7, 1)), 10, "many users of one address");
    assert_eq!(count(loopback(1)), 0, "many users of this machine");
    let refused = world.ask_from(address(7, 1), &ask);
    assert_eq!((refused.status, refused.header("Retry-After").is_some()), (429, true));
    assert!(world.server.stats().requests_over_rate >= 30);
    world.end();
}

#[test]
fn a_flood_of_requests_is_felt_by_nobody_else() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let device = world.device("door");
    let paul = world.player("paul", "door");
    world.settle();
    scene.hears(paul, device);
    let tokens: Vec<String> = (0..40)
        .map(|n| {
            let role = if n % 2 == 0 { Role::Commercial } else { Role::Admin };
            scene.world.token(role, &format!("mallory{n}"), |claims| claims.device = n % 4 == 0)
        })
        .collect();
    let now = scene.world.now;
    let offers = [str0m::media::Direction::SendOnly, str0m::media::Direction::RecvOnly].map(|direction| {
        let mut client = stage::browser::Browser::new(0, "m", stranger(0), Quality::PERFECT);
        client.make_offer(now, direction)
    });
    let mut made: Vec<(usize, String)> = Vec::new();
    let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
    scene.flood(10_000, 4000, |world, n| {
        let user = (n as usize * 7) % tokens.len();
        let token = tokens[user].as_str();
        let (kind, to) = if user.is_multiple_of(2) {
            (Kind::Whip, format!("mallory{user}"))
        } else {
            (Kind::Whep, "door".into())
        };
        let path = kind.path(&to);
        let fragment = format!("a=ice-ufrag:abcd{n:06}\r\na=ice-pwd:0123456789012345678901\r\n");
        let old = made.get(n as usize % made.len().max(1)).cloned();
        let ask = match (n % 5, &old) {
            (0 | 1, _) | (_, None) => Ask::post(&path, token, &offers[user % 2]).to_http(),
            (2, Some((owner, location))) => Ask::patch(location, &tokens[*owner], Some("*"), &fragment).to_http(),
            (3, Some((_, location))) => Ask::delete(location, token).to_http(),
            (_, Some((_, location))) => Ask::patch(location, "none", Some("*"), &fragment).to_http(),
        };
        let from = SocketAddr::from(([198, 18, 1, (n % 50) as u8], 1000 + n as u16));
        let Some(conn) = world.knock(from) else { return };
        let answer = world.ask_on(conn, &ask);
        *statuses.entry(answer.status).or_default() += 1;
        if let Some(location) = answer.header("Location") {
            made.push((user, location.to_owned()));
        }
        if n % 3 == 0 {
            world.hang_up(conn);
        }
    });
    assert!(statuses[&201] > 50 && statuses[&429] > 50, "{statuses:?}");
    assert!(!statuses.contains_key(&500), "{statuses:?}");
    // They are all over by themselves.
    scene.world.run_ms(25_000);
    assert_eq!(scene.world.server.table_sizes().peers, 4, "{statuses:?}");
    scene.end();
}

#[test]
fn urls_that_are_remembered_are_bounded() {
    let mut limits = Limits::default();
    limits.program.resources_max = 3;
    let mut world = World::with_limits(1, Quality::PERFECT, limits);
    let bell = world.device("bell");
    let players: Vec<usize> = (0..6)
        .map(|_| {
            world.run_ms(200);
            world.player("paul", "bell")
        })
        .collect();
    world.settle();
    for &who in &players {
        world.close(who);
    }
    world.run_ms(20_000);
    assert_eq!(world.server.table_sizes().peers, 1);
    assert_eq!(world.server.table_sizes().resources, 3);
    let statuses: Vec<u16> = players.iter().map(|&who| world.delete(who).status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 2, "{statuses:?}");
    assert_eq!(world.delete(bell).status, 200);
    world.end();
}
