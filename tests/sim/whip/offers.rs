//! Offers of programs: what others write that browsers don't, answered and heard, or refused with the right words.

use std::time::Duration;

use ecoute::words::Role;
use stage::browser::Browser;
use stage::link::Quality;
use stage::scenario::{assert_hears, scenario};
use stage::world::programs::{Answer, Ask, Kind};
use stage::world::{Who, World};
use str0m::media::Direction;

const VIDEO: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:v\r\na=rtpmap:96 H264/90000\r\n\
    a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=ssrc-group:FID 1 2\r\na=ssrc:1 cname:x\r\na=ssrc:2 cname:x\r\n";
const DATA: &str =
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:d\r\na=sctp-port:5000\r\n";

type Edit = fn(&str, &str) -> String;

/// Splits an offer of the library into what stands for all sections and its one section.
fn split(offer: &str) -> (&str, &str) {
    offer.split_at(offer.find("m=audio").expect("it offers audio"))
}

fn mid_of(section: &str) -> &str {
    section.lines().find_map(|line| line.strip_prefix("a=mid:")).expect("it has a name")
}

/// Removes the lines that begin so.
fn without(text: &str, prefix: &str) -> String {
    text.lines().filter(|line| !line.starts_with(prefix)).map(|line| format!("{line}\r\n")).collect()
}

fn grouped(session: &str, mids: &str) -> String {
    format!("{}a=group:BUNDLE {mids}\r\n", without(session, "a=group:"))
}

/// Moves what begins so from the section to the session.
fn lifted(session: &str, section: &str, prefix: &str) -> String {
    let moved = section.lines().filter(|line| line.starts_with(prefix)).map(|line| format!("{line}\r\n"));
    format!("{session}{}{}", moved.collect::<String>(), without(section, prefix))
}

/// What clients write, by name: each is answered, and heard.
const GOOD: &[(&str, Edit)] = &[
    ("as it is", |session, audio| format!("{session}{audio}")),
    ("no candidates", |session, audio| format!("{session}{}", without(audio, "a=candidate"))),
    ("a video first", |session, audio| {
        format!("{}{VIDEO}a=sendonly\r\n{audio}", grouped(session, &format!("v {}", mid_of(audio))))
    }),
    ("a video second", |session, audio| {
        format!("{}{audio}{VIDEO}a=sendonly\r\n", grouped(session, &format!("{} v", mid_of(audio))))
    }),
    ("a video that carries the bundle's transport", |session, audio| {
        let of_transport = ["a=ice-", "a=fingerprint:", "a=setup:"];
        let is_of = |line: &&str| of_transport.iter().any(|prefix| line.starts_with(prefix));
        let transport: String = audio.lines().filter(is_of).map(|line| format!("{line}\r\n")).collect();
        let session = grouped(session, &format!("v {}", mid_of(audio)));
        let bundled = audio.replacen("m=audio 9", "m=audio 0", 1);
        format!("{session}{VIDEO}{transport}{bundled}a=bundle-only\r\n")
    }),
    ("data and video", |session, audio| {
        format!("{}{DATA}{audio}{VIDEO}", grouped(session, &format!("d {} v", mid_of(audio))))
    }),
    ("a stopped track of audio", |session, audio| {
        let stopped = "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\na=mid:old\r\n";
        format!("{session}{stopped}{audio}")
    }),
    ("both ways", |session, audio| {
        format!("{session}{}a=sendrecv\r\n", without(&without(audio, "a=sendonly"), "a=recvonly"))
    }),
    ("no direction", |session, audio| format!("{session}{}", without(&without(audio, "a=sendonly"), "a=recvonly"))),
    ("direction for all", |session, audio| {
        let direction = if audio.contains("a=sendonly") { "a=sendonly" } else { "a=recvonly" };
        lifted(session, audio, direction)
    }),
    ("the section's own direction counts more", |session, audio| format!("{session}a=inactive\r\n{audio}")),
    ("transport for all", |session, audio| {
        let lifted_once = lifted(session, audio, "a=ice-");
        let (session, audio) = split(&lifted_once);
        let lifted_twice = lifted(session, audio, "a=fingerprint:");
        let (session, audio) = split(&lifted_twice);
        lifted(session, audio, "a=setup:")
    }),
    ("codecs in capitals", |session, audio| format!("{session}{}", audio.replace("opus/48000/2", "OPUS/48000/2"))),
    ("no bundle", |session, audio| format!("{}{audio}", without(session, "a=group:"))),
    ("no role", |session, audio| format!("{session}{}", without(audio, "a=setup:"))),
    ("several bandwidths and a title", |session, audio| {
        let lines = "i=micro\r\nc=IN IP4 0.0.0.0\r\nb=AS:64\r\nb=TIAS:64000\r\nb=RS:612\r\nb=RR:1837\r\n";
        let session = session.replace("t=0 0", "b=AS:128\r\nb=TIAS:128000\r\nt=0 0");
        format!("{session}{}", audio.replacen("c=IN IP4 0.0.0.0\r\n", lines, 1))
    }),
    ("a title that is a space, times, and what nobody reads", |session, audio| {
        let session = without(session, "s=")
            .replace("t=0 0", "s= \r\ni=x\r\nu=http://x\r\ne=x@x\r\np=+1\r\nt=1 2\r\nt=3 4\r\nz=1 -1h\r\nk=prompt");
        format!("{session}{audio}")
    }),
    ("no name", |session, audio| format!("{}{}", without(session, "a=group:"), without(audio, "a=mid:"))),
    ("the profile of the TCP address", |session, audio| {
        format!("{session}{}", audio.replace(" UDP/TLS/RTP/SAVPF ", " TCP/DTLS/RTP/SAVPF "))
    }),
    ("no feedback", |session, audio| {
        format!("{session}{}", audio.replace(" UDP/TLS/RTP/SAVPF ", " UDP/TLS/RTP/SAVP "))
    }),
    ("an old profile", |session, audio| {
        format!("{session}{}", audio.replace(" UDP/TLS/RTP/SAVPF ", " RTP/SAVPF "))
    }),
    ("the oldest profile", |session, audio| {
        format!("{session}{}", audio.replace(" UDP/TLS/RTP/SAVPF ", " RTP/AVP "))
    }),
    ("two fingerprints", |session, audio| {
        format!("{session}a=fingerprint:sha-512 {}\r\n{audio}a=fingerprint:sha-512 AB\r\n", ["AB"; 64].join(":"))
    }),
    ("an odd attribute", |session, audio| format!("{session}a=\r\na=x-quux\r\n{audio}a=\r\na=ptime:20\r\n")),
    ("line feeds alone", |session, audio| format!("{session}{audio}").replace("\r\n", "\n")),
];

