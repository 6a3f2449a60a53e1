//! What a broadcast does when its user acts while it is lost, refused or not there yet.

use crate::chromium::Chromium;
use crate::support::Ecoute;
use crate::{SOCKET_KEPT, microphone, sound, start_listening, start_streaming};

const CLIENT: &str = "deep('ecoute-micro').client";

#[test]
fn a_pause_that_ends_while_everything_is_lost_is_over_for_the_server_too() {
    let ecoute = Ecoute::start();
    let (_folder, tone) = microphone(440.0);
    let phone = Chromium::start(&tone, "fr-FR");
    let desk = Chromium::start(&tone, "fr-FR");
    // Where nothing gets through, the server does not learn that a session was closed.
    let script = format!("{SOCKET_KEPT} RTCPeerConnection.prototype.close = () => {{}};");
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), &script);
    start_streaming(&lea);
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), sound::TAP);
    start_listening(&paul, "lea");
    lea.click("ecoute-micro >>> #pause");
    paul.wait_for("document.querySelector('[data-commercial=lea]').dataset.state === 'paused'");
    // The session is lost, then the connection, and only then does she resume.
    lea.evaluate(&format!(
        "lastSocket.onmessage({{ data: JSON.stringify({{ event: 'error', data: {{ code: 'no_such_peer', message: '' }} }}) }});
         lastSocket.close();
         {CLIENT}.resumeStreaming();"
    ));
    lea.wait_for("document.body.dataset.state === 'on_air'");
    paul.wait_for(
        "document.querySelector('[data-commercial=lea]').dataset.state === 'on_air' && loudness() > 0.01",
    );
}
