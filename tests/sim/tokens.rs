//! Users whose token is revoked in the middle of things.

use ecoute::outbox::AuditEvent;
use ecoute::token::Role;

use crate::world::World;
use crate::{assert_hears, hears_nothing, scenario};

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

        let written = |event| world.audit.iter().position(|entry| entry.event == event && entry.actor == "paul");
        let (revoked, stopped) = (written(AuditEvent::AccessRevoked), written(AuditEvent::ListenStopped));
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
        assert_eq!(world.browsers[paul].messages_of("listening_pending").last().unwrap()["cause"], "offline");
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
        let revoked = world.audit.iter().filter(|entry| entry.event == AuditEvent::AccessRevoked);
        assert_eq!(revoked.map(|entry| entry.actor.as_str()).collect::<Vec<_>>(), ["lea"]);
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
        let before = world.token(Role::Admin, "ana", |claims| claims.iat = now_s);
        let ana = world.open_with("ana", &before);
        world.run_ms(1000);
        assert_eq!(world.browsers[ana].closed, Some(4401), "the old list holds");
    });
}
