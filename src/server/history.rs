//! Answers questions about the past: who may ask what, and how the answer goes to the client.
//!
//! What is asked is read elsewhere, a piece at a time. Invariant: nobody is shown what others did before it is durable that
//! they were, and what a token does not allow to see at that moment is not asked for.

use std::sync::Arc;
use std::time::Instant;

use super::Server;
use super::journal::JOURNAL_UNAVAILABLE;
use super::problem::{Problem, come_back_later};
use crate::audit::{Event, HistoryRead, Read};
use crate::conn::Conn;
use crate::history::{Count, Form, Kind, Piece, Query, QueryError, Question, ReportForm};
use crate::keys::{ConnKey, JobKey};
use crate::outbox::{Job, NotWritten, Outbox};
use crate::token::{Claims, Right};
use crate::wire::http::{Request, Response, Status};
use crate::words::Role;

/// Where the report is.
pub(super) const REPORT: &str = "/api/report";

/// Whose past is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// That of the salesperson who asks.
    Own,
    Others(Kind),
    /// Everybody's, as numbers.
    Report,
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Problem {
        Problem::new(Status::BadRequest, error.to_string())
    }
}

impl Server {
    /// Takes a question about the past; the answer comes later.
    pub(super) fn on_history_request(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: &Request,
        whose: Whose,
        out: &mut Outbox,
    ) -> Result<(), Problem> {
        let claims = self.authenticate(now, conn, request, out)?;
        if !self.quotas.act(now, &claims.sub, &mut self.stats) {
            return Err(Problem::new(Status::TooManyRequests, "you ask too often: wait"));
        }
        let form = if request.accepts_csv { Form::Csv } else { Form::Json };
        match whose {
            Whose::Own => {
                let query = own_query(&claims, form, &request.query)?;
                self.ask_first(now, conn, request, Box::new(query.into()), out)
            }
            Whose::Report => self.on_report_request(now, (conn, request), &claims, out),
            Whose::Others(kind) => {
                let mut query = Query::parse(kind, form, &request.query)?;
                let read = |query: &Query| HistoryRead {
                    user_id: claims.sub.clone(),
                    commercial_id: query.commercial_id.clone().unwrap_or_default(),
                    query: query.to_string(),
                };
                if let Err(why) = narrow(&claims, &mut query) {
                    if claims.role != Role::Monitor {
                        let read = Arc::new(read(&query));
                        self.note(now, Event::HistoryRefused { read, why }, out);
                    }
                    return Err(Problem::new(Status::Forbidden, why));
                }
                let is_own = kind == Kind::Listenings && query.admin_id.as_ref() == Some(&claims.sub);
                if is_own {
                    return self.ask_first(now, conn, request, Box::new(query.into()), out);
                }
                let event = Event::HistoryRead {
                    read: Arc::new(read(&query)),
                    what: if form == Form::Csv { Read::Table } else { Read::Rows },
                };
                self.await_permission(now, (conn, request), Box::new(query.into()), event, out)
                    .map_err(|NotWritten| unavailable())
            }
        }
    }

    /// Takes a question for numbers over a span of time.
    fn on_report_request(
        &mut self,
        now: Instant,
        (conn, request): (ConnKey, &Request),
        claims: &Claims,
        out: &mut Outbox,
    ) -> Result<(), Problem> {
        let form = match request {
            Request { accepts_csv: true, .. } => ReportForm::Csv,
            Request { accepts_html: true, .. } => ReportForm::Html,
            Request { .. } => ReportForm::Json,
        };
        let count = Count::parse(form, self.settings.limits.jobs.report_rows_max, &request.query)?;
        let (user_id, query) = (claims.sub.clone(), count.to_string());
        let read = Arc::new(HistoryRead { user_id, commercial_id: String::new(), query });
        if claims.role != Role::Admin || !claims.rights.has(Right::Audit) {
            let why = "the report is for those with the right audit";
            if claims.role != Role::Monitor {
                self.note(now, Event::HistoryRefused { read, why }, out);
            }
            return Err(Problem::new(Status::Forbidden, why));
        }
        let question = Box::new(Question::Report(Count { scope: claims.listen.clone(), ..count }));
        let event = Event::HistoryRead { read, what: Read::Report };
        self.await_permission(now, (conn, request), question, event, out).map_err(|NotWritten| unavailable())
    }

