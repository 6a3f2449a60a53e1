//! Offers that no browser makes: too long, of too many parts, of parts that contradict each other.

use ecoute::config::PeerLimits;
use ecoute::keys::{BroadcastKey, Client, ConnKey, PeerKey};
use ecoute::peer::{OfferError, Owner, Peer, PeerRole, Template};
use ecoute::wire::sdp::{self, Refused, SdpError, narrow_offer};
use ecoute::words::Role;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde_json::json;
use stage::browser::Browser;
use stage::link::Quality;
use stage::scenario::last;
use stage::scene::Scene;
use stage::world::{ADVERTISED, World};
use str0m::media::Direction;

/// What becomes of an offer: a session, or nothing.
type Outcome = Result<(), OfferError>;

/// What an offer is refused for, by some line of it or by none.
const fn refused(why: SdpError) -> Outcome {
    Err(OfferError::Sdp(Refused { why, line: None }))
}

/// Leaves out by which line.
fn without_line(outcome: Outcome) -> Outcome {
    outcome.map_err(|error| match error {
        OfferError::Sdp(Refused { why, .. }) => OfferError::Sdp(why.into()),
        other => other,
    })
}

/// Returns an offer of a microphone as a client makes it.
fn offer(world: &World) -> String {
    let mut browser = Browser::new(0, "lea", "198.51.100.1:4000".parse().unwrap(), Quality::PERFECT);
    browser.make_offer(world.now, Direction::SendOnly)
}

/// Returns a page that has a session for this.
fn page(role: PeerRole) -> Owner {
    Owner { key: PeerKey::default(), role, client: Client::Page(ConnKey::default()) }
}

fn with_lines(offer: &str, lines: &str) -> String {
    format!("{offer}{lines}")
}

/// Replaces all lines that begin so.
fn with_line(offer: &str, prefix: &str, line: &str) -> String {
    assert!(offer.contains(&format!("\n{prefix}")), "{prefix} in {offer}");
    offer.lines().map(|old| format!("{}\r\n", if old.starts_with(prefix) { line } else { old })).collect()
}

