//! What a works council is shown of how listening is used: numbers over a span of time, and nobody by name.
//!
//! What counts as outside working hours goes by the clock of the people, in summer and in winter. Of two reports whose spans
//! differ a little the difference may still be one person's. Invariant: nobody is named,
//! supervisors are letters, and of fewer than five listenings it is said that they are so few.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;

use super::table::{Broadcast, Listening, cell};
use super::zone::Zone;
use crate::audit::{DeedKind, JOURNAL_PURGED, PurgeCause};
use crate::config::ENTRIES_KEPT_DAYS;

/// Fewer are no group of their own.
const GROUP_MIN: u64 = 5;
const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;
/// The event of somebody who saves history of others.
const HISTORY_EXPORTED: &str = "history_exported";

/// What counts as unusual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The hours of work, from and to, by the clock of the people.
    pub hours: (u64, u64),
    /// That clock.
    pub zone: Zone,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What counted as unusual.
    pub marks: Marks,
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
    pub tally: Tally,
}

/// What was done to the journal itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often entries or history were taken out.
    pub exports: u64,
    /// How often what is written about one person was purged before its time.
    pub purges: u64,
    /// How many entries were purged because they were as old as may be.
    pub purged_due: u64,
}

/// What an entry says, as far as it is counted.
#[derive(Deserialize)]
struct Said {
    event: String,
    #[serde(default)]
    detail: String,
    times: Option<u64>,
}

impl Tally {
    /// Counts an entry of the journal, as it is stored: all of the span are to be counted, in whatever order.
    pub fn count(&mut self, stored: &str) {
        // Most are none of those.
        if !stored.contains("export") && !stored.contains("purged") {
            return;
        }
        let Ok(Said { event, detail, times }) = serde_json::from_str(stored) else { return };
        let is = |kind: DeedKind| event == kind.name();
        let is_export = is(DeedKind::Exported) || is(DeedKind::PersonExported) || event == HISTORY_EXPORTED;
        // An older server said no cause: there was none but this.
        let is_due = event == JOURNAL_PURGED && (detail.is_empty() || detail == PurgeCause::Due.words());
        self.exports += u64::from(is_export);
        self.purges += u64::from(is(DeedKind::PersonPurged));
        self.purged_due += if is_due { times.unwrap_or(1) } else { 0 };
    }
}

impl Report {
    /// Counts listenings that sounded and broadcasts; what goes on counts up to `now_ms`.
    pub fn new(listenings: &[Listening], broadcasts: &[Broadcast], marks: Marks, now_ms: u64) -> Report {
        let mut lengths: Vec<u64> = listenings.iter().map(|row| row.heard_ms).collect();
        lengths.sort_unstable();
        let (mut reasons, mut supervisors) = (BTreeMap::new(), BTreeMap::new());
        for row in listenings {
            // What somebody wrote may name a person.
            let reason = match row.reason.as_str() {
                "" => "–",
                reason if reason.starts_with("autre") => "autre",
                reason => reason,
            };
            count(reasons.entry(reason.to_owned()).or_default(), row);
            count(supervisors.entry(row.admin_id.clone()).or_default(), row);
        }
        let mut by_supervisor = merged(supervisors);
        for (index, group) in by_supervisor.iter_mut().filter(|group| !group.name.is_empty()).enumerate() {
            group.name = letters(index);
        }
        let began = |row: &&Listening| is_outside(row.from.unwrap_or(row.asked), &marks);
        Report {
            listenings: lengths.len() as u64,
            heard_ms: lengths.iter().sum(),
            median_ms: median(&lengths),
            broadcasts: broadcasts.len() as u64,
            air_ms: broadcasts.iter().map(|row| row.to.unwrap_or(now_ms).saturating_sub(row.from)).sum(),
            heard_air_ms: heard_air(listenings, broadcasts, now_ms),
            by_reason: merged(reasons),
            by_supervisor,
            outside_hours: listenings.iter().filter(began).count() as u64,
            long: lengths.iter().filter(|length| **length > marks.long_ms).count() as u64,
            tally: Tally::default(),
            marks,
        }
    }

