//! Questions about the past: who is told what, after what is durable, and how long answers leave.

use ecoute::audit::Event;
use ecoute::config::Limits;
use ecoute::token::{Claims, Right, Scope};
use ecoute::words::Role;
use serde_json::{Value, json};
use stage::link::Quality;
use stage::scene::Scene;
use stage::stranger::Stranger;
use stage::world::programs::Kind;
use stage::world::{Who, World};

const LISTENINGS: &str = "/api/history/listenings";
const BROADCASTS: &str = "/api/history/broadcasts";
const OWN: &str = "/api/me/listenings";
const REPORT: &str = "/api/report";

fn asking(world: &mut World, token: &str, path: &str, accept: &str) -> Stranger {
    let ask =
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nAccept: {accept}\r\n\r\n");
    let client = Stranger::asking(world, ask.as_bytes());
    world.run_ms(1);
    client
}

fn answer(world: &mut World, token: &str, path: &str) -> (String, Value) {
    let client = asking(world, token, path, "application/json");
    let text = String::from_utf8(client.read(world)).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, "null"));
    (head.split("\r\n").next().unwrap().to_owned(), serde_json::from_str(body).unwrap_or_default())
}

fn auditor(claims: &mut Claims) {
    claims.rights = [Right::Audit].into_iter().collect();
}

fn leave(world: &mut World, who: Who) {
    world.browsers[who].say("leave_commercial_stream", json!({ "commercial_id": "lea" }));
}

/// Léa was heard by Paul for 2 s, and Ana waits to hear her.
fn heard(scene: &mut Scene) {
    let world = &mut scene.world;
    world.past.begin();
    world.publisher("lea");
    let [paul, ana] = [world.listener("paul"), world.listener("ana")];
    world.settle();
    world.join(paul, "lea");
    world.run_ms(2000);
    leave(world, paul);
    world.join(ana, "tom");
    world.run_ms(500);
}

