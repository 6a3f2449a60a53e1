//! The library in other people's hands: tokens that come late, never or wrong, a `getToken` made anew at every mount, elements
//! before the library, pages drawn on a server, and what is left when all is closed.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::drive::{Browser, Page};
use crate::elements::{COUNTED, go_on_air, start_for};
use crate::npm::react;
use crate::people::microphone;
use crate::site::Site;
use crate::support::{Ecoute, over_tls, run};

/// Runs before a page: keeps what the console warns of, and every state of every client.
const WARNED: &str = "window.warned = [];
    const warn = console.warn;
    console.warn = (...all) => { warned.push(all.filter((part) => typeof part === 'string').join(' ')); warn(...all); };";

/// An element of a page in which `tokens` are by name, and `asked` counts how often `getToken` was called.
fn page_script(tokens: &[(&str, String)], then: &str) -> String {
    let tokens: serde_json::Map<String, Value> =
        tokens.iter().map(|(name, token)| ((*name).to_owned(), json!(token))).collect();
    format!(
        "import {{ EcouteClient }} from 'ECOUTE/ecoute.js';
         window.EcouteClient = EcouteClient;
         window.tokens = {};
         window.asked = 0;
         window.states = [];
         window.make = (name, properties) => Object.assign(document.createElement(name), properties);
         window.mount = (name, properties) => {{
             const made = make(name, properties);
             document.body.append(made);
             return made;
         }};
         window.watch = (client) => client.addEventListener('connection', ({{ detail }}) => states.push(detail.state));
         {then}",
        Value::from(tokens)
    )
}

fn open<'a>(browser: &'a Browser, site: &Site, ecoute: &Ecoute, script: String, before: &str) -> Page<'a> {
    site.serve(ecoute, vec![("/app", script)]);
    let page = browser.open_prepared(&site.url("/app"), &format!("{COUNTED}{WARNED}{before}"));
    page.wait_for("window.make");
    page
}

/// Starts a server, a browser and an application's page with tokens of Léa's.
macro_rules! app {
    ($site:ident, $ecoute:ident, $browser:ident) => {
        let $site = Site::start();
        let $ecoute = start_for(&[&$site]);
        let $browser = Browser::start(&microphone(440.0), "fr-FR");
    };
}

#[test]
fn a_newer_token_is_asked_for_until_there_is_one() {
    app!(site, ecoute, browser);
    // A minute before its end comes after a moment; then the application fails, and has only the one that ends, and the one after.
    let tokens = [
        ("short", ecoute.token_for("62s", "commercial", "lea")),
        ("long", ecoute.token_for("1h", "commercial", "lea")),
    ];
    let script = "const answers = [() => tokens.short, () => { throw new Error('login'); }, () => tokens.short, () => tokens.long];
        window.micro = mount('ecoute-micro', { getToken: async () => answers[Math.min(asked++, 3)]() });
        micro.client.addEventListener('registered', ({ detail }) => { window.isRenewed = detail.renewed; });";
    let page = open(&browser, &site, &ecoute, page_script(&tokens, script), "");
    go_on_air(&page);
    page.wait_for("isRenewed === true");
    assert_eq!(page.evaluate("[asked, counts.sockets, counts.peers, micro.state]"), json!([4, 1, 1, "on_air"]));
    let problem = "deep('ecoute-micro >>> .problem').hidden";
    assert_eq!(page.evaluate(problem), true);
}

#[test]
fn a_token_that_ends_is_asked_for_once_more_and_no_more() {
    app!(site, ecoute, browser);
    let tokens = [
        ("short", ecoute.token_for("7s", "commercial", "lea")),
        ("long", ecoute.token_for("1h", "commercial", "lea")),
        ("zoe", ecoute.token_for("1h", "commercial", "zoe")),
    ];
    // The application has the newer one only once the former is refused.
    let script = "window.micro = mount('ecoute-micro', { getToken: async () => counts.closed ? tokens.long : tokens.short });
        watch(micro.client);";
    let closed = "window.WebSocket = class extends WebSocket {
        constructor(...all) { super(...all); this.addEventListener('close', () => { counts.closed = true; }); }
    };";
    let page = open(&browser, &site, &ecoute, page_script(&tokens, script), closed);
    go_on_air(&page);
    page.wait_for("counts.closed && micro.state === 'on_air'");
    assert_eq!(
        page.evaluate("[states.includes('expired'), counts.sockets, counts.microphones]"),
        json!([false, 2, 1])
    );
    // The one that was refused is not sent again; of ones that are ever new, no more than two are.
    for (name, answer, sockets) in [("the same", "'a.b.c'", 1), ("another", "`a.b.c${asked++}`", 2)] {
        let begin = format!(
            "counts.sockets = 0; window.client = new EcouteClient({{ server: '{}', getToken: async () => {answer} }});
             client.connect()",
            ecoute.url()
        );
        page.evaluate(&format!("{{ {begin} }}"));
        page.wait_for("client.connectionState === 'expired'");
        assert_eq!(
            page.evaluate("[counts.sockets, client.connection.close_code]"),
            json!([sockets, 4401]),
            "{name}"
        );
    }
    // Somebody else's is no renewal: it begins anew.
    let begin = format!(
        "window.next = 'short'; window.states = [];
         window.client = new EcouteClient({{ server: '{}', getToken: async () => tokens[next] }});
         tokens.short = '{}'; watch(client); client.connect()",
        ecoute.url(),
        ecoute.token_for("62s", "commercial", "karim")
    );
    page.evaluate(&format!("{{ {begin} }}"));
    page.wait_for("client.user?.id === 'karim'");
    page.evaluate("next = 'zoe'");
    page.wait_for("client.user?.id === 'zoe'");
    assert_eq!(page.evaluate("states.includes('expired')"), false);
}

