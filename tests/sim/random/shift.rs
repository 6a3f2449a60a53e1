//! A shift of honest people to whom everything happens, often: their pages come back as real ones do, and the laws are
//! checked at every step. Unlike in `chaos`, somebody is heard most of the time, so that a broken law is heard too.

use std::ops::Range;

use ecoute::token::{Claims, Scope};
use ecoute::words::Role;
use serde_json::json;
use stage::browser::Manners;
use stage::link::Quality;
use stage::world::{Who, World};

use super::chaos::{seeds, trouble_disk};

const SEEDS: Range<u64> = 0..8;
const EVENTS: usize = 70;
const SALESPEOPLE: [&str; 2] = ["lea", "tom"];
/// The last one never may hear but the first salesperson.
const SUPERVISORS: [&str; 3] = ["paul", "ana", "marc"];

struct Shift {
    world: World,
    chance: fastrand::Rng,
    /// The page of each that is in use.
    salespeople: [Who; 2],
    supervisors: [Who; 3],
}

#[test]
fn the_laws_hold_whatever_happens_in_a_shift() {
    for seed in seeds("SHIFT_SEEDS", SEEDS) {
        let mut shift = Shift::begin(seed);
        let mut chance_of_disk = fastrand::Rng::with_seed(seed);
        let killed_at = chance_of_disk.usize(EVENTS / 4..EVENTS);
        for event in 0..EVENTS {
            shift.happen();
            trouble_disk(&mut shift.world.disk, &mut chance_of_disk);
            // Most of the time somebody can begin to be heard.
            if chance_of_disk.u8(..4) == 0 {
                shift.world.disk.heal();
            }
            if event == killed_at {
                shift.world.restart_server();
            }
            shift.recover();
        }
        shift.world.disk.heal();
        let heard: usize = shift.world.browsers.iter().map(|browser| browser.heard.len()).sum();
        assert!(heard > 2000, "seed {seed}: {heard} packets were heard, too few to break a law");
        shift.world.drain();
        shift.world.run_ms(4000);
        assert!(shift.world.server.is_drained(), "seed {seed}: {:?}", shift.world.server.table_sizes());
        shift.world.end();
    }
}

impl Shift {
    fn begin(seed: u64) -> Shift {
        let quality = if seed.is_multiple_of(2) { Quality::PERFECT } else { Quality::MOBILE };
        let mut world = World::new(seed, quality);
        world.keep_journal();
        let salespeople = SALESPEOPLE.map(|id| world.publisher(id));
        let supervisors = SUPERVISORS.map(|id| {
            let token = token_of(&world, id, |_| {});
            let who = world.open_with(id, &token);
            let now = world.now;
            world.browsers[who].open_audio(now);
            who
        });
        world.settle();
        let mut shift = Shift { world, chance: fastrand::Rng::with_seed(seed), salespeople, supervisors };
        for who in supervisors {
            shift.join(who);
        }
        shift.world.run_ms(1000);
        shift
    }

    fn happen(&mut self) {
        let Shift { world, chance, .. } = self;
        let (n, m) = (chance.usize(..2), chance.usize(..3));
        let (lea, paul) = (self.salespeople[n], self.supervisors[m]);
        let either = if chance.bool() { lea } else { paul };
        match chance.u32(..17) {
            0 | 1 => world.drop_stream(either),
            2 => world.browsers[either].external = ([198, 18, chance.u8(..), 7], chance.u16(1024..)).into(),
            3 => self.take_over(n),
            4 => {
                let exp = world.unix_s() + chance.u64(2..5);
                self.renew(m, |claims| claims.exp = exp);
            }
            5 => {
                let scope = Scope::new([SALESPEOPLE[chance.usize(..2)]]);
                if m < 2 {
                    self.renew(m, |claims| claims.listen = Some(scope));
                }
            }
            6 => self.renew(m, |_| {}),
            7 => {
                let id = world.browsers[either].id.clone();
                let list = format!("{id} {}\n", world.unix_s());
                world.take_revoked(list.as_bytes());
            }
            8 | 9 => world.browsers[lea].say("pause_streaming", json!({})),
            10 => {
                let cause = ["call", "locked", "network"][chance.usize(..3)];
                world.browsers[lea].say("stream_interrupted", json!({ "cause": cause }));
            }
            11 => {
                // A locked phone, for so long that the page counts as silent.
                world.mute_stream(lea);
                world.run_ms(chance.u64(2000..14_000));
                world.unmute_stream(lea);
                world.browsers[lea].say("ping", json!({ "t": 1 }));
            }
            12 => {
                world.unplug(either);
                world.run_ms(chance.u64(100..4000));
                world.plug(either);
            }
            13 => {
                let is_locked = chance.bool();
                world.browsers[lea].manners = if is_locked { Manners::Ignores } else { Manners::Acknowledges };
            }
            14 => world.browsers[either].restart_ice(),
            15 => {
                let left = json!({ "commercial_id": SALESPEOPLE[n] });
                world.browsers[paul].say("leave_commercial_stream", left);
            }
            _ => self.join(paul),
        }
        let ms = self.chance.u64(100..2500);
        self.world.run_ms(ms);
    }

