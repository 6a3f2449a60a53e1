//! The pages and the client library, embedded in the binary.
//!
//! `client` is what applications import, `pages` are those that use it; browsers find the files of both at the root.
//! Nothing personal is in them: they are the same for everybody. `build.rs` leaves out what only developers read, so phones
//! get the code, with short names, compressed. `reload.js` stands in the pages themselves, because it speaks where a file is
//! missing.
//!
//! A page begins with what it needs at once. What stands behind a wish, as the history does, is imported when it is wished for.
//!
//! Modules import each other by relative addresses below one that names the version of all, so a page never gets modules
//! of two versions, however it was kept and whatever server answers. Of a version that is gone nothing is served: `reload.js`
//! then loads the page anew. What other sites import has addresses that stay, and leads to the present version.
//!
//! Invariant: an ETag names one form of one content, and so does an address with a version.

use std::io::Write;
use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;

#[cfg(test)]
mod squeeze;

/// One file as browsers get it.
#[derive(Debug)]
pub struct Page {
    /// The path that it is served at.
    pub path: String,
    /// Whether the path names the version, so that browsers may keep it for good.
    pub is_lasting: bool,
    pub content_type: &'static str,
    pub plain: Form,
    pub gzip: Form,
}

/// A file's bytes in one encoding.
#[derive(Debug)]
pub struct Form {
    pub content: Vec<u8>,
    /// A strong entity tag, quoted (RFC 9110 §8.8.3): half of the content's SHA-256.
    pub etag: String,
}

/// Returns the file that is served at `path`.
pub fn find(path: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.path == path)
}

/// Returns all files.
pub fn all() -> &'static [Page] {
    &PAGES
}

/// Returns the script that stands in the pages themselves, as a policy names it (CSP3 §2.3.1).
pub fn inline_script() -> String {
    let digest = str0m::crypto::from_feature_flags().sha256_provider.sha256(RELOAD.as_bytes());
    format!("'sha256-{}'", BASE64_STANDARD.encode(digest))
}

/// Returns the path of a module in the present version; `name` begins with a slash.
pub fn module(name: &str) -> String {
    format!("/{}{name}", *VERSION)
}

/// Where that stands in a page.
const RELOAD_PLACE: &str = "<!-- reload.js -->";

/// Where the version stands in a page.
const VERSION_PLACE: &str = "{version}";

/// What applications of others import.
const IMPORTED: [&str; 2] = ["/ecoute.js", "/useEcoute.js"];

/// Where the service worker stands: its address says what pages it works for, and browsers compare what comes from there.
const WORKER: &str = "/service-worker.js";

/// A file as the build left it.
macro_rules! built {
    ($name:literal) => {
        include_str!(concat!(env!("OUT_DIR"), "/", $name))
    };
}

const RELOAD: &str = built!("reload.js");

/// Part of a digest of all files.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let all: String = FILES.iter().flat_map(|&(path, text)| [path, text]).chain([RELOAD]).collect();
    digest(all.as_bytes(), 8)
});

static PAGES: LazyLock<Vec<Page>> = LazyLock::new(|| {
    let script = format!("<script>{RELOAD}</script>");
    let files = FILES.iter().map(|&(path, text)| {
        let content = text.replace(RELOAD_PLACE, &script).replace(VERSION_PLACE, &VERSION);
        let is_lasting = path.ends_with(".js") && path != WORKER;
        page(if is_lasting { module(path) } else { path.to_owned() }, is_lasting, content)
    });
    let imported = IMPORTED.iter().map(|&path| {
        let script = format!("export * from \".{}\";\n", module(path));
        page(path.to_owned(), false, script)
    });
    files.chain(imported).collect()
});

fn page(path: String, is_lasting: bool, content: String) -> Page {
    let form = |content: Vec<u8>| {
        let etag = format!("\"{}\"", digest(&content, 16));
        Form { content, etag }
    };
    let gzip = form(compress(content.as_bytes()));
    Page { content_type: content_type(&path), path, is_lasting, plain: form(content.into_bytes()), gzip }
}

