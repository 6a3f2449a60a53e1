//! Encoders and devices beside pages: who hears them, who silences them, and how they end.

use ecoute::words::Role;
use serde_json::json;
use stage::browser::Manners;
use stage::scenario::{assert_hears, count, hears_nothing, last, scenario};
use stage::world::programs::{Ask, Kind};
use stage::world::{Who, World};

/// Léa's page and her encoder, heard by Paul's page.
pub fn heard(world: &mut World) -> (Who, Who, Who) {
    let lea = world.open(Role::Commercial, "lea");
    let paul = world.listener("paul");
    let encoder = world.encoder("lea");
    world.settle();
    world.join(paul, "lea");
    world.run_ms(2000);
    assert_hears(world, paul, encoder, 1000, 80);
    (lea, encoder, paul)
}

fn stop_details(world: &World, id: &str) -> Vec<String> {
    let stopped = |entry: &&ecoute::audit::Entry| {
        entry.event.name() == "broadcast_stopped" && entry.event.commercial_id() == id
    };
    world.audit.iter().filter(stopped).map(|entry| entry.event.detail().to_owned()).collect()
}

/// Makes a program's encoder silent while its session goes on.
fn mute_encoder(world: &mut World, encoder: Who) {
    world.browsers[encoder].next_packet = None;
}

#[test]
fn an_encoder_is_heard_once_the_page_acknowledges() {
    scenario(|world| {
        let lea = world.open(Role::Commercial, "lea");
        world.browsers[lea].manners = Manners::Ignores;
        let paul = world.listener("paul");
        let encoder = world.encoder("lea");
        world.settle();
        world.join(paul, "lea");
        world.run_ms(5000);
        assert!(world.browsers[lea].has("listener_joined"));
        assert!(world.browsers[paul].heard.is_empty(), "law 1");
        assert_eq!(last(world, paul, "listening_pending")["cause"], "ack_late");
        let notice_id = last(world, lea, "listener_joined")["notice_id"].clone();
        world.browsers[lea].say("listener_ack", json!({ "notice_id": notice_id }));
        world.run_ms(2000);
        assert_hears(world, paul, encoder, 1000, 80);
        for who in [lea, paul] {
            let told = last(world, who, "commercial_updated");
            assert_eq!((&told["source"], &told["state"]), (&json!("encoder"), &json!("on_air")));
        }
        let started = world.audit.iter().find(|entry| entry.event.name() == "broadcast_started").unwrap();
        assert_eq!((started.event.detail(), started.event.is_device()), ("whip", false));
        assert!(!world.audit.iter().any(|entry| entry.event.is_device()));
    });
}

#[test]
fn an_encoder_without_its_page_goes_on_unheard() {
    scenario(|world| {
        let (lea, encoder, paul) = heard(world);
        world.drop_stream(lea);
        world.run_ms(1000);
        assert!(hears_nothing(world, paul, 500), "law 1: nobody looks at the page");
        assert_eq!(last(world, paul, "listening_pending")["cause"], "ack_late");
        world.run_ms(30_000);
        assert!(hears_nothing(world, paul, 30_000), "law 1");
        assert_eq!(last(world, paul, "commercial_updated")["state"], "on_air");
        let token = world.token(Role::Commercial, "lea", |_| {});
        world.connect(lea, &token);
        world.run_ms(2000);
        assert_eq!(count(world, lea, "listener_joined"), 2, "announced anew");
        assert_hears(world, paul, encoder, 1000, 80);
        assert_eq!(stop_details(world, "lea"), [] as [&str; 0]);
    });
}

#[test]
fn an_encoder_whose_page_falls_silent_is_unheard() {
    scenario(|world| {
        let (lea, encoder, paul) = heard(world);
        world.mute_stream(lea);
        world.run_ms(15_000);
        assert!(hears_nothing(world, paul, 2000), "law 1");
        world.unmute_stream(lea);
        world.browsers[lea].say("ping", json!({ "t": 1 }));
        world.run_ms(2000);
        assert_hears(world, paul, encoder, 1000, 80);
    });
}

#[test]
fn an_encoder_that_never_had_a_page_is_heard_by_nobody() {
    scenario(|world| {
        let encoder = world.encoder("lea");
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "lea");
        let ana = world.player("ana", "lea");
        world.run_ms(10_000);
        assert!(world.browsers[encoder].made > 400, "it streams");
        assert_eq!(world.server.stats().packets_forwarded, 0, "law 1");
        assert_eq!(last(world, paul, "listening_pending")["cause"], "ack_late");
        assert_eq!((world.media_sent_to(paul), world.media_sent_to(ana)), (0, 0), "law 1");
        // Another person's page is no help.
        let tom = world.open(Role::Commercial, "tom");
        for notice_id in 0..10 {
            world.browsers[tom].say("listener_ack", json!({ "notice_id": notice_id }));
        }
        world.run_ms(2000);
        assert_eq!(world.server.stats().packets_forwarded, 0, "law 1");
    });
}

