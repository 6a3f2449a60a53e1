//! A thousand people on air: what a page does for each change does not grow with how many others there are.
//!
//! It is counted, not timed: what is written into the page, and how often rows change places.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::SOCKET_KEPT;
use crate::drive::{Browser, Page};
use crate::people::microphone;
use crate::support::Ecoute;

const PEOPLE: usize = 1000;

/// Runs before a page: counts what is written, and says things of people as a server would, each in a task of its own.
const COUNTED: &str = "
    window.writes = 0; window.moves = 0; window.sorts = 0;
    const { sort } = Array.prototype;
    Array.prototype.sort = function (...all) { window.sorts += this.length > 500; return sort.apply(this, all); };
    for (const [owner, name, counter] of [[Element, 'setAttribute', 'writes'], [Element, 'replaceChildren', 'writes'],
        [Node, 'insertBefore', 'moves']]) {
        const own = owner.prototype[name];
        owner.prototype[name] = function (...all) { window[counter] += 1; return own.apply(this, all); };
    }
    for (const [owner, name] of [[Node, 'textContent'], [HTMLElement, 'title'], [HTMLElement, 'hidden']]) {
        const own = Object.getOwnPropertyDescriptor(owner.prototype, name);
        Object.defineProperty(owner.prototype, name, { ...own, set(value) { window.writes += 1; own.set.call(this, value); } });
    }
    window.idOf = (number) => `p${String(number).padStart(4, '0')}`;
    window.say = (event, data) => lastSocket.onmessage({ data: JSON.stringify({ event, data }) });
    const task = () => new Promise((done) => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = done;
        port2.postMessage(0);
    });
    window.lastSaid = {};
    window.sayStates = async (states) => {
        for (const [number, state] of states) {
            lastSaid[number] = { commercial_id: idOf(number), name: `Personne ${number}`, state, is_streaming: state !== 'online',
                speaking: false, listeners: [], listeners_count: 0, since: Date.now(), last_seen: Date.now() };
            say('commercial_updated', lastSaid[number]);
            await task();
        }
    };
    window.sayTurns = async (speaking) => {
        for (const said of Object.values(lastSaid)) {
            if (said.state !== 'on_air') continue;
            say('commercial_updated', { ...said, speaking });
            await task();
        }
    };
    window.frames = async (count) => {
        for (let n = 0; n < count; n += 1) await new Promise(requestAnimationFrame);
    };
    window.counted = async (act) => {
        const before = { writes, moves };
        await act();
        await frames(3);
        return { writes: writes - before.writes, moves: moves - before.moves };
    };
    window.shown = (state = '') => [...document.querySelectorAll(`.person${state}`)].filter((row) => !row.hidden)
        .map((row) => row.dataset.commercial);
";

/// Does what may take a busy machine longer than one answer of a browser may.
fn at_length(page: &Page<'_>, act: &str) -> Value {
    page.evaluate(&format!(
        "window.outcome = undefined; ({act}).then((outcome) => {{ window.outcome = [outcome]; }}); true"
    ));
    let begin = Instant::now();
    while page.evaluate("window.outcome === undefined") == true {
        assert!(begin.elapsed() < Duration::from_secs(120), "{act} does not end");
        thread::sleep(Duration::from_millis(100));
    }
    page.evaluate("outcome[0] ?? null")
}

fn counted(page: &Page<'_>, act: &str) -> (u64, u64) {
    let counts = at_length(page, &format!("counted(() => {act})"));
    let count = |name: &str| counts[name].as_u64().unwrap();
    (count("writes"), count("moves"))
}

