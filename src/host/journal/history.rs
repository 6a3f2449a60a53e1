//! Answers questions about the past from what the entries came to, a piece at a time.
//!
//! Invariant: for a piece no more rows are looked at than a bound, or those of one person.

use rusqlite::{ToSql, named_params, params};

use super::reading::Reading;
use super::{JournalError, told};
use crate::history::{
    Broadcast, Form, Kind, Listening, Piece, Place, Query, Question, Row, Seen, write_begin, write_end, write_row,
};

/// How many rows a piece has at the most.
const ROWS_AT_ONCE: usize = 100;
/// How many rows are looked at for a piece, of which a scope may leave few.
const ROWS_LOOKED_AT: usize = 4000;

/// How much earlier what touches a time may have begun: whatever began before it is looked at.
const TOUCHING_MAX_MS: u64 = 31 * 86_400_000;

/// The end of all time, for what has no bound.
const LAST: u64 = i64::MAX as u64;

impl Reading {
    /// Answers a question, or goes on to; `now_ms` is when it is given, as what sounds still goes on.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn answer(&self, question: Question, now_ms: u64) -> Result<Piece, JournalError> {
        match question {
            Question::Rows(query) => self.history(query, now_ms),
            Question::Report(count) => self.count(count, now_ms),
        }
    }

    /// Returns the next piece of an answer; `now_ms` is when it is given, as what sounds still goes on.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn history(&self, mut query: Query, now_ms: u64) -> Result<Piece, JournalError> {
        let mut bytes = Vec::new();
        if !query.has_begun {
            write_begin(&mut bytes, query.kind, query.form);
            query.has_begun = true;
        }
        let wanted = match query.form {
            Form::Json => query.left.min(ROWS_AT_ONCE),
            Form::Csv => ROWS_AT_ONCE,
        };
        let (mut written, mut looked_at) = (0, 0);
        let mut is_end = false;
        while written < wanted && looked_at < ROWS_LOOKED_AT && !is_end {
            let room = wanted - written;
            // One more tells whether there are more.
            let mut rows = self.rows_of(&query, room + 1, now_ms)?;
            is_end = rows.len() <= room;
            rows.truncate(room);
            looked_at += rows.len();
            query.after = rows.last().map(|(place, _)| *place).or(query.after);
            let is_shown = |row: &Row| {
                query.scope.as_ref().is_none_or(|scope| scope.contains(commercial_of(row))) && query.is_sought(row)
            };
            let shown: Vec<Row> = rows.into_iter().map(|(_, row)| row).filter(is_shown).collect();
            for row in &shown {
                write_row(&mut bytes, query.form, row, !query.has_rows);
                query.has_rows = true;
            }
            written += shown.len();
        }
        query.left = query.left.saturating_sub(written);
        let has_enough = query.form == Form::Json && (query.left == 0 || looked_at >= ROWS_LOOKED_AT);
        if is_end || has_enough {
            write_end(&mut bytes, query.form, query.after.filter(|_| !is_end));
            return Ok(Piece { bytes, rest: None });
        }
        Ok(Piece { bytes, rest: Some(Box::new(query.into())) })
    }

    /// Returns the salespeople who were here since a moment, those of the last time first, and so many at the most.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn seen(&self, since_ms: u64, people_max: usize) -> Result<Vec<Seen>, JournalError> {
        let seen = "SELECT id, name, seen_ms FROM people INDEXED BY people_by_time \
                    WHERE role = 'commercial' AND seen_ms >= ?1 ORDER BY seen_ms DESC LIMIT ?2";
        let read = || -> rusqlite::Result<Vec<Seen>> {
            let mut statement = self.connection.prepare_cached(seen)?;
            let people = statement.query_map(params![since_ms, people_max], |row| {
                Ok(Seen { id: row.get(0)?, name: row.get(1)?, at_ms: row.get(2)? })
            })?;
            people.collect::<Result<_, _>>()
        };
        read().map_err(|error| told(&self.path, &error))
    }

    /// Hands over all rows that are asked for, from the newest to the oldest, whoever may see them.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn all_rows(&self, mut query: Query, now_ms: u64, mut take: impl FnMut(Row)) -> Result<(), JournalError> {
        loop {
            let rows = self.rows_of(&query, ROWS_AT_ONCE, now_ms)?;
            let Some(&(last, _)) = rows.last() else { return Ok(()) };
            query.after = Some(last);
            rows.into_iter().for_each(|(_, row)| take(row));
        }
    }

    /// Returns so many rows that come next, whoever may see them.
    pub(super) fn rows_of(
        &self,
        query: &Query,
        count: usize,
        now_ms: u64,
    ) -> Result<Vec<(Place, Row)>, JournalError> {
        let to_ms = query.to_ms.unwrap_or(LAST).min(LAST);
        // Of the two bounds SQLite may go along the wrong one.
        let newest = Place { at_ms: to_ms.saturating_sub(1), number: LAST };
        let after = query.after.map_or(newest, |after| after.min(newest));
        let from_ms = query.from_ms.unwrap_or(0).min(LAST);
        let since_ms = if query.is_touching { from_ms.saturating_sub(TOUCHING_MAX_MS) } else { from_ms };
        let sql = match query.kind {
            Kind::Broadcasts => broadcasts_sql(query),
            Kind::Listenings => listenings_sql(query),
        };
        let all: &[(&str, &dyn ToSql)] = named_params! {
            ":at": after.at_ms,
            ":number": after.number,
            ":from": from_ms,
            ":since": since_ms,
            ":to": to_ms,
            ":now": now_ms,
            ":commercial": query.commercial_id,
            ":admin": query.admin_id,
            ":count": count,
        };
        let read = || {
            let mut statement = self.connection.prepare_cached(&sql)?;
            for (name, value) in all {
                if let Some(index) = statement.parameter_index(name)? {
                    statement.raw_bind_parameter(index, value)?;
                }
            }
            let (mut found, mut rows) = (Vec::new(), statement.raw_query());
            while let Some(record) = rows.next()? {
                found.push(match query.kind {
                    Kind::Broadcasts => broadcast(record)?,
                    Kind::Listenings => listening(record)?,
                });
            }
            Ok(found)
        };
        read().map_err(|error| told(&self.path, &error))
    }
}

