//! What a works council is shown of how listening is used: numbers over a span of time, and nobody by name.
//!
//! Of two reports whose spans differ a little the difference may still be one person's. Invariant: nobody is named,
//! supervisors are letters, and of fewer than five listenings it is said that they are so few.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::table::{Broadcast, Listening, cell};

/// Fewer are no group of their own.
const GROUP_MIN: u64 = 5;
const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;

/// What counts as unusual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The hours of work, from and to, by the clock of the people.
    pub hours: (u64, u64),
    /// How far that clock is ahead of UTC, in minutes.
    pub offset_min: i64,
    /// A listening that sounded for longer is told.
    pub long_ms: u64,
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    French,
    English,
}

/// What was counted of some listenings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub listenings: u64,
    pub heard_ms: u64,
}

/// The numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub listenings: u64,
    pub heard_ms: u64,
    pub median_ms: u64,
    pub broadcasts: u64,
    pub air_ms: u64,
    /// For how much of that somebody listened.
    pub heard_air_ms: u64,
    pub by_reason: Vec<Group>,
    pub by_supervisor: Vec<Group>,
    pub outside_hours: u64,
    pub long: u64,
    /// How often entries were taken out, and how often some were purged.
    pub exports: u64,
    pub purges: u64,
}

impl Report {
    /// Counts listenings that sounded and broadcasts; what goes on counts up to `now_ms`.
    pub fn new(listenings: &[Listening], broadcasts: &[Broadcast], marks: Marks, now_ms: u64) -> Report {
        let mut lengths: Vec<u64> = listenings.iter().map(|row| row.heard_ms).collect();
        lengths.sort_unstable();
        let (mut reasons, mut supervisors) = (BTreeMap::new(), BTreeMap::new());
        for row in listenings {
            // What somebody wrote may name a person.
            let reason = if row.reason.starts_with("autre") { "autre" } else { &row.reason };
            count(reasons.entry(reason.to_owned()).or_default(), row);
            count(supervisors.entry(row.admin_id.clone()).or_default(), row);
        }
        let mut by_supervisor = merged(supervisors);
        for (index, group) in by_supervisor.iter_mut().filter(|group| !group.name.is_empty()).enumerate() {
            group.name = letters(index);
        }
        let began = |row: &&Listening| is_outside(row.from.unwrap_or(row.asked), marks);
        Report {
            listenings: lengths.len() as u64,
            heard_ms: lengths.iter().sum(),
            median_ms: lengths.get(lengths.len() / 2).copied().unwrap_or_default(),
            broadcasts: broadcasts.len() as u64,
            air_ms: broadcasts.iter().map(|row| row.to.unwrap_or(now_ms).saturating_sub(row.from)).sum(),
            heard_air_ms: heard_air(listenings, now_ms),
            by_reason: merged(reasons),
            by_supervisor,
            outside_hours: listenings.iter().filter(began).count() as u64,
            long: lengths.iter().filter(|length| **length > marks.long_ms).count() as u64,
            exports: 0,
            purges: 0,
        }
    }

    /// Returns the lines of the table, each with its words and numbers.
    fn lines(&self, language: Language) -> Vec<[String; 3]> {
        let say = |french: &str, english: &str| match language {
            Language::French => french.to_owned(),
            Language::English => english.to_owned(),
        };
        let share = (self.heard_air_ms * 100).checked_div(self.air_ms).unwrap_or_default().min(100);
        let one = |name: String, value: String| [name, value, String::new()];
        // What is said of one or two is said of somebody.
        let is_shown = self.listenings.min(self.broadcasts) >= GROUP_MIN;
        let some = |value: String| if is_shown { value } else { "–".to_owned() };
        let mut lines = vec![
            one(say("Écoutes", "Listenings"), few(self.listenings)),
            one(say("Durée totale d'écoute", "Total time heard"), some(minutes(self.heard_ms))),
            one(say("Durée médiane d'une écoute", "Median time of a listening"), some(minutes(self.median_ms))),
            one(say("Directs", "Broadcasts"), few(self.broadcasts)),
            one(say("Temps de direct", "Time on air"), some(minutes(self.air_ms))),
            one(
                say("Part du temps de direct écoutée", "Share of the time on air during which somebody listened"),
                some(format!("{share} %")),
            ),
            one(
                say("Écoutes hors des heures de travail", "Listenings outside working hours"),
                few(self.outside_hours),
            ),
            one(say("Écoutes longues", "Long listenings"), few(self.long)),
            one(say("Extractions du journal", "Exports of the journal"), self.exports.to_string()),
            one(say("Effacements", "Purges"), self.purges.to_string()),
        ];
        let others = say("autres, regroupés", "others, together");
        let groups = [
            (say("Motif : ", "Reason: "), &self.by_reason),
            (say("Responsable : ", "Supervisor: "), &self.by_supervisor),
        ];
        for (kind, groups) in groups {
            lines.extend(groups.iter().map(|group| {
                let name = if group.name.is_empty() { &others } else { &group.name };
                [format!("{kind}{name}"), few(group.listenings), some(minutes(group.heard_ms))]
            }));
        }
        lines
    }

