//! Refusals that are like one another: the first is written down at once, the rest as a number.
//!
//! Who is refused decides how often: a journal with an entry each would have room for nothing else. Invariant: each refusal
//! is in one entry, at the latest when the window ends or the server does, and a window is open exactly as long as there
//! are rows.

use std::collections::BTreeMap;
use std::mem;
use std::time::Instant;

use super::quotas::Network;
use super::{Server, Timer};
use crate::audit::{Event, ListenRefusal};
use crate::config::RefusalLimits;
use crate::outbox::Outbox;
use crate::token::{Claims, TokenError, is_valid_id};
use crate::words::is_reason;

/// What was refused lately.
pub(super) struct Refusals {
    /// Wishes to listen: how many since the last entry.
    wishes: BTreeMap<Wish, Counted>,
    /// Tokens of anybody, by why: how many since the last entry, and whence the last came.
    tokens: BTreeMap<TokenError, (u64, Network)>,
}

/// Whose wish was refused, why, and whom it was for; empty for several.
type Wish = (String, ListenRefusal, String);

struct Counted {
    name: String,
    times: u64,
}

impl Refusals {
    pub(super) fn new() -> Refusals {
        Refusals { wishes: BTreeMap::new(), tokens: BTreeMap::new() }
    }

    /// Returns how many rows there are.
    pub(super) fn len(&self) -> usize {
        self.wishes.len() + self.tokens.len()
    }

    /// Counts the refusal of a wish; tells whether it is to be written down by itself.
    fn count_wish(&mut self, claims: &Claims, id: &str, why: ListenRefusal, limits: &RefusalLimits) -> bool {
        let wish = (claims.sub.clone(), why, id.to_owned());
        if let Some(counted) = self.wishes.get_mut(&wish) {
            counted.times += 1;
            return false;
        }
        let of_user = self.wishes.range((claims.sub.clone(), ListenRefusal::FIRST, String::new())..);
        let of_user = of_user.take_while(|((sub, ..), _)| *sub == claims.sub).take(limits.per_user_max).count();
        if of_user >= limits.per_user_max {
            let others = (claims.sub.clone(), why, String::new());
            if let Some(counted) = self.wishes.get_mut(&others) {
                counted.times += 1;
                return false;
            }
            return self.open(others, claims, limits);
        }
        self.open(wish, claims, limits)
    }

    /// Counts on from a refusal that is written down by itself.
    fn open(&mut self, wish: Wish, claims: &Claims, limits: &RefusalLimits) -> bool {
        if self.wishes.len() < limits.rows_max {
            self.wishes.insert(wish, Counted { name: claims.shown_name().to_owned(), times: 0 });
        }
        true
    }
}

impl Server {
    /// Writes down that a user was not allowed to listen to this id for this reason, which may both be anything. What is
    /// no id is not written.
    pub(super) fn refuse_listening(
        &mut self,
        now: Instant,
        claims: &Claims,
        (commercial_id, reason): (&str, &str),
        why: ListenRefusal,
        out: &mut Outbox,
    ) {
        let commercial_id = if is_valid_id(commercial_id) { commercial_id } else { "" };
        let reason = if is_reason(reason) { reason } else { "" };
        let limits = &self.settings.limits.refusals;
        // Nobody would write down later what is counted in a server that ends.
        if !self.is_draining && !self.refusals.count_wish(claims, commercial_id, why, limits) {
            self.stats.refusals_counted += 1;
            return;
        }
        let listening = self.new_listening((&claims.sub, claims.shown_name()), commercial_id, reason);
        self.note(now, Event::ListenRefused { listening, why, times: 1 }, out);
        self.arm_refusals(now);
    }

    /// Writes down that a token was refused, and why. Nobody knows whose it was, so all are counted together: there are as
    /// many rows as reasons.
    pub(super) fn note_token_refused(&mut self, now: Instant, from: Network, why: TokenError, out: &mut Outbox) {
        if let Some((times, last)) = self.refusals.tokens.get_mut(&why) {
            (*times, *last) = (*times + 1, from);
            self.stats.refusals_counted += 1;
            return;
        }
        self.note_tokens(now, from, why, 1, out);
        self.arm_refusals(now);
    }

    /// Writes down how many tokens were refused for a reason, and counts on.
    fn note_tokens(&mut self, now: Instant, from: Network, why: TokenError, times: u64, out: &mut Outbox) {
        if !self.is_draining {
            self.refusals.tokens.insert(why, (0, from));
        }
        self.note(now, Event::TokensRefused { from: from.to_string(), why: why.to_string(), times }, out);
    }

    /// Writes down what was counted. What goes on is counted on; the rest is forgotten.
    pub(super) fn end_refusals(&mut self, now: Instant, out: &mut Outbox) {
        self.deadlines.cancel(Timer::Refusals);
        let counted = mem::replace(&mut self.refusals, Refusals::new());
        for ((sub, why, commercial_id), Counted { name, times }) in counted.wishes {
            if times > 0 {
                let listening = self.new_listening((&sub, &name), &commercial_id, "");
                self.note(now, Event::ListenRefused { listening, why, times }, out);
                if !self.is_draining {
                    self.refusals.wishes.insert((sub, why, commercial_id), Counted { name, times: 0 });
                }
            }
        }
        for (why, (times, from)) in counted.tokens.into_iter().filter(|(_, (times, _))| *times > 0) {
            self.note_tokens(now, from, why, times, out);
        }
        self.arm_refusals(now);
    }

    /// Asserts that a window is open exactly as long as something is counted.
    pub(super) fn check_refusals(&self) {
        assert_eq!(self.refusals.len() > 0, self.deadlines.is_armed(Timer::Refusals), "refusals ↔ deadlines");
    }

    fn arm_refusals(&mut self, now: Instant) {
        if self.refusals.len() > 0 && !self.deadlines.is_armed(Timer::Refusals) {
            self.deadlines.arm(Timer::Refusals, now + self.settings.limits.refusals.window);
        }
    }
}