/// Returns so many bytes of the content's SHA-256, in hex.
fn digest(content: &[u8], bytes: usize) -> String {
    let digest = str0m::crypto::from_feature_flags().sha256_provider.sha256(content);
    digest.iter().take(bytes).fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn compress(content: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(content).and_then(|()| gzip.finish()).expect("memory takes every byte")
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("ts") => "text/plain; charset=utf-8",
        Some("webmanifest") => "application/manifest+json",
        _ => "text/html; charset=utf-8",
    }
}

/// Paths, and the texts that are served there, but for what is put in their places. Developers read the types as they stand.
const FILES: &[(&str, &str)] = &[
    ("/", built!("index.html")),
    ("/admin", built!("admin.html")),
    ("/commercial", built!("commercial.html")),
    ("/offline", built!("offline.html")),
    ("/admin-find.js", built!("admin-find.js")),
    ("/admin-history.js", built!("admin-history.js")),
    ("/admin-keys.js", built!("admin-keys.js")),
    ("/admin-list.js", built!("admin-list.js")),
    ("/admin-notices.js", built!("admin-notices.js")),
    ("/admin-place.js", built!("admin-place.js")),
    ("/admin-report.js", built!("admin-report.js")),
    ("/admin-views.js", built!("admin-views.js")),
    ("/admin-words.js", built!("admin-words.js")),
    ("/admin.css", built!("admin.css")),
    ("/admin.js", built!("admin.js")),
    ("/commercial-hidden.js", built!("commercial-hidden.js")),
    ("/commercial-history.js", built!("commercial-history.js")),
    ("/commercial-later.js", built!("commercial-later.js")),
    ("/commercial-options.js", built!("commercial-options.js")),
    ("/commercial-past.js", built!("commercial-past.js")),
    ("/commercial-position.js", built!("commercial-position.js")),
    ("/commercial-test.js", built!("commercial-test.js")),
    ("/commercial-words.js", built!("commercial-words.js")),
    ("/commercial.css", built!("commercial.css")),
    ("/commercial.js", built!("commercial.js")),
    ("/commercial.webmanifest", built!("commercial.webmanifest")),
    ("/diagnostic.js", built!("diagnostic.js")),
    ("/ecoute-badge.js", built!("ecoute-badge.js")),
    ("/ecoute-casque-styles.js", built!("ecoute-casque-styles.js")),
    ("/ecoute-casque-words.js", built!("ecoute-casque-words.js")),
    ("/ecoute-casque.js", built!("ecoute-casque.js")),
    ("/ecoute-client.js", built!("ecoute-client.js")),
    ("/ecoute-clock.js", built!("ecoute-clock.js")),
    ("/ecoute-connection.js", built!("ecoute-connection.js")),
    ("/ecoute-element.js", built!("ecoute-element.js")),
    ("/ecoute-error.js", built!("ecoute-error.js")),
    ("/ecoute-journal.js", built!("ecoute-journal.js")),
    ("/ecoute-listener.js", built!("ecoute-listener.js")),
    ("/ecoute-micro-styles.js", built!("ecoute-micro-styles.js")),
    ("/ecoute-micro-words.js", built!("ecoute-micro-words.js")),
    ("/ecoute-micro.js", built!("ecoute-micro.js")),
    ("/ecoute-microphone.js", built!("ecoute-microphone.js")),
    ("/ecoute-names.js", built!("ecoute-names.js")),
    ("/ecoute-network.js", built!("ecoute-network.js")),
    ("/ecoute-panel.js", built!("ecoute-panel.js")),
    ("/ecoute-peer.js", built!("ecoute-peer.js")),
    ("/ecoute-publisher.js", built!("ecoute-publisher.js")),
    ("/ecoute-shared.js", built!("ecoute-shared.js")),
    ("/ecoute-source.js", built!("ecoute-source.js")),
    ("/ecoute-styles.js", built!("ecoute-styles.js")),
    ("/ecoute-told.js", built!("ecoute-told.js")),
    ("/ecoute-token.js", built!("ecoute-token.js")),
    ("/ecoute-view.js", built!("ecoute-view.js")),
    ("/ecoute-watch.js", built!("ecoute-watch.js")),
    ("/ecoute-wake.js", built!("ecoute-wake.js")),
    ("/ecoute.d.ts", include_str!("client/ecoute.d.ts")),
    ("/ecoute.js", built!("ecoute.js")),
    ("/gate-words.js", built!("gate-words.js")),
    ("/gate.js", built!("gate.js")),
    ("/help.js", built!("help.js")),
    ("/history-source.js", built!("history-source.js")),
    ("/history-words.js", built!("history-words.js")),
    ("/history.css", built!("history.css")),
    ("/icon.svg", built!("icon.svg")),
    ("/icons.js", built!("icons.js")),
    ("/index.js", built!("index.js")),
    ("/meter.js", built!("meter.js")),
    ("/journal-words.js", built!("journal-words.js")),
    ("/fault-words.js", built!("fault-words.js")),
    ("/page-fault.js", built!("page-fault.js")),
    ("/page-journal.js", built!("page-journal.js")),
    ("/sign-out.js", built!("sign-out.js")),
    ("/sign-out-words.js", built!("sign-out-words.js")),
    ("/page-restored.js", built!("page-restored.js")),
    ("/restored-words.js", built!("restored-words.js")),
    ("/page.css", built!("page.css")),
    ("/page.js", built!("page.js")),
    ("/service-worker.js", built!("service-worker.js")),
    ("/session.js", built!("session.js")),
    ("/useEcoute.js", built!("useEcoute.js")),
    ("/words.js", built!("words.js")),
];