    /// Writes it as a table (RFC 4180).
    pub fn to_csv(&self, language: Language) -> String {
        let line = |cells: [String; 3]| cells.map(|text| cell(&text)).join(",") + "\r\n";
        self.lines(language).into_iter().map(line).collect()
    }

    /// Writes its lines for a page that has words of its own for the rest.
    pub fn to_json(&self, language: Language, clock: &str) -> String {
        serde_json::json!({ "clock": clock, "lines": self.lines(language) }).to_string()
    }

    /// Writes it as a page that stands by itself.
    pub fn to_html(&self, language: Language, span: &str) -> String {
        let (lang, title, note) = match language {
            Language::French => (
                "fr",
                "Rapport d'usage des écoutes",
                "Ne sert pas à décompter le temps de travail. Aucun commercial n'est nommé ; les responsables sont des lettres, et \
                 moins de cinq écoutes sont regroupées avec d'autres. Entrées et historique sont conservés 183 jours.",
            ),
            Language::English => (
                "en",
                "How listening was used",
                "Not a record of working hours. No salesperson is named; supervisors are letters, and fewer than five listenings \
                 are counted with others. Entries and history are kept for 183 days.",
            ),
        };
        let mut page = format!(
            "<!doctype html>\n<html lang=\"{lang}\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
             <style>body {{ font: 16px/1.5 sans-serif; max-width: 50em; margin: 2em auto }} td {{ padding: .2em 2em .2em 0 }} \
             td + td {{ text-align: right }}</style>\n<h1>{title}</h1>\n<p>{}</p>\n<p>{note}</p>\n<table>\n",
            escaped(span)
        );
        for [name, value, more] in self.lines(language) {
            let row = [name, value, more].map(|text| format!("<td>{}</td>", escaped(&text))).concat();
            writeln!(page, "<tr>{row}</tr>").expect("a String takes all");
        }
        page + "</table>\n</html>\n"
    }
}

fn count(group: &mut Group, row: &Listening) {
    group.listenings += 1;
    group.heard_ms += row.heard_ms;
}

/// Returns groups by size, and what is no group of its own as one without a name; where that is none either, the smallest
/// group is with it.
fn merged(groups: BTreeMap<String, Group>) -> Vec<Group> {
    let named = groups.into_iter().map(|(name, group)| Group { name, ..group });
    let (mut large, small): (Vec<Group>, Vec<Group>) = named.partition(|group| group.listenings >= GROUP_MIN);
    large.sort_by_key(|group| std::cmp::Reverse(group.heard_ms));
    let mut others = Group::default();
    small.iter().for_each(|group| add(&mut others, group));
    while (1..GROUP_MIN).contains(&others.listenings)
        && let Some(smallest) = large.pop()
    {
        add(&mut others, &smallest);
    }
    if others.listenings > 0 {
        large.push(others);
    }
    large
}

fn add(to: &mut Group, group: &Group) {
    to.listenings += group.listenings;
    to.heard_ms += group.heard_ms;
}

/// Returns for how long somebody listened, whom however many heard at one time.
fn heard_air(listenings: &[Listening], now_ms: u64) -> u64 {
    let mut spans: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for row in listenings {
        let span = (row.from.unwrap_or(row.asked), row.to.unwrap_or(now_ms));
        spans.entry(&row.commercial_id).or_default().push(span);
    }
    let mut heard = 0;
    for spans in spans.values_mut() {
        spans.sort_unstable();
        let mut until = 0;
        for &(from, to) in &*spans {
            heard += to.saturating_sub(from.max(until));
            until = until.max(to);
        }
    }
    heard
}

fn is_outside(at_ms: u64, marks: Marks) -> bool {
    let local_ms = at_ms.saturating_add_signed(marks.offset_min * 60_000);
    let hour = local_ms % DAY_MS / HOUR_MS;
    // 1970 began on a Thursday.
    let is_weekend = matches!((local_ms / DAY_MS + 4) % 7, 0 | 6);
    is_weekend || !(marks.hours.0..marks.hours.1).contains(&hour)
}

