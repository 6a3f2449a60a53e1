//! `ecoute.d.ts` as it is served, judged by TypeScript: against a program that uses all of it, against what the library
//! exports, and against what it says in a session.
//!
//! Invariant: the compiler never sees the sources of the library, and the library nothing of the types.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use ecoute::journal::{Checkpoint, Signer};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::drive::{Browser, Page};
use crate::npm::installed;
use crate::people::microphone;
use crate::support::Ecoute;

/// What the hook returns, exactly.
const HOOK: [&str; 15] = [
    "audioVolume",
    "availableStreams",
    "connect",
    "currentListeningTo",
    "disconnect",
    "error",
    "isConnected",
    "isListening",
    "isStreaming",
    "now",
    "setVolume",
    "startListening",
    "startStreaming",
    "stopListening",
    "stopStreaming",
];

/// Lists as JSON what the types declare: values, and the members of classes and of some interfaces.
const DECLARED: &str = "
    const [, , typescript, file] = process.argv, ts = require(typescript);
    const program = ts.createProgram([file], { strict: true, types: [], target: ts.ScriptTarget.ES2022 });
    const checker = program.getTypeChecker(), source = program.getSourceFile(file);
    const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(source));
    const isOurs = ({ declarations }) => declarations.some((declaration) => declaration.getSourceFile() === source);
    const isReadonly = ({ declarations }) => declarations.some((d) => ts.getCombinedModifierFlags(d) & ts.ModifierFlags.Readonly);
    const members = (name) => checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(exported.find((e) => e.name === name)))
        .filter(isOurs).map((member) => (isReadonly(member) ? 'readonly ' : '') + member.name)
        .filter((name) => !name.endsWith('EventListener')).sort();
    const names = ['EcouteClient', 'EcouteMicro', 'EcouteCasque', 'EcouteError', 'EcouteEvents', 'Ecoute'];
    console.log(JSON.stringify({
        values: exported.filter(({ flags }) => flags & ts.SymbolFlags.Value).map(({ name }) => name).sort(),
        ...Object.fromEntries(names.map((name) => [name, members(name)])),
    }));
";

/// Answers with what there is in truth, in the same form; of elements, what an application finds beyond any element.
const EXPORTED: &str = "Promise.all([import('/ecoute.js'), import('/useEcoute.js')]).then(([library, hook]) => {
    const members = (from) => {
        const all = [];
        const isTheirs = (place) => [HTMLElement, EventTarget, Error].some((theirs) => place === theirs.prototype);
        for (let place = from; !isTheirs(place); place = Object.getPrototypeOf(place)) {
            for (const [name, { get, set }] of Object.entries(Object.getOwnPropertyDescriptors(place))) {
                all.push((get && !set ? 'readonly ' : '') + name);
            }
        }
        return all.filter((name) => name !== 'constructor').sort();
    };
    const React = { useEffect() {}, useRef: (current) => ({ current }), useSyncExternalStore: (_, read) => read() };
    window.useEcoute = hook.createUseEcoute(React);
    return {
        values: [...Object.keys(library), ...Object.keys(hook)].sort(),
        EcouteClient: members(library.EcouteClient.prototype),
        EcouteMicro: members(library.EcouteMicro.prototype),
        EcouteCasque: members(library.EcouteCasque.prototype),
        EcouteError: ['readonly code', ...members(library.EcouteError.prototype)].sort(),
        EcouteEvents: [...library.EVENTS].sort(),
        Ecoute: Object.keys(useEcoute({ getToken: async () => '' })).sort(),
    };
})";

