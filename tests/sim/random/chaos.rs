//! Clients that do anything at any time, well-meant or not, beside two who want to be left alone, while the journal's disk is
//! in trouble, and a server that is killed.

mod programs;

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use ecoute::token::Scope;
use ecoute::words::{JournalFault, Role};
use serde_json::json;
use stage::browser::Manners;
use stage::link::Quality;
use stage::world::{Disk, Who, World};

const SEEDS: Range<u64> = 100..124;
const STEPS: usize = 150;
const COMMERCIALS: [&str; 4] = ["lea", "tom", "zoe", "ines"];
const ADMINS: [&str; 3] = ["paul", "ana", "marc"];
const NAMES: [&str; 4] = ["Personne ne", "Nobody", "\u{420}aul D.", "Ana"];

#[test]
fn whatever_others_do_the_laws_hold_and_bystanders_hear_all() {
    for seed in seeds("CHAOS_SEEDS", SEEDS) {
        let mut world = World::new(seed, Quality::PERFECT);
        world.keep_journal();
        let speaker = world.publisher("bystander");
        let hearer = world.listener("hearer");
        world.settle();
        world.join(hearer, "bystander");
        world.run_ms(1000);
        world.quality = Quality::MOBILE;
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut chance_of_disk = fastrand::Rng::with_seed(seed);
        let mut clients = Vec::new();
        let killed_at = chance_of_disk.usize(STEPS / 4..STEPS);
        let (mut from, mut heard) = (0, 0);
        for step in 0..STEPS {
            act(&mut world, &mut clients, &mut chance);
            trouble_disk(&mut world.disk, &mut chance_of_disk);
            world.run_ms(chance.u64(0..400));
            if step == killed_at {
                heard += count_without_gap(&world, (speaker, hearer), from, seed);
                kill(&mut world, (speaker, hearer));
                from = world.browsers[speaker].made;
                world.run_ms(1000);
            }
        }
        heard += count_without_gap(&world, (speaker, hearer), from, seed);
        assert!(heard > 1000, "seed {seed}: {heard}");
        world.disk.heal();
        if chance.bool() {
            world.drain();
            world.run_ms(5000);
            // Who has no UDP and has not noticed yet may be knocking right now.
            let is_drained = (0..100).any(|_| {
                world.run_ms(10);
                world.server.is_drained()
            });
            assert!(is_drained, "seed {seed}: {:?}", world.server.table_sizes());
        }
        world.end();
    }
}

/// Returns how many packets a bystander heard of the other from one on, one after the other.
fn count_without_gap(world: &World, (speaker, hearer): (Who, Who), from: u32, seed: u64) -> u32 {
    let heard = world.browsers[hearer].heard_of(speaker as u16).map(|heard| heard.counter);
    let counters: BTreeSet<u32> = heard.filter(|counter| *counter >= from).collect();
    let (first, last) = (*counters.first().unwrap(), *counters.last().unwrap());
    assert_eq!(counters.len() as u32, last - first + 1, "law 4: a gap, seed {seed}");
    counters.len() as u32
}

/// The server is killed in the middle of everything, and the bystanders come back to another one.
fn kill(world: &mut World, (speaker, hearer): (Who, Who)) {
    world.restart_server();
    world.disk.heal();
    for (who, role) in [(speaker, Role::Commercial), (hearer, Role::Admin)] {
        let id = world.browsers[who].id.clone();
        let token = world.token(role, &id, |_| {});
        world.connect(who, &token);
        let now = world.now;
        match role {
            Role::Commercial => world.browsers[who].start_streaming(now),
            Role::Admin | Role::Monitor => world.browsers[who].open_audio(now),
        }
    }
    world.join(hearer, "bystander");
    let before = world.browsers[hearer].heard.len();
    let is_heard = (0..200).any(|_| {
        world.run_ms(100);
        world.browsers[hearer].heard.len() > before
    });
    assert!(is_heard, "the bystanders do not come back: {:?}", world.server.stats());
}

/// Returns the seeds of a random scenario; to look further by hand: `CHAOS_SEEDS=1000..1300`.
pub fn seeds(variable: &str, usual: Range<u64>) -> Range<u64> {
    let asked = std::env::var(variable).ok();
    let asked = asked.as_deref().and_then(|range| range.split_once(".."));
    asked.map_or(usual, |(from, to)| from.parse().unwrap()..to.parse().unwrap())
}

/// Makes the writer slow, full, stuck or new, now and then.
pub fn trouble_disk(disk: &mut Disk, chance: &mut fastrand::Rng) {
    match chance.u8(..60) {
        0 => disk.delay = Duration::ZERO..Duration::from_millis(50),
        1 => disk.delay = Duration::ZERO..Duration::from_secs(3),
        2 => disk.refused_per_mille = 300,
        3 => disk.refused_per_mille = 1000,
        4 => disk.is_stuck = true,
        5..=9 => disk.heal(),
        10 => disk.fault = Some(JournalFault::DiskFull),
        _ => {}
    }
}

