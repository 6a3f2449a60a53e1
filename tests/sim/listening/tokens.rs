//! Users whose token expires, is renewed or is revoked in the middle of things.

use ecoute::token::{self, Claims, Rights, Scope};
use ecoute::words::Role;
use stage::scenario::{assert_hears, count, hears_nothing, last, listener_with, publisher_with, scenario};
use stage::scene::Scene;
use stage::stranger::{Stranger, TEXT, close_code, contains, frame, register};
use stage::world::World;

#[test]
fn a_token_that_expires_ends_its_media() {
    scenario(|world| {
        let lea = world.publisher("lea");
        // Later than anybody settles.
        let exp = 1_800_000_000 + 40;
        let paul = listener_with(world, "paul", |claims| claims.exp = exp);
        world.settle();
        world.join(paul, "lea");
        world.run_ms(3000);
        assert_hears(world, paul, lea, 1000, 80);
        world.run_ms(39_000 - world.elapsed_ms());
        assert_hears(world, paul, lea, 1000, 80);
        world.run_ms(3000);
        assert_eq!(world.browsers[paul].closed, Some(4401));
        assert!(hears_nothing(world, paul, 1000), "law 3");
        assert!(world.browsers[lea].has("listener_left"));
    });
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let exp = 1_800_000_000 + 90;
        let paul = listener_with(world, "paul", |claims| claims.exp = exp);
        world.settle();
        world.join(paul, "lea");
        world.run_ms(29_000 - world.elapsed_ms());
        assert!(!world.browsers[paul].has("token_expiring"));
        world.run_ms(3000);
        let warnings: Vec<_> = world.browsers[paul].messages_of("token_expiring").collect();
        assert_eq!(warnings.len(), 1);
        assert!((55..=60).contains(&warnings[0]["in_s"].as_u64().unwrap()));
        // Another person's token does not help; a later one of the same person does, and may allow less.
        let later = world.token(Role::Admin, "paul", |claims| claims.exp = exp + 600);
        world.browsers[paul].say("register_user", serde_json::json!({ "token": later, "page": "page-1" }));
        world.run_ms(90_000);
        assert_hears(world, paul, lea, 1000, 80);
        assert_eq!(count(world, paul, "user_registered"), 2);
        let narrow = world.token(Role::Admin, "paul", |claims| claims.listen = Some(Scope::new(["tom"])));
        world.browsers[paul].say("register_user", serde_json::json!({ "token": narrow, "page": "page-1" }));
        world.run_ms(1000);
        assert!(hears_nothing(world, paul, 500), "law 3");
        let other = world.token(Role::Admin, "ana", |_| {});
        world.browsers[paul].say("register_user", serde_json::json!({ "token": other, "page": "page-1" }));
        world.run_ms(1000);
        assert_eq!(world.browsers[paul].closed, Some(4403));
    });
}

#[test]
fn a_jump_of_the_clock_ends_tokens_and_not_media() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let paul = world.listener("paul");
        let ana = listener_with(world, "ana", |claims| claims.exp += 7200);
        let tom = publisher_with(world, "tom", |claims| claims.exp += 7200);
        world.settle();
        world.join(paul, "lea");
        world.join(ana, "tom");
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
        world.jump_clock_s(3600);
        world.run_ms(2000);
        assert_eq!((world.browsers[paul].closed, world.browsers[lea].closed), (Some(4401), Some(4401)));
        assert_hears(world, ana, tom, 1500, 80);
        world.jump_clock_s(-7200);
        world.run_ms(2000);
        assert_hears(world, ana, tom, 1500, 80);
    });
}

/// Revokes somebody now.
fn revoke(world: &mut World, id: &str) {
    let list = format!("{id} {}\n", world.unix_s());
    world.take_revoked(list.as_bytes());
}

#[test]
fn a_revoked_supervisor_hears_not_one_packet_more() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let paul = world.listener("paul");
        let ana = world.listener("ana");
        world.settle();
        world.join(paul, "lea");
        world.join(ana, "lea");
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
        let sent = world.media_sent_to(paul);
        assert!(sent > 50, "{sent}");
        revoke(world, "paul");
        world.run_ms(3000);
        assert_eq!(world.media_sent_to(paul), sent, "law 3");
        assert_eq!(world.browsers[paul].closed, Some(4401));
        assert!(world.browsers[lea].has("listener_left"));
        assert_hears(world, ana, lea, 1000, 80);

        let written = |event| {
            world.audit.iter().position(|entry| entry.event.name() == event && entry.event.actor() == "paul")
        };
        let (revoked, stopped) = (written("access_revoked"), written("listen_ended"));
        assert!(revoked.is_some() && revoked < stopped, "law 8");

        let back = world.listener("paul");
        world.settle();
        world.join(back, "lea");
        world.run_ms(2000);
        assert_hears(world, back, lea, 1000, 80);
    });
}

