//! Days that go wrong: refused, interrupted, taken over, lost, waited for. Each is as clear and as accessible as a good one.

use serde_json::json;

use crate::SOCKET_KEPT;
use crate::day::set_volume;
use crate::desk::{assert_accessible_in, say};
use crate::drive::{Browser, Page};
use crate::people::{microphone, start_listening, start_streaming};
use crate::support::Ecoute;

/// Runs before a page: lets a test refuse the microphone, and take away the one that is open.
const MICROPHONE: &str = "
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (constraints) => {
        if (window.refusal) throw new DOMException('no', window.refusal);
        const stream = await ask(constraints);
        window.track = stream.getAudioTracks()[0];
        return stream;
    };
    window.setMuted = (muted) => {
        Object.defineProperty(track, 'muted', { value: muted, configurable: true });
        track.dispatchEvent(new Event(muted ? 'mute' : 'unmute'));
    };
";

#[test]
fn a_phone_in_trouble_says_what_is_so() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let link = ecoute.link("commercial", "lea", "Léa Martin");
    let lea = browser.open_prepared(&link, &format!("{SOCKET_KEPT}{MICROPHONE}"));
    lea.resize(390, 844);
    lea.wait_for("document.body.dataset.state === 'ready'");

    // The trial has words for what goes wrong, as the broadcast has.
    lea.evaluate("window.refusal = 'NotReadableError'");
    lea.click("#device-try");
    lea.wait_for("deep('ecoute-micro >>> #help').innerText.includes('Micro occupé')");
    lea.evaluate("window.refusal = 'NotAllowedError'");
    lea.click("ecoute-micro >>> #start");
    lea.wait_for("deep('ecoute-micro >>> #help').innerText.includes('Micro refusé')");
    lea.wait_for("document.body.dataset.state === 'error'");
    assert_accessible_in(&lea, "phone-refused", &["fr"]);

    lea.evaluate("window.refusal = null");
    lea.click("ecoute-micro >>> #start");
    lea.wait_for("document.body.dataset.state === 'on_air'");
    lea.wait_for("document.querySelector('.toast').innerText.startsWith('Vous êtes en direct')");
    assert_accessible_in(&lea, "phone-alone", &["fr"]);
    // It lies over no listener and moves nothing under a finger when it goes.
    let moved = "(() => {
        const toast = document.querySelector('.toast'), micro = deep('ecoute-micro');
        const top = () => deep('ecoute-micro >>> #stop').getBoundingClientRect().top;
        const covered = toast.getBoundingClientRect().bottom - micro.getBoundingClientRect().top, before = top();
        toast.hidden = true;
        const moved = top() - before;
        toast.hidden = false;
        return [covered <= 0, moved];
    })()";
    assert_eq!(lea.evaluate(moved), json!([true, 0]));
    let longest = "Maximilienne-Alexandrine de La Rochefoucauld-Montmorency-Sainte-Croix d'Aubigny";
    for (index, name) in ["Paul D.", "Ana R.", longest, "Tom L.", "Inès R."].into_iter().enumerate() {
        let admin = json!({ "id": format!("a{index}"), "name": name });
        let joined = json!({ "notice_id": 1000 + index, "listening_id": format!("l{index}"), "admin": admin, "reason": "qualité", "listeners_count": index + 1 });
        say(&lea, "listener_joined", joined);
    }
    assert_eq!(lea.evaluate("document.title"), "● On vous écoute");
    let shown = "deep('ecoute-micro >>> #heard-title').innerText.replaceAll('\\u00a0', ' ')";
    assert_eq!(lea.evaluate(shown), "On vous écoute (5) :");
    let rows = "[...deep('ecoute-micro >>> #listeners').children]";
    let order = lea.evaluate(&format!("{rows}.map((row) => row.dataset.admin).join()"));
    assert_eq!(order, "a4,a3,a2,a1,a0", "newest first");
    let cut = format!("{rows}.filter((row) => row.scrollWidth > row.clientWidth + 2).map((row) => row.innerText)");
    assert_eq!(lea.evaluate(&cut), json!([]), "whoever listens is named to the end");
    assert_accessible_in(&lea, "phone-five", &["fr"]);

    // Picture, colour and words change together, and what was said of the start is gone.
    let picture = "deep('ecoute-micro >>> #state svg').dataset.name";
    assert_eq!(lea.evaluate("deep('ecoute-micro >>> #state').checkVisibility()"), false, "the band says it");
    lea.evaluate("setMuted(true)");
    lea.wait_for("document.body.dataset.state === 'interrupted'");
    assert_eq!(lea.evaluate(picture), "warn");
    assert_eq!(
        lea.evaluate("deep('ecoute-micro >>> #state').innerText.trim()"),
        "Interrompu – micro coupé par le système"
    );
    assert_eq!(lea.evaluate("document.querySelectorAll('.toast').length"), 0);
    assert_eq!(lea.evaluate("deep('ecoute-micro >>> #listeners').checkVisibility()"), true);
    assert_eq!(lea.evaluate("/personne/i.test(deep('ecoute-micro >>> .micro').innerText)"), false);
    assert_accessible_in(&lea, "phone-interrupted", &["fr"]);
    let detail = lea.evaluate("deep('ecoute-micro >>> #state-detail').innerText.replaceAll('\\u00a0', ' ')");
    assert!(
        detail
            .as_str()
            .unwrap()
            .starts_with("Vérifiez la touche du micro, les réglages du son, ou si un appel est en cours."),
        "{detail}"
    );
    lea.evaluate("setMuted(false)");
    lea.wait_for("document.body.dataset.state === 'on_air'");

    let second = browser.open(&link);
    second.resize(390, 844);
    second.wait_for("document.body.dataset.state === 'already_open'");
    let words = "deep('ecoute-micro >>> #elsewhere').innerText.startsWith('Déjà ouvert ailleurs')";
    assert_eq!(second.evaluate(words), true);
    // Nor is it the network that keeps this page from the server.
    assert_eq!(second.evaluate("document.querySelector('#test-open').checkVisibility()"), false);
    assert_accessible_in(&second, "phone-elsewhere", &["fr"]);
    second.close();

    drop(ecoute);
    lea.bring_to_front();
    lea.wait_for("/^Reconnexion dans [0-9] s$/.test(deep('ecoute-micro >>> #state').innerText.trim().replaceAll('\\u00a0', ' '))");
    lea.wait_for("deep('ecoute-micro >>> #help').innerText.includes('Impossible de se connecter au serveur')");
    assert_eq!(lea.evaluate(picture), "wait");

    // Where the browser lets no page copy, the diagnostic is shown: states and events, and nobody's name or token.
    assert_diagnostic_tells_no_secret(&lea, &link);
    assert_accessible_in(&lea, "phone-reconnecting", &["fr"]);
}