#[test]
fn a_person_may_take_time_to_log_in_and_is_told_what_is_waited_for() {
    app!(site, ecoute, browser);
    let tokens = [("lea", ecoute.token("commercial", "lea", "Léa Martin"))];
    let script = "window.micro = mount('ecoute-micro', { getToken: () => { asked += 1; return new Promise((resolve) => { window.login = resolve; }); } });
        window.errors = [];
        micro.addEventListener('ecoute-error', ({ detail }) => errors.push(detail.code));
        window.began = performance.now();";
    let page = open(&browser, &site, &ecoute, page_script(&tokens, script), "");
    let problem = "deep('ecoute-micro >>> .problem')";
    page.wait_for("asked === 1 && micro.state === 'connecting'");
    assert_eq!(page.evaluate(&format!("{problem}.hidden")), true);
    // Another network changes nothing for who is logging in.
    page.evaluate("dispatchEvent(new Event('online'))");
    page.wait_for(&format!(
        "{problem}.checkVisibility() && {problem}.innerText.includes(\"pas encore donné votre accès\")"
    ));
    page.wait_for("performance.now() - began > 13_000");
    assert_eq!(page.evaluate("[asked, counts.sockets]"), json!([1, 0]));
    assert_eq!(page.evaluate("errors"), json!(["token_unavailable"]));
    let told = "warned.filter((text) => text.includes('getToken')).length";
    assert_eq!(page.evaluate(told), 1);
    page.evaluate("login(tokens.lea)");
    page.wait_for("micro.state === 'ready'");
    assert_eq!(page.evaluate(&format!("[{problem}.hidden, asked, counts.sockets]")), json!([true, 1, 1]));
}

/// The clock is put forward, because nobody waits for minutes in a test.
#[test]
fn a_promise_that_never_ends_is_given_up_and_asked_for_anew() {
    app!(site, ecoute, browser);
    let tokens = [("lea", ecoute.token("commercial", "lea", "Léa Martin"))];
    let script = "window.micro = mount('ecoute-micro', { getToken: () => asked++ === 0 ? new Promise(() => {}) : tokens.lea });";
    let hurry = "const later = window.setTimeout;
        window.setTimeout = (call, ms, ...all) => later(call, ms >= 60_000 ? ms / 60 : ms, ...all);";
    let page = open(&browser, &site, &ecoute, page_script(&tokens, script), hurry);
    page.wait_for("micro.state === 'ready'");
    assert_eq!(page.evaluate("[asked, counts.sockets]"), json!([2, 1]));
}