#[test]
fn a_revoked_salesperson_is_off_air_and_wishes_wait() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let tom = world.publisher("tom");
        let paul = world.listener("paul");
        let ana = world.listener("ana");
        world.settle();
        world.join(paul, "lea");
        world.join(ana, "tom");
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
        let before = world.token(Role::Commercial, "lea", |_| {});
        revoke(world, "lea");
        world.run_ms(2000);
        assert_eq!(world.browsers[lea].closed, Some(4401));
        assert!(hears_nothing(world, paul, 1000), "law 3");
        assert_eq!(last(world, paul, "listening_pending")["cause"], "offline");
        let told = world.browsers[ana].messages_of("commercial_updated").filter(|c| c["commercial_id"] == "lea");
        assert_eq!(told.last().unwrap()["state"], "offline");
        assert_hears(world, ana, tom, 1000, 80);

        let refused = world.open_with("lea", &before);
        world.run_ms(1000);
        assert_eq!(world.browsers[refused].closed, Some(4401));
        let back = world.publisher("lea");
        world.settle();
        assert_hears(world, paul, back, 1000, 80);
    });
}

#[test]
fn a_broadcast_without_its_page_ends_with_its_token() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let _tom = world.publisher("tom");
        let paul = world.listener("paul");
        world.settle();
        world.drop_stream(lea);
        world.run_ms(1000);
        let state = |world: &World| {
            let told =
                world.browsers[paul].messages_of("commercial_updated").filter(|c| c["commercial_id"] == "lea");
            told.last().map(|commercial| commercial["is_streaming"].clone())
        };
        assert_eq!(state(world), Some(true.into()), "it waits for its page");
        revoke(world, "lea");
        world.run_ms(500);
        assert_eq!(state(world), Some(false.into()));
        let revoked = world.audit.iter().filter(|entry| entry.event.name() == "access_revoked");
        assert_eq!(revoked.map(|entry| entry.event.actor()).collect::<Vec<_>>(), ["lea"]);
    });
}