/// Returns hostile offers, what they are, and what must become of them.
fn cases(good: &str) -> Vec<(&'static str, String, Outcome)> {
    let bytes_max = PeerLimits::default().offer_bytes_max;
    let kept = narrow_offer(good, sdp::Direction::SendOnly).unwrap().len();
    let filled = |bytes: usize| format!("{good}a={}\r\n", "x".repeat(bytes - kept - 4));
    let too_long = |bytes| Err(OfferError::TooLong { bytes, bytes_max });
    let audios = |found| refused(SdpError::NotOneAudio { found });
    let (session, section) = good.split_at(good.find("m=audio").unwrap());
    let video = section.replace("m=audio", "m=video").replace("opus/48000/2", "VP8/90000");
    let payload_type = |number: &str| {
        let renumbered = good.replace(":111 ", &format!(":{number} "));
        with_line(&renumbered, "m=", &format!("m=audio 9 UDP/TLS/RTP/SAVPF {number}"))
    };
    let candidate = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
    let candidates = |count: usize| with_lines(good, &candidate.repeat(count));
    vec![
        ("as long as may be", filled(bytes_max), Ok(())),
        ("a byte longer", filled(bytes_max + 1), too_long(bytes_max + 1)),
        ("1 MiB", filled(1 << 20), too_long(1 << 20)),
        ("1 MiB of nothing", "\r\n".repeat(1 << 19), refused(SdpError::NotSdp)),
        ("1000 sections", with_lines(good, &"m=x\r\n".repeat(1000)), refused(SdpError::TooLarge)),
        ("15 sections more", with_lines(good, &"m=x\r\n".repeat(15)), Ok(())),
        ("16 sections more", with_lines(good, &"m=x\r\n".repeat(16)), refused(SdpError::TooLarge)),
        ("15 tracks", with_lines(good, &"m=audio 9 RTP/AVP 0\r\n".repeat(14)), audios(15)),
        ("two sections of one name", with_lines(good, section), audios(2)),
        ("video first", format!("{session}{video}{section}"), Ok(())),
        ("video alone", format!("{session}{video}"), audios(0)),
        ("data alone", good.replace("m=audio", "m=application"), audios(0)),
        ("1000 candidates", candidates(1000), refused(SdpError::TooLarge)),
        ("900 candidates", candidates(900), Ok(())),
        ("1000 short lines", with_lines(good, &"a=x\r\n".repeat(1000)), refused(SdpError::TooLarge)),
        ("payload type 255", payload_type("255"), refused(SdpError::PayloadType)),
        ("payload type 256", payload_type("256"), refused(SdpError::PayloadType)),
        ("payload type of RTCP", payload_type("72"), refused(SdpError::PayloadType)),
        ("payload type 2^32", payload_type("4294967296"), refused(SdpError::PayloadType)),
        ("payload type -1", payload_type("-1"), refused(SdpError::PayloadType)),
        ("no payload type", with_line(good, "m=", "m=audio 9 UDP/TLS/RTP/SAVPF"), refused(SdpError::NoOpus)),
        (
            "another payload type",
            with_line(good, "m=", "m=audio 9 UDP/TLS/RTP/SAVPF 96"),
            refused(SdpError::NoOpus),
        ),
        ("no name", good.replace("a=mid:", "a=dim:"), Ok(())),
        (
            "a name of 1000 letters",
            with_line(good, "a=mid:", &format!("a=mid:{}", "x".repeat(1000))),
            refused(SdpError::LongName),
        ),
        ("a name of 16 letters", with_line(good, "a=mid:", &format!("a=mid:{}", "x".repeat(16))), Ok(())),
        ("a name of 17", with_line(good, "a=mid:", "a=mid:xxxxxxxxxxxxxxxxx"), refused(SdpError::LongName)),
        ("a second name", with_lines(good, "a=mid:another\r\n"), refused(SdpError::SecondName)),
        (
            "a fragment of 3 letters",
            with_line(good, "a=ice-ufrag:", "a=ice-ufrag:abc"),
            refused(SdpError::Credentials),
        ),
        (
            "a password of 257",
            with_line(good, "a=ice-pwd:", &format!("a=ice-pwd:{}", "x".repeat(257))),
            refused(SdpError::Credentials),
        ),
        (
            "a fingerprint of nothing",
            with_line(good, "a=fingerprint:", "a=fingerprint:"),
            refused(SdpError::Fingerprint),
        ),
        (
            "no hexadecimal",
            with_line(good, "a=fingerprint:", "a=fingerprint:sha-256 XY"),
            refused(SdpError::Fingerprint),
        ),
        ("no setup", good.replace("a=setup:", "a=putes:"), Ok(())),
        ("an unknown setup", with_line(good, "a=setup:", "a=setup:whatever"), Ok(())),
        ("an extension 0", with_lines(good, "a=extmap:0 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"), Ok(())),
        ("an extension 255", with_lines(good, "a=extmap:255 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"), Ok(())),
        ("a source that is none", with_lines(good, "a=ssrc:99999999999 cname:x\r\n"), Ok(())),
        ("a time that is none", good.replace("t=0 0", "t=x y"), refused(SdpError::NotALine)),
        ("a null in the middle", good.replace("a=rtcp-mux", "a=rtcp\0mux"), refused(SdpError::NotALine)),
    ]
}

#[test]
fn an_offer_that_no_browser_makes_makes_no_session() {
    let scene = Scene::new();
    let good = offer(&scene.world);
    let template = Template::new(&[ADVERTISED.parse().unwrap()]);
    let mut chance = ChaCha20Rng::from_seed([1; 32]);
    let mut accept = |offer: &str| {
        let owner = page(PeerRole::Publish(BroadcastKey::default()));
        let limits = PeerLimits::default();
        Peer::accept(&template, scene.world.now, &limits, owner, offer, &mut chance).map(|_| ())
    };
    assert_eq!(accept(&good), Ok(()));
    for (name, offer, want) in cases(&good) {
        assert_eq!(without_line(accept(&offer)), want, "{name}");
    }
    // A listener's are judged by the same rules.
    let owner = page(PeerRole::Listen);
    let listens = good.replace("a=sendonly", "a=recvonly");
    let bytes = narrow_offer(&listens, sdp::Direction::RecvOnly).unwrap().len();
    let limits = PeerLimits { offer_bytes_max: bytes - 1, ..PeerLimits::default() };
    let refused = Peer::accept(&template, scene.world.now, &limits, owner, &listens, &mut chance).map(|_| ());
    assert_eq!(refused, Err(OfferError::TooLong { bytes, bytes_max: bytes - 1 }));
    scene.end();
}