#[test]
fn a_device_is_heard_at_once_and_everything_says_so() {
    scenario(|world| {
        let device = world.device("door");
        let paul = world.listener("paul");
        world.settle();
        world.join(paul, "door");
        world.run_ms(2000);
        assert_hears(world, paul, device, 1000, 80);
        let ana = world.player("ana", "door");
        world.settle();
        world.run_ms(1000);
        assert_hears(world, ana, device, 1000, 80);
        assert_eq!(last(world, paul, "commercial_updated")["source"], "device");
        // A page of that name sees who listens, and may silence.
        let page = world.page_of_device("door");
        world.run_ms(1000);
        let told: Vec<_> =
            world.browsers[page].messages_of("listener_joined").map(|n| n["admin"]["id"].clone()).collect();
        assert_eq!(told, ["paul", "ana"]);
        world.browsers[page].say("pause_streaming", json!({}));
        world.run_ms(2000);
        for who in [paul, ana] {
            assert!(hears_nothing(world, who, 1000), "law 2");
        }
        world.browsers[page].say("resume_streaming", json!({}));
        world.run_ms(2000);
        for who in [paul, ana] {
            assert_hears(world, who, device, 1000, 80);
        }
        world.delete(device);
        world.run_ms(1000);
        let of_device = world.audit.iter().filter(|entry| entry.event.commercial_id() == "door");
        let unmarked: Vec<_> =
            of_device.filter(|entry| !entry.event.is_device()).map(|entry| entry.event.name()).collect();
        assert_eq!(unmarked, [] as [&str; 0], "law 8");
    });
}

#[test]
fn a_page_that_was_silent_learns_who_hears_a_device() {
    scenario(|world| {
        let page = world.page_of_device("door");
        let device = world.device("door");
        let paul = world.listener("paul");
        world.settle();
        world.mute_stream(page);
        world.run_ms(15_000);
        world.join(paul, "door");
        world.run_ms(2000);
        assert_hears(world, paul, device, 1000, 80);
        world.unmute_stream(page);
        world.browsers[page].say("ping", json!({ "t": 1 }));
        world.run_ms(1000);
        assert_eq!(last(world, page, "listener_joined")["admin"]["id"], "paul");
    });
}

#[test]
fn a_pause_by_the_page_silences_an_encoder_and_outlives_it() {
    scenario(|world| {
        let (lea, encoder, paul) = heard(world);
        world.browsers[lea].say("pause_streaming", json!({}));
        world.run_ms(1000);
        assert!(world.browsers[lea].has("streaming_paused"));
        assert!(hears_nothing(world, paul, 500), "law 2");
        assert_eq!(last(world, paul, "listening_pending")["cause"], "paused");
        // It crashes, and is started again by whoever started it.
        world.close(encoder);
        world.run_ms(25_000);
        assert_eq!(last(world, paul, "commercial_updated")["is_streaming"], false);
        let again = world.encoder("lea");
        world.settle();
        world.run_ms(3000);
        assert!(world.browsers[again].made > 100);
        assert_eq!(last(world, paul, "commercial_updated")["state"], "paused");
        assert_eq!(world.browsers[paul].heard_of(again as u16).count(), 0, "law 2");
        world.browsers[lea].say("resume_streaming", json!({}));
        world.run_ms(2000);
        assert_hears(world, paul, again, 1000, 80);
    });
}

#[test]
fn a_page_ends_its_encoder() {
    scenario(|world| {
        let (lea, encoder, paul) = heard(world);
        world.browsers[lea].say("stop_streaming", json!({}));
        world.run_ms(2000);
        assert!(hears_nothing(world, paul, 1000));
        assert_eq!(stop_details(world, "lea"), ["stopped"]);
        assert_eq!(last(world, lea, "commercial_updated")["state"], "online");
        assert_eq!(world.patch(encoder, Some("*"), "a=end-of-candidates\r\n").status, 404);
        assert_eq!(world.delete(encoder).status, 200);
        assert_eq!(world.delete(encoder).status, 404);
        assert_eq!(world.post(encoder, "lea").status, 201, "it comes back");
        world.settle();
        world.run_ms(1000);
        assert_hears(world, paul, encoder, 1000, 80);
    });
}

