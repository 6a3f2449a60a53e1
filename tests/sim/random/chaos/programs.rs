//! What programs do at any time, beside pages that do as they please.

use std::time::Duration;

use ecoute::token::Scope;
use ecoute::words::Role;
use stage::world::programs::{Ask, Kind, fragment_of};
use stage::world::{Who, World};

use super::{ADMINS, COMMERCIALS, noise};

/// Adds a program that asks for a session; it may be refused, and ask again later.
pub fn begin(world: &mut World, clients: &mut Vec<Who>, chance: &mut fastrand::Rng) {
    let commercial = COMMERCIALS[chance.usize(..COMMERCIALS.len())];
    let exp = world.unix_s() + if chance.u8(..4) == 0 { chance.u64(3..30) } else { 3600 };
    let who = if chance.bool() {
        let is_device = chance.u8(..3) == 0;
        let token =
            world.token(Role::Commercial, commercial, |claims| (claims.exp, claims.device) = (exp, is_device));
        world.program(Kind::Whip, commercial, &token)
    } else {
        let id = ADMINS[chance.usize(..ADMINS.len())];
        let listen = (chance.u8(..4) == 0).then(|| Scope::new([commercial]));
        let token = world.token(Role::Admin, id, |claims| (claims.exp, claims.listen) = (exp, listen));
        world.program(Kind::Whep, id, &token)
    };
    clients.push(who);
    post(world, who, commercial, chance);
}

/// Lets a program do something.
pub fn act(world: &mut World, who: Who, chance: &mut fastrand::Rng) {
    let commercial = COMMERCIALS[chance.usize(..COMMERCIALS.len())];
    let now = world.now;
    match chance.u32(..22) {
        0..=2 => post(world, who, commercial, chance),
        3..=6 if world.browsers[who].rtc_is_idle() => {
            let if_match = if chance.bool() { "*".to_owned() } else { world.etag(who) };
            if let Some(offer) = world.browsers[who].restart_offer() {
                world.try_restart(who, Some(&if_match), &fragment_of(&offer));
            }
        }
        7 => {
            let fragment = String::from_utf8_lossy(&noise(chance)).into_owned();
            world.patch(who, Some("*"), &fragment);
        }
        8 => {
            world.patch(who, Some(&world.etag(who)), "a=candidate:1 1 UDP 1 192.0.2.2 9 typ host\r\n");
        }
        9 | 10 => {
            world.delete(who);
        }
        11 => {
            world.delete(who);
            world.browsers[who].vanish();
        }
        12 => world.browsers[who].hang_up(now),
        13 => world.close(who),
        14 => world.unplug(who),
        15 => world.plug(who),
        16 => world.browsers[who].next_packet = None,
        17 => world.block_udp(who),
        20 if world.browsers[who].is_sending() => world.browsers[who].change_stream(chance.u32(1..)),
        21 => world.browsers[who].held_back = Duration::from_millis(chance.u64(..4000) * u64::from(chance.u8(..2))),
        18 => world.browsers[who].external = ([198, 18, chance.u8(..), 8], chance.u16(1024..)).into(),
        _ => {
            // What is another's, and what is nobody's.
            let stranger = world.token(Role::Admin, "mallory", |_| {});
            let path = world.location(who);
            if !path.is_empty() {
                let refused = world.ask_from(([198, 18, 9, 9], 9).into(), &Ask::delete(&path, &stranger).to_http());
                assert!([403, 404, 429].contains(&refused.status), "law 4: {refused:?}");
            }
        }
    }
}

fn post(world: &mut World, who: Who, commercial: &str, chance: &mut fastrand::Rng) {
    let setup = ["actpass", "active", "passive"][chance.usize(..3)];
    let names_stream = chance.bool();
    let edit = |offer: String| {
        let named = offer.lines().filter(|line| names_stream || !line.starts_with("a=ssrc"));
        let offer: String = named.map(|line| format!("{line}\r\n")).collect();
        offer.replace("a=setup:actpass", &format!("a=setup:{setup}"))
    };
    let to = if world.is_whip(who) { world.browsers[who].id.clone() } else { commercial.to_owned() };
    let answer = world.post_edited(who, &to, edit);
    assert!([201, 401, 403, 409, 429, 503].contains(&answer.status), "{answer:?}");
}
