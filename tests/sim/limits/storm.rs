//! Everybody comes back at once, as after a restart, to a disk that takes its time.

use std::time::Duration;

use ecoute::token::Scope;
use ecoute::words::Role;
use serde_json::{Value, json};
use stage::browser::Browser;
use stage::link::Quality;
use stage::stranger::{Stranger, TEXT, contains, frame, register};
use stage::world::World;
use str0m::media::Direction;

use super::world;

/// More than there may be who wait for their entries; those whose pages come back wait for none.
const SALESPEOPLE: usize = 1000;
const SUPERVISORS: usize = 1500;
/// How many of each begin a session in the first second: offers have a rate.
const ON_AIR: usize = 200;
const LISTENING: usize = 400;

fn say(event: &str, data: &Value) -> Vec<u8> {
    frame(TEXT, json!({ "event": event, "data": data }).to_string().as_bytes())
}

/// Registers so many at one moment; returns them, each with what it was answered.
fn come(world: &mut World, role: Role, count: usize) -> Vec<Stranger> {
    let name = |n: usize| format!("{role}{n}");
    (0..count)
        .map(|n| {
            // Each sees one: what all are told of all is not what is looked at here.
            let scope = Scope::new([&*format!("{}{}", Role::Commercial, n % ON_AIR)]);
            let token =
                world.token(role, &name(n), |claims| claims.listen = (role == Role::Admin).then_some(scope));
            let stranger = Stranger::upgraded(world);
            world.push(stranger.conn, &frame(TEXT, register(&token).as_bytes()));
            let answer = stranger.read(world);
            assert!(contains(&answer, "user_registered"), "{n}: {}", String::from_utf8_lossy(&answer));
            stranger
        })
        .collect()
}

fn offers(world: &World) -> [Value; 2] {
    let mut maker = Browser::new(0, "maker", ([127, 0, 0, 1], 9).into(), Quality::PERFECT);
    [Direction::SendOnly, Direction::RecvOnly].map(|direction| {
        let offer = maker.make_offer(world.now, direction);
        let unnamed = offer.lines().filter(|line| !line.starts_with("a=ssrc")).map(|line| format!("{line}\r\n"));
        json!({ "sdp": unnamed.collect::<String>() })
    })
}

/// All register, who is asked for is told, and what waits is bounded.
#[test]
fn all_come_back_at_once_to_a_slow_disk() {
    for sync in [20, 500].map(Duration::from_millis) {
        let mut world = world(|_| {});
        world.disk.is_in_order = true;
        world.disk.sync = Some(sync);
        let [sends, hears] = offers(&world);
        let salespeople = come(&mut world, Role::Commercial, SALESPEOPLE);
        let supervisors = come(&mut world, Role::Admin, SUPERVISORS);
        // They were answered by then, and answer.
        world.run_ms(20);
        for page in &salespeople[..ON_AIR] {
            world.push(page.conn, &say("start_streaming", &sends));
        }
        for (n, page) in supervisors[..LISTENING].iter().enumerate() {
            world.push(page.conn, &say("open_audio", &hears));
            let whom = json!({ "commercial_id": format!("{}{}", Role::Commercial, n % ON_AIR) });
            world.push(page.conn, &say("join_commercial_stream", &whom));
        }
        let waiting = world.server.table_sizes().jobs;
        assert!(waiting > SALESPEOPLE + SUPERVISORS, "{waiting}: it is no storm");
        // Nobody waits for more than the present sync and the next one, however many came before.
        world.run_ms(2 * sync.as_millis() as u64);
        let told: usize = salespeople[..ON_AIR]
            .iter()
            .map(|page| String::from_utf8_lossy(&page.read(&mut world)).matches("listener_joined").count())
            .sum();
        assert_eq!(told, LISTENING, "{sync:?}: {:?}", world.server.stats());
        let stats = world.server.stats();
        assert_eq!((stats.gates_refused, stats.entries_lost, stats.tables_full), (0, 0, 0), "{sync:?}: {stats:?}");
        world.run_ms(5000);
        let sizes = world.server.table_sizes();
        assert!(sizes.jobs < 10, "all is written: {sizes:?}");
        for page in salespeople.into_iter().chain(supervisors) {
            world.hang_up(page.conn);
        }
        world.end();
    }
}