/// Returns a number that tells nobody apart.
fn few(count: u64) -> String {
    if (1..GROUP_MIN).contains(&count) { format!("< {GROUP_MIN}") } else { count.to_string() }
}

/// A, B, … Z, AA, AB, …
fn letters(mut index: usize) -> String {
    let mut letters = String::new();
    loop {
        letters.insert(0, char::from(b'A' + (index % 26) as u8));
        if index < 26 {
            return letters;
        }
        index = index / 26 - 1;
    }
}

fn minutes(ms: u64) -> String {
    let minutes = ms / 60_000;
    if minutes < 60 { format!("{minutes} min") } else { format!("{} h {:02}", minutes / 60, minutes % 60) }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-03 is a Tuesday.
    const TUESDAY_10_UTC: u64 = 1_772_532_000_000;
    const MARKS: Marks = Marks { hours: (8, 19), offset_min: 60, long_ms: 30 * 60_000 };

    fn listening(admin: &str, reason: &str, from: u64, minutes: u64) -> Listening {
        Listening {
            id: String::new(),
            commercial_id: "lea".into(),
            commercial_name: "Léa".into(),
            admin_id: admin.into(),
            admin_name: admin.into(),
            reason: reason.into(),
            device: false,
            asked: from,
            from: Some(from),
            to: Some(from + minutes * 60_000),
            heard_ms: minutes * 60_000,
            told: None,
            ended: None,
        }
    }

    fn broadcast(from: u64, minutes: u64) -> Broadcast {
        Broadcast {
            commercial_id: "lea".into(),
            commercial_name: "Léa".into(),
            device: false,
            from,
            to: Some(from + minutes * 60_000),
            ended: None,
            packets: None,
            lost: None,
            listeners: 0,
        }
    }

    #[test]
    fn numbers_and_nobody_by_name() {
        let at = |hour: u64| TUESDAY_10_UTC + hour * HOUR_MS;
        let mut rows: Vec<Listening> =
            (0..6).map(|n| listening("paul", "formation", at(0) + n * 60_000, 10)).collect();
        rows.extend((0..5).map(|n| listening("ana", "autre: Léa pleure", at(1) + n * 60_000, 2)));
        rows.extend([listening("eve", "qualité", at(9), 40), listening("tom", "qualité", at(2), 1)]);
        let broadcasts =
            [(0, 60), (9, 60), (5, 0), (5, 0), (5, 0)].map(|(hour, minutes)| broadcast(at(hour), minutes));
        let report = Report::new(&rows, &broadcasts, MARKS, 0);
        assert_eq!((report.listenings, report.heard_ms / 60_000, report.median_ms / 60_000), (13, 111, 10));
        assert_eq!((report.outside_hours, report.long), (1, 1), "20 h in France, and 40 minutes");
        assert_eq!((report.air_ms / 60_000, report.heard_air_ms / 60_000), (120, 15 + 6 + 40 + 1));
        let names: Vec<&str> = report.by_supervisor.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(names, ["A", ""], "two of them would be told apart");
        assert_eq!(report.by_supervisor[1].listenings, 7);
        let told = report.to_html(Language::French, "<mars>") + &report.to_csv(Language::English);
        for name in ["paul", "ana", "Léa", "lea", "pleure", "<mars>"] {
            assert!(!told.contains(name), "{name}: {told}");
        }
        assert!(
            told.contains("Responsable : A") && told.contains("\"Reason: formation\",\"6\",\"1 h 00\""),
            "{told}"
        );
    }

    #[test]
    fn few_are_nobody() {
        let rows = [listening("paul", "formation", TUESDAY_10_UTC, 1)];
        let report = Report::new(&rows, &[], MARKS, 0);
        assert_eq!(report.by_supervisor.len(), 1);
        assert_eq!(report.by_supervisor[0].name, "");
        let nothing = Report::new(&[], &[], MARKS, 0);
        assert!(nothing.to_html(Language::English, "").contains("<td>Listenings</td><td>0</td>"));
        let told = report.to_csv(Language::English);
        assert!(told.contains("\"Listenings\",\"< 5\"") && !told.contains("\"1 min\",\"\""), "{told}");
    }

    #[test]
    fn letters_go_on() {
        assert_eq!([0, 25, 26, 51, 52, 701, 702].map(letters), ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]);
    }
}