    /// Pages do what real ones do: they come back, resume and wish again.
    fn recover(&mut self) {
        for who in self.salespeople.into_iter().chain(self.supervisors) {
            if self.chance.bool() {
                self.come_back(who);
            }
        }
        for who in self.salespeople {
            if self.chance.bool() {
                self.world.browsers[who].say("resume_streaming", json!({}));
            }
            let place = json!({ "lat": 48.85, "lon": 2.35, "accuracy_m": 12, "at": 1 });
            self.world.browsers[who].say("gps_update", place);
        }
        for who in self.supervisors {
            if self.chance.u8(..4) == 0 {
                self.join(who);
            }
        }
        let ms = self.chance.u64(100..1500);
        self.world.run_ms(ms);
    }

    fn come_back(&mut self, who: Who) {
        let is_salesperson = self.salespeople.contains(&who);
        if !self.world.is_open(who) {
            let id = self.world.browsers[who].id.clone();
            // After a revocation a token of the same second is none.
            self.world.run_ms(1000);
            let token = match is_salesperson {
                true => self.world.token(Role::Commercial, &id, |_| {}),
                false => token_of(&self.world, &id, |_| {}),
            };
            self.world.connect(who, &token);
            self.world.run_ms(500);
            let now = self.world.now;
            if !is_salesperson && self.world.browsers[who].closed.is_none() {
                self.world.browsers[who].open_audio(now);
                self.join(who);
            }
        }
        let state = self.world.browsers[who].messages_of("commercial_updated").last();
        let is_off_air = state.is_some_and(|own| own["state"] == "online");
        if is_salesperson && is_off_air && self.world.browsers[who].rtc_is_idle() {
            let now = self.world.now;
            self.world.browsers[who].start_streaming(now);
        }
    }

    /// Another page of a salesperson takes over, and goes on air.
    fn take_over(&mut self, n: usize) {
        let (world, id) = (&mut self.world, SALESPEOPLE[n]);
        let older = self.salespeople[n];
        let other = world.open(Role::Commercial, id);
        world.run_ms(500);
        if !world.browsers[other].has("user_registered") {
            let token = world.token(Role::Commercial, id, |_| {});
            let page = format!("page-{other}");
            world.browsers[other].say("register_user", json!({ "token": token, "page": page, "takeover": true }));
            world.run_ms(500);
        }
        world.close(older);
        let now = world.now;
        world.browsers[other].start_streaming(now);
        self.salespeople[n] = other;
    }

    fn renew(&mut self, m: usize, edit: impl FnOnce(&mut Claims)) {
        let who = self.supervisors[m];
        let token = token_of(&self.world, SUPERVISORS[m], edit);
        self.world.browsers[who].say("register_user", json!({ "token": token, "page": format!("page-{who}") }));
    }

    fn join(&mut self, who: Who) {
        let id = SALESPEOPLE[self.chance.usize(..2)];
        self.world.join(who, id);
    }
}

fn token_of(world: &World, id: &str, edit: impl FnOnce(&mut Claims)) -> String {
    world.token(Role::Admin, id, |claims| {
        claims.listen = (id == SUPERVISORS[2]).then(|| Scope::new([SALESPEOPLE[0]]));
        edit(claims);
    })
}