fn assert_diagnostic_tells_no_secret(page: &Page<'_>, link: &str) {
    page.evaluate("navigator.clipboard.writeText = async () => { throw new Error('no'); }");
    page.evaluate("for (let i = 0; i < 60; i += 1) dispatchEvent(new Event('offline'))");
    page.click("#diagnostic");
    page.wait_for("document.querySelector('#diagnostic-text').checkVisibility()");
    let text = page.evaluate("document.querySelector('#diagnostic-text').value");
    let text = text.as_str().unwrap();
    assert!(text.contains("browser: Mozilla") && text.contains("states: connection="), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("20")).count(), 50, "{text}");
    let token = link.split_once("#t=").unwrap().1;
    for part in token.split('.').chain(["Léa", "Martin", "Paul", "eyJ"]) {
        assert!(!text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_desk_in_trouble_says_what_is_so() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let phone = Browser::start(&tone, "fr-FR");
    let desk = Browser::start(&tone, "fr-FR");
    let link = ecoute.link("admin", "paul", "Paul D.");
    let paul = desk.open_prepared(&link, SOCKET_KEPT);
    paul.wait_for("document.querySelector('#team-empty').innerText.startsWith('Personne')");
    assert_accessible_in(&paul, "desk-empty", &["fr"]);
    let lea = phone.open(&ecoute.link("commercial", "lea", "Léa Martin"));
    start_streaming(&lea);
    start_listening(&paul, "lea");
    let words = |place: &str| {
        let text = paul.evaluate(&format!("deep('ecoute-panel >>> {place}').innerText"));
        text.as_str().unwrap().replace('\u{a0}', " ")
    };
    assert_eq!(words("#volume-percent"), "80 %");
    assert_eq!(words("#panel-sees"), "Votre nom est à son écran : Paul D. – accompagnement");
    let quality =
        json!({ "commercial_id": "lea", "loss": 0.002, "jitter_ms": 8, "rtt_ms": 40, "bitrate_bps": 32_000 });
    say(&paul, "stream_quality", quality);
    assert_eq!(words("#panel-quality"), "Connexion : bonne · 0,2 % de perte");

    set_volume(&paul, 150);

    // Wishes for people in every state; the panel may lie over their rows.
    let toggle = |id: &str| paul.evaluate(&format!("deep('[data-commercial={id}] ecoute-casque').toggle()"));
    let now = paul.evaluate("Date.now()");
    for (id, state) in [("ines", "paused"), ("tom", "interrupted"), ("zoe", "online"), ("hugo", "offline")] {
        let commercial = json!({ "commercial_id": id, "name": id, "state": state, "is_streaming": false,
            "listeners": [], "listeners_count": 0, "since": now, "last_seen": now });
        say(&paul, "commercial_updated", commercial);
        toggle(id);
    }
    paul.wait_for("deep('ecoute-casque').client.wishes.every(({ cause }) => cause !== 'asked')");
    say(&paul, "listening_pending", json!({ "commercial_id": "zoe", "cause": "ack" }));
    say(&paul, "listening_pending", json!({ "commercial_id": "lea", "cause": "ack_late" }));
    say(&paul, "listening_pending", json!({ "commercial_id": "hugo", "cause": "offline" }));
    let panel = words("#panel");
    assert!(panel.contains("zoe\nEn attente de son téléphone…"), "{panel}");
    let late = "Son téléphone ne répond pas (écran verrouillé ?). L'écoute démarrera dès qu'il répondra.";
    assert!(panel.contains(late), "{panel}");
    assert_accessible_in(&paul, "desk-waiting", &["fr"]);
    for id in ["ines", "tom", "zoe", "hugo"] {
        toggle(id);
    }
    paul.resize(390, 844);
    paul.click("ecoute-panel >>> #no-sound summary");
    assert_accessible_in(&paul, "desk-no-sound", &["fr"]);

    paul.reload();
    paul.wait_for("deep('ecoute-panel >>> #resume').checkVisibility()");
    assert_eq!(words("#resume"), "Reprendre l'écoute : Léa Martin");
    assert_accessible_in(&paul, "desk-resume", &["fr"]);
    paul.click("ecoute-panel >>> #resume");
    paul.wait_for("deep('ecoute-panel >>> #panel').dataset.listening === 'started'");
    assert_eq!(words("#volume-percent"), "150 %", "as loud as it was chosen for this person");

    drop(ecoute);
    paul.resize(1280, 800);
    paul.wait_for("document.querySelector('#lost').checkVisibility()");
    paul.wait_for("document.querySelector('#help').innerText.includes('Impossible de se connecter au serveur')");
    assert_accessible_in(&paul, "desk-lost", &["fr"]);
    assert_diagnostic_tells_no_secret(&paul, &link);
    paul.click("ecoute-panel >>> #panel-stop");
    paul.wait_for("deep('ecoute-panel >>> #panel').hidden");
    assert_accessible_in(&paul, "desk-lost-alone", &["fr"]);
}