    /// Returns the lines of the table, each with its words and numbers.
    fn lines(&self, language: Language) -> Vec<[String; 3]> {
        let say = |french: &str, english: &str| match language {
            Language::French => french.to_owned(),
            Language::English => english.to_owned(),
        };
        let ((from, to), zone, long) = (self.marks.hours, self.marks.zone.name(), minutes(self.marks.long_ms));
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
                say(
                    &format!("Écoutes hors des heures de travail ({from} h – {to} h, {zone}, et le week-end)"),
                    &format!("Listenings outside working hours ({from}:00 – {to}:00, {zone}, and at weekends)"),
                ),
                few(self.outside_hours),
            ),
            one(
                say(&format!("Écoutes de plus de {long}"), &format!("Listenings of more than {long}")),
                few(self.long),
            ),
            one(
                say("Extractions du journal ou de l'historique", "Exports of the journal or the history"),
                self.tally.exports.to_string(),
            ),
            one(
                say(
                    "Effacements demandés, d'une personne chacun",
                    "Purges that were asked for, of one person each",
                ),
                self.tally.purges.to_string(),
            ),
            one(
                say("Entrées effacées à leur échéance", "Entries purged when they were due"),
                self.tally.purged_due.to_string(),
            ),
            one(
                say("Durée de conservation", "How long all is kept"),
                say(&format!("{ENTRIES_KEPT_DAYS} jours"), &format!("{ENTRIES_KEPT_DAYS} days")),
            ),
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
    pub fn to_json(&self, language: Language) -> String {
        serde_json::json!({ "lines": self.lines(language) }).to_string()
    }