fn act(world: &mut World, clients: &mut Vec<Who>, chance: &mut fastrand::Rng) {
    let commercial = COMMERCIALS[chance.usize(..COMMERCIALS.len())];
    let now = world.now;
    let Some(&who) = clients.get(chance.usize(..clients.len().max(1))) else {
        clients.push(world.publisher(commercial));
        return;
    };
    if chance.u8(..8) == 0 {
        return programs::begin(world, clients, chance);
    }
    if world.is_program(who) {
        return programs::act(world, who, chance);
    }
    let browser = &mut world.browsers[who];
    match chance.u32(..50) {
        0 => clients.push(world.publisher(commercial)),
        1 => {
            let who = world.publisher(commercial);
            world.browsers[who].manners = Manners::Ignores;
            clients.push(who);
        }
        2 | 3 => clients.push(world.listener(ADMINS[chance.usize(..ADMINS.len())])),
        4..=7 => world.join(who, commercial),
        8 => browser.say("leave_commercial_stream", json!({ "commercial_id": commercial })),
        9 if browser.rtc_is_idle() => browser.start_streaming(now),
        10 if browser.rtc_is_idle() => browser.open_audio(now),
        11 => browser.say("stop_streaming", json!({})),
        12 => browser.say("listener_ack", json!({ "notice_id": chance.u64(1_000_000..) })),
        13 => world.close(who),
        14 => world.unplug(who),
        15 => world.mute_stream(who),
        16 => world.unmute_stream(who),
        17 => {
            let token = world.token(Role::Commercial, commercial, |_| {});
            let takeover = json!({ "token": token, "page": format!("another{}", who % 4), "takeover": true });
            world.browsers[who].say("register_user", takeover);
        }
        18 => {
            let bytes = noise(chance);
            browser.send_raw(&bytes);
        }
        19 => {
            let check = world.browsers[who].last_check.clone();
            let port = chance.u16(1..);
            world.inject_from(([198, 18, 0, 1], port).into(), &check);
        }
        20 if browser.has_session() => {
            let forged = browser.forge_packet(chance.u16(..));
            world.inject(who, &forged);
        }
        21 => browser.say("pause_streaming", json!({})),
        22 => browser.say("resume_streaming", json!({})),
        23 => {
            let cause = ["call", "locked", "network"][chance.usize(..3)];
            browser.say("stream_interrupted", json!({ "cause": cause }));
        }
        24 => {
            let place = json!({ "lat": chance.f64() * 90.0, "lon": 2, "accuracy_m": 5, "at": 1 });
            browser.say("gps_update", place);
        }
        25 => browser.restart_ice(),
        26 => world.drop_stream(who),
        27 | 28 => {
            let id = browser.id.clone();
            let role = if COMMERCIALS.contains(&id.as_str()) { Role::Commercial } else { Role::Admin };
            let token = world.token(role, &id, |_| {});
            world.connect(who, &token);
        }
        29 => world.browsers[who].external = ([198, 18, chance.u8(..), 7], chance.u16(1024..)).into(),
        30 => {
            let exp = world.unix_s() + chance.u64(3..30);
            let token = world.token(Role::Admin, ADMINS[0], |claims| claims.exp = exp);
            let who = world.open_with(ADMINS[0], &token);
            world.browsers[who].open_audio(now);
            clients.push(who);
        }
        31 => {
            let listen = Some(Scope::new([commercial]));
            let id = browser.id.clone();
            let token = world.token(Role::Admin, &id, |claims| claims.listen = listen);
            let page = format!("page-{who}");
            world.browsers[who].say("register_user", json!({ "token": token, "page": page }));
        }
        32 => {
            let id = browser.id.clone();
            let revoked = format!("{id} {}\n", world.unix_s());
            world.take_revoked(revoked.as_bytes());
        }
        33 if browser.rtc_is_idle() => browser.test_connection(now),
        34 => world.block_udp(who),
        35 => world.unblock_udp(who),
        36 => world.drop_tunnel(who),
        37 => {
            if world.has_tunnel(who) {
                match chance.bool() {
                    true => world.stop_reading_tunnel(who),
                    false => world.read_tunnel(who, chance.usize(..5000)),
                }
            }
        }
        // Whose packets are held back does not count wrongly too: nobody could tell.
        38 if who % 2 == 0 => browser.held_back = Duration::from_millis(chance.u64(..5000)),
        39 => browser.held_back = Duration::ZERO,
        40 => browser.manners = [Manners::Acknowledges, Manners::Hides, Manners::Ignores][chance.usize(..3)],
        // A supervisor under another name, as if somebody else, or nobody.
        42 => {
            let (id, name) = (browser.id.clone(), NAMES[chance.usize(..NAMES.len())]);
            let token = world.token(Role::Admin, &id, |claims| claims.name = Some(name.to_owned()));
            world.connect(who, &token);
        }
        43 | 44 => {
            for _ in 0..chance.usize(1..12) {
                world.join(who, commercial);
                let leave = json!({ "commercial_id": commercial });
                world.browsers[who].say("leave_commercial_stream", leave);
            }
        }
        // As Firefox, and as who knows no checks but its own.
        45 => browser.nominates_once = !browser.nominates_once,
        46 => browser.answers_nothing = !browser.answers_nothing,
        47 | 48 if browser.is_sending() => browser.change_stream(chance.u32(1..)),
        // Her statistics begin anew, as it seems.
        41 if who % 2 == 1 => browser.forgets_sent = chance.u64(..400),
        _ => {
            let mut bytes = noise(chance);
            bytes[0] = [0, 22, 0x80, 255][chance.usize(..4)];
            world.inject(who, &bytes);
        }
    }
}

fn noise(chance: &mut fastrand::Rng) -> Vec<u8> {
    let len = chance.usize(1..200);
    std::iter::repeat_with(|| chance.u8(..)).take(len).collect()
}