#[test]
fn a_function_made_anew_at_every_mount_is_the_same_client() {
    app!(site, ecoute, browser);
    let tokens = [
        ("lea", ecoute.token("commercial", "lea", "Léa Martin")),
        ("zoe", ecoute.token("commercial", "zoe", "Zoé P.")),
        ("paul", ecoute.token("admin", "paul", "Paul D.")),
    ];
    let script = "window.as = (who) => async () => { asked += 1; return tokens[who]; };
        window.remount = (who) => { window.micro?.remove(); window.micro = mount('ecoute-micro', { getToken: as(who) }); };
        remount('lea');
        watch(micro.client);";
    let page = open(&browser, &site, &ecoute, page_script(&tokens, script), "");
    go_on_air(&page);
    page.evaluate("window.client = micro.client");
    for mount in 2..=20 {
        page.evaluate("remount('lea')");
        // What is on air is so at once, and the last function is the one that is asked.
        assert_eq!(page.evaluate("[micro.state, micro.client === client]"), json!(["on_air", true]));
        page.wait_for(&format!("asked === {mount}"));
    }
    assert_eq!(page.evaluate("[counts.sockets, counts.peers, counts.microphones]"), json!([1, 1, 1]));
    page.evaluate("lastSocket.close()");
    page.wait_for("asked === 21 && micro.state === 'on_air' && counts.sockets === 2");
    assert_eq!(page.evaluate("states.includes('already_open')"), false);

    // Headphones beside it, each with a function of its own, are one client of whoever these are of.
    page.evaluate("window.casques = Array.from({ length: 20 }, () => mount('ecoute-casque', { commercial: 'lea', getToken: as('paul') }))");
    page.wait_for("casques.every((casque) => casque.client?.user?.id === 'paul')");
    assert_eq!(page.evaluate("new Set(casques.map((casque) => casque.client)).size"), 1);
    assert_eq!(page.evaluate("[counts.sockets, micro.state, micro.client.user.id]"), json!([3, "on_air", "lea"]));
    page.wait_for("casques[0].client.commercial('lea')?.state === 'on_air'");
    // Taken away and put back while something else of another person is mounted, each goes on with its own.
    page.evaluate("micro.remove(); casques.forEach((casque) => casque.remove())");
    page.evaluate("casques.forEach((casque) => document.body.append(casque)); remount('lea')");
    page.wait_for("micro.state === 'on_air' && micro.client === client && casques[7].client.user?.id === 'paul'");
    assert_eq!(page.evaluate("counts.sockets"), 3);

    // Somebody else has logged in: what the one before began ends, and nothing goes on in their name. Two elements at once,
    // of which neither can know of the other, are one client all the same.
    page.evaluate("{ window.second = make('ecoute-micro', { getToken: as('zoe') }); document.body.append(second); remount('zoe'); }");
    page.wait_for("micro.client.user?.id === 'zoe' && micro.state === 'ready' && second.client === micro.client");
    page.wait_for("casques[0].client.commercial('lea').state === 'offline'");
    page.wait_for("casques[0].client.commercial('zoe').state === 'online'");
    assert_eq!(page.evaluate("[counts.sockets, states.includes('already_open')]"), json!([4, false]));
}

/// Before any token has come, nobody knows whose they are.
#[test]
fn elements_that_are_mounted_together_become_one_client_for_each_person() {
    app!(site, ecoute, browser);
    let tokens = [
        ("lea", ecoute.token("commercial", "lea", "Léa Martin")),
        ("paul", ecoute.token("admin", "paul", "Paul D.")),
    ];
    let script = "const as = (who, ms) => () => new Promise((resolve) => setTimeout(resolve, ms, tokens[who]));
        window.all = [['ecoute-micro', 'lea', 200], ['ecoute-casque', 'paul', 100], ['ecoute-casque', 'paul', 300], ['ecoute-micro', 'lea', 50]]
            .map(([name, who, ms]) => mount(name, { commercial: 'lea', getToken: as(who, ms) }));";
    let page = open(&browser, &site, &ecoute, page_script(&tokens, script), "");
    page.wait_for("all.map((element) => element.client?.user?.id).join() === 'lea,paul,paul,lea'");
    assert_eq!(
        page.evaluate("[counts.sockets, new Set(all.map((element) => element.client)).size]"),
        json!([2, 2])
    );
}

#[test]
fn a_function_that_was_left_and_is_somebody_elses_by_now_is_asked_no_more() {
    app!(site, ecoute, browser);
    let tokens = [
        ("lea", ecoute.token("commercial", "lea", "Léa Martin")),
        ("paul", ecoute.token("admin", "paul", "Paul D.")),
    ];
    let script = "window.who = 'lea';
        window.micro = mount('ecoute-micro', { getToken: async () => { asked += 1; return tokens[who]; } });
        window.client = micro.client;";
    let page = open(&browser, &site, &ecoute, page_script(&tokens, script), "");
    page.wait_for("micro.state === 'ready'");
    page.evaluate("micro.remove(); who = 'paul'; lastSocket.close()");
    page.wait_for("client.connectionState === 'expired'");
    page.evaluate("client.connect()");
    page.wait_for("client.connectionState === 'expired'");
    assert_eq!(page.evaluate("asked"), 2);
    // Mounted again it is whoever has logged in.
    page.evaluate("document.body.append(micro)");
    page.wait_for("micro.client.user?.id === 'paul'");
}