/// Each way to ask goes along an index of its own.
fn broadcasts_sql(query: &Query) -> String {
    let (index, whose) = match query.commercial_id {
        Some(_) => ("broadcasts_by_commercial", "AND b.commercial_id = :commercial"),
        None => ("broadcasts_by_time", ""),
    };
    format!(
        "SELECT b.from_ms, b.number, b.commercial_id, coalesce(p.name, b.commercial_id), b.device, b.to_ms, b.ended, \
         b.packets, b.lost, b.listeners \
         FROM broadcasts b INDEXED BY {index} LEFT JOIN people p ON p.id = b.commercial_id AND p.role = 'commercial' \
         WHERE (b.from_ms, b.number) < (:at, :number) AND b.from_ms >= :since AND b.from_ms < :to \
         AND (b.from_ms >= :from OR b.to_ms IS NULL OR b.to_ms > :from) {whose} \
         ORDER BY b.from_ms DESC, b.number DESC LIMIT :count"
    )
}

fn listenings_sql(query: &Query) -> String {
    let (index, whose) = match (&query.commercial_id, &query.admin_id) {
        (Some(_), None) => ("listenings_by_commercial", "AND l.commercial_id = :commercial"),
        (Some(_), Some(_)) => {
            ("listenings_by_commercial", "AND l.commercial_id = :commercial AND l.admin_id = :admin")
        }
        (None, Some(_)) => ("listenings_by_admin", "AND l.admin_id = :admin"),
        (None, None) => ("listenings_by_time", ""),
    };
    let sounded = if query.has_sounded { "AND l.from_ms IS NOT NULL" } else { "" };
    format!(
        "SELECT l.asked_ms, l.number, l.listening, l.commercial_id, coalesce(p.name, l.commercial_id), l.admin_id, \
         l.admin_name, l.reason, l.device, l.from_ms, l.to_ms, \
         l.heard_ms + coalesce(max(0, :now - l.sounds_since_ms), 0), l.told, l.ended \
         FROM listenings l INDEXED BY {index} LEFT JOIN people p ON p.id = l.commercial_id AND p.role = 'commercial' \
         WHERE (l.asked_ms, l.number) < (:at, :number) AND l.asked_ms >= :since AND l.asked_ms < :to \
         AND (l.asked_ms >= :from OR (l.from_ms IS NOT NULL AND (l.to_ms IS NULL OR l.to_ms > :from))) {whose} {sounded} \
         ORDER BY l.asked_ms DESC, l.number DESC LIMIT :count"
    )
}

