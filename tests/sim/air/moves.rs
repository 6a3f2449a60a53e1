//! Somebody on air whose router forgot them: they say nothing of it for seconds, but their packets come from elsewhere.

use std::time::Duration;

use stage::browser::Browser;
use stage::check::{self, MESSAGE_INTEGRITY};
use stage::link::Quality;
use stage::scenario::{assert_hears, heard, scenario};
use stage::scene::{Scene, is_rtp, stranger};
use stage::world::World;

/// How long nothing may be heard.
const GAP_MAX: Duration = Duration::from_secs(1);

/// Returns the longest time in which a listener heard nothing.
fn longest_gap(browser: &Browser) -> Duration {
    let gaps = browser.heard.windows(2).map(|pair| pair[1].at - pair[0].at);
    gaps.max().expect("there are two packets")
}

#[test]
fn who_is_on_air_is_found_where_the_packets_come_from() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        // Her next check is far away.
        world.browsers[lea].checks_no_more = true;
        world.run_ms(200);
        world.browsers[paul].heard.clear();
        for n in 0..3 {
            world.browsers[lea].external = ([198, 18, 7, n], 4321).into();
            world.run_ms(3000);
            assert_hears(world, paul, lea, 1000, 80);
        }
        let gap = longest_gap(&world.browsers[paul]);
        assert!(gap > Duration::from_millis(200) && gap <= GAP_MAX, "{gap:?}");
        assert!(world.server.stats().addresses_sought >= 3);
    });
}

/// Firefox nominates once and for all: its later checks do not say that they come from where it is.
#[test]
fn pages_that_nominate_once_speak_and_hear_on_from_somewhere_else() {
    scenario(|world| {
        let (lea, paul) = heard(world);
        for who in [lea, paul] {
            world.browsers[who].nominates_once = true;
        }
        world.run_ms(3000);
        for n in 0..2 {
            for who in [lea, paul] {
                world.browsers[who].external = ([198, 18, n, who as u8], 4321).into();
            }
            world.run_ms(14_000);
            assert_hears(world, paul, lea, 1000, 80);
        }
    });
}

#[test]
fn who_answers_nothing_is_found_by_the_next_check() {
    let mut world = World::new(1, Quality::PERFECT);
    let (lea, paul) = heard(&mut world);
    world.browsers[lea].answers_nothing = true;
    world.browsers[lea].external = stranger(1);
    world.run_ms(6000);
    assert_hears(&world, paul, lea, 1000, 80);
    world.end();
}

/// Packets that somebody kept ask where they are sent from, no more than they cost, and prove nothing.
#[test]
fn packets_that_were_kept_move_nobody_and_send_strangers_little() {
    let (mut scene, lea, [paul, _]) = Scene::with_unharmed_lea();
    let kept: Vec<Vec<u8>> = scene.overhear(lea, 1000).into_iter().filter(|bytes| is_rtp(bytes)).collect();
    for (n, packet) in kept.iter().enumerate() {
        scene.world.inject_from(stranger(n), packet);
        scene.world.run_ms(10);
    }
    assert_eq!(scene.world.sent_to_nobody, 0, "she is there");
    scene.check();
    let mut world = scene.world;
    world.browsers[lea].next_packet = None;
    world.run_ms(300);
    for n in 0..3000 {
        let packet = &kept[n % kept.len()];
        world.inject_from(stranger(n % 7), if n % 2 == 0 { packet } else { &packet[..30] });
        world.run_ms(1);
    }
    let asked = world.questions.len();
    assert!((5..=16).contains(&asked), "{asked} questions in 3 s");
    assert_eq!(world.sent_to_nobody, asked);
    assert!(world.bytes_to.values().all(|&bytes| bytes <= 3000), "{:?}", world.bytes_to);
    assert!(world.server.table_sizes().sources <= world.limits.media.asked_max);
    // Answers without her password, and hers from somewhere else.
    world.run_ms(300);
    world.inject_from(stranger(50), &kept[0]);
    world.run_ms(1);
    let question = world.questions.last().unwrap().clone();
    let id = question[8..20].try_into().unwrap();
    let signed = |pwd: &str| check::message(0x0101, id, &[(MESSAGE_INTEGRITY, &[])], pwd);
    let (own, servers) = (world.browsers[lea].own_password.clone(), world.browsers[lea].password.clone());
    let (addresses, unsigned) = (world.server.table_sizes().addresses, world.server.stats().stun_unsigned);
    for (port, pwd) in [(50, &servers), (50, &world.browsers[paul].own_password.clone()), (51, &own)] {
        world.inject_from(stranger(port), &signed(pwd));
        world.run_ms(10);
        assert_eq!(world.server.table_sizes().addresses, addresses);
    }
    assert_eq!(world.server.stats().stun_unsigned, unsigned + 2);
    world.inject_from(stranger(50), &signed(&own));
    world.run_ms(10);
    assert_eq!(world.server.table_sizes().addresses, addresses + 1, "she is there");
    world.end();
}