#[test]
fn a_function_that_fails_takes_nobody_else_off_air() {
    app!(site, ecoute, browser);
    let tokens = [
        ("lea", ecoute.token("commercial", "lea", "Léa Martin")),
        ("paul", ecoute.token("admin", "paul", "Paul D.")),
    ];
    let script = "window.micro = mount('ecoute-micro', { getToken: async () => tokens.lea });
        const fail = async () => { if (!window.isMended) throw new Error('403'); return tokens.paul; };
        window.fails = [fail, fail, async () => window.isMended ? tokens.paul : '', async () => fail()];
        window.again = async () => { asked += 1; await null; last.getToken = () => again(); throw new Error('no'); };";
    let page = open(&browser, &site, &ecoute, page_script(&tokens, script), "");
    go_on_air(&page);
    page.evaluate(
        "window.casques = fails.map((getToken) => mount('ecoute-casque', { commercial: 'lea', getToken }))",
    );
    for sockets in 2..4 {
        page.evaluate("lastSocket.close()");
        page.wait_for(&format!("counts.sockets === {sockets} && micro.state === 'on_air'"));
    }
    // It is said where it is so, and begins nothing in her name.
    let shown = "[...document.querySelectorAll('ecoute-micro, ecoute-casque')]
        .map((element) => !element.shadowRoot.querySelector('.problem').hidden).join()";
    page.wait_for(&format!("{shown} === 'false,true,false,false,true'"));
    page.click("ecoute-casque >>> button");
    assert_eq!(page.evaluate("casques[0].listening"), "stopped");
    page.wait_for("warned.some((text) => text.includes('getToken has failed'))");
    // What was never hers is not what is asked once it is all that was left.
    page.evaluate("{ window.client = micro.client; micro.remove(); casques.forEach((casque) => casque.remove()); lastSocket.close(); }");
    page.wait_for(
        "counts.sockets === 4 && client.streamingState === 'live' && client.connectionState === 'registered'",
    );
    page.evaluate("document.body.append(micro, ...casques)");
    page.evaluate("window.isMended = true");
    page.wait_for("casques.every((casque) => casque.client.user?.id === 'paul')");
    page.wait_for(&format!("!{shown}.includes('true')"));
    assert_eq!(page.evaluate("[micro.state, counts.sockets]"), json!(["on_air", 5]));
    // One that gets another function with every question is asked as seldom as any.
    page.evaluate(
        "{ window.last = mount('ecoute-micro', { server: 'http://localhost:9', getToken: again });
           last.client.addEventListener('connection', ({ detail }) => { if (detail.state === 'waiting') window.askedFirst ??= asked; }); }",
    );
    page.wait_for("window.askedFirst === 1");
}

#[test]
fn nobody_goes_on_air_in_the_name_of_who_was_there_before() {
    app!(site, ecoute, browser);
    let tokens = [
        ("lea", ecoute.token("commercial", "lea", "Léa Martin")),
        ("karim", ecoute.token("commercial", "karim", "Karim B.")),
    ];
    let script = "window.micro = mount('ecoute-micro', { getToken: async () => tokens.lea });
        window.karims = async () => { asked += 1; if (!window.isMended) throw new Error('502'); return tokens.karim; };";
    let page = open(&browser, &site, &ecoute, page_script(&tokens, script), "");
    page.wait_for("micro.state === 'ready'");
    page.evaluate("{ micro.remove(); window.micro = mount('ecoute-micro', { getToken: karims }); }");
    page.wait_for("asked === 2 && !deep('ecoute-micro >>> .problem').hidden");
    // Mounted again it is no more known than before.
    page.evaluate("{ micro.remove(); document.body.append(micro); asked = 0; }");
    page.wait_for("asked === 2");
    assert_eq!(
        page.evaluate("[micro.client.user.id, deep('ecoute-micro >>> #start').disabled]"),
        json!(["lea", true])
    );
    page.evaluate("micro.start()");
    assert_eq!(page.evaluate("micro.client.streamingState"), "off");
    page.evaluate("window.isMended = true");
    page.wait_for("micro.client.user.id === 'karim'");
    go_on_air(&page);
    assert_eq!(
        page.evaluate("[micro.client.user.id, deep('ecoute-micro >>> .problem').hidden]"),
        json!(["karim", true])
    );
}

/// Frameworks set a function made anew whenever they draw, also because of what was closed.
#[test]
fn what_was_closed_stays_so_until_something_is_mounted() {
    app!(site, ecoute, browser);
    let tokens = [("lea", ecoute.token("commercial", "lea", "Léa Martin"))];
    let script = "const as = () => async () => tokens.lea;
        window.micro = mount('ecoute-micro', { getToken: as() });
        micro.client.addEventListener('connection', () => { micro.getToken = as(); });";
    let page = open(&browser, &site, &ecoute, page_script(&tokens, script), "");
    page.wait_for("micro.state === 'ready'");
    page.evaluate("micro.client.close()");
    assert_eq!(page.evaluate("micro.client.connectionState"), "closed");
    page.evaluate("{ micro.remove(); document.body.append(micro); }");
    page.wait_for("micro.state === 'ready' && counts.sockets === 2");
}

#[test]
fn what_many_elements_say_is_announced_once() {
    app!(site, ecoute, browser);
    let script = "const getToken = async () => { throw new Error('login'); };
        window.casques = ['lea', 'karim', 'ana', 'b d'].map((commercial) => mount('ecoute-casque', { commercial, getToken }));";
    let page = open(&browser, &site, &ecoute, page_script(&[], script), "");
    let problems = "casques.map((casque) => casque.shadowRoot.querySelector('.problem'))";
    page.wait_for(&format!("{problems}.every((problem) => problem.checkVisibility())"));
    let roles = format!("{problems}.map((problem) => problem.getAttribute('role'))");
    assert_eq!(page.evaluate(&roles), json!(["alert", null, null, "alert"]));
    // Without the first one, what the others go on to say is no news.
    page.evaluate("casques.shift().remove()");
    assert_eq!(page.evaluate(&roles), json!([null, null, "alert"]));
}

