//! Players (WHEP): their listenings, and when they are answered.
//!
//! A player has no page that could be told later: its request is answered once the announcement of its listening is durable,
//! or can't be. Invariant: a session whose client never learned its URL ends.

use std::time::Instant;

use super::Server;
use super::jobs::Asker;
use super::problem::{Problem, RETRY_AFTER_S};
use super::resources::{Kind, Resource};
use super::whip::{Created, SOON_S, no_room};
use crate::audit::ListenRefusal;
use crate::broadcast::{Listener, Wish};
use crate::keys::{BroadcastKey, Client, ConnKey, JobKey, Sink};
use crate::outbox::{NotWritten, Outbox};
use crate::token::Claims;
use crate::wire::http::{Request, Status};
use crate::words::REASON_DEFAULT;

impl Server {
    /// Takes a WHEP client's offer: it is a listener like any other, of one salesperson who is on air.
    pub(super) fn begin_listening(
        &mut self,
        now: Instant,
        claims: &Claims,
        id: &str,
        offer: &str,
        out: &mut Outbox,
    ) -> Result<Created, Problem> {
        let on_air = |key: &BroadcastKey| self.broadcasts[*key].is_on_air();
        let Some(key) = self.broadcasts.named(id).filter(on_air) else {
            return Err(Problem::new(Status::Conflict, "nobody is on air").retry_after_s(RETRY_AFTER_S));
        };
        if self.wishes_count() >= self.settings.limits.listening.wishes_max {
            self.stats.tables_full += 1;
            return Err(no_room());
        }
        if !self.quotas.join(now, (&claims.sub, key), &mut self.stats) {
            self.refuse_listening(now, claims, (id, REASON_DEFAULT), ListenRefusal::TooOften, out);
            let problem =
                Problem::new(Status::TooManyRequests, "too many sessions with the same salesperson: wait");
            return Err(problem.retry_after_s(SOON_S));
        }
        if !self.quotas.hold_listening(now, &claims.sub, &mut self.stats) {
            return Err(Problem::new(Status::TooManyRequests, "too many sessions: end one of yours first"));
        }
        let created = self.create(now, claims, (Kind::Whep, key), offer);
        let created = created.inspect_err(|_| self.quotas.release_listening(now, &claims.sub))?;
        let listening = self.new_listening((&claims.sub, claims.shown_name()), id, REASON_DEFAULT);
        let (key_of_listener, sink) = (Client::Program(created.resource), Sink::Peer(created.peer));
        let wish = Wish { key: key_of_listener, sink, listening, waits: false };
        self.join(now, key, wish, out);
        Ok(created)
    }

    /// Answers the request of a player once the announcement is durable; at once where there is nobody to announce it to yet,
    /// or where it was refused already.
    pub(super) fn await_announcement(
        &mut self,
        now: Instant,
        (conn, request): (ConnKey, &Request),
        created: Created,
    ) -> Result<(), Problem> {
        let Created { resource, answer, .. } = created;
        let Some(key) = self.resources.get(resource).and_then(Resource::broadcast) else {
            self.forget_resource(resource);
            return Err(self.unwritten(now));
        };
        let listener = self.broadcasts[key].listener(Client::Program(resource));
        let entry = listener.and_then(Listener::awaited_entry);
        let asker = Asker { conn, resource, answer };
        let held = match entry {
            Some(entry) => self.jobs.hold(entry, asker),
            None => Err(asker),
        };
        match held {
            Ok(job) => {
                let request = Request { body: Vec::new(), ..request.clone() };
                if let Some(client) = self.clients.get_mut(conn) {
                    client.await_answer(now, job, request, &self.settings.limits.conn);
                }
            }
            Err(asker) => self.respond_created(now, (conn, request), resource, &asker.answer),
        }
        Ok(())
    }

    /// Ends the session of a player that went before it was answered: it does not know its URL, and nobody is told of it.
    pub(super) fn end_unasked(&mut self, now: Instant, job: JobKey, asker: &Asker, out: &mut Outbox) {
        let awaited = self.clients.get(asker.conn).and_then(|client| client.awaited_answer());
        if awaited != Some(job) {
            self.end_session(now, asker.resource, out);
        }
    }

    /// It is known whether the announcement of a player is durable.
    pub(super) fn answer_player(
        &mut self,
        now: Instant,
        job: JobKey,
        asker: Asker,
        written: Result<(), NotWritten>,
        out: &mut Outbox,
    ) {
        let Asker { conn, resource, answer } = asker;
        let Some(client) = self.clients.get_mut(conn) else { return };
        let Some(request) = client.take_answering(now, job, &self.settings.limits.conn) else { return };
        if self.resources.get(resource).is_some_and(|resource| resource.peer().is_some()) {
            self.respond_created(now, (conn, &request), resource, &answer);
        } else {
            self.forget_resource(resource);
            let problem = match written {
                Ok(()) => self.check_still_allowed(now, &request).err().unwrap_or_else(over),
                Err(NotWritten) => self.unwritten(now),
            };
            self.refuse(now, conn, Some(&request), &problem);
        }
        self.poll_conn(now, conn, out);
    }
}

fn over() -> Problem {
    Problem::new(Status::Unavailable, "the session is over before it began: try again").retry_after_s(SOON_S)
}