fn names(answer: &Value, of: &str, what: &str) -> Vec<String> {
    answer[of].as_array().unwrap().iter().map(|row| row[what].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_sees_what_is_theirs() {
    let mut scene = Scene::new();
    heard(&mut scene);
    let world = &mut scene.world;
    let paul = world.token(Role::Admin, "paul", |_| {});
    let (status, own) = answer(world, &paul, LISTENINGS);
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert_eq!(names(&own, "listenings", "commercial_id"), ["lea"]);
    let row = &own["listenings"][0];
    assert_eq!(
        (&row["ended"], &row["told"], &row["commercial_name"]),
        (&"left".into(), &"seen".into(), &"lea X.".into())
    );
    assert!((1000..=2000).contains(&row["heard_ms"].as_u64().unwrap()), "{row}");
    let (_, counts) = answer(world, &paul, BROADCASTS);
    assert_eq!(names(&counts, "broadcasts", "commercial_id"), ["lea"]);
    assert_eq!(counts["broadcasts"][0]["listeners"], 1);

    let lea = world.token(Role::Commercial, "lea", |_| {});
    let (_, told) = answer(world, &lea, OWN);
    assert_eq!(names(&told, "listenings", "admin_name"), ["paul X."]);
    let tom = world.token(Role::Commercial, "tom", |_| {});
    assert_eq!(answer(world, &tom, OWN).1["listenings"], Value::Array(vec![]), "who only wishes is not told here");

    let all = world.token(Role::Admin, "eve", auditor);
    assert_eq!(names(&answer(world, &all, LISTENINGS).1, "listenings", "admin_id"), ["ana", "paul"]);
    let of_lea = answer(world, &all, &format!("{LISTENINGS}?commercial_id=lea&limit=1")).1;
    assert_eq!(names(&of_lea, "listenings", "admin_id"), ["paul"]);
    assert_eq!(of_lea["next"], Value::Null);
    let scoped = world.token(Role::Admin, "eve", |claims| {
        auditor(claims);
        claims.listen = Some(Scope::new(["tom"]));
    });
    assert_eq!(names(&answer(world, &scoped, LISTENINGS).1, "listenings", "admin_id"), ["ana"]);
    assert_eq!(answer(world, &scoped, BROADCASTS).1["broadcasts"], Value::Array(vec![]));
    scene.end();
}

/// Who streams without a page never registers: the token names them.
#[test]
fn who_only_has_an_encoder_is_named_by_its_token() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    world.past.begin();
    world.encoder("tom");
    let token = world.token(Role::Commercial, "zoe", |claims| claims.name = None);
    let zoe = world.program(Kind::Whip, "zoe", &token);
    assert_eq!(world.post(zoe, "zoe").status, 201);
    world.settle();
    world.delete(zoe);
    world.run_ms(1000);
    let all = world.token(Role::Admin, "eve", auditor);
    let (_, told) = answer(world, &all, BROADCASTS);
    assert_eq!(names(&told, "broadcasts", "commercial_id"), ["zoe", "tom"]);
    assert_eq!(names(&told, "broadcasts", "commercial_name"), ["zoe", "tom X."], "the id where there is no name");
    // Whose page has a name keeps it where the encoder has none.
    world.open(Role::Commercial, "zoe");
    world.run_ms(1000);
    assert_eq!(world.post(zoe, "zoe").status, 201);
    world.settle();
    let (_, told) = answer(world, &all, BROADCASTS);
    assert_eq!(names(&told, "broadcasts", "commercial_name"), ["zoe X.", "zoe X.", "tom X."]);
    // Who was here is shown later too, as anybody is.
    world.restart_server();
    world.run_ms(60_000);
    let paul = world.open(Role::Admin, "paul");
    world.run_ms(1000);
    let list = world.browsers[paul].messages_of("available_streams").last().unwrap();
    let away: Vec<_> = list.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert!(away.contains(&"tom X.") && away.contains(&"zoe X."), "{away:?}");
}

#[test]
fn what_is_not_theirs_is_refused_and_written_down() {
    let mut scene = Scene::new();
    heard(&mut scene);
    let world = &mut scene.world;
    let paul = world.token(Role::Admin, "paul", |_| {});
    let scoped = world.token(Role::Admin, "paul", |claims| claims.listen = Some(Scope::new(["tom"])));
    let lea = world.token(Role::Commercial, "lea", |_| {});
    let monitor = world.token(Role::Monitor, "watch", |_| {});
    let others = format!("{LISTENINGS}?admin_id=ana");
    let cases = [
        (&paul, others.as_str(), "403 Forbidden", 1),
        (&scoped, "/api/history/listenings?commercial_id=lea", "403 Forbidden", 1),
        (&scoped, "/api/history/broadcasts?commercial_id=lea", "403 Forbidden", 1),
        (&lea, LISTENINGS, "403 Forbidden", 1),
        (&paul, REPORT, "403 Forbidden", 1),
        (&lea, REPORT, "403 Forbidden", 1),
        (&monitor, REPORT, "403 Forbidden", 0),
        (&paul, "/api/report?commercial_id=lea", "400 Bad Request", 0),
        (&paul, OWN, "403 Forbidden", 0),
        (&monitor, BROADCASTS, "403 Forbidden", 0),
        (&lea, "/api/me/listenings?commercial_id=tom", "400 Bad Request", 0),
        (&paul, "/api/history/broadcasts?admin_id=paul", "400 Bad Request", 0),
        (&paul, "/api/history/listenings?cursor=x'--", "400 Bad Request", 0),
        (&paul, "/api/history/listenings?limit=201", "400 Bad Request", 0),
        (&"x".to_owned(), LISTENINGS, "401 Unauthorized", 0),
    ];
    for (token, path, want, noted) in cases {
        let before = world.audit.len();
        let (status, body) = answer(world, token, path);
        assert_eq!(status, format!("HTTP/1.1 {want}"), "{path}");
        assert!(body["error"]["code"].is_string(), "{path}: {body}");
        let refused =
            world.audit[before..].iter().filter(|entry| matches!(entry.event, Event::HistoryRefused { .. }));
        assert_eq!(refused.count(), noted, "{path}");
    }
    assert_eq!(world.past.asked, 0);
    scene.end();
}

#[test]
fn what_others_did_is_told_once_it_is_durable_that_it_is() {
    let mut scene = Scene::new();
    heard(&mut scene);
    let world = &mut scene.world;
    let paul = world.token(Role::Admin, "paul", |_| {});
    world.disk.is_stuck = true;
    let client = asking(world, &paul, BROADCASTS, "text/csv");
    world.run_ms(500);
    assert_eq!((client.read(world).len(), world.past.asked), (0, 0), "law 8");
    let own = asking(world, &paul, LISTENINGS, "*/*");
    assert!(
        own.read(world).starts_with(b"HTTP/1.1 200 OK"),
        "nobody writes down that somebody reads what they did"
    );
    world.disk.is_stuck = false;
    world.run_ms(10);
    let text = String::from_utf8(client.read(world)).unwrap();
    assert!(text.contains("\r\nContent-Type: text/csv; charset=utf-8\r\n") && text.contains("\"lea\""), "{text}");
    let last = world.audit.last().unwrap();
    assert_eq!(last.event.to_string(), "history_exported actor=paul commercial_id= detail=\"broadcasts\"");

    world.disk.refused_per_mille = 1000;
    let refused = asking(world, &paul, BROADCASTS, "*/*");
    let text = String::from_utf8(refused.read(world)).unwrap();
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("\r\nRetry-After: "), "{text}");
    world.disk.heal();
    scene.end();
}