#[test]
fn components_with_a_function_of_their_own_are_one_client() {
    app!(site, ecoute, browser);
    let [token, ana] = ["paul", "ana"].map(|id| ecoute.token("admin", id, id));
    let script = format!(
        "import {{ createUseEcoute }} from 'ECOUTE/useEcoute.js';
         import {{ React, createRoot }} from '/react.js';
         const useEcoute = createUseEcoute(React);
         window.make = true;
         function Element({{ isEmpty }}) {{
             const getToken = isEmpty ? undefined : async () => '{token}';
             return React.createElement('ecoute-casque', {{ getToken, commercial: isEmpty ? undefined : 'lea', server: undefined }});
         }}
         function Application({{ name }}) {{
             window[name] = useEcoute({{ getToken: name === 'none' ? undefined : async () => name.startsWith('ana') ? '{ana}' : '{token}' }});
             return React.createElement('p', {{ id: name }}, String(window[name].isConnected));
         }}
         const root = createRoot(document.body.appendChild(document.createElement('div')));
         window.show = (...names) => root.render(React.createElement(React.StrictMode, null,
             names.includes('casque')
                 ? React.createElement(Element, {{ isEmpty: names.includes('undefined') }})
                 : names.map((name) => React.createElement(Application, {{ key: name, name }}))));"
    );
    site.serve(&ecoute, vec![("/app", script), ("/react", react("19.2.0"))]);
    let page = browser.open_prepared(&site.url("/app"), &format!("{COUNTED}{WARNED}"));
    page.wait_for("window.show");
    for mount in 0..20 {
        page.evaluate(&format!("show('a{mount}', 'b{mount}')"));
        page.wait_for(&format!(
            "window.b{mount}?.isConnected && document.querySelector('#a{mount}').innerText === 'true'"
        ));
    }
    page.evaluate("show()");
    page.wait_for("!document.querySelector('p')");
    page.evaluate("show('last')");
    page.wait_for("window.last?.isConnected");
    assert_eq!(page.evaluate("counts.sockets"), 1);
    // Beside it somebody else's is another one.
    page.evaluate("show('last', 'ana')");
    page.wait_for("window.ana?.isConnected && counts.sockets === 2 && ana.connect !== last.connect");
    page.evaluate("last.setVolume(0.5)");
    page.wait_for("last.audioVolume === 0.5");
    assert_eq!(page.evaluate("ana.audioVolume"), 1);
    // Somebody else, twice at once, in place of who was there; and elements, whose properties this React sets by itself.
    page.evaluate("show('ana', 'ana2')");
    page.wait_for("window.ana2?.isConnected && ana.isConnected && ana2.connect === ana.connect");
    assert_eq!(page.evaluate("counts.sockets"), 2);
    // One that has no function yet takes nobody's connection away, and begins nothing in their name.
    page.evaluate("show('ana', 'none')");
    page.wait_for("window.none?.isConnected");
    page.evaluate("lastSocket.close()");
    page.wait_for("counts.sockets === 3 && ana.isConnected");
    page.evaluate("none.startListening('lea')");
    page.wait_for("none.error?.code === 'token_unavailable'");
    page.evaluate("show('casque')");
    page.wait_for(
        "deep('ecoute-casque')?.client?.user?.id === 'paul' && deep('ecoute-casque').commercial === 'lea'",
    );
    page.evaluate("show('casque', 'undefined')");
    page.wait_for("!deep('ecoute-casque').hasAttribute('commercial') && deep('ecoute-casque').getToken === null");
    assert_eq!(browser.complaints(), [] as [&str; 0]);
}