/// Refused, and with what: for WHIP, and for WHEP.
const BAD: &[(&str, u16, Edit)] = &[
    ("a profile of nobody", 422, |session, audio| format!("{session}{}", audio.replace("RTP/SAVPF", "RTP/SAVPX"))),
    ("a second name", 400, |session, audio| format!("{session}{audio}a=mid:other\r\n")),
    ("lite as we are", 422, |session, audio| format!("{session}a=ice-lite\r\n{audio}")),
    ("half a fingerprint", 400, |session, audio| {
        format!("{session}{}a=fingerprint:sha-256 AB:CD\r\n", without(audio, "a=fingerprint"))
    }),
    ("a line that is none", 400, |session, audio| format!("{session}who are you?\r\n{audio}")),
    ("nothing", 400, |_, _| String::new()),
    ("no SDP", 400, |_, _| "{\"sdp\":\"v=0\"}".to_owned()),
    ("not from its beginning", 400, |_, audio| audio.to_owned()),
    ("no audio", 422, |session, _| format!("{session}{VIDEO}")),
    ("no section", 422, |session, _| session.to_owned()),
    ("two tracks of audio", 422, |session, audio| {
        format!("{session}{audio}{}", audio.replace(&format!("a=mid:{}", mid_of(audio)), "a=mid:other"))
    }),
    ("no Opus", 422, |session, audio| format!("{session}{}", audio.replace("opus/48000/2", "ISAC/32000"))),
    ("the wrong way", 422, |session, audio| {
        let turned = |from, to| format!("{session}{}", audio.replace(from, to));
        if audio.contains("a=sendonly") {
            turned("a=sendonly", "a=recvonly")
        } else {
            turned("a=recvonly", "a=sendonly")
        }
    }),
    ("no way", 422, |session, audio| {
        format!("{session}{}", audio.replace("a=sendonly", "a=inactive").replace("a=recvonly", "a=inactive"))
    }),
    ("the wrong way for all", 422, |session, audio| {
        let wrong = if audio.contains("a=sendonly") { "a=recvonly" } else { "a=sendonly" };
        format!("{session}{wrong}\r\n{}", without(&without(audio, "a=sendonly"), "a=recvonly"))
    }),
    ("no password", 400, |session, audio| format!("{session}{}", without(audio, "a=ice-pwd"))),
    ("no fingerprint", 400, |session, audio| format!("{session}{}", without(audio, "a=fingerprint"))),
    ("more than 12 KiB", 413, |session, audio| format!("{session}{audio}a={}\r\n", "x".repeat(12 * 1024))),
    ("a long name", 422, |session, audio| {
        format!("{session}{}", audio.replace(&format!("a=mid:{}", mid_of(audio)), "a=mid:abcdefghijklmnopq"))
    }),
    ("1000 lines", 400, |session, audio| format!("{session}{audio}{}", "a=x\r\n".repeat(1000))),
];