    /// It is known whether it is durable that somebody asks about others.
    pub(super) fn on_permission_answered(
        &mut self,
        now: Instant,
        (conn, job): (ConnKey, JobKey),
        question: Box<Question>,
        written: Result<(), NotWritten>,
        out: &mut Outbox,
    ) {
        self.stats.gates_refused += u64::from(written.is_err());
        let Some(client) = self.clients.get_mut(conn) else { return };
        let Some(request) = client.take_answering(now, job, &self.settings.limits.conn) else { return };
        let asked = match written {
            Ok(()) => self
                .check_still_allowed(now, &request)
                .and_then(|()| self.ask_first(now, conn, &request, question, out)),
            Err(NotWritten) => Err(unavailable()),
        };
        if let Err(problem) = asked {
            self.refuse(now, conn, Some(&request), &problem);
        }
        self.poll_conn(now, conn, out);
    }

    /// Asks for the first piece of an answer, or goes on to where nothing of it was there yet.
    fn ask_first(
        &mut self,
        now: Instant,
        conn: ConnKey,
        request: &Request,
        question: Box<Question>,
        out: &mut Outbox,
    ) -> Result<(), Problem> {
        let is_report = matches!(*question, Question::Report(_));
        let Some(job) = self.question(conn, is_report) else {
            self.stats.reads_refused += 1;
            return Err(come_back_later("too many ask about the past"));
        };
        if let Some(client) = self.clients.get_mut(conn) {
            client.await_answer(now, job, request.clone(), &self.settings.limits.conn);
        }
        out.job(job, Job::ReadHistory(question));
        Ok(())
    }

    /// Asks for the next piece, where a client has read the one before.
    pub(super) fn pull(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) {
        let Some(request) = self.clients.get(conn).and_then(|client| client.wants_more()) else { return };
        if self.check_still_allowed(now, request).is_err() {
            return self.clients.get_mut(conn).into_iter().for_each(Conn::abandon);
        }
        // Of a report there is one piece.
        let Some(job) = self.question(conn, false) else { return self.starve(conn) };
        let client = self.clients.get_mut(conn);
        let rest = client.and_then(|client| client.await_piece(now, job, &self.settings.limits.conn));
        if let Some(rest) = rest {
            out.job(job, Job::ReadHistory(rest));
        }
    }

    /// A piece of an answer is there; the client may be gone, or have waited for too long.
    pub(super) fn on_history_read(
        &mut self,
        now: Instant,
        (conn, job): (ConnKey, JobKey),
        piece: Option<Piece>,
        out: &mut Outbox,
    ) {
        let limits = &self.settings.limits.conn;
        let client = self.clients.get_mut(conn);
        match client.map(|client| (client.take_answering(now, job, limits), client)) {
            Some((Some(request), _)) => match self.check_still_allowed(now, &request) {
                Ok(()) => self.go_on(now, conn, request, piece, out),
                Err(problem) => self.refuse(now, conn, Some(&request), &problem),
            },
            Some((None, client)) if client.awaited_answer() == Some(job) => match piece {
                Some(piece) => client.continue_stream(now, job, piece, limits),
                // What has begun can't be taken back: that it breaks off tells that it is not whole.
                None => client.abandon(),
            },
            Some((None, _)) | None => {}
        }
        // What it asks next comes behind those who have waited.
        while let Some(starved) = self.next_starved() {
            self.pull(now, starved, out);
        }
        self.poll_conn(now, conn, out);
    }