/// The page is told; what it has goes on, and the next offer of its is as good as any.
#[test]
fn an_offer_that_is_refused_ends_nothing() {
    let (mut scene, lea, [paul, _]) = Scene::with_unharmed_lea();
    let good = offer(&scene.world);
    let (mut refused, mut too_long) = (0, 0);
    // What is longer than a message ends the conn.
    for (name, offer, outcome) in cases(&good).into_iter().filter(|(_, offer, _)| offer.len() < 60_000) {
        match outcome {
            Ok(()) => continue,
            // A supervisor's is of the wrong direction first.
            Err(OfferError::TooLong { .. }) => (too_long, refused) = (too_long + 2, refused + 1),
            Err(_) => refused += 3,
        }
        for (who, event) in [(lea, "start_streaming"), (lea, "restart_ice"), (paul, "restart_ice")] {
            scene.world.browsers[who].messages.clear();
            scene.world.browsers[who].say(event, json!({ "sdp": offer }));
            scene.world.run_ms(300);
            assert_eq!(last(&scene.world, who, "error")["code"], "offer_refused", "{name}");
        }
    }
    let stats = scene.world.server.stats();
    assert_eq!((stats.offers_refused, stats.offers_too_long), (refused, too_long));
    assert!(refused > 60 && too_long >= 2);
    assert_eq!((stats.peers_failed, scene.world.server.table_sizes().peers), (0, 5));
    scene.check();
    for who in [lea, paul] {
        assert_eq!(scene.world.browsers[who].closed, None);
    }
    scene.end();
}

/// An extension's number is one of 1 to 14, or up to 255 in its longer form (RFC 8285 §4.2); the library takes any.
#[test]
fn extensions_with_odd_numbers_harm_nobody() {
    let (mut scene, lea, _) = Scene::with_unharmed_lea();
    let name = "urn:ietf:params:rtp-hdrext:sdes:mid";
    for (n, id) in [0, 14, 15, 16, 255].into_iter().enumerate() {
        let eve = scene.world.open(Role::Admin, &format!("eve{n}"));
        scene.world.run_ms(500);
        let now = scene.world.now;
        let offer = scene.world.browsers[eve].make_offer(now, Direction::RecvOnly);
        let line = offer.lines().find(|line| line.ends_with(name)).unwrap().to_owned();
        let odd = with_line(&offer, &line, &format!("a=extmap:{id} {name}"));
        scene.world.browsers[eve].say("open_audio", json!({ "sdp": odd }));
        scene.world.join(eve, "lea");
        scene.world.run_ms(3000);
        assert!(scene.world.browsers[eve].heard_of(lea as u16).count() > 50, "{id}");
    }
    scene.end();
}

#[test]
fn an_offer_of_a_mebibyte_ends_its_conn() {
    let mut scene = Scene::new();
    let tom = scene.world.open(Role::Commercial, "tom");
    scene.world.run_ms(500);
    let long = format!("{}a={}\r\n", offer(&scene.world), "x".repeat(1 << 20));
    scene.world.browsers[tom].say("start_streaming", json!({ "sdp": long }));
    scene.world.run_ms(1000);
    assert_eq!(scene.world.browsers[tom].closed, Some(4413));
    assert_eq!(scene.world.server.stats().requests_malformed, 1);
    assert_eq!(scene.world.server.table_sizes().peers, 2);
    // It comes back and is heard.
    let token = scene.world.token(Role::Commercial, "tom", |_| {});
    scene.world.connect(tom, &token);
    scene.world.run_ms(500);
    let now = scene.world.now;
    scene.world.browsers[tom].start_streaming(now);
    scene.world.settle();
    assert!(scene.world.browsers[tom].connected);
    scene.end();
}