/// So many listenings of Paul's, none of which sounded.
fn many(world: &mut World, count: usize) {
    world.past.begin();
    let paul = world.listener("paul");
    world.settle();
    for _ in 0..count {
        world.join(paul, "lea");
        world.run_ms(1500);
        leave(world, paul);
        world.run_ms(100);
    }
}

fn table(text: &str) -> Option<String> {
    let (head, mut rest) = text.split_once("\r\n\r\n")?;
    assert!(head.contains("\r\nTransfer-Encoding: chunked") && head.contains("filename=\"ecoute.csv\""), "{head}");
    let mut whole = String::new();
    loop {
        let (length, after) = rest.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).ok()?;
        if length == 0 {
            return (after == "\r\n").then_some(whole);
        }
        whole.push_str(after.get(..length)?);
        rest = after.get(length..)?.strip_prefix("\r\n")?;
    }
}

#[test]
fn a_long_answer_leaves_as_it_is_read_and_whole() {
    let mut scene = Scene::new();
    many(&mut scene.world, 250);
    let world = &mut scene.world;
    let paul = world.token(Role::Admin, "paul", |_| {});
    let client = asking(world, &paul, LISTENINGS, "text/csv");
    world.run_ms(5000);
    assert_eq!(world.past.asked, 1, "nobody has read the first piece");
    assert!(world.server.pending_write(client.conn).len() < 64 * 1024);
    // A slow one.
    let mut text = Vec::new();
    for _ in 0..10_000 {
        text.extend(world.pull(client.conn, 1000));
    }
    let rows = table(std::str::from_utf8(&text).unwrap()).expect("it is whole");
    assert_eq!((rows.lines().count(), world.past.asked), (251, 3));
    // And the next request on the same connection.
    world.push(client.conn, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.read(world).starts_with(b"HTTP/1.1 200 OK"));
    scene.end();
}

#[test]
fn a_long_answer_breaks_off_where_it_may_not_go_on() {
    let mut scene = Scene::new();
    many(&mut scene.world, 250);
    let world = &mut scene.world;
    let token = |world: &World| world.token(Role::Admin, "paul", |_| {});
    // Who does not read it.
    let idle = {
        let token = token(world);
        asking(world, &token, LISTENINGS, "text/csv")
    };
    world.run_ms(world.limits.conn.piece_timeout.as_millis() as u64 + 1);
    assert!(idle.is_closed(world));
    // Whose right has ended.
    let revoked = {
        let token = token(world);
        asking(world, &token, LISTENINGS, "text/csv")
    };
    let list = format!("paul {}\n", world.unix_s() + 1);
    world.take_revoked(list.as_bytes());
    let text = revoked.read(world);
    assert!(revoked.is_closed(world), "law 3");
    assert_eq!(table(std::str::from_utf8(&text).unwrap()), None, "it is not taken for whole");
    scene.end();
}

#[test]
fn a_disk_that_hangs_costs_who_asks_and_nobody_else() {
    let mut scene = Scene::new();
    heard(&mut scene);
    let world = &mut scene.world;
    let paul = world.token(Role::Admin, "paul", |_| {});
    world.past.is_stuck = true;
    let max = world.limits.jobs.questions_max;
    let clients: Vec<Stranger> = (0..=max).map(|_| asking(world, &paul, LISTENINGS, "*/*")).collect();
    let refused = clients[max].read(world);
    assert!(refused.starts_with(b"HTTP/1.1 503 "), "there is no credit");
    world.run_ms(world.limits.conn.answer_timeout.as_millis() as u64 + 1);
    for client in &clients[..max] {
        assert!(client.read(world).starts_with(b"HTTP/1.1 503 "));
    }
    world.past.is_stuck = false;
    world.run_ms(10);
    assert_eq!(names(&answer(world, &paul, LISTENINGS).1, "listenings", "commercial_id"), ["lea"]);
    scene.end();
}