#[test]
fn properties_that_come_before_the_library_count_and_undefined_is_none() {
    app!(site, ecoute, browser);
    let tokens = [("paul", ecoute.token("admin", "paul", "Paul D."))];
    let script = "window.early = null;";
    let before = format!(
        "addEventListener('DOMContentLoaded', () => {{
             const getToken = async () => '{}';
             const make = (properties) => Object.assign(document.createElement('ecoute-casque'), properties);
             window.set = [
                 make({{ server: '{}', commercial: 'lea', reason: 'formation', getToken }}),
                 make({{ server: undefined, client: undefined, commercial: 'lea', reason: undefined, getToken }}),
             ];
             // Kept out of the page until the library is there, and in it before.
             document.body.append(set[0]);
         }})",
        tokens[0].1,
        ecoute.url()
    );
    let page = open(&browser, &site, &ecoute, page_script(&tokens, script), &before);
    page.evaluate("document.body.append(set[1])");
    page.wait_for("set.every((casque) => casque.client?.user?.id === 'paul')");
    assert_eq!(
        page.evaluate(
            "set.map((casque) => [casque.commercial, casque.reason ?? null, Object.keys(casque).length])"
        ),
        json!([["lea", "formation", 0], ["lea", null, 0]])
    );
    assert_eq!(page.evaluate("counts.sockets"), 1);
    // Going undefined is as if it had never been set, and the console says so where that takes all away.
    page.evaluate("{ set[0].server = undefined; set[0].reason = undefined; set[0].commercial = undefined; }");
    assert_eq!(page.evaluate("[...set[0].attributes].map(({ name }) => name)"), json!([]));
    page.wait_for("!deep('ecoute-casque >>> button').checkVisibility()");
    page.evaluate("set[0].commercial = 'karim'");
    page.wait_for("deep('ecoute-casque >>> button').checkVisibility()");
    assert_eq!(page.evaluate("[warned.length, set[0].client === set[1].client]"), json!([0, true]));
    page.evaluate("set[0].getToken = undefined");
    assert_eq!(page.evaluate("[set[0].client, set[0].getToken]"), json!([null, null]));
    assert_eq!(page.evaluate("warned.length === 1 && warned[0].includes('getToken was taken away')"), true);
    page.wait_for("!deep('ecoute-casque >>> button').checkVisibility()");
    page.evaluate("set[0].getToken = set[1].getToken");
    page.wait_for("deep('ecoute-casque >>> button').checkVisibility()");
    // What a framework writes where it finds no such property is said in place.
    page.evaluate("set[0].remove()");
    page.evaluate("mount('ecoute-micro').setAttribute('getToken', 'async () => token')");
    page.wait_for(
        "deep('ecoute-micro >>> .problem').innerText.includes(\"getToken doit être une propriété de l'élément\")",
    );
    page.wait_for("warned.some((text) => text.includes('getToken must be a property of the element'))");
}

/// What is handed over, and what is said of it in French and in English.
const WRONG: &[(&str, &str, &str)] = &[
    ("{ getToken: 'a.b.c' }", "Reçu : string", "getToken must be a function"),
    ("{ getToken: Promise.resolve('a.b.c') }", "Reçu : Promise", "getToken must be a function"),
    ("{ getToken: 7 }", "Reçu : number", "getToken must be a function"),
    ("{ getToken: { token: 'a.b.c' } }", "Reçu : Object", "getToken must be a function"),
    ("{ getToken: () => new Response('a.b.c') }", "Reçu : Response", "getToken must return a token"),
    ("{ getToken: () => ({ token: 'a.b.c' }) }", "Reçu : Object", "getToken must return a token"),
    ("{ getToken: async () => {} }", "Reçu : undefined", "getToken must return a token"),
    ("{ getToken: () => null }", "Reçu : null", "getToken must return a token"),
    ("{ getToken: () => 7 }", "Reçu : number", "getToken must return a token"),
    ("{ getToken: () => 'a.b.\\nc' }", "Reçu : string, \"\\\\n\"", "getToken must return a token"),
    ("{ getToken: () => '\"a.b.c\"' }", "Reçu : string, \"\\\\\"\"", "getToken must return a token"),
    ("{ getToken: () => 'Bearer a.b.c' }", "Reçu : string, \" \"", "getToken must return a token"),
    ("{ getToken: () => '<!doctype html>' }", "Reçu : string, \"<\"", "getToken must return a token"),
    ("{ getToken: () => { throw new Error('no'); } }", "pas encore donné votre accès", "getToken has failed"),
    ("{ getToken: () => 'a.b.c', server: 'ecoute.example' }", "Reçu : \"ecoute.example\"", "server must be"),
    ("{ getToken: () => 'a.b.c', server: 'https://[' }", "server doit être", "server must be"),
    ("{ getToken: () => 'a.b.c', server: '' }", "Reçu : \"\"", "server must be"),
    ("{ client: {} }", "Reçu : Object", "client must be an EcouteClient"),
    ("{ client: 'a.b.c' }", "Reçu : string", "client must be an EcouteClient"),
];

