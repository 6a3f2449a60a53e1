//! What the README and the guide in `src/docs` promise: options, commands, links, and that they reach their readers.
//!
//! Not the examples of other applications, which run in browsers (`tests/browser/embedding.rs`). Invariant: the program is
//! asked itself, with `--help`, and no list of options stands here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The longest README, in lines: it is for newcomers, and the rest is the guide's.
const README_LINES_MAX: usize = 160;

/// One option as the program, or a table, tells of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct OptionRow {
    /// With the name of its value: `--listen IP:PORT`.
    option: String,
    variable: String,
    default: String,
}

#[test]
fn the_table_of_options_is_what_the_program_knows() {
    let of_server: Vec<OptionRow> =
        table("Options of the server").iter().map(|row| option_row(&row[0], &row[1], &row[2])).collect();
    let told: BTreeSet<OptionRow> = of_server.iter().cloned().collect();
    assert_eq!(told.len(), of_server.len(), "an option stands twice");
    assert_eq!(told, options_of("serve"));

    let of_others = table("Options of the other commands");
    for command in commands().iter().filter(|command| *command != "serve") {
        let rows = of_others.iter().filter(|row| spans(&row[0]).any(|named| named == command));
        let mut told: BTreeSet<OptionRow> = rows.map(|row| option_row(&row[1], &row[2], &row[3])).collect();
        if command == "doctor" {
            told.extend(of_server.iter().cloned());
        }
        assert_eq!(told, options_of(command), "{command}");
    }
}