#[test]
fn a_page_that_streams_takes_the_place_of_its_encoder() {
    scenario(|world| {
        let (lea, encoder, paul) = heard(world);
        let now = world.now;
        world.browsers[lea].start_streaming(now);
        world.settle();
        world.run_ms(1000);
        assert_hears(world, paul, lea, 1000, 80);
        let since = world.now - std::time::Duration::from_secs(2);
        assert_eq!(world.browsers[paul].heard_of(encoder as u16).filter(|heard| heard.at > since).count(), 0);
        assert!(last(world, paul, "commercial_updated").get("source").is_none());
        assert_eq!(stop_details(world, "lea"), ["replaced by the page"]);
        let other = world.token(Role::Commercial, "lea", |_| {});
        let other = world.program(Kind::Whip, "lea", &other);
        let refused = world.post(other, "lea");
        assert_eq!((refused.status, refused.header("Retry-After")), (409, None));
        assert_eq!(world.delete(encoder).status, 200);
        world.run_ms(1000);
        assert_hears(world, paul, lea, 500, 80);
    });
}

#[test]
fn another_encoder_waits_until_the_first_has_stopped() {
    scenario(|world| {
        let (lea, encoder, paul) = heard(world);
        let token = world.token(Role::Commercial, "lea", |_| {});
        let other = world.program(Kind::Whip, "lea", &token);
        let refused = world.post(other, "lea");
        assert_eq!((refused.status, refused.header("Retry-After")), (409, Some("2")));
        world.run_ms(1000);
        assert_hears(world, paul, encoder, 1000, 80);
        mute_encoder(world, encoder);
        world.run_ms(1500);
        assert_eq!(world.post(other, "lea").status, 409);
        world.run_ms(700);
        assert_eq!(world.post(other, "lea").status, 201);
        world.settle();
        world.run_ms(1000);
        assert_hears(world, paul, other, 1000, 80);
        assert_eq!(count(world, lea, "listener_joined"), 1, "the acknowledgement is kept");
        assert_eq!(world.delete(encoder).status, 200, "its session is over, its URL remembered");
        world.run_ms(1000);
        assert_hears(world, paul, other, 1000, 80);
    });
}

#[test]
fn another_encoder_takes_over_the_pause_too() {
    scenario(|world| {
        let (lea, encoder, paul) = heard(world);
        world.browsers[lea].say("pause_streaming", json!({}));
        world.run_ms(1000);
        let token = world.token(Role::Commercial, "lea", |_| {});
        let other = world.program(Kind::Whip, "lea", &token);
        assert_eq!(world.post(other, "lea").status, 409, "it flows, though nobody hears it");
        mute_encoder(world, encoder);
        world.run_ms(2500);
        assert_eq!(world.post(other, "lea").status, 201);
        world.settle();
        world.run_ms(2000);
        assert_eq!(world.browsers[paul].heard_of(other as u16).count(), 0, "law 2");
        world.browsers[lea].say("resume_streaming", json!({}));
        world.run_ms(2000);
        assert_hears(world, paul, other, 1000, 80);
    });
}

#[test]
fn a_device_that_takes_the_place_of_an_encoder_is_written_down_as_one() {
    scenario(|world| {
        let (encoder, paul) = (world.encoder("hall"), world.listener("paul"));
        world.settle();
        world.join(paul, "hall");
        mute_encoder(world, encoder);
        world.run_ms(2500);
        let device = world.device("hall");
        world.settle();
        world.run_ms(2000);
        assert_hears(world, paul, device, 1000, 80);
        assert_eq!(stop_details(world, "hall"), ["replaced"]);
        assert_eq!(last(world, paul, "commercial_updated")["source"], "device");
        // And back: who was heard unacknowledged is not heard so any more.
        mute_encoder(world, device);
        world.run_ms(2500);
        let encoder = world.encoder("hall");
        world.settle();
        world.run_ms(2000);
        assert_eq!(world.browsers[paul].heard_of(encoder as u16).count(), 0, "law 1");
    });
}

#[test]
fn who_may_not_is_refused() {
    scenario(|world| {
        let (_, encoder, paul) = heard(world);
        let location = world.location(encoder);
        let etag = world.etag(encoder);
        let other = world.token(Role::Commercial, "tom", |_| {});
        let admin = world.token(Role::Admin, "lea", |_| {});
        let monitor = world.token(Role::Monitor, "lea", |_| {});
        let from = world.browsers[paul].address;
        for token in [&other, &admin, &monitor] {
            for ask in [
                Ask::post("/whip/lea", token, "v=0"),
                Ask::patch(&location, token, Some(&etag), "a=end-of-candidates\r\n"),
                Ask::delete(&location, token),
            ] {
                assert_eq!(world.ask_from(from, &ask.to_http()).status, 403, "law 3: {ask:?}");
            }
        }
        for token in [&other, &monitor] {
            assert_eq!(world.ask_from(from, &Ask::post("/whep/lea", token, "v=0").to_http()).status, 403);
        }
        // A session of one protocol is none of the other.
        let token = world.token(Role::Commercial, "lea", |_| {});
        let crossed = location.replace("/whip/", "/whep/");
        assert_eq!(world.ask_from(from, &Ask::delete(&crossed, &token).to_http()).status, 404);
        world.run_ms(1000);
        assert_hears(world, paul, encoder, 1000, 80);
    });
}