    /// Responds with what is there, or asks on where that is nothing yet.
    fn go_on(&mut self, now: Instant, conn: ConnKey, request: Request, piece: Option<Piece>, out: &mut Outbox) {
        let went_on = match piece {
            Some(Piece { bytes, rest: Some(rest) }) if bytes.is_empty() => {
                self.ask_first(now, conn, &request, rest, out)
            }
            Some(Piece { bytes, rest: None }) if bytes.is_empty() => {
                self.stats.reports_refused += 1;
                let max = self.settings.limits.jobs.report_rows_max;
                let text =
                    format!("more than {max} broadcasts and listenings: ask for less time, or use ecoute report");
                Err(Problem::new(Status::BadRequest, text).code("too_much"))
            }
            piece => return self.respond_history(now, conn, request, piece),
        };
        if let Err(problem) = went_on {
            self.refuse(now, conn, Some(&request), &problem);
        }
    }

    /// A right may have ended since it was asked.
    pub(super) fn check_still_allowed(&self, now: Instant, request: &Request) -> Result<(), Problem> {
        let token = request.bearer.as_deref().unwrap_or_default();
        self.verifier.verify(self.unix_s(now), token).map(drop).map_err(Problem::of_token)
    }

    fn respond_history(&mut self, now: Instant, conn: ConnKey, request: Request, piece: Option<Piece>) {
        let Some(piece) = piece else {
            let problem = come_back_later("the history can't be read at the moment");
            return self.refuse(now, conn, Some(&request), &problem);
        };
        let is_page = request.path == REPORT && request.accepts_html;
        let (content_type, disposition) = match (request.accepts_csv, is_page) {
            (true, _) => ("text/csv; charset=utf-8", Some("attachment; filename=\"ecoute.csv\"")),
            (false, true) => ("text/html; charset=utf-8", Some("attachment; filename=\"ecoute.html\"")),
            (false, false) => ("application/json", None),
        };
        let response = Response::new(Status::Ok).header("Cache-Control", "no-store");
        let response = match disposition {
            Some(disposition) => response.header("Content-Disposition", disposition),
            None => response,
        };
        if piece.rest.is_none() {
            let response = response.body(content_type, &piece.bytes);
            return self.respond(now, conn, Some(&request), response);
        }
        // Nothing would tell such a client that it broke off.
        if !request.is_1_1 {
            let problem = Problem::new(Status::BadRequest, "so long an answer needs HTTP/1.1");
            return self.refuse(now, conn, Some(&request), &problem);
        }
        let response = self.dressed(now, conn, Some(&request), response.header("Content-Type", content_type));
        if let Some(client) = self.clients.get_mut(conn) {
            client.begin_stream(now, request, response, piece, &self.settings.limits.conn);
        }
    }
}

fn unavailable() -> Problem {
    come_back_later("it can't be written down that this is asked, so it is not answered").code(JOURNAL_UNAVAILABLE)
}

/// Returns what a salesperson asks about herself: who was heard, and nothing of who only wished to.
fn own_query(claims: &Claims, form: Form, query: &str) -> Result<Query, Problem> {
    if claims.role != Role::Commercial {
        return Err(Problem::new(Status::Forbidden, "only for salespeople"));
    }
    let asked = Query::parse(Kind::Listenings, form, query)?;
    if asked.commercial_id.is_some() || asked.admin_id.is_some() {
        return Err(Problem::new(Status::BadRequest, "it is about yourself: it has from, to, limit, cursor"));
    }
    Ok(Query { commercial_id: Some(claims.sub.clone()), has_sounded: true, ..asked })
}

/// Narrows a question to what a token allows to see.
///
/// # Errors
/// Why it allows nothing of that.
fn narrow(claims: &Claims, query: &mut Query) -> Result<(), &'static str> {
    if claims.role != Role::Admin {
        return Err("only for admins");
    }
    if query.commercial_id.as_deref().is_some_and(|id| !claims.may_hear(id)) {
        return Err("this salesperson is not among those that the token lets see");
    }
    query.scope = claims.listen.clone();
    if query.kind == Kind::Listenings && !claims.rights.has(Right::Audit) {
        match &query.admin_id {
            Some(id) if *id != claims.sub => return Err("what others heard is for those with the right audit"),
            Some(_) | None => query.admin_id = Some(claims.sub.clone()),
        }
    }
    Ok(())
}
