//! What people do with the pages: a salesperson who goes on air, a supervisor who listens.

use crate::drive::{Browser, Page};
use crate::sound;
pub use crate::sound::microphone;
use crate::support::Ecoute;

pub fn start_streaming(page: &Page<'_>) {
    page.wait_for("document.body.dataset.state === 'ready'");
    page.click("ecoute-micro >>> #start");
    page.wait_for("document.body.dataset.state === 'on_air'");
}

/// Wishes to hear somebody who is on air.
pub fn wish(page: &Page<'_>, id: &str) {
    page.wait_for("document.body.dataset.audio === 'ready'");
    page.wait_for(&format!("document.querySelector('[data-commercial=\"{id}\"]')?.dataset.state === 'on_air'"));
    page.click(&format!("[data-commercial=\"{id}\"] ecoute-casque >>> button"));
}

pub fn start_listening(page: &Page<'_>, id: &str) {
    wish(page, id);
    page.wait_for("deep('ecoute-panel >>> #panel').dataset.listening === 'started'");
}

/// Opens Léa's page, on air, and Paul's, which hears her; a script runs before each.
pub fn open_both<'a>(
    ecoute: &Ecoute,
    [phone, desk]: [&'a Browser; 2],
    [before_lea, before_paul]: [&str; 2],
) -> (Page<'a>, Page<'a>) {
    let lea = phone.open_prepared(&ecoute.link("commercial", "lea", "Léa Martin"), before_lea);
    start_streaming(&lea);
    let before_paul = format!("{}{before_paul}", sound::TAP);
    let paul = desk.open_prepared(&ecoute.link("admin", "paul", "Paul D."), &before_paul);
    start_listening(&paul, "lea");
    paul.wait_for("loudness() > 0.01");
    (lea, paul)
}