#[test]
fn who_comes_is_written_down_with_where_from_and_with_what() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let token = world.token(Role::Admin, "paul", |_| {});
    let client = Stranger::connect(world);
    let upgrade = format!("{}User-Agent: Firefox\u{e9}/1\u{7}\r\n\r\n", stage::stranger::UPGRADE);
    world.push(client.conn, upgrade.replace('\u{7}', "").as_bytes());
    client.read(world);
    world.push(
        client.conn,
        &stage::stranger::frame(stage::stranger::TEXT, stage::stranger::register(&token).as_bytes()),
    );
    let Event::Registered { who } = &world.arrivals.last().unwrap().event else { panic!("nobody came") };
    assert_eq!((who.id.as_str(), who.role, who.browser.as_str()), ("paul", "admin", "Firefox/1"));
    assert!(who.address.parse::<std::net::IpAddr>().is_ok(), "{}", who.address);
    scene.end();
}

#[test]
fn who_was_here_is_shown_after_a_restart_too() {
    let world = &mut World::new(7, Quality::PERFECT);
    world.past.begin();
    world.publisher("lea");
    world.publisher("tom");
    world.settle();
    world.restart_server();
    world.run_ms(60_000);
    // Tom alone comes back.
    world.past.is_stuck = true;
    let paul = world.listener("paul");
    world.publisher("tom");
    world.run_ms(5000);
    let shown = |world: &World, who: Who| -> Vec<(String, String)> {
        let list =
            world.browsers[who].messages.iter().rev().find(|message| message["event"] == "available_streams");
        let text = |row: &Value, what: &str| row[what].as_str().unwrap().to_owned();
        let rows = list.unwrap()["data"].as_array().unwrap().iter();
        rows.map(|row| (text(row, "commercial_id"), text(row, "state"))).collect()
    };
    assert_eq!(shown(world, paul), [], "nobody waits for a disk");
    world.past.is_stuck = false;
    world.run_ms(10);
    let mut all = shown(world, paul);
    all.sort();
    let row = |id: &str, state: &str| (id.to_owned(), state.to_owned());
    assert_eq!(all, [row("lea", "offline"), row("tom", "on_air")]);
    let scoped = world.token(Role::Admin, "eve", |claims| claims.listen = Some(Scope::new(["lea"])));
    let eve = world.open_with("eve", &scoped);
    world.run_ms(1000);
    assert_eq!(shown(world, eve), [row("lea", "offline")]);
}

/// What a client asks next comes behind an answer that waits for its next piece, and neither waits for the other for ever.
#[test]
fn who_asks_again_and_again_keeps_nobody_from_reading_on() {
    let mut limits = Limits::default();
    limits.jobs.questions_max = 1;
    let mut world = World::with_limits(7, Quality::PERFECT, limits);
    many(&mut world, 250);
    let token = world.token(Role::Admin, "paul", |_| {});
    let reading = asking(&mut world, &token, LISTENINGS, "text/csv");
    world.past.is_stuck = true;
    let ask = format!("GET {LISTENINGS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    let eager = Stranger::asking(&mut world, ask.repeat(3).as_bytes());
    world.run_ms(1);
    let mut text = reading.read(&mut world);
    world.past.is_stuck = false;
    world.run_ms(10);
    for _ in 0..10 {
        text.extend(reading.read(&mut world));
    }
    let rows = table(std::str::from_utf8(&text).unwrap()).expect("it is whole");
    assert_eq!(rows.lines().count(), 251);
    let answers = String::from_utf8(eager.read(&mut world)).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 3, "{answers}");
    assert!(answers.starts_with("HTTP/1.1 200 OK"), "{answers}");
    world.end();
}

#[test]
fn a_right_that_ends_while_it_is_written_down_shows_nothing() {
    let mut scene = Scene::new();
    heard(&mut scene);
    let world = &mut scene.world;
    let paul = world.token(Role::Admin, "paul", |_| {});
    world.disk.is_stuck = true;
    let [asked, own] = [BROADCASTS, LISTENINGS].map(|path| {
        world.past.is_stuck = true;
        asking(world, &paul, path, "*/*")
    });
    let list = format!("paul {}\n", world.unix_s() + 1);
    world.take_revoked(list.as_bytes());
    world.disk.is_stuck = false;
    world.past.is_stuck = false;
    world.run_ms(10);
    for client in [asked, own] {
        let text = String::from_utf8(client.read(world)).unwrap();
        assert!(text.starts_with("HTTP/1.1 401 "), "law 3: {text}");
    }
    scene.end();
}