#[test]
fn what_an_application_does_wrong_is_said_in_place_and_in_the_console() {
    app!(site, ecoute, browser);
    let tokens = [("paul", ecoute.token("admin", "paul", "Paul D."))];
    let page = open(&browser, &site, &ecoute, page_script(&tokens, ""), "");
    let shown = |name: &str| format!("deep('{name} >>> .problem').innerText.replaceAll('\\u00a0', ' ')");
    for name in ["ecoute-micro", "ecoute-casque"] {
        for (properties, french, english) in WRONG {
            page.evaluate(&format!("warned.length = 0; window.errors = []; window.made = make('{name}', {properties});
                made.addEventListener('ecoute-error', ({{ detail }}) => errors.push(detail.code)); document.body.append(made)"));
            let text = shown(name);
            page.wait_for(&format!("{text}.includes('{french}')"));
            page.wait_for(&format!("warned.some((text) => text.includes('{english}'))"));
            // Said once, and no token of it.
            assert_eq!(page.evaluate("warned.join().includes('a.b.c')"), false, "{properties}");
            assert_eq!(page.evaluate(&format!("{text}.includes('a.b.c')")), false, "{properties}");
            page.evaluate("made.lang = 'en'");
            let (_, said) = english.split_once(' ').unwrap();
            let said = if french.contains("accès") { "has not given you access" } else { said };
            page.wait_for(&format!("{text}.includes('{said}')"));
            page.evaluate("made.client?.close?.(); made.remove()");
        }
    }
    // Headphones of nobody that there can be.
    for id in ["a b", "léa", "a/b", ""] {
        page.evaluate(&format!("warned.length = 0; window.made = mount('ecoute-casque', {{ commercial: '{id}', getToken: () => tokens.paul }})"));
        page.wait_for(&format!("{}.includes(\"commercial doit être l'identifiant\")", shown("ecoute-casque")));
        assert_eq!(
            page.evaluate("[warned.length, deep('ecoute-casque >>> button').checkVisibility()]"),
            json!([1, false])
        );
        // Once it is right all is well.
        page.evaluate("made.commercial = 'lea'");
        page.wait_for("deep('ecoute-casque >>> button').checkVisibility() && !deep('ecoute-casque >>> .problem').checkVisibility()");
        page.evaluate("made.remove()");
    }
    assert_eq!(page.evaluate("counts.sockets"), 1);
    // What heals by itself is not said any longer; a line end behind a token is that of a file.
    page.evaluate("window.made = mount('ecoute-casque', { commercial: 'lea', getToken: () => asked++ < 2 ? {} : `${tokens.paul}\\n` })");
    page.evaluate("made.client.close(); made.client.connect(); made.getToken = () => asked++ < 2 ? {} : `${tokens.paul}\\n`; asked = 0");
    page.wait_for(
        "asked > 2 && made.client.user?.id === 'paul' && !deep('ecoute-casque >>> .problem').checkVisibility()",
    );
    // Of a client without elements it is an error.
    let codes = "['nowhere', undefined, 'ftp://a'].map((server) => {
        try { new EcouteClient({ server: server ?? 7, getToken() {} }); return ''; } catch ({ code }) { return code; }
    })";
    assert_eq!(page.evaluate(codes), json!(["misused", "misused", "misused"]));
}

/// Runs before a page: counts what would go on for ever.
const LEFT: &str = "window.left = { intervals: new Set(), timers: new Set(), listeners: 0, contexts: 0, peers: 0 };
    const { setInterval: every, clearInterval: noMore, setTimeout: later, clearTimeout: never } = window;
    window.setInterval = (...all) => { const id = every(...all); left.intervals.add(id); return id; };
    window.clearInterval = (id) => { left.intervals.delete(id); noMore(id); };
    window.setTimeout = (call, ...all) => {
        const id = later((...values) => { left.timers.delete(id); call(...values); }, ...all);
        left.timers.add(id);
        return id;
    };
    window.clearTimeout = (id) => { left.timers.delete(id); never(id); };
    const { addEventListener: add, removeEventListener: remove } = EventTarget.prototype;
    const isOfPage = (target) => [undefined, null, window, document, navigator.connection, navigator.mediaDevices, navigator].includes(target);
    EventTarget.prototype.addEventListener = function (type, listener, options) {
        if (isOfPage(this)) {
            left.listeners += 1;
            options?.signal && add.call(options.signal, 'abort', () => { left.listeners -= 1; });
        }
        return add.call(this ?? window, type, listener, options);
    };
    EventTarget.prototype.removeEventListener = function (...all) {
        if (isOfPage(this)) left.listeners -= 1;
        return remove.apply(this ?? window, all);
    };
    for (const [name, count, end] of [['AudioContext', 'contexts', 'close'], ['RTCPeerConnection', 'peers', 'close']]) {
        const Own = window[name];
        window[name] = class extends Own {
            constructor(...all) { super(...all); left[count] += 1; }
            close() { if (!this.isOver) left[count] -= 1; this.isOver = true; return super.close(); }
        };
    }
    window.counted = () => [left.intervals.size, left.listeners, left.contexts, left.peers];";