#[test]
fn the_manual_has_a_page_for_each_command_and_all_its_options() {
    let folder = tempfile::TempDir::new().unwrap();
    let written = Command::new(env!("CARGO_BIN_EXE_ecoute")).arg("manual").arg(folder.path()).output().unwrap();
    assert!(written.status.success(), "{written:?}");
    for command in commands() {
        let page =
            fs::read_to_string(folder.path().join(format!("ecoute-{}.1", command.replace(' ', "-")))).unwrap();
        let text = page.replace('\\', "");
        for OptionRow { option, variable, .. } in options_of(&command) {
            let name = option.split(' ').next().unwrap();
            assert!(text.contains(name), "{command}: {name}");
            assert!(variable == "none" || text.contains(&variable), "{command}: {variable}");
        }
    }
    let pages = fs::read_dir(folder.path()).unwrap().count();
    let parents = commands_of(&[]).len() - commands().iter().filter(|command| !command.contains(' ')).count();
    assert_eq!(pages, commands().len() + parents + 1, "and one for the program, and for what has commands");

    let nowhere = Command::new(env!("CARGO_BIN_EXE_ecoute")).args(["manual", "/nowhere/at/all"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("can't write the manual to /nowhere/at/all"));
}

#[test]
fn the_changelog_of_the_package_begins_with_this_version() {
    let changelog = fs::read_to_string(root().join("packaging/changelog")).unwrap();
    let want = format!("ecoute ({}) ", env!("CARGO_PKG_VERSION"));
    assert!(changelog.starts_with(&want), "{:?}", changelog.lines().next());
}

#[test]
fn commands_in_examples_have_only_options_that_are_known() {
    let known: Vec<(String, BTreeSet<OptionRow>)> =
        commands().into_iter().map(|command| (command.clone(), options_of(&command))).collect();
    let mut checked = 0;
    for (page, text) in pages() {
        let lines = shell_lines(&text).into_iter().map(|line| format!(" {line}").replace("$(", " "));
        for said in lines.flat_map(|line| line.split(" ecoute ").skip(1).map(str::to_owned).collect::<Vec<_>>()) {
            // What stands behind those is for somebody else.
            let said = said.split([';', '#', ')']).next().unwrap();
            let named = known.iter().find(|(name, _)| said.starts_with(name.as_str()));
            let options = named.map_or_else(|| options_of("serve"), |(_, options)| options.clone());
            for option in said.split_whitespace().filter(|word| word.starts_with("--")) {
                let is_known = options.iter().any(|row| row.option.split(' ').next() == Some(option));
                assert!(is_known, "{}: ecoute {said}: there is no {option}", page.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "only {checked} were found");
}

#[test]
fn variables_in_examples_and_settings_are_known() {
    let known: BTreeSet<String> =
        commands().iter().flat_map(|command| options_of(command)).map(|row| row.variable).collect();
    let settings = root().join("packaging/default");
    let texts = pages().into_iter().chain([(settings.clone(), fs::read_to_string(&settings).unwrap())]);
    for (page, text) in texts {
        for rest in text.split("ECOUTE_").skip(1) {
            let end = rest.find(|c: char| !c.is_ascii_uppercase() && c != '_').unwrap_or(rest.len());
            let variable = format!("ECOUTE_{}", &rest[..end]);
            assert!(known.contains(&variable), "{}: {variable}", page.display());
        }
    }
}

#[test]
fn links_lead_somewhere() {
    for (page, text) in pages() {
        let folder = page.parent().unwrap();
        let definitions = text.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: "));
        let definitions: Vec<(&str, &str)> = definitions.collect();
        for used in text.split("][").skip(1) {
            let name = used.split(']').next().unwrap();
            let is_defined = definitions.iter().any(|(defined, _)| *defined == name);
            assert!(is_defined, "{}: [{name}] leads nowhere", page.display());
        }
        let written = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        for target in written.chain(definitions.iter().map(|(_, target)| *target)) {
            if target.starts_with("https://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { page.clone() } else { folder.join(file) };
            let there = fs::read_to_string(&file).unwrap_or_else(|_| panic!("{}: {target}", page.display()));
            let has_anchor = anchor.is_empty() || headings(&there).any(|heading| anchor_of(heading) == anchor);
            assert!(has_anchor, "{}: {target}", page.display());
        }
    }
}

#[test]
fn the_guide_is_linked_rendered_and_shipped() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let rendered = fs::read_to_string(root().join("src/docs/mod.rs")).unwrap();
    let guide = guide();
    assert_eq!(guide.len(), 4);
    for page in guide {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(readme.contains(&format!("](src/docs/{name})")), "the README does not link {name}");
        assert!(rendered.contains(&format!("include_str!(\"{name}\")")), "{name} is not rendered");
        // At the same place below the README, so that its links lead there too.
        let asset = format!(r#"["src/docs/{name}", "usr/share/doc/ecoute/src/docs/", "644"]"#);
        assert!(manifest.contains(&asset), "{name} is not shipped");
    }
    assert!(manifest.contains(r#"["README.md", "usr/share/doc/ecoute/", "644"]"#));
}

#[test]
fn the_readme_is_short_and_no_example_is_taken_for_rust() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let lines = readme.lines().count();
    assert!(lines <= README_LINES_MAX, "{lines} lines");
    for (page, text) in pages() {
        for (begin, fence) in text.lines().filter(|line| line.starts_with("```")).enumerate() {
            let is_right = if begin % 2 == 0 { fence.len() > 3 && fence != "```rust" } else { fence == "```" };
            assert!(is_right, "{}: {fence}", page.display());
        }
    }
}

/// What the program can be told to do; what `audit` can be is `audit show`.
fn commands() -> Vec<String> {
    let with_parents = |name: String| match commands_of(&[&name]) {
        below if below.is_empty() => vec![name],
        below => below.iter().map(|below| format!("{name} {below}")).collect(),
    };
    commands_of(&[]).into_iter().flat_map(with_parents).collect()
}

/// What stands in the help below a command, or the program.
fn commands_of(command: &[&str]) -> Vec<String> {
    let help = help(command);
    let Some((_, listed)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let lines = listed.lines().take_while(|line| !line.is_empty()).filter(|line| line.starts_with("  "));
    let names = lines.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The options that a command knows.
fn options_of(command: &str) -> BTreeSet<OptionRow> {
    let help = help(&command.split(' ').collect::<Vec<_>>());
    let (_, options) = help.split_once("\nOptions:\n").unwrap();
    let mut told: Vec<String> = Vec::new();
    for line in options.lines().map(str::trim) {
        match told.last_mut() {
            Some(option) if !line.starts_with('-') => *option = format!("{option}  {line}"),
            Some(_) | None => told.push(line.to_owned()),
        }
    }
    let ours = told.iter().filter(|option| option.starts_with("--"));
    ours.map(|option| row_of_help(option)).collect()
}

fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ecoute")).args(command).arg("--help").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn row_of_help(text: &str) -> OptionRow {
    let (option, about) = text.split_once("  ").unwrap();
    let without = if option.contains('<') { "none" } else { "off" };
    // Lines are as long as a terminal is wide, or was taken to be.
    let about = &about.split_whitespace().collect::<Vec<_>>().join(" ");
    let variable = told_in(about, "[env: ").map_or("none", |told| told.split('=').next().unwrap());
    let default = told_in(about, "[default: ").unwrap_or(without);
    OptionRow { option: option.replace(['<', '>'], ""), variable: variable.to_owned(), default: default.to_owned() }
}

/// What stands in brackets in a help text; brackets may stand inside, too.
fn told_in<'a>(about: &'a str, begin: &str) -> Option<&'a str> {
    let (_, rest) = about.split_once(begin)?;
    rest.split_once("] ").map(|(told, _)| told).or(rest.strip_suffix(']'))
}

/// An option as a table of the guide writes it.
fn option_row(option: &str, variable: &str, default: &str) -> OptionRow {
    let plain = |cell: &str| cell.replace('`', "");
    OptionRow { option: plain(option), variable: plain(variable), default: plain(default) }
}

/// The rows of the table below a heading of `operating.md`, each with its cells.
fn table(heading: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join("src/docs/operating.md")).unwrap();
    let (_, rest) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    let rows = rest.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.skip(2).map(cells).collect()
}

/// What stands between backticks.
fn spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The lines of all examples for a shell, those that go on in the next one whole.
fn shell_lines(text: &str) -> Vec<String> {
    let examples = text.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```\n").next().unwrap());
    examples
        .flat_map(|example| example.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

fn headings(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim())
}

/// The anchor of a heading, as rustdoc and Git's hosts make it.
fn anchor_of(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|&c| c.is_alphanumeric() || c == '-' || c == '_').collect()
}

/// The README and the pages of the guide.
fn pages() -> Vec<(PathBuf, String)> {
    let paths = guide().into_iter().chain([root().join("README.md")]);
    paths.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

fn guide() -> Vec<PathBuf> {
    let files = fs::read_dir(root().join("src/docs")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