#[test]
fn a_long_answer_is_for_those_who_can_tell_that_it_breaks_off() {
    let mut scene = Scene::new();
    many(&mut scene.world, 150);
    let world = &mut scene.world;
    let token = world.token(Role::Admin, "paul", |_| {});
    for (limit, want) in [(50, "200 OK"), (150, "400 Bad Request")] {
        let ask = format!("GET {LISTENINGS}?limit={limit} HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n");
        let client = Stranger::asking(world, ask.as_bytes());
        world.run_ms(1);
        let text = String::from_utf8(client.read(world)).unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {want}")), "{limit}: {text}");
    }
    scene.end();
}

#[test]
fn a_report_is_for_auditors_and_is_made_once_it_is_durable_that_it_is_read() {
    let mut scene = Scene::new();
    heard(&mut scene);
    let world = &mut scene.world;
    let eve = world.token(Role::Admin, "eve", auditor);
    world.disk.is_stuck = true;
    let client = asking(world, &eve, &format!("{REPORT}?from=1970-01-01&lang=en"), "application/json");
    world.run_ms(500);
    assert_eq!((client.read(world).len(), world.past.asked), (0, 0), "law 8");
    world.disk.is_stuck = false;
    world.run_ms(10);
    let text = String::from_utf8(client.read(world)).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Type: application/json"), "{head}");
    let told: Value = serde_json::from_str(body).unwrap();
    assert_eq!(told["lines"][0], json!(["Listenings", "< 5", ""]));
    assert!(!body.contains("lea") && !body.contains("paul"), "{body}");
    let last = world.audit.last().unwrap();
    assert_eq!(last.event.to_string(), "report_read actor=eve commercial_id= detail=\"report from_ms=0\"");

    for (accept, content_type, begin) in [
        ("text/csv", "text/csv; charset=utf-8", "\"Écoutes\""),
        ("text/html, */*", "text/html; charset=utf-8", "<!doctype html>"),
    ] {
        let client = asking(world, &eve, REPORT, accept);
        let text = String::from_utf8(client.read(world)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\nContent-Type: {content_type}\r\n")), "{head}");
        assert!(head.contains("\r\nContent-Disposition: attachment;") && body.starts_with(begin), "{text}");
    }
    world.disk.refused_per_mille = 1000;
    let refused = asking(world, &eve, REPORT, "*/*");
    assert!(refused.read(world).starts_with(b"HTTP/1.1 503 "));
    world.disk.heal();
    scene.end();
}

#[test]
fn of_reports_there_is_one_at_a_time_and_none_of_too_much() {
    let mut limits = Limits::default();
    limits.jobs.report_rows_max = 2;
    let mut world = World::with_limits(7, Quality::PERFECT, limits);
    world.past.begin();
    world.publisher("lea");
    let paul = world.listener("paul");
    world.settle();
    world.join(paul, "lea");
    world.run_ms(2000);
    let eve = world.token(Role::Admin, "eve", auditor);
    world.past.is_stuck = true;
    let first = asking(&mut world, &eve, REPORT, "*/*");
    let second = asking(&mut world, &eve, REPORT, "*/*");
    assert!(second.read(&mut world).starts_with(b"HTTP/1.1 503 "), "there is no credit");
    let other = asking(&mut world, &eve, LISTENINGS, "*/*");
    world.past.is_stuck = false;
    world.run_ms(10);
    for client in [first, other] {
        assert!(client.read(&mut world).starts_with(b"HTTP/1.1 200 OK"));
    }
    // Whoever leaves in the middle gives it back.
    world.past.is_stuck = true;
    let gone = asking(&mut world, &eve, REPORT, "*/*");
    world.hang_up(gone.conn);
    world.past.is_stuck = false;
    world.run_ms(10);
    assert_eq!(answer(&mut world, &eve, REPORT).0, "HTTP/1.1 200 OK");
    leave(&mut world, paul);
    world.run_ms(100);
    world.join(paul, "lea");
    world.run_ms(2000);
    let (status, told) = answer(&mut world, &eve, REPORT);
    assert_eq!((status.as_str(), &told["error"]["code"]), ("HTTP/1.1 400 Bad Request", &json!("too_much")));
    assert_eq!(world.server.stats().reports_refused, 1);
    world.end();
}