#[test]
fn nothing_is_left_of_what_is_closed() {
    app!(site, ecoute, browser);
    let tokens = [
        ("lea", ecoute.token("commercial", "lea", "Léa Martin")),
        ("paul", ecoute.token("admin", "paul", "Paul D.")),
    ];
    let script = format!(
        "{}
         import {{ createUseEcoute }} from 'ECOUTE/useEcoute.js';
         import {{ React, createRoot }} from '/react.js';
         const useEcoute = createUseEcoute(React);
         function Application() {{
             window.hook = useEcoute({{ getToken: async () => tokens.paul }});
             return null;
         }}
         const root = createRoot(document.createElement('div'));
         window.show = (key) => root.render(key && React.createElement(Application, {{ key }}));",
        page_script(&tokens, "")
    );
    site.serve(&ecoute, vec![("/app", script), ("/react", react("19.2.0"))]);
    let page = browser.open_prepared(&site.url("/app"), &format!("{COUNTED}{WARNED}{LEFT}"));
    page.wait_for("window.show");
    // React's own listeners stay React's.
    let at_first = page.evaluate("counted()");
    let mount = "{ window.micro = mount('ecoute-micro', { getToken: async () => tokens.lea });
        window.casque = mount('ecoute-casque', { commercial: 'lea', getToken: async () => tokens.paul }); }";
    for round in 0..30 {
        page.evaluate(mount);
        page.evaluate(&format!("show('k{round}')"));
        page.wait_for(
            "micro.client?.user?.id === 'lea' && casque.client?.user?.id === 'paul' && hook?.isConnected",
        );
        if round == 0 {
            go_on_air(&page);
            page.wait_for(
                "casque.client.commercial('lea')?.state === 'on_air' && casque.client.audio.connection === 'ready'",
            );
            page.click("ecoute-casque >>> button");
            page.wait_for("casque.listening === 'started' && micro.client.listeners[0]?.told");
            // Its meter, which has a timer, follows what is heard.
            page.wait_for(
                "[...document.querySelectorAll('ecoute-panel')].some(({ shadowRoot }) =>
                    shadowRoot.querySelector('.level i').style.transform !== 'scaleX(0)')",
            );
            page.evaluate("window.first = counted()");
        }
        page.evaluate(
            "micro.remove(); casque.remove(); window.clients = [micro.client, casque.client]; show(null)",
        );
    }
    page.evaluate(mount);
    page.wait_for("micro.client?.user?.id === 'lea' && casque.client?.user?.id === 'paul'");
    // As much as after the first one, not thirty times that.
    page.wait_for("counted().every((count, index) => count <= window.first[index])");
    assert_eq!(page.evaluate("counts.sockets"), 2);
    // Closed, both leave nothing, wherever their elements are.
    page.evaluate("window.clients = [micro.client, casque.client]; micro.remove(); for (const client of clients) client.close()");
    page.wait_for("clients.every((client) => client.connectionState === 'closed')");
    page.wait_for(&format!("JSON.stringify(counted()) === '{at_first}'"));
    page.wait_for("left.timers.size === 0 && !document.querySelector('ecoute-panel') && !document.querySelector('ecoute-badge')");
    assert_eq!(page.evaluate("lastSocket.readyState >= WebSocket.CLOSING"), true);
    // And what was closed begins again.
    page.evaluate("{ casque.remove(); document.body.append(casque, micro); }");
    page.wait_for("micro.client.user?.id === 'lea' && micro.state === 'ready' && casque.client.connectionState === 'registered'");
    assert_eq!(page.evaluate("micro.client === clients[0] && casque.client === clients[1]"), true);
}

/// A server that draws pages has neither a document nor elements, and no name for either.
#[test]
fn importing_on_a_server_does_nothing() {
    if over_tls() {
        return;
    }
    let folder = tempfile::TempDir::new().unwrap();
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/client");
    let mut names = Vec::new();
    for page in ecoute::web::all().iter().filter(|page| page.is_lasting) {
        let name = page.path.rsplit('/').next().unwrap();
        std::fs::write(folder.path().join(name), &page.plain.content).unwrap();
        names.extend(client.join(name).exists().then_some(name));
    }
    assert!(names.len() > 20 && names.contains(&"useEcoute.js"));
    std::fs::write(folder.path().join("package.json"), r#"{ "type": "module" }"#).unwrap();
    let script = "const names = JSON.parse(process.argv[1]);
        delete globalThis.navigator;
        const before = Object.keys(globalThis).join();
        for (const name of names) await import(`${process.cwd()}/${name}`);
        const { createUseEcoute } = await import(`${process.cwd()}/useEcoute.js`);
        const fail = () => { throw new Error('no hook runs on a server'); };
        const drawn = createUseEcoute({ useEffect() {}, useRef: (current) => ({ current }), useSyncExternalStore: (a, b, read) => read() })({ getToken: fail });
        console.log(JSON.stringify([drawn, before === Object.keys(globalThis).join()]));";
    let mut node = Command::new("node");
    node.current_dir(folder.path()).args(["--input-type=module", "-e", script]).arg(json!(names).to_string());
    let output = run(&mut node);
    assert!(output.status.success(), "{output:?}");
    let drawn: Value = serde_json::from_slice(&output.stdout).unwrap();
    let state = json!({ "isConnected": false, "isListening": false, "isStreaming": false, "error": null,
        "availableStreams": [], "currentListeningTo": null, "audioVolume": 1 });
    assert_eq!(drawn, json!([state, true]));
}