#[test]
fn what_is_drawn_for_one_does_not_grow_with_the_others() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let paul = browser.open_prepared(&ecoute.link("admin", "paul", "Paul D."), &format!("{SOCKET_KEPT}{COUNTED}"));
    paul.wait_for("document.body.dataset.connection === 'connected' && document.body.dataset.audio === 'ready'");
    paul.evaluate("document.querySelector('#sort').value = 'state'; document.querySelector('#sort').dispatchEvent(new Event('input'))");

    // All come within moments.
    let people = PEOPLE as u64;
    let (writes, moves) =
        counted(&paul, &format!("sayStates(Array.from({{ length: {PEOPLE} }}, (_, n) => [n, 'on_air']))"));
    assert!(writes < 150 * people, "{writes} writes");
    assert!(moves < 2 * people, "{moves} moves");
    assert_eq!(paul.evaluate("shown('[data-state=on_air]').length"), json!(PEOPLE));
    assert_eq!(
        paul.evaluate("[...document.querySelectorAll('.count')].map((count) => count.innerText).join()"),
        "1000,1000,1000"
    );

    // Some change: only they are drawn, and only they change places.
    let changes = 100;
    let some = "Array.from({ length: 100 }, (_, n) => [(n * 37) % 1000, n % 2 ? 'paused' : 'online'])";
    let (writes, moves) = counted(&paul, &format!("sayStates({some})"));
    // What grows old in view is written meanwhile, every second.
    assert!(writes < 100 * changes, "{writes} writes");
    assert!(moves <= 2 * changes, "{moves} moves");
    let order = "(() => {
        const ids = Array.from({ length: 1000 }, (_, n) => idOf(n)), rank = ['on_air', 'paused', 'online'];
        const stateOf = (id) => document.querySelector(`[data-commercial=${id}]`).dataset.state;
        return ids.sort((a, b) => rank.indexOf(stateOf(a)) - rank.indexOf(stateOf(b)) || (a < b ? -1 : 1)).join() === shown().join();
    })()";
    assert_eq!(paul.evaluate(order), true);

    // Who begins to speak is shown so, in view or not; whom that puts in front is looked at once a second.
    let on_air = people - paul.evaluate("shown(':not([data-state=on_air])').length").as_u64().unwrap();
    let turns = "(async () => {
        const before = { sorts, at: performance.now() };
        await sayTurns(true);
        await frames(3);
        return [sorts - before.sorts, (performance.now() - before.at) / 1000];
    })()";
    let counts = at_length(&paul, turns);
    let [sorts, seconds] = [0, 1].map(|n: usize| counts[n].as_f64().unwrap());
    assert!(sorts <= seconds + 2.0, "{sorts} sorts in {seconds} s");
    let speaking = "document.querySelectorAll('.person:not([hidden]) .speech[data-speaks=true]').length";
    assert_eq!(paul.evaluate(speaking), on_air);
    assert_eq!(
        paul.evaluate("document.querySelector('[data-commercial=p0990] .speech [data-name]').dataset.name"),
        "speech"
    );
    at_length(&paul, "sayTurns(false)");
    assert_eq!(paul.evaluate(speaking), 0);
}

#[test]
fn the_keyboard_stays_where_it_is_in_a_crowd() {
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let browser = Browser::start(&tone, "fr-FR");
    let paul = browser.open_prepared(&ecoute.link("admin", "paul", "Paul D."), &format!("{SOCKET_KEPT}{COUNTED}"));
    paul.wait_for("document.body.dataset.audio === 'ready'");
    at_length(&paul, "sayStates(Array.from({ length: 300 }, (_, n) => [n, 'on_air'])).then(() => frames(3))");
    for _ in 0..3 {
        paul.press("ArrowDown");
    }
    let focused = paul.evaluate("document.activeElement.dataset.commercial");
    let stops =
        "[...document.querySelectorAll('.person[tabindex=\"0\"]')].map((row) => row.dataset.commercial).join()";
    assert_eq!(paul.evaluate(stops), focused);
    let before = paul.evaluate("shown().join()");
    let changes = "sayStates(Array.from({ length: 300 }, (_, n) => [(n * 7) % 300, n % 3 ? 'paused' : 'online'])).then(() => frames(3))";
    at_length(&paul, changes);
    assert_eq!(paul.evaluate("shown().join()"), before, "nothing moves under the keyboard");
    assert_eq!(paul.evaluate("document.activeElement.dataset.commercial"), focused);
    // Asked to, all move, and the keyboard goes with its row.
    paul.evaluate("document.querySelector('#sort').value = 'state'; document.querySelector('#sort').dispatchEvent(new Event('input'))");
    assert_ne!(paul.evaluate("shown().join()"), before);
    assert_eq!(paul.evaluate("document.activeElement.dataset.commercial"), focused);
    assert_eq!(paul.evaluate(stops), focused);
    assert_eq!(browser.complaints(), [] as [&str; 0]);
}