#[test]
fn forged_and_stale_tokens_open_nothing() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let now_s = world.unix_s();
    let good = world.token(Role::Admin, "thief", |_| {});
    let (message, signature) = good.rsplit_once('.').unwrap();
    let other = world.token(Role::Admin, "hearer", |_| {});
    let none = "eyJhbGciOiJub25lIn0";
    let of = |edit: &dyn Fn(&mut Claims)| world.token(Role::Admin, "thief", edit);
    let foreign = Claims {
        sub: "thief".into(),
        role: Role::Admin,
        name: None,
        listen: None,
        device: false,
        rights: Rights::default(),
        exp: now_s + 60,
        iat: now_s,
        nbf: None,
        after_revocation: None,
    };
    let tokens = [
        ("nothing", "missing", String::new()),
        ("no token", "signature", "x".into()),
        ("algorithm none", "signature", format!("{none}.{}.", message.split_once('.').unwrap().1)),
        ("no signature", "signature", format!("{message}.")),
        ("another's claims", "signature", format!("{}.{signature}", other.rsplit_once('.').unwrap().0)),
        ("a foreign key", "signature", token::mint(b"another secret of 32 bytes or so", &foreign)),
        ("expired", "expired", of(&|claims| claims.exp = now_s)),
        ("not yet valid", "not_yet_valid", of(&|claims| claims.nbf = Some(now_s + 60))),
        ("issued in the future", "not_yet_valid", of(&|claims| claims.iat = now_s + 60)),
        ("an id with a line end", "claims", of(&|claims| claims.sub = "thief\r\n".into())),
        ("a name of 10,000 characters", "too_long", of(&|claims| claims.name = Some("x".repeat(10_000)))),
    ];
    for (n, (name, reason, token)) in tokens.iter().enumerate() {
        let stranger = Stranger::upgraded(world);
        world.push(stranger.conn, &frame(TEXT, register(token).as_bytes()));
        let answer = stranger.read(world);
        assert!(contains(&answer, r#""code":"token_refused""#), "{name}: {}", String::from_utf8_lossy(&answer));
        let reason = format!(r#""reason":"{reason}""#);
        assert!(contains(&answer, &reason), "{name}: {}", String::from_utf8_lossy(&answer));
        assert_eq!(close_code(&answer), Some(4401), "{name}");
        let request =
            format!("GET /api/streaming/status HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
        let stranger = Stranger::asking(world, request.as_bytes());
        let answer = stranger.read(world);
        assert!(answer.starts_with(b"HTTP/1.1 401 ") && contains(&answer, &reason), "{name}");
        let is_invalid =
            contains(&answer, "WWW-Authenticate: Bearer error=\"invalid_token\", error_description=\"");
        assert_eq!(is_invalid, !token.is_empty(), "{name}: who sends none is told of no error (RFC 6750 §3.1)");
        assert_eq!(world.server.stats().tokens_refused, 2 * (n as u64 + 1), "{name}");
        world.hang_up(stranger.conn);
        world.run_ms(20);
    }
    // Who is in is thrown out by a token that is none.
    let stranger = Stranger::registered(world, &good);
    world.push(stranger.conn, &frame(TEXT, register("x").as_bytes()));
    assert_eq!(close_code(&stranger.read(world)), Some(4401));
    world.run_ms(2000);
    assert_eq!((world.server.table_sizes().conns, world.server.table_sizes().registrations), (2, 2));
    assert!(!world.audit.iter().any(|entry| entry.event.actor() == "thief"));
    scene.end();
}

#[test]
fn who_signs_is_told_why_and_so_is_the_log() {
    let mut scene = Scene::new();
    let world = &mut scene.world;
    let now_s = world.unix_s();
    let refused = |world: &mut World, token: &str| {
        let stranger = Stranger::upgraded(world);
        world.push(stranger.conn, &frame(TEXT, register(token).as_bytes()));
        stranger.read(world);
        world.hang_up(stranger.conn);
        world.run_ms(20);
    };
    let expired = world.token(Role::Admin, "thief", |claims| claims.exp = now_s);
    for _ in 0..50 {
        refused(world, &expired);
        refused(world, "x");
        refused(world, "x.y.z");
    }
    let lines = |world: &World| -> Vec<String> {
        let of_tokens = world.audit.iter().filter(|entry| entry.event.name() == "tokens_refused");
        of_tokens.map(|entry| entry.event.to_string()).collect()
    };
    let written = lines(world);
    assert_eq!(written.len(), 2, "{written:?}");
    assert!(
        written[0].contains(r#"why="expired""#) && written[1].contains(r#"why="not three parts"#),
        "{written:?}"
    );
    world.run_ms(31_000);
    let written = lines(world);
    assert_eq!(written.len(), 4, "{written:?}");
    assert!(written[2..].iter().any(|line| line.contains(r#"why="expired" times=49 "#)), "{written:?}");
    assert!(written.iter().all(|line| !line.contains("eyJ") && !line.contains("thief")), "{written:?}");
    scene.end();
}

/// Who has an odd name is announced, listed and written down by what is left of it.
#[test]
fn a_name_is_cleaned_before_anybody_sees_it() {
    scenario(|world| {
        let lea = publisher_with(world, "lea", |claims| claims.name = Some("Léa\t\u{202e}Petit\n".into()));
        let paul =
            listener_with(world, "paul", |claims| claims.name = Some(format!("Paul\u{2028}D. {}", "x".repeat(80))));
        world.settle();
        world.join(paul, "lea");
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
        let shown = format!("Paul D. {}", "x".repeat(72));
        assert_eq!(last(world, lea, "listener_joined")["admin"]["name"], shown.as_str());
        assert_eq!(last(world, paul, "commercial_updated")["name"], "Léa  Petit");
        let asked = world.audit.iter().find_map(|entry| entry.event.listening());
        assert_eq!(asked.map(|listening| listening.admin_name.as_str()), Some(shown.as_str()));
    });
}

#[test]
fn a_list_that_can_not_be_used_changes_nothing() {
    scenario(|world| {
        let lea = world.publisher("lea");
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "lea");
        revoke(world, "ana");
        let now_s = world.unix_s();
        let too_many: String = (0..=65_536).map(|index| format!("user{index} {now_s}\n")).collect();
        world.take_revoked((too_many + &format!("paul {now_s}\n")).as_bytes());
        world.run_ms(2000);
        assert_hears(world, paul, lea, 1000, 80);
        let before =
            world.token(Role::Admin, "ana", |claims| (claims.iat, claims.after_revocation) = (now_s, None));
        let ana = world.open_with("ana", &before);
        world.run_ms(1000);
        assert_eq!(world.browsers[ana].closed, Some(4401), "the old list holds");
    });
}