fn broadcast(record: &rusqlite::Row<'_>) -> rusqlite::Result<(Place, Row)> {
    let row = Broadcast {
        commercial_id: record.get(2)?,
        commercial_name: record.get(3)?,
        device: record.get(4)?,
        from: record.get(0)?,
        to: record.get(5)?,
        ended: record.get(6)?,
        packets: record.get(7)?,
        lost: record.get(8)?,
        listeners: record.get(9)?,
    };
    Ok((Place { at_ms: row.from, number: record.get(1)? }, Row::Broadcast(row)))
}

fn listening(record: &rusqlite::Row<'_>) -> rusqlite::Result<(Place, Row)> {
    let row = Listening {
        id: record.get(2)?,
        commercial_id: record.get(3)?,
        commercial_name: record.get(4)?,
        admin_id: record.get(5)?,
        admin_name: record.get(6)?,
        reason: record.get(7)?,
        device: record.get(8)?,
        asked: record.get(0)?,
        from: record.get(9)?,
        to: record.get(10)?,
        heard_ms: record.get(11)?,
        told: record.get(12)?,
        ended: record.get(13)?,
    };
    Ok((Place { at_ms: row.asked, number: record.get(1)? }, Row::Listening(row)))
}

fn commercial_of(row: &Row) -> &str {
    match row {
        Row::Broadcast(row) => &row.commercial_id,
        Row::Listening(row) => &row.commercial_id,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::Value;
    use tempfile::TempDir;

    use super::*;
    use crate::audit::{
        Entry, EntryId, Event, ListenBreak, ListenEnd, ListeningId, Newcomer, OffAir, StartedBy, Subject,
    };
    use crate::history::{Count, ROWS_MAX, ReportForm};
    use crate::host::journal::Journal;
    use crate::token::Scope;
    use crate::words::Told;

    /// A journal that entries are appended to by name, at moments of a clock that a test sets.
    struct Story {
        data: TempDir,
        journal: Journal,
        at_ms: u64,
    }

    fn of(id: &str) -> Subject {
        Subject { commercial_id: id.into(), is_device: false }
    }

    fn wish(number: u64, admin: &str, commercial: &str) -> Arc<crate::audit::Listening> {
        Arc::new(crate::audit::Listening {
            id: ListeningId(number),
            admin_id: admin.into(),
            admin_name: format!("{admin} D."),
            commercial_id: commercial.into(),
            reason: "formation".into(),
            looks_like: None,
        })
    }

    impl Story {
        fn begin() -> Story {
            let data = TempDir::new().unwrap();
            let journal = Journal::open(data.path()).unwrap().0;
            Story { data, journal, at_ms: 0 }
        }

        fn tell(&mut self, at_ms: u64, event: Event) {
            self.at_ms = at_ms;
            let entry = Entry { id: EntryId(1), at: UNIX_EPOCH + Duration::from_millis(at_ms), event };
            self.journal.append(&[&entry]).unwrap();
        }

        fn start(&mut self, at_ms: u64, id: &str) {
            self.tell(at_ms, Event::BroadcastStarted { of: of(id), by: StartedBy::Page, name: None });
        }

        fn stop(&mut self, at_ms: u64, id: &str) {
            self.tell(
                at_ms,
                Event::BroadcastStopped { of: of(id), why: OffAir::ReplacedByPage, packets: Some((100, 3)) },
            );
        }

        fn listen(&mut self, at_ms: u64, what: &str, listening: &Arc<crate::audit::Listening>) {
            let (listening, is_device) = (Arc::clone(listening), false);
            self.tell(
                at_ms,
                match what {
                    "asked" => Event::ListenAsked { listening, is_device },
                    "started" => Event::ListenStarted { listening, is_device, told: Some(Told::Seen) },
                    "paused" => Event::ListenInterrupted { listening, is_device, why: ListenBreak::Paused },
                    _ => Event::ListenEnded { listening, is_device, was_heard: true, why: ListenEnd::NotAllowed },
                },
            );
        }

        fn reopen(&mut self) {
            let data = self.data.path().to_owned();
            // The lock goes with it.
            let other = TempDir::new().unwrap();
            self.journal = Journal::open(other.path()).unwrap().0;
            self.journal = Journal::open(&data).unwrap().0;
        }

        fn ask(&self, query: Query) -> Value {
            let (reading, mut bytes) = (Reading::open(self.data.path()).unwrap(), Vec::new());
            let mut rest = Some(Box::new(query.into()));
            while let Some(question) = rest {
                let piece = reading.answer(*question, self.at_ms).unwrap();
                bytes.extend(piece.bytes);
                rest = piece.rest;
            }
            serde_json::from_slice(&bytes).unwrap()
        }

        fn rows(&self, kind: Kind) -> Vec<Value> {
            self.ask(Query::new(kind, Form::Json))[kind.name()].as_array().unwrap().clone()
        }
    }

    fn story() -> Story {
        let mut story = Story::begin();
        let who = |id: &str, name: &str, role| {
            let (id, name) = (id.to_owned(), name.to_owned());
            Event::Registered {
                who: Arc::new(Newcomer { id, name, role, address: String::new(), browser: String::new() }),
            }
        };
        story.tell(500, who("lea", "Léa", "commercial"));
        story.tell(600, who("lea", "Léa Martin", "commercial"));
        let (paul, ana) = (wish(1, "paul", "lea"), wish(2, "ana", "lea"));
        story.listen(1000, "asked", &paul);
        story.start(2000, "lea");
        story.listen(2000, "started", &paul);
        story.listen(3000, "paused", &paul);
        story.listen(5000, "started", &paul);
        story.listen(5500, "asked", &ana);
        story.listen(6000, "ended", &paul);
        story.stop(7000, "lea");
        story.start(8000, "lea");
        story
    }

    #[test]
    fn entries_come_to_rows() {
        let story = story();
        let broadcasts = story.rows(Kind::Broadcasts);
        assert_eq!(broadcasts.len(), 2);
        let want = serde_json::json!({
            "commercial_id": "lea", "commercial_name": "Léa Martin", "device": false, "from": 2000, "to": 7000,
            "ended": "replaced_by_page", "packets": 100, "lost": 3, "listeners": 1
        });
        assert_eq!(broadcasts[1], want, "who falls silent and sounds again is one listener");
        assert_eq!((&broadcasts[0]["to"], &broadcasts[0]["listeners"]), (&Value::Null, &0.into()));
        let listenings = story.rows(Kind::Listenings);
        let want = serde_json::json!({
            "id": "0000000000000001", "commercial_id": "lea", "commercial_name": "Léa Martin", "admin_id": "paul",
            "admin_name": "paul D.", "reason": "formation", "device": false, "asked": 1000, "from": 2000, "to": 6000,
            "heard_ms": 2000, "told": "seen", "ended": "not_allowed"
        });
        assert_eq!(listenings[1], want);
        assert_eq!(listenings[0]["from"], Value::Null, "it never sounded");
    }

    #[test]
    fn what_sounds_is_counted_up_to_now() {
        let mut story = story();
        let ana = wish(2, "ana", "lea");
        story.listen(9000, "started", &ana);
        story.at_ms = 9700;
        assert_eq!(story.rows(Kind::Listenings)[0]["heard_ms"], 700);
    }

    #[test]
    fn what_is_asked_for_and_no_more_is_told() {
        let story = story();
        let ids = |query: Query| -> Vec<String> {
            let rows = story.ask(query);
            rows["listenings"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["admin_id"].as_str().unwrap().to_owned())
                .collect()
        };
        let all = || Query::new(Kind::Listenings, Form::Json);
        let lea = || Some("lea".to_owned());
        assert_eq!(ids(all()), ["ana", "paul"]);
        assert_eq!(ids(Query { admin_id: Some("ana".into()), ..all() }), ["ana"]);
        assert_eq!(ids(Query { commercial_id: lea(), admin_id: Some("paul".into()), ..all() }), ["paul"]);
        assert_eq!(ids(Query { commercial_id: lea(), has_sounded: true, ..all() }), ["paul"]);
        assert_eq!(ids(Query { commercial_id: Some("tom".into()), ..all() }), [""; 0]);
        assert_eq!(ids(Query { from_ms: Some(1001), ..all() }), ["ana"]);
        assert_eq!(ids(Query { to_ms: Some(5500), ..all() }), ["paul"]);
        assert_eq!(ids(Query { scope: Some(Scope::new(["tom"])), ..all() }), [""; 0]);
        assert_eq!(ids(Query { from_ms: Some(u64::MAX), to_ms: Some(u64::MAX), ..all() }), [""; 0]);
    }

    #[test]
    fn what_touches_a_time_is_told_whenever_it_began() {
        let mut story = story();
        let eve = wish(3, "eve", "tom");
        story.listen(8500, "asked", &eve);
        let told = |kind: Kind, from_ms: u64, to_ms: u64, is_touching: bool| -> Vec<u64> {
            let (from_ms, to_ms) = (Some(from_ms), Some(to_ms));
            let rows = story.ask(Query { from_ms, to_ms, is_touching, ..Query::new(kind, Form::Json) });
            let began = if kind == Kind::Broadcasts { "from" } else { "asked" };
            rows[kind.name()].as_array().unwrap().iter().map(|row| row[began].as_u64().unwrap()).collect()
        };
        // From 2000 to 7000, and from 8000 on.
        assert_eq!(told(Kind::Broadcasts, 3000, 7500, false), [0; 0]);
        assert_eq!(told(Kind::Broadcasts, 3000, 7500, true), [2000]);
        assert_eq!(told(Kind::Broadcasts, 7000, 7500, true), [0; 0], "it is over");
        assert_eq!(told(Kind::Broadcasts, 9000, 9500, true), [8000], "it goes on");
        assert_eq!(told(Kind::Broadcasts, 1000, 9000, true), [8000, 2000]);
        // Of Paul's, from 1000 to 6000, which sounded, of Ana's wish and of Eve's.
        assert_eq!(told(Kind::Listenings, 5800, 5900, true), [1000]);
        assert_eq!(told(Kind::Listenings, 6000, 9000, true), [8500]);
        assert_eq!(told(Kind::Listenings, 9000, 9500, true), [0; 0], "who only waits is told where they began to");
        let late = 2000 + TOUCHING_MAX_MS;
        assert_eq!(told(Kind::Broadcasts, late + 6000, late + 7000, true), [8000]);
        assert_eq!(told(Kind::Broadcasts, late + 6001, late + 7000, true), [0; 0], "it is too long ago");
    }

    #[test]
    fn names_are_looked_for_in_all_rows() {
        let mut story = Story::begin();
        let who = |id: &str, name: &str| Event::Registered {
            who: Arc::new(Newcomer {
                id: id.to_owned(),
                name: name.to_owned(),
                role: "commercial",
                address: String::new(),
                browser: String::new(),
            }),
        };
        story.tell(500, who("ines", "Inès R."));
        for number in 0..300 {
            let whom = if number % 100 == 0 { "ines" } else { "lea" };
            story.listen(1000 + number, "asked", &wish(number, if number == 0 { "marc" } else { "paul" }, whom));
        }
        let found = |commercial: Option<&str>, admin: Option<&str>| -> Vec<u64> {
            let (commercial, admin) = (commercial.map(str::to_owned), admin.map(str::to_owned));
            let rows = story.ask(Query { commercial, admin, ..Query::new(Kind::Listenings, Form::Json) });
            rows["listenings"].as_array().unwrap().iter().map(|row| row["asked"].as_u64().unwrap()).collect()
        };
        assert_eq!(found(Some("ines r"), None), [1200, 1100, 1000], "by name");
        assert_eq!(found(None, Some("marc d")), [1000]);
        assert_eq!(found(Some("ines"), Some("paul")), [1200, 1100]);
        assert_eq!(found(Some("nobody"), None), [0; 0]);
    }

    #[test]
    fn a_report_is_counted_step_by_step_as_the_command_counts() {
        let mut story = story();
        for number in 0..1500 {
            let paul = wish(100 + number, "paul", "lea");
            let at_ms = 10_000 + number * 10;
            story.listen(at_ms, "asked", &paul);
            story.listen(at_ms + 1, "started", &paul);
            story.listen(at_ms + 9, "ended", &paul);
        }
        let read = Arc::new(crate::audit::HistoryRead {
            user_id: "eve".into(),
            commercial_id: String::new(),
            query: String::new(),
        });
        story.tell(99_000, Event::HistoryRead { read, what: crate::audit::Read::Table });
        let counted = |rows_max: usize, query: &str, scope: Option<Scope>| {
            let count = Count { scope, ..Count::parse(ReportForm::Json, rows_max, query).unwrap() };
            let reading = Reading::open(story.data.path()).unwrap();
            let (mut question, mut steps) = (Question::Report(count), 0);
            loop {
                let piece = reading.answer(question, story.at_ms).unwrap();
                steps += 1;
                match piece.rest {
                    Some(rest) => {
                        assert!(piece.bytes.is_empty(), "it is whole, or nothing");
                        question = *rest;
                    }
                    None => break (steps, String::from_utf8(piece.bytes).unwrap()),
                }
            }
        };
        let (steps, told) = counted(10_000, "", None);
        assert_eq!(steps, 4, "two of listenings, one of broadcasts, one of entries");
        let told: Value = serde_json::from_str(&told).unwrap();
        let line =
            |name: &str| told["lines"].as_array().unwrap().iter().find(|line| line[0] == name).unwrap()[1].clone();
        assert_eq!(
            (line("Écoutes"), line("Extractions du journal ou de l'historique")),
            ("1501".into(), "1".into())
        );
        assert_eq!(counted(1502, "", None).1, "", "one more than may be");
        assert_ne!(counted(1503, "", None).1, "");
        let (_, none) = counted(10_000, "?lang=en&to=1970-01-01", None);
        assert!(none.contains(r#"["Listenings","0",""]"#), "{none}");
        let (_, of_tom) = counted(1, "", Some(Scope::new(["tom"])));
        assert!(of_tom.contains(r#"["Écoutes","0",""]"#), "{of_tom}");
    }

    #[test]
    fn pages_follow_each_other_without_a_gap_though_more_is_written() {
        let mut story = Story::begin();
        for number in 0..450 {
            // Several at one moment.
            story.listen(
                1000 + number / 4,
                "asked",
                &wish(number, "paul", if number % 2 == 0 { "lea" } else { "tom" }),
            );
        }
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = story.ask(Query { after, left: 70, ..Query::new(Kind::Listenings, Form::Json) });
            seen.extend(
                page["listenings"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()),
            );
            story.listen(5000, "asked", &wish(1000, "eve", "lea"));
            let Some(next) = page["next"].as_str() else { break };
            after = Place::parse(next);
        }
        let want: Vec<String> = (0..450).rev().map(|number| format!("{number:016x}")).collect();
        assert_eq!(seen, want);
        let scope = Some(Scope::new(["tom"]));
        let of_one = story.ask(Query { scope, left: ROWS_MAX, ..Query::new(Kind::Listenings, Form::Json) });
        assert_eq!(of_one["listenings"].as_array().unwrap().len(), ROWS_MAX, "in pieces");
        assert_eq!(of_one["listenings"][0]["id"], format!("{:016x}", 449));
    }

    #[test]
    fn what_was_left_open_is_closed_at_the_last_sign_of_life() {
        let mut story = story();
        story.journal.sign_of_life(UNIX_EPOCH + Duration::from_secs(20)).unwrap();
        story.reopen();
        story.tell(90_000, Event::ServerEnded);
        let (broadcasts, listenings) = (story.rows(Kind::Broadcasts), story.rows(Kind::Listenings));
        assert_eq!((&broadcasts[0]["to"], &broadcasts[0]["ended"]), (&20_000.into(), &"server_died".into()));
        assert_eq!((&listenings[0]["to"], &listenings[0]["ended"]), (&20_000.into(), &"server_died".into()));
        // Once.
        story.reopen();
        story.start(95_000, "lea");
        assert_eq!(story.rows(Kind::Broadcasts)[0]["to"], Value::Null);
        let verdict = Reading::open(story.data.path()).unwrap().verify(None).unwrap();
        assert_eq!(verdict.entries, 11 + 2 + 2);
    }

    #[test]
    fn who_was_here_is_known_for_a_while() {
        let story = story();
        let lea = Seen { id: "lea".into(), name: "Léa Martin".into(), at_ms: 7000 };
        let reading = Reading::open(story.data.path()).unwrap();
        assert_eq!(reading.seen(7000, 9).unwrap(), [lea]);
        assert_eq!(reading.seen(7001, 9).unwrap(), []);
        assert_eq!(reading.seen(0, 0).unwrap(), []);
    }

    #[test]
    fn what_is_purged_is_no_history_either() {
        let mut story = story();
        story.journal.purge(UNIX_EPOCH, UNIX_EPOCH + Duration::from_millis(5001)).unwrap();
        assert_eq!(story.rows(Kind::Broadcasts).len(), 1, "one has ended, one goes on");
        assert_eq!(story.rows(Kind::Listenings).len(), 1);
        assert_eq!(story.rows(Kind::Broadcasts)[0]["commercial_name"], "Léa Martin", "she was on air since");
    }
}