    /// Writes it as a page that stands by itself.
    pub fn to_html(&self, language: Language, span: &str) -> String {
        let (lang, title, note) = match language {
            Language::French => (
                "fr",
                "Rapport d'usage des écoutes",
                "Ne sert pas à décompter le temps de travail. Aucun commercial n'est nommé ; les responsables sont des lettres, et \
                 moins de cinq écoutes sont regroupées avec d'autres.",
            ),
            Language::English => (
                "en",
                "How listening was used",
                "Not a record of working hours. No salesperson is named; supervisors are letters, and fewer than five listenings \
                 are counted with others.",
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

fn median(sorted: &[u64]) -> u64 {
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    u64::midpoint(at(sorted.len().saturating_sub(1) / 2), at(sorted.len() / 2))
}

/// Returns for how long of what was on air somebody listened, whom however many heard at one time.
fn heard_air(listenings: &[Listening], broadcasts: &[Broadcast], now_ms: u64) -> u64 {
    let mut on_air: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for row in broadcasts {
        on_air.entry(&row.commercial_id).or_default().push((row.from, row.to.unwrap_or(now_ms)));
    }
    let mut spans: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for row in listenings {
        // A wish outlives the broadcast in which it was heard.
        let (from, to) = (row.from.unwrap_or(row.asked), row.to.unwrap_or(now_ms));
        let on_air = on_air.get(row.commercial_id.as_str()).into_iter().flatten();
        let heard = on_air.map(|(on, off)| (from.max(*on), to.min(*off))).filter(|(from, to)| from < to);
        spans.entry(&row.commercial_id).or_default().extend(heard);
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

fn is_outside(at_ms: u64, marks: &Marks) -> bool {
    let local_ms = marks.zone.local_ms(at_ms);
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

    fn marks() -> Marks {
        let zone = Zone::from_rule("Europe/Paris", "CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        Marks { hours: (8, 19), zone, long_ms: 30 * 60_000 }
    }

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
        let report = Report::new(&rows, &broadcasts, marks(), 0);
        assert_eq!((report.listenings, report.heard_ms / 60_000, report.median_ms / 60_000), (13, 111, 10));
        assert_eq!((report.outside_hours, report.long), (1, 1), "20 h in France, and 40 minutes");
        assert_eq!((report.air_ms / 60_000, report.heard_air_ms / 60_000), (120, 15 + 40), "but what was on air");
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
        let report = Report::new(&rows, &[], marks(), 0);
        assert_eq!(report.by_supervisor.len(), 1);
        assert_eq!(report.by_supervisor[0].name, "");
        let nothing = Report::new(&[], &[], marks(), 0);
        assert!(nothing.to_html(Language::English, "").contains("<td>Listenings</td><td>0</td>"));
        let told = report.to_csv(Language::English);
        assert!(told.contains("\"Listenings\",\"< 5\"") && !told.contains("\"1 min\",\"\""), "{told}");
    }

    #[test]
    fn what_is_outside_hours_goes_by_the_clock_of_that_day() {
        // 2026-03-27 is a Friday, and on the Sunday behind it clocks go forward; 2026-10-23 and back.
        let (march, october, day) = (1_774_569_600_000, 1_792_713_600_000, 24 * HOUR_MS);
        let minutes = |hour: u64, minute: u64| hour * HOUR_MS + minute * 60_000;
        let cases = [
            ("Friday in winter, 7.59", march + minutes(6, 59), true),
            ("Friday in winter, 8.00", march + minutes(7, 0), false),
            ("Friday in winter, 18.59", march + minutes(17, 59), false),
            ("Friday in winter, 19.00", march + minutes(18, 0), true),
            ("Saturday noon", march + day + minutes(11, 0), true),
            ("Sunday, Monday in summer was an hour away", march + 2 * day + minutes(21, 59), true),
            ("Monday in summer, 7.59", march + 3 * day + minutes(5, 59), true),
            ("Monday in summer, 8.00", march + 3 * day + minutes(6, 0), false),
            ("Monday in summer, 18.59", march + 3 * day + minutes(16, 59), false),
            ("Monday in summer, 19.00", march + 3 * day + minutes(17, 0), true),
            ("Friday in summer, 8.00", october + minutes(6, 0), false),
            ("Friday in summer, 19.00", october + minutes(17, 0), true),
            ("Monday in winter, 7.00", october + 3 * day + minutes(6, 0), true),
            ("Monday in winter, 8.00", october + 3 * day + minutes(7, 0), false),
            ("Monday in winter, 18.59", october + 3 * day + minutes(17, 59), false),
        ];
        for (name, at_ms, want) in cases {
            assert_eq!(is_outside(at_ms, &marks()), want, "{name}");
        }
    }

    #[test]
    fn what_was_exported_and_purged_is_counted_by_what_was_done() {
        let mut tally = Tally::default();
        for stored in [
            r#"{"event":"journal_exported","detail":""}"#,
            r#"{"event":"person_exported","detail":""}"#,
            r#"{"event":"history_exported","detail":""}"#,
            r#"{"event":"registered","name":"\"event\":\"person_purged\""}"#,
            r#"{"event":"person_purged","detail":"she left"}"#,
            r#"{"event":"journal_purged","detail":"of one person","times":2000,"rows":"1-2000"}"#,
            r#"{"event":"journal_purged","detail":"of one person","rows":"2001"}"#,
            r#"{"event":"journal_purged","detail":"due","times":2000,"rows":"1-2000"}"#,
            r#"{"event":"journal_purged","detail":"due","rows":"2001"}"#,
            r#"{"event":"journal_purged","detail":"","times":10}"#,
        ] {
            tally.count(stored);
        }
        assert_eq!((tally.exports, tally.purges, tally.purged_due), (3, 1, 2011));
        let told = Report { tally, ..Report::new(&[], &[], marks(), 0) }.to_csv(Language::French);
        for line in [
            r#""Écoutes hors des heures de travail (8 h – 19 h, Europe/Paris, et le week-end)","0""#,
            r#""Écoutes de plus de 30 min","0""#,
            r#""Effacements demandés, d'une personne chacun","1""#,
            r#""Entrées effacées à leur échéance","2011""#,
            r#""Durée de conservation","183 jours""#,
        ] {
            assert!(told.contains(line), "{line}: {told}");
        }
    }

    #[test]
    fn the_middle_of_an_even_number_is_between_two() {
        let cases: [(&[u64], u64); 4] = [(&[], 0), (&[3], 3), (&[3, 5], 4), (&[1, 2, 9], 2)];
        for (sorted, want) in cases {
            assert_eq!(median(sorted), want, "{sorted:?}");
        }
    }

    #[test]
    fn letters_go_on() {
        assert_eq!([0, 25, 26, 51, 52, 701, 702].map(letters), ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]);
    }
}