#[cfg(test)]
mod tests {
    use super::squeeze::squeezed;
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served() {
        for file in ["client", "pages"].into_iter().flat_map(files_of) {
            let path = match file.as_str() {
                "index.html" => "/".to_owned(),
                "service-worker.js" => WORKER.to_owned(),
                script if script.ends_with(".js") => module(&format!("/{script}")),
                _ => format!("/{}", file.trim_end_matches(".html")),
            };
            assert!(find(&path).is_some(), "{file} is not served at {path}");
        }
        assert!(find("/mod.rs").is_none());
    }

    /// The names of the files in a folder beside this one.
    fn files_of(folder: &str) -> Vec<String> {
        let folder = format!("{}/src/web/{folder}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(folder).unwrap();
        files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_library_knows_nothing_of_the_pages() {
        let library = files_of("client");
        for file in library.iter().filter(|file| file.ends_with(".js")) {
            let page = find(&module(&format!("/{file}"))).unwrap();
            let script = std::str::from_utf8(&page.plain.content).unwrap();
            for named in script.split("\"./").skip(1).map(|rest| rest.split('"').next().unwrap()) {
                assert!(library.iter().any(|known| known == named), "{file} names {named}");
            }
        }
    }

    #[test]
    fn the_policy_names_the_one_script_that_stands_in_pages() {
        let mut with = Vec::new();
        for page in all().iter().filter(|page| page.content_type.starts_with("text/html")) {
            let text = std::str::from_utf8(&page.plain.content).unwrap();
            assert!(!text.contains(RELOAD_PLACE), "{}", page.path);
            let Some((_, rest)) = text.split_once("<script>") else { continue };
            let (script, rest) = rest.split_once("</script>").unwrap();
            let digest = str0m::crypto::from_feature_flags().sha256_provider.sha256(script.as_bytes());
            assert_eq!(inline_script(), format!("'sha256-{}'", BASE64_STANDARD.encode(digest)), "{}", page.path);
            assert!(!rest.contains("<script>") && rest.contains("<script type=\"module\""), "before any file");
            with.push(page.path.as_str());
        }
        assert_eq!(with, ["/", "/admin", "/commercial"]);
    }

    #[test]
    fn a_version_is_one_of_all_files_and_nothing_names_another() {
        assert!(VERSION.len() == 16 && VERSION.bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", *VERSION);
        for page in all() {
            let text = std::str::from_utf8(&page.plain.content).unwrap();
            assert!(!text.contains(VERSION_PLACE), "{}", page.path);
            assert_eq!(page.is_lasting, page.path.starts_with(&module("/")), "{}", page.path);
            // Modules name their neighbours alone, so that all come from where the first one did.
            if page.is_lasting {
                for from in ["from\"", "import\"", "import("] {
                    let named =
                        text.split(from).skip(1).find(|rest| !rest.trim_start_matches('`').starts_with("./"));
                    assert_eq!(named.and_then(|rest| rest.get(..40)), None, "{}", page.path);
                }
            }
        }
        for name in IMPORTED {
            let text = std::str::from_utf8(&find(name).unwrap().plain.content).unwrap();
            assert_eq!(text, format!("export * from \"./{}{name}\";\n", *VERSION));
        }
        assert!(find("/0123456789abcdef/ecoute.js").is_none() && find("/words.js").is_none());
    }

    #[test]
    fn comments_and_indentation_are_left_out_and_code_is_not() {
        let cases = [
            ("block", "/**\n * a\n */\nb();\n", "b();\n"),
            ("one line", "  /** a */\n  b();\n", "b();\n"),
            ("styles in a template", "`\n  /* a\n  d */\n  * { b: c }\n`\n", "`\n* { b: c }\n`\n"),
        ];
        for (name, text, want) in cases {
            assert_eq!(squeezed(text), want, "{name}");
        }
    }

    #[test]
    fn nothing_but_comments_is_left_out() {
        let names =
            |folder: &'static str| files_of(folder).into_iter().map(move |name| format!("src/web/{folder}/{name}"));
        let files = ["client", "pages"].into_iter().flat_map(names).chain(["src/web/reload.js".to_owned()]);
        for path in files.filter(|path| !path.ends_with(".ts")) {
            let text = std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
            let begins = text.lines().filter(|line| line.trim_start().starts_with("/*"));
            let goes_on =
                begins.clone().find(|line| line.split_once("*/").is_some_and(|(_, rest)| !rest.is_empty()));
            assert_eq!(goes_on, None, "{path}");
            // Only styles stand in templates of several lines: there, space at the beginning of a line means nothing.
            let code = squeezed(&text);
            let mut templates = code.split('`').skip(1).step_by(2);
            let of_several_lines = templates.find(|template| template.contains('\n'));
            assert!(of_several_lines.is_none() || path.ends_with("-styles.js"), "{path}: {of_several_lines:?}");
        }
    }

    #[test]
    fn all_files_together_are_light() {
        let begun: Vec<String> = PAGES_AND_SCRIPTS
            .into_iter()
            .chain([("/", "/ecoute.js"), ("/", "/useEcoute.js")])
            .flat_map(|(page, script)| begun_with(page, script))
            .collect();
        let (at_once, later): (Vec<_>, Vec<_>) = all().iter().partition(|page| begun.contains(&page.path));
        let bytes = |pages: &[&Page]| pages.iter().map(|page| page.gzip.content.len()).sum::<usize>();
        assert!(bytes(&at_once) < 90_000, "{} bytes gzipped", bytes(&at_once));
        assert!(bytes(&later) < 25_000, "{} bytes gzipped of what is imported later", bytes(&later));
    }

    /// The files that a page begins with, itself included. What is imported later, at somebody's wish, is not among them.
    fn begun_with(page: &str, script: &str) -> Vec<String> {
        let html = std::str::from_utf8(&find(page).unwrap().plain.content).unwrap();
        let linked = html.split("rel=\"stylesheet\" href=\"").skip(1);
        let mut files = vec![page.to_owned(), "/icon.svg".to_owned()];
        files.extend(linked.map(|rest| rest.split('"').next().unwrap().to_owned()));
        let mut wanted = vec![module(script)];
        while let Some(path) = wanted.pop() {
            let text = std::str::from_utf8(&find(&path).unwrap().plain.content).unwrap();
            let named = ["from\"./", "import\"./"].into_iter().flat_map(|from| text.split(from).skip(1));
            let named = named.map(|rest| module(&format!("/{}", rest.split('"').next().unwrap())));
            wanted.extend(named.filter(|path| !files.contains(path)));
            files.push(path);
        }
        files.sort_unstable();
        files.dedup();
        files
    }

    const PAGES_AND_SCRIPTS: [(&str, &str); 3] =
        [("/", "/index.js"), ("/admin", "/admin.js"), ("/commercial", "/commercial.js")];

    #[test]
    fn what_a_page_begins_with_is_light() {
        for (page, script) in PAGES_AND_SCRIPTS {
            let files = begun_with(page, script);
            let bytes: usize = files.iter().map(|path| find(path).unwrap().gzip.content.len()).sum();
            assert!(bytes < 60 * 1024, "{page}: {bytes} bytes gzipped in {} files", files.len());
            assert!(page == "/" || files.len() > 30, "{files:?}");
            assert!(!files.iter().any(|path| path.contains("history")), "{files:?}");
        }
    }

    #[test]
    fn a_page_comes_with_the_texts_that_stand_in_it() {
        for (page, script) in PAGES_AND_SCRIPTS {
            let files = begun_with(page, script);
            let known: Vec<&str> = WORDS
                .into_iter()
                .filter(|(name, _)| files.contains(&module(name)))
                .flat_map(|(_, file)| texts_of(file, "fr"))
                .map(|(key, _)| key)
                .collect();
            let html = std::str::from_utf8(&find(page).unwrap().plain.content).unwrap();
            let named = ["data-t=\"", "data-label=\"", "data-lines=\""]
                .into_iter()
                .flat_map(|with| html.split(with).skip(1));
            for key in named.map(|rest| rest.split('"').next().unwrap()) {
                assert!(known.contains(&key), "{page} has no text for {key}");
            }
        }
    }

    /// The files with texts; each adds to the first one.
    const WORDS: [(&str, &str); 11] = [
        ("/words.js", include_str!("client/words.js")),
        ("/ecoute-casque-words.js", include_str!("client/ecoute-casque-words.js")),
        ("/ecoute-micro-words.js", include_str!("client/ecoute-micro-words.js")),
        ("/admin-words.js", include_str!("pages/admin-words.js")),
        ("/commercial-words.js", include_str!("pages/commercial-words.js")),
        ("/gate-words.js", include_str!("pages/gate-words.js")),
        ("/history-words.js", include_str!("pages/history-words.js")),
        ("/journal-words.js", include_str!("pages/journal-words.js")),
        ("/fault-words.js", include_str!("pages/fault-words.js")),
        ("/sign-out-words.js", include_str!("pages/sign-out-words.js")),
        ("/restored-words.js", include_str!("pages/restored-words.js")),
    ];

    /// The texts of one language, by key.
    fn texts(language: &str) -> Vec<(&'static str, &'static str)> {
        WORDS.into_iter().flat_map(|(_, file)| texts_of(file, language)).collect()
    }

    fn texts_of(file: &'static str, language: &str) -> Vec<(&'static str, &'static str)> {
        let text = |line: &'static str| line.strip_prefix("    ")?.trim_end_matches("\",").split_once(": \"");
        let (_, texts) = file.split_once(&format!("\n  {language}: {{\n")).unwrap();
        texts.lines().take_while(|line| *line != "  },").filter_map(text).collect()
    }

    #[test]
    fn every_text_exists_in_both_languages() {
        // What the text is made of: its key, the values put in, and the lines of a list.
        let shape = |&(key, text): &(&'static str, &'static str)| {
            let values = text.split('{').skip(1).map(|rest| rest.split('}').next().unwrap());
            let mut values: Vec<&str> = values.collect();
            values.sort_unstable();
            (key, values, text.matches("\\n").count())
        };
        let french: Vec<_> = texts("fr").iter().map(shape).collect();
        let english: Vec<_> = texts("en").iter().map(shape).collect();
        assert!(french.len() > 50);
        assert_eq!(french, english);
        assert!(texts("fr").iter().chain(&texts("en")).all(|(_, text)| !text.is_empty()));
    }

    /// What somebody wrote, in a text: their name, or why they listen.
    const SOMEBODYS: [&str; 3] = ["{who}", "{names}", "{name}"];

    #[test]
    fn no_sentence_is_built_around_a_name() {
        let named = |text: &str| {
            SOMEBODYS.iter().find_map(|name| text.split_once(name).map(|(before, _)| before.to_owned()))
        };
        for (key, text) in texts("fr").into_iter().chain(texts("en")) {
            assert!(named(text).is_none_or(|label| label.ends_with(": ")), "{key} is built around a name: {text}");
        }
    }

    #[test]
    fn what_people_were_promised_to_read_is_there_word_by_word() {
        let promised = [
            ("state_offline", "Hors ligne"),
            ("ready", "PRÊT"),
            ("ready_detail", "Personne ne peut vous entendre."),
            ("on_air_alone", "EN DIRECT – personne n'écoute"),
            ("paused", "En pause – rien n'est transmis"),
            ("interrupted_call", "Interrompu – appel en cours"),
            ("reconnecting_in", "Reconnexion dans {s} s"),
            ("page_listened", "● On vous écoute"),
            ("heard_by", "On vous écoute ({count}) :"),
            ("heard_at_resume", "À la reprise ({count}) :"),
            ("looks_like", "Nom semblable à :"),
            (
                "interrupted_detail",
                "Personne ne vous entend. Le direct reprendra automatiquement si l'interruption dure moins de 5 minutes.",
            ),
            ("live", "DIRECT"),
            ("state_on_air", "DIRECT"),
            ("state_interrupted_call", "Interrompu (appel)"),
            ("toast_start", "Vous êtes en direct : vos responsables peuvent maintenant vous écouter."),
            ("toast_stop", "Direct arrêté : plus personne ne vous entend."),
            ("start", "Démarrer le direct"),
            ("stop", "Arrêter le direct"),
            ("pause", "PAUSE"),
            ("share_position", "Partager ma position"),
            ("position_shared", "Position partagée"),
            ("hear_client", "Capter aussi la voix du client (sans réduction de bruit)"),
            ("discreet", "Ne pas vibrer quand on m'écoute"),
            ("try", "Tester le micro"),
            ("network_good", "Bonne connexion"),
            ("test", "Tester ma connexion"),
            ("sign_out", "Se déconnecter"),
            ("go_on", "Reprendre le direct"),
            ("listen_title", "Écouter (micro actif)"),
            ("listen_wish", "Écouter au prochain direct"),
            ("listen_wish_title", "Micro inactif : l'écoute démarrera au prochain direct"),
            ("resume", "Reprendre l'écoute :"),
            ("sees", "Affiché sur sa page :"),
            ("quality_good", "Connexion : bonne · {loss} % de perte"),
            ("no_sound", "Vous n'entendez rien ?"),
            ("mute", "Couper le son"),
            ("panel_stop", "Arrêter l'écoute"),
            ("panel_output", "Le navigateur bloque le son."),
            ("pending_ack", "En attente de son téléphone…"),
            (
                "pending_ack_late",
                "Son téléphone ne répond pas (écran verrouillé ?). L'écoute démarrera dès qu'il répondra.",
            ),
            ("elsewhere", "Déjà ouvert ailleurs, sur un autre appareil ou dans un autre onglet."),
            ("elsewhere_effect", "Le direct en cours s'arrêtera ; vous pourrez le relancer ici."),
            ("notices", "M'avertir quand un direct attendu commence"),
            ("notice_on_air", "En direct : {who}"),
            ("elsewhere_use", "Utiliser ici"),
            ("help_server_title", "Impossible de se connecter au serveur"),
            ("help_audio_title", "Erreur lors de l'établissement de la connexion audio"),
            ("help_sound_title", "Vous n'entendez rien ?"),
            ("help_howling_title", "Larsen ? Mettez un casque."),
            ("diagnostic", "Copier le diagnostic"),
            ("no_token_title", "Ouvrez votre lien d'accès"),
            ("paste_bad", "Ce lien est incomplet. Copiez-le en entier."),
            ("test_good", "Tout va bien : vous pouvez passer en direct."),
            ("no_token", "Collez votre lien ou scannez le code remis par votre responsable."),
            ("expired", "Votre accès a expiré. Demandez un nouveau lien à votre responsable."),
        ];
        let french = texts("fr");
        for (key, words) in promised {
            assert!(french.contains(&(key, words)), "{key} is not {words:?}");
        }
        let refused = "Ce lien n'est plus valable, ou a été mal copié. Recopiez-le en entier ou demandez-en un nouveau à votre \
                       responsable.";
        assert!(french.contains(&("refused", refused)));
        let shown: Vec<_> = french.iter().filter(|(_, text)| text.contains("admin")).collect();
        assert!(shown.is_empty(), "people are « responsable »: {shown:?}");
    }

    #[test]
    fn the_types_name_all_that_the_library_exports() {
        let types = include_str!("client/ecoute.d.ts");
        let words = |text: &'static str| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let exports = include_str!("client/ecoute.js").lines().filter_map(|line| line.strip_prefix("export {"));
        let exports = exports.flat_map(|line| words(line.split_once('}').unwrap().0));
        let member = |line: &'static str| {
            let line = line.strip_prefix("  ").filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))?;
            let line = line.trim_start_matches("get ").trim_start_matches("async ");
            line.split_once('(').map(|(name, _)| name).filter(|name| !name.starts_with('#'))
        };
        let (_, client) = include_str!("client/ecoute-client.js").split_once("export class").unwrap();
        let (client, _) = client.split_once("\n}\n").unwrap();
        let members = client.lines().filter_map(member);
        let names: Vec<&str> = exports.chain(members).filter(|name| !name.is_empty()).collect();
        assert!(names.len() > 30, "{names:?}");
        for name in names {
            assert!(words(types).any(|word| word == name), "{name} has no type");
        }
    }

    #[test]
    fn pages_run_nothing_but_files_of_ours() {
        for page in all() {
            let text = std::str::from_utf8(&page.plain.content).unwrap();
            let is_comment = |line: &&str| line.trim_start().starts_with(['*', '/']);
            let text = text.lines().filter(|line| !is_comment(line)).collect::<Vec<_>>().join("\n");
            // The namespace of SVG is a name, not an address.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            let markup = ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "setHTML"];
            let code = ["createContextualFragment", "eval(", "new Function", "javascript:", " onclick"];
            let others = [" style=\"", "<style", "src=\"//"];
            for banned in markup.iter().chain(&code).chain(&others) {
                assert!(!text.contains(banned), "{} has {banned}", page.path);
            }
            for address in text.split("://").skip(1) {
                let is_host = address.starts_with(|first: char| first.is_ascii_alphanumeric());
                assert!(!is_host, "{} names {:?}", page.path, address.get(..20));
            }
        }
    }
}