/// Starts a client in a page and keeps in `seen` all that it tells, as pairs of a type and a value of it.
const SESSION: &str = "Promise.all([import('/ecoute.js'), import('/useEcoute.js')]).then(([{ EcouteClient, EVENTS }]) => {
    window.seen = [];
    window.keep = (type, value) => seen.push([type, JSON.stringify(value, (_, inner) => inner === undefined ? 'UNDEFINED' : inner)]);
    const getToken = async () => TOKEN;
    const casque = Object.assign(document.createElement('ecoute-casque'), { getToken, commercial: 'lea', reason: 'formation' });
    window.elements = [Object.assign(document.createElement('ecoute-micro'), { getToken }), casque];
    document.body.append(...elements);
    window.client = casque.client;
    const look = () => {
        for (const name of ['commercials', 'listeners', 'wishes', 'connection', 'streaming', 'audio', 'user', 'journal', 'journalDoubt']) {
            keep(`EcouteClient[\"${name}\"]`, client[name]);
        }
        keep('EcouteMicro[\"state\"]', elements[0].state);
        keep('EcouteCasque[\"listening\"]', casque.listening);
        const { isConnected, isListening, isStreaming, error, availableStreams, currentListeningTo, audioVolume } = useEcoute({ getToken });
        keep('Omit<Ecoute, Actions>', { isConnected, isListening, isStreaming, error, availableStreams, currentListeningTo, audioVolume });
    };
    for (const name of EVENTS) {
        client.addEventListener(name, ({ detail }) => {
            keep(`EcouteEvents[\"${name}\"]`, detail);
            look();
        });
    }
    for (const [element, type, names] of [
        [elements[0], 'EcouteMicroEvents', ['streaming', 'listener-joined', 'listener-left', 'error']],
        [casque, 'EcouteCasqueEvents', ['listen', 'listening', 'error']],
    ]) {
        for (const name of names) {
            element.addEventListener(`ecoute-${name}`, ({ detail }) => keep(`${type}[\"ecoute-${name}\"]`, detail));
        }
    }
})";

fn open<'a>(browser: &'a Browser, ecoute: &Ecoute, token: &str) -> Page<'a> {
    let page = browser.open(&format!("{}/", ecoute.url()));
    page.wait_for("document.readyState === 'complete'");
    page.evaluate(&format!("{EXPORTED}.then(() => true)"));
    // Of another server's journal, which this one's does not contain.
    let signer = Signer::from_pkcs8(&Signer::generate().unwrap()).unwrap();
    let note = json!(signer.sign(Checkpoint { size: 7, chain: [7; 32] }));
    page.evaluate(&format!("localStorage.setItem(`ecoute.note.${{location.origin}}.paul`, {note})"));
    page.evaluate(&SESSION.replace("TOKEN", &json!(token).to_string()));
    page.wait_for("client.connectionState === 'registered'");
    page
}

/// Lets two people do what there is, and returns all that their clients told.
fn session(ecoute: &Ecoute, phone: &Page<'_>, desk: &Page<'_>) -> BTreeSet<(String, String)> {
    phone.evaluate("client.startStreaming({ noiseSuppression: false })");
    phone.wait_for("client.streamingState === 'live'");
    desk.wait_for("client.audio.connection === 'ready' && client.commercial('lea')?.state === 'on_air'");
    desk.click("ecoute-casque >>> button");
    desk.wait_for("elements[1].listening === 'started'");
    phone.evaluate("client.sendPosition({ lat: 48.85, lon: 2.29, accuracy_m: 8, at: Date.now() })");
    let seen = |page: &Page<'_>, event: &str| {
        page.wait_for(&format!("seen.some(([type]) => type.includes('\"{event}\"'))"));
    };
    for event in ["position", "quality", "token_expiring", "journal_doubt"] {
        seen(desk, event);
    }
    desk.evaluate("client.acceptJournal()");
    phone.evaluate("client.microphone.getAudioTracks()[0].dispatchEvent(new Event('mute'))");
    desk.wait_for("client.commercial('lea').interrupted_by === 'muted'");
    phone.evaluate("client.microphone.getAudioTracks()[0].dispatchEvent(new Event('unmute'))");
    desk.wait_for("elements[1].listening === 'started'");
    phone.evaluate("client.pauseStreaming()");
    desk.wait_for("client.wishes[0].cause === 'paused'");
    desk.evaluate("client.setVolume(0.5); client.setMuted(true); client.listen('tom', { reason: 'nonsense' })");
    seen(desk, "error");
    phone.evaluate("client.resumeStreaming()");
    desk.wait_for("elements[1].listening === 'started'");
    desk.click("ecoute-casque >>> button");
    seen(phone, "ecoute-listener-left");
    // Whatever is to be written down next can't be.
    let [journal, away] = ["journal.db", "away"].map(|name| ecoute.data.path().join(name));
    std::fs::rename(&journal, &away).unwrap();
    phone.evaluate("client.stopStreaming()");
    desk.wait_for("client.commercial('lea').state === 'online'");
    seen(desk, "journal");
    std::fs::rename(&away, &journal).unwrap();
    ecoute.revoke("lea");
    phone.wait_for("client.connectionState === 'expired'");

    let all = [phone, desk].map(|page| page.evaluate("seen"));
    let pairs = all.iter().flat_map(|all| all.as_array().unwrap());
    pairs.map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned())).collect()
}