/// A device on air and a program of each kind that could begin.
fn programs(world: &mut World) -> (Who, [(Who, &'static str); 2]) {
    let bell = world.device("bell");
    let token = world.token(Role::Commercial, "door", |claims| claims.device = true);
    let door = world.program(Kind::Whip, "door", &token);
    let token = world.token(Role::Admin, "paul", |_| {});
    let paul = world.program(Kind::Whep, "paul", &token);
    world.settle();
    (bell, [(door, "door"), (paul, "bell")])
}

fn edited(edit: Edit) -> impl Fn(String) -> String {
    move |offer| {
        let (session, audio) = split(&offer);
        edit(session, audio)
    }
}

/// Asserts that an answer has the sections of its offer, and that the audio alone is taken.
fn check_sections(name: &str, offer: &str, answer: &Answer) {
    let sections = |text: &str| -> Vec<String> {
        text.split("\nm=").skip(1).map(|section| format!("m={}", section.trim_end())).collect()
    };
    let (offered, answered) = (sections(offer), sections(&answer.body));
    assert_eq!(offered.len(), answered.len(), "{name}: {}", answer.body);
    for (offered, answered) in offered.iter().zip(&answered) {
        let kind = |section: &str| section.split(' ').next().unwrap().to_owned();
        assert_eq!(kind(offered), kind(answered), "{name}");
        let profile = |section: &str| section.lines().next().unwrap().split(' ').nth(2).map(str::to_owned);
        assert_eq!(profile(offered), profile(answered), "{name}");
        let is_stopped = offered.starts_with("m=audio 0 ") && !offered.contains("a=bundle-only");
        let is_taken = offered.starts_with("m=audio ") && !is_stopped;
        assert_eq!(answered.split(' ').nth(1) == Some("0"), !is_taken, "{name}: {answered}");
        assert_eq!(answered.contains("a=candidate:"), is_taken, "{name}: {answered}");
        assert_eq!(offered.contains("a=mid:"), answered.contains("a=mid:"), "{name}");
        if !offered.contains("a=mid:") {
            continue;
        }
        assert_eq!(mid_of(offered), mid_of(answered), "{name}");
        let group = answer.body.lines().find(|line| line.starts_with("a=group:BUNDLE"));
        let in_group = group.is_some_and(|group| group.split(' ').any(|mid| mid == mid_of(offered)));
        assert!(!in_group || is_taken, "{name}: {group:?}");
    }
    if !offer.contains("a=group:BUNDLE") {
        assert!(!answer.body.contains("a=group:BUNDLE"), "{name}: an answer groups what its offer groups");
    }
    assert!(answer.body.contains("a=rtcp-mux\r\n"), "{name}");
}

#[test]
fn what_others_write_is_answered_and_heard() {
    for quality in [Quality::PERFECT, Quality::MOBILE] {
        let mut world = World::new(1, quality);
        let (bell, [(door, _), (paul, _)]) = programs(&mut world);
        let ana = world.listener("ana");
        world.settle();
        world.join(ana, "door");
        for (name, edit) in GOOD {
            for (who, to, direction) in [(door, "door", "recvonly"), (paul, "bell", "sendonly")] {
                let mut offer = String::new();
                let answer = world.post_edited(who, to, |whole| {
                    offer = edited(*edit)(whole);
                    offer.clone()
                });
                assert_eq!(answer.status, 201, "{name}: {answer:?}\n{offer}");
                assert_eq!(answer.header("Content-Type"), Some("application/sdp"), "{name}");
                assert!(answer.body.contains(&format!("a={direction}\r\n")), "{name}: {}", answer.body);
                check_sections(name, &offer, &answer);
            }
            world.settle();
            world.run_ms(1000);
            assert_hears(&world, ana, door, 500, 70);
            assert_hears(&world, paul, bell, 500, 70);
            for who in [door, paul] {
                // The stored offer serves a restart, whatever it was made from.
                world.restart(who, "*");
            }
            world.run_ms(1500);
            assert_hears(&world, ana, door, 500, 70);
            assert_hears(&world, paul, bell, 500, 70);
            for who in [door, paul] {
                assert_eq!(world.delete(who).status, 200, "{name}");
                world.browsers[who].vanish();
            }
            world.run_ms(200);
        }
        world.end();
    }
}

#[test]
fn what_can_not_be_answered_is_refused_and_leaves_nothing() {
    scenario(|world| {
        if world.quality.lost_per_mille > 0 {
            return;
        }
        let (bell, both) = programs(world);
        let before = world.server.table_sizes();
        for (name, status, edit) in BAD {
            for (who, to) in both {
                let answer = world.post_edited(who, to, edited(*edit));
                assert_eq!(answer.status, *status, "{name}: {answer:?}");
                assert_eq!(answer.header("Content-Type"), Some("application/problem+json"), "{name}");
                let problem: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
                assert_eq!(problem["status"], *status, "{name}");
                assert!(problem["title"].is_string() && problem["detail"].is_string(), "{name}: {problem}");
                assert_eq!(answer.header("Location"), None, "{name}");
                assert_ne!(problem["detail"], "the offer can't be read or answered", "{name}: no reason");
            }
            world.run_ms(300);
        }
        let after = world.server.table_sizes();
        let rows = |sizes: &ecoute::server::TableSizes| {
            (sizes.peers, sizes.resources, sizes.wishes, sizes.broadcasts, sizes.offers_bytes)
        };
        assert_eq!(rows(&after), rows(&before));
        assert!(!world.audit.iter().any(|entry| entry.event.actor() == "paul" || entry.event.actor() == "door"));
        // All sessions of the user are still to be had.
        for _ in 0..world.limits.admission.of_program.held_max {
            world.player("paul", "bell");
            world.run_ms(200);
        }
        world.settle();
        let last = world.browsers.len() - 1;
        world.run_ms(1000);
        assert_hears(world, last, bell, 500, 90);
    });
}

#[test]
fn the_type_of_a_body_must_be_right() {
    let mut world = World::new(1, Quality::PERFECT);
    let (_, both) = programs(&mut world);
    for (who, to) in both {
        let kind = if to == "door" { Kind::Whip } else { Kind::Whep };
        let path = kind.path(to);
        for wrong in ["", "text/plain", "application/json", "application/trickle-ice-sdpfrag", "application/sdpx"] {
            let answer = world
                .ask(who, |token, _| Ask { content_type: wrong, ..Ask::post(&path, token, "v=0\r\n") }.to_http());
            assert_eq!(answer.status, 415, "{wrong}");
            assert_eq!(answer.header("Accept"), Some("application/sdp"), "{wrong}");
            world.now += Duration::from_millis(200);
        }
        for right in ["application/sdp", "Application/SDP", "application/sdp; charset=utf-8", "application/sdp;x=y"]
        {
            let answer = world
                .ask(who, |token, _| Ask { content_type: right, ..Ask::post(&path, token, "v=0\r\n") }.to_http());
            assert_eq!(answer.status, 422, "{right}: only the body is wrong");
            world.now += Duration::from_millis(200);
        }
    }
    world.end();
}

/// Who types an address may end it with a slash.
#[test]
fn an_address_may_end_with_a_slash() {
    let mut world = World::new(1, Quality::PERFECT);
    let (bell, both) = programs(&mut world);
    for (who, to) in both {
        let answer = world.post(who, &format!("{to}/"));
        assert_eq!(answer.status, 201, "{answer:?}");
        let location = answer.header("Location").unwrap();
        assert!(location.contains(&format!("/{to}/")) && !location.contains("//"), "{location}");
    }
    let (door, paul) = (both[0].0, both[1].0);
    let ana = world.player("ana", "door");
    world.settle();
    world.run_ms(1000);
    assert_hears(&world, paul, bell, 500, 98);
    assert_hears(&world, ana, door, 500, 98);
    for who in [door, paul] {
        assert_eq!(world.delete(who).status, 200);
    }
    world.end();
}

/// A title may be in another charset (RFC 8866 §6.10), and what a session is made by is ASCII.
#[test]
fn an_offer_need_not_be_utf_8() {
    let mut world = World::new(1, Quality::PERFECT);
    let (_, both) = programs(&mut world);
    for (who, to) in both {
        let now = world.now;
        let (kind, role, direction) = match to {
            "door" => (Kind::Whip, Role::Commercial, Direction::SendOnly),
            _ => (Kind::Whep, Role::Admin, Direction::RecvOnly),
        };
        let token = world.token(role, &world.browsers[who].id, |claims| claims.device = to == "door");
        let offer =
            world.browsers[who].make_offer(now, direction).replace("s=-", "s=R?union\r\na=charset:ISO-8859-1");
        let request = Ask::post(&kind.path(to), &token, &offer).to_http();
        let bytes: Vec<u8> = request.bytes().map(|byte| if byte == b'?' { 0xe9 } else { byte }).collect();
        let conn = world.knock(world.browsers[who].address).unwrap();
        world.push(conn, &bytes);
        let answer = world.pull(conn, 100_000);
        assert!(answer.starts_with(b"HTTP/1.1 201 "), "{}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn a_refusal_shows_the_line_over_http_and_over_the_websocket() {
    let mut world = World::new(1, Quality::PERFECT);
    let (_, both) = programs(&mut world);
    let lea = world.open(Role::Commercial, "lea");
    world.settle();
    let spoil = |offer: String| {
        let spoilt = offer.replace("UDP/TLS/RTP/SAVPF", "UDP/TLS/UDPTL");
        let line = 1 + spoilt.lines().position(|line| line.starts_with("m=audio")).unwrap();
        let want = format!("line {line} (m=audio 9 UDP/TLS/UDPTL ");
        (spoilt, want)
    };
    for (who, to) in both {
        let mut want = String::new();
        let answer = world.post_edited(who, to, |offer| {
            let (spoilt, shown) = spoil(offer);
            want = shown;
            spoilt
        });
        let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(answer.status, 422);
        assert!(problem["detail"].as_str().unwrap().starts_with(&want), "{problem}");
    }
    let now = world.now;
    let (spoilt, want) = spoil(world.browsers[lea].make_offer(now, Direction::SendOnly));
    world.browsers[lea].say("start_streaming", serde_json::json!({ "sdp": spoilt }));
    world.run_ms(500);
    let error = stage::scenario::last(&world, lea, "error");
    assert_eq!(error["code"], "offer_refused");
    assert!(error["message"].as_str().unwrap().starts_with(&want), "{error}");
}

/// What a page says is read by the same rules.
#[test]
fn what_others_write_is_answered_over_the_websocket_too() {
    let mut world = World::new(1, Quality::PERFECT);
    let pages = [
        (world.open(Role::Commercial, "lea"), Direction::SendOnly, "start_streaming", "streaming_started"),
        (world.open(Role::Admin, "paul"), Direction::RecvOnly, "open_audio", "audio_ready"),
    ];
    world.settle();
    for (name, edit) in GOOD {
        for (who, direction, event, answer) in pages {
            let mut client = Browser::new(9, "client", "198.51.100.9:4000".parse().unwrap(), Quality::PERFECT);
            let offer = edited(*edit)(client.make_offer(world.now, direction));
            world.browsers[who].messages.clear();
            world.browsers[who].say(event, serde_json::json!({ "sdp": offer }));
            world.run_ms(300);
            let answered = stage::scenario::last(&world, who, answer)["sdp"].as_str().unwrap().to_owned();
            let audio = |text: &str| text.lines().find(|line| line.starts_with("m=audio 9 ")).map(str::to_owned);
            let profile = |line: &str| line.split(' ').nth(2).map(str::to_owned);
            let offered = offer.lines().rfind(|line| line.starts_with("m=audio")).unwrap();
            assert_eq!(audio(&answered).and_then(|line| profile(&line)), profile(offered), "{name}");
        }
    }
}
