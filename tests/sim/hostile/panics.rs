//! A panic inside the WebRTC library, wherever it is called from, ends one session.
//!
//! The library tells what it does through `tracing`; a subscriber panics at one message of this thread, so that the
//! stack that unwinds is the library's own.

use std::cell::RefCell;
use std::fmt::Write;
use std::sync::Once;

use serde_json::json;
use stage::browser::Browser;
use stage::link::Quality;
use stage::scene::{Scene, is_rtp, is_stun};
use stage::world::{Who, World};
use str0m::media::Direction;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

thread_local! {
    /// The beginning of the message at which the library panics next, once.
    static ARMED: RefCell<Option<&'static str>> = const { RefCell::new(None) };
}

struct Tripwire;

impl Subscriber for Tripwire {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        ARMED.with_borrow(Option::is_some)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let is_armed = |armed: &mut &str| message.0.starts_with(*armed);
        if let Some(armed) = ARMED.with_borrow_mut(|armed| armed.take_if(is_armed)) {
            panic!("forced at {armed:?}");
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            write!(self.0, "{value:?}").unwrap();
        }
    }
}

/// Does something in which the library panics at a message.
fn arm(at: &'static str, act: impl FnOnce()) {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| tracing::subscriber::set_global_default(Tripwire).expect("nobody else listens"));
    // Other threads may have met the message first while nobody listened.
    tracing::callsite::rebuild_interest_cache();
    ARMED.set(Some(at));
    act();
    assert_eq!(ARMED.take(), None, "{at:?} was not said");
}

/// Lets the server do something in which the library panics, which ends a session.
fn panicking(world: &mut World, at: &'static str, act: impl FnOnce(&mut World)) {
    let failed = world.server.stats().peers_failed;
    arm(at, || act(world));
    assert_eq!(world.server.stats().peers_failed, failed + 1, "{at:?}");
}

/// Asserts that nobody but `victim` lost a session, and that the victim's page can build a new one.
fn assert_alone(mut scene: Scene, victim: Who) {
    scene.world.run_ms(2000);
    assert_eq!(scene.world.server.stats().peers_failed, 1);
    assert_eq!(scene.world.server.table_sizes().peers, 4);
    scene.check();
    let now = scene.world.now;
    let browser = &mut scene.world.browsers[victim];
    assert_eq!(browser.closed, None, "its conn goes on");
    if browser.has("audio_ready") {
        browser.open_audio(now);
    } else {
        browser.start_streaming(now);
    }
    scene.world.settle();
    assert!(scene.world.browsers[victim].connected);
    assert_eq!(scene.world.server.table_sizes().peers, 5);
    scene.end();
}

#[test]
fn a_panic_over_a_datagram_ends_its_session() {
    let cases: [(&str, fn(&[u8]) -> bool); 4] = [
        ("IN ", is_rtp),
        ("Handle RTP: ", is_rtp),
        ("Handle receive: ", is_stun),
        // While what it brought about is fetched.
        ("Poll transmit: ", is_stun),
    ];
    for (message, kind) in cases {
        let (mut scene, lea, [paul, _]) = Scene::with_lea();
        let victim = if message == "Handle receive: " { paul } else { lea };
        let datagram = scene.withhold(victim, 4000).into_iter().rfind(|bytes| kind(bytes)).unwrap();
        panicking(&mut scene.world, message, |world| world.inject(victim, &datagram));
        assert_alone(scene, victim);
    }
}

/// A stream that the library does not know is tried out in a call of its own.
#[test]
fn a_panic_over_a_stream_that_is_new_ends_its_session() {
    for message in ["Create StreamRx for SSRC: ", "Failed to unprotect SRTP for SSRC: "] {
        let (mut scene, lea, _) = Scene::with_lea();
        let forged = scene.world.browsers[lea].forge_packet(7);
        panicking(&mut scene.world, message, |world| world.inject(lea, &forged));
        assert_alone(scene, lea);
    }
}

#[test]
fn a_panic_over_a_restart_ends_its_session() {
    let (mut scene, lea, [paul, _]) = Scene::with_lea();
    for victim in [lea, paul] {
        let offer = scene.world.browsers[victim].restart_offer().unwrap();
        panicking(&mut scene.world, "Set remote credentials: ", |world| {
            world.browsers[victim].say("restart_ice", json!({ "sdp": offer }));
            world.run_ms(10);
        });
        assert_eq!(scene.world.browsers[victim].messages_of("error").last().unwrap()["code"], "offer_refused");
    }
    assert_eq!(scene.world.server.table_sizes().peers, 3);
    scene.end();
}

#[test]
fn a_panic_over_an_offer_makes_no_session_and_leaves_the_one_there_is() {
    let (mut scene, lea, _) = Scene::with_unharmed_lea();
    let now = scene.world.now;
    let offer = Browser::new(9, "lea", "198.51.100.9:4000".parse().unwrap(), Quality::PERFECT)
        .make_offer(now, Direction::SendOnly);
    arm("Set remote credentials: ", || {
        scene.world.browsers[lea].say("start_streaming", json!({ "sdp": offer }));
        scene.world.run_ms(10);
    });
    assert_eq!(scene.world.browsers[lea].messages_of("error").last().unwrap()["code"], "offer_refused");
    let stats = scene.world.server.stats();
    assert_eq!((stats.offers_refused, stats.peers_failed), (1, 0));
    assert_eq!(scene.world.server.table_sizes().peers, 5);
    scene.end();
}