/// Returns what a program of Node's says, and asserts that it has no complaint.
fn node(arguments: &[&Path]) -> String {
    let output = Command::new("node").args(arguments).output().expect("node is installed (apt-get install nodejs)");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.into_owned()
}

#[test]
fn the_types_are_what_the_library_is_and_says() {
    let typescript = installed(&["typescript@5.9.3"]).join("typescript");
    let ecoute = Ecoute::start();
    let tone = microphone(440.0);
    let (phone, desk) = (Browser::start(&tone, "fr-FR"), Browser::start(&tone, "fr-FR"));
    let lea = open(&phone, &ecoute, &ecoute.token("commercial", "lea", "Léa Martin"));
    // So short that it is told at once that it ends.
    let paul = open(&desk, &ecoute, &ecoute.token_for("55s", "admin", "paul"));

    let folder = TempDir::new().unwrap();
    let place = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(place(name), text).unwrap();
    let types = lea.evaluate("fetch('/ecoute.d.ts').then((response) => response.text())");
    write("ecoute.d.ts", types.as_str().unwrap());

    // By name: nothing is missing, and nothing is promised that is not there.
    write("declared.cjs", DECLARED);
    let declared = node(&[&place("declared.cjs"), &typescript, &place("ecoute.d.ts")]);
    let declared: Value = serde_json::from_str(&declared).unwrap();
    let exported = lea.evaluate(EXPORTED);
    for name in ["values", "EcouteClient", "EcouteError", "EcouteEvents", "Ecoute"] {
        assert_eq!(declared[name], exported[name], "{name}");
    }
    assert_eq!(declared["Ecoute"], json!(HOOK));
    for name in ["EcouteMicro", "EcouteCasque"] {
        let is_there = |member: &&Value| exported[name].as_array().unwrap().contains(member);
        let missing: Vec<&Value> =
            declared[name].as_array().unwrap().iter().filter(|member| !is_there(member)).collect();
        assert_eq!(missing, [] as [&Value; 0], "{name}");
    }

    // By what is said: every value, as a literal, has the type that it is declared with.
    let said = session(&ecoute, &lea, &paul);
    for event in declared["EcouteEvents"].as_array().unwrap() {
        let is_of = |(kind, _): &(String, String)| *kind == format!("EcouteEvents[{event}]");
        assert!(said.iter().any(is_of), "{event} was never told");
    }
    let mut literals = String::from(
        "import type * as All from './ecoute.js';\n\
         type Actions = { [K in keyof All.Ecoute]: All.Ecoute[K] extends Function ? K : never }[keyof All.Ecoute];\n",
    );
    for (index, (kind, literal)) in said.iter().enumerate() {
        let kind = kind.replace("Ecoute", "All.Ecoute");
        let literal = literal.replace("\"UNDEFINED\"", "undefined");
        writeln!(literals, "export const said{index}: {kind} = {literal};").unwrap();
    }
    write("said.ts", &literals);

    // By use: a strict program compiles, and its wrong parts do not.
    write("types.ts", include_str!("types.ts"));
    let options = json!({
        "strict": true, "exactOptionalPropertyTypes": true, "noUncheckedIndexedAccess": true, "noUnusedLocals": true,
        "noEmit": true, "target": "es2022", "module": "esnext", "moduleResolution": "bundler", "types": [],
        "skipDefaultLibCheck": true,
        "paths": {
            "https://ecoute.example/ecoute.js": ["./ecoute.d.ts"], "https://ecoute.example/useEcoute.js": ["./ecoute.d.ts"],
        },
    });
    write("tsconfig.json", &json!({ "compilerOptions": options, "files": ["types.ts", "said.ts"] }).to_string());
    node(&[&typescript.join("bin/tsc"), Path::new("--project"), folder.path()]);
}
