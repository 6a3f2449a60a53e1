//! How much each network, each user and all together may hold and do.
//!
//! Knows neither conns nor sessions: who asks is for `admission` to know. Invariant: what is held is what was given out
//! and not given back, and a sweep is due exactly as long as there are rows.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::config::AdmissionLimits;
use crate::keys::BroadcastKey;
use crate::quota::{Allowance, Quota};
use crate::rate::Bucket;
use crate::stats::Stats;

/// What a stranger's conn weighs against one that rests, which is idle after a whole answer.
pub(super) const WEIGHT: usize = 8;

/// How often rows are looked for that say nothing any more.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// What all clients hold and did lately.
pub(super) struct Quotas {
    /// Conns without a user, and refused tokens, of each network.
    strangers: Quota<Network>,
    /// Conns and offers of each user.
    users: Quota<String>,
    /// What each user does that is written down.
    acts: Quota<String>,
    /// How often each supervisor begins to listen to the same salesperson.
    joins: Quota<(String, BroadcastKey)>,
    /// How often each user doubts the journal's history.
    doubts: Quota<String>,
    /// Requests of WHIP and WHEP and WHEP sessions of each user.
    programs: Quota<String>,
    /// Such requests of each network.
    programs_networks: Quota<Network>,
    /// Offers of all.
    offers: Bucket,
    /// When rows are looked for that say nothing any more.
    sweep_at: Option<Instant>,
}

/// What is counted as one address: of IPv6 a whole /64, which is what one subscriber has (RFC 6177 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Network(IpAddr);

impl Network {
    pub(super) fn of(ip: IpAddr) -> Network {
        match ip {
            IpAddr::V4(_) => Network(ip),
            IpAddr::V6(ip) => Network(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into()),
        }
    }

    /// Returns its first address.
    pub(super) fn ip(self) -> IpAddr {
        self.0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => write!(f, "{ip}"),
            IpAddr::V6(ip) => write!(f, "{ip}/64"),
        }
    }
}

/// Returns what a stranger's conn weighs, which rests or does not.
pub(super) fn weight(rests: bool) -> usize {
    if rests { 1 } else { WEIGHT }
}

/// Under whom a conn is counted, to be given back when it is not any more.
#[derive(Debug)]
#[must_use]
pub(super) struct Account(Holder);

#[derive(Debug, PartialEq, Eq)]
enum Holder {
    Nobody,
    Stranger { network: Network, rests: bool },
    User(String),
}

impl Account {
    /// Returns the account of what is not counted: a proxy that has not said yet for whom it asks, or a session's conn.
    pub(super) fn of_nobody() -> Account {
        Account(Holder::Nobody)
    }

    pub(super) fn is_stranger(&self) -> bool {
        matches!(self.0, Holder::Stranger { .. })
    }

    pub(super) fn is_of_user(&self, id: &str) -> bool {
        matches!(&self.0, Holder::User(user) if user == id)
    }
}

impl Quotas {
    /// Returns tables without rows.
    pub(super) fn new(now: Instant, limits: &AdmissionLimits) -> Quotas {
        let held_max = limits.of_stranger.held_max * WEIGHT;
        let of_stranger = Allowance { held_max, ..limits.of_stranger };
        Quotas {
            strangers: Quota::new(of_stranger),
            users: Quota::new(limits.of_user),
            acts: Quota::new(limits.of_act),
            joins: Quota::new(limits.of_join),
            doubts: Quota::new(limits.of_doubt),
            programs: Quota::new(limits.of_program),
            programs_networks: Quota::new(limits.of_programs_network),
            offers: Bucket::new(now, limits.offer_rate),
            sweep_at: None,
        }
    }

    /// Counts another conn of a stranger; `None` where there are too many at that address. Those of this machine are not
    /// counted.
    pub(super) fn stranger_arrives(&mut self, now: Instant, address: IpAddr, stats: &mut Stats) -> Option<Account> {
        if address.is_loopback() {
            return Some(Account::of_nobody());
        }
        self.hold_stranger(now, Network::of(address), false, stats)
    }

    /// Counts a conn of a stranger, which rests or does not; `None` where there are too many at that address.
    pub(super) fn hold_stranger(
        &mut self,
        now: Instant,
        network: Network,
        rests: bool,
        stats: &mut Stats,
    ) -> Option<Account> {
        let is_admitted = self.strangers.hold(now, &network, weight(rests));
        let is_admitted = self.judge(now, is_admitted, stats, |stats| &mut stats.conns_over_address);
        is_admitted.then_some(Account(Holder::Stranger { network, rests }))
    }

    /// Tells whether an address may have another conn of a stranger, which rests or does not.
    pub(super) fn has_room(&self, network: Network, rests: bool) -> bool {
        self.strangers.has_room(&network, weight(rests))
    }

    /// Counts another conn of a user; `None` where they have too many.
    pub(super) fn user_registers(&mut self, now: Instant, id: &str, stats: &mut Stats) -> Option<Account> {
        let is_admitted = self.users.hold(now, &id.to_owned(), 1);
        let is_admitted = self.judge(now, is_admitted, stats, |stats| &mut stats.conns_over_user);
        is_admitted.then(|| Account(Holder::User(id.to_owned())))
    }

    /// Takes it that a conn is counted no more.
    pub(super) fn give_back(&mut self, now: Instant, account: Account) {
        match account.0 {
            Holder::Nobody => {}
            Holder::Stranger { network, rests } => self.strangers.release(now, &network, weight(rests)),
            Holder::User(id) => self.users.release(now, &id, 1),
        }
        self.settle(now);
    }

    /// Counts a refused token; tells whether its network may go on like that.
    pub(super) fn token_refused(&mut self, now: Instant, network: Network, stats: &mut Stats) -> bool {
        stats.tokens_refused += 1;
        let is_allowed = self.strangers.take(now, &network);
        self.judge(now, is_allowed, stats, |stats| &mut stats.tokens_over_rate)
    }

    /// Counts an offer of a user; tells whether that user, and all together, may make it.
    pub(super) fn offer_of_user(&mut self, now: Instant, id: &str, stats: &mut Stats) -> bool {
        let is_allowed = self.users.take(now, &id.to_owned()) && self.offers.take(now);
        self.judge(now, is_allowed, stats, |stats| &mut stats.offers_over_rate)
    }

    /// Counts what a user does that is written down; tells whether they may do it.
    pub(super) fn act(&mut self, now: Instant, id: &str, stats: &mut Stats) -> bool {
        let is_allowed = self.acts.take(now, &id.to_owned());
        self.judge(now, is_allowed, stats, |stats| &mut stats.acts_over_rate)
    }

    /// Counts that a supervisor begins to listen to a salesperson; tells whether they may.
    pub(super) fn join(&mut self, now: Instant, (id, key): (&str, BroadcastKey), stats: &mut Stats) -> bool {
        let is_allowed = self.joins.take(now, &(id.to_owned(), key));
        self.judge(now, is_allowed, stats, |stats| &mut stats.acts_over_rate)
    }

    /// Counts that a user's page doubts the journal's history; tells whether that is written down.
    pub(super) fn doubt(&mut self, now: Instant, id: &str, stats: &mut Stats) -> bool {
        let is_allowed = self.doubts.take(now, &id.to_owned());
        self.judge(now, is_allowed, stats, |stats| &mut stats.doubts_over_rate)
    }

    /// Counts an offer of a program, whose requests are counted already; tells whether all together may make it.
    pub(super) fn offer_of_program(&mut self, now: Instant, stats: &mut Stats) -> bool {
        let is_allowed = self.offers.take(now);
        self.judge(now, is_allowed, stats, |stats| &mut stats.offers_over_rate)
    }

    /// Counts a request of WHIP or WHEP under its user, then its network, if that counts; tells whether both may make it.
    /// What a user may not is not counted under the network: a whole office may share it.
    pub(super) fn request_of_program(
        &mut self,
        now: Instant,
        (id, network): (&str, Option<Network>),
        stats: &mut Stats,
    ) -> bool {
        let is_allowed = self.programs.take(now, &id.to_owned())
            && network.is_none_or(|network| self.programs_networks.take(now, &network));
        self.judge(now, is_allowed, stats, |stats| &mut stats.requests_over_rate)
    }

    /// Counts another WHEP session of a user; tells whether that user may have it.
    pub(super) fn hold_listening(&mut self, now: Instant, id: &str, stats: &mut Stats) -> bool {
        let is_allowed = self.programs.hold(now, &id.to_owned(), 1);
        self.judge(now, is_allowed, stats, |stats| &mut stats.tables_full)
    }

    /// Takes it that a WHEP session of a user is over.
    pub(super) fn release_listening(&mut self, now: Instant, id: &str) {
        self.programs.release(now, &id.to_owned(), 1);
        self.settle(now);
    }

    /// Returns when [`Quotas::handle_timeout`] must be called next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.sweep_at
    }

    /// Lets time pass: rows that say nothing any more go.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.sweep_at.take_if(|at| *at <= now).is_some() {
            self.strangers.sweep(now);
            self.users.sweep(now);
            self.acts.sweep(now);
            self.joins.sweep(now);
            self.doubts.sweep(now);
            self.programs.sweep(now);
            self.programs_networks.sweep(now);
            self.settle(now);
        }
    }

    /// Returns how many rows there are.
    pub(super) fn len(&self) -> usize {
        let of_users =
            self.users.len() + self.acts.len() + self.joins.len() + self.doubts.len() + self.programs.len();
        self.strangers.len() + of_users + self.programs_networks.len()
    }

    /// Asserts that what is held is what these hold, and that rows are bounded and will go.
    pub(super) fn check<'a>(&self, accounts: impl Iterator<Item = &'a Account>, listenings: usize) {
        let (mut strangers, mut users) = (0, 0);
        for account in accounts {
            strangers += if let Holder::Stranger { rests, .. } = account.0 { weight(rests) } else { 0 };
            users += usize::from(matches!(account.0, Holder::User(_)));
        }
        assert_eq!(self.strangers.held(), strangers, "conns of strangers");
        assert_eq!(self.users.held(), users, "conns of users");
        assert_eq!(self.programs.held(), listenings, "WHEP sessions");
        assert_eq!(self.programs_networks.held(), 0, "networks of programs hold nothing");
        assert_eq!(
            self.acts.held() + self.joins.held() + self.doubts.held(),
            0,
            "who does something holds nothing by it"
        );
        assert_eq!(self.sweep_at.is_some(), self.len() > 0, "a sweep is due");
    }

    /// Counts a refusal, and rows that were forgotten for a new one.
    fn judge(
        &mut self,
        now: Instant,
        is_allowed: bool,
        stats: &mut Stats,
        refused: impl FnOnce(&mut Stats) -> &mut u64,
    ) -> bool {
        self.settle(now);
        let of_networks = self.strangers.forgotten() + self.programs_networks.forgotten();
        let of_users = self.users.forgotten() + self.acts.forgotten() + self.joins.forgotten();
        stats.rows_forgotten = of_networks + of_users + self.doubts.forgotten() + self.programs.forgotten();
        if !is_allowed {
            *refused(stats) += 1;
        }
        is_allowed
    }

    /// Rows are looked at again until all are gone.
    fn settle(&mut self, now: Instant) {
        let sweep_at = self.sweep_at.unwrap_or(now + SWEEP_INTERVAL);
        self.sweep_at = (self.len() > 0).then_some(sweep_at);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use super::*;
    use crate::rate::Rate;

    fn quotas(now: Instant) -> Quotas {
        let allowance = Allowance { held_max: 2, rate: Rate::per_second(1, 3), rows_max: 2 };
        let limits = AdmissionLimits {
            of_stranger: allowance,
            of_user: allowance,
            of_act: allowance,
            of_join: allowance,
            of_program: allowance,
            of_programs_network: Allowance { held_max: 0, ..allowance },
            offer_rate: Rate::per_second(1, 4),
            ..AdmissionLimits::default()
        };
        Quotas::new(now, &limits)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn conns_are_counted_until_they_are_given_back() {
        let now = Instant::now();
        let (mut quotas, mut stats) = (quotas(now), Stats::default());
        let mut accounts: Vec<Account> = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "127.0.0.1", "::1"]
            .into_iter()
            .filter_map(|address| quotas.stranger_arrives(now, ip(address), &mut stats))
            .collect();
        accounts.extend((0..3).filter_map(|_| quotas.user_registers(now, "lea", &mut stats)));
        assert_eq!(accounts.iter().filter(|account| account.is_stranger()).count(), 2, "of one /64");
        assert_eq!(accounts.iter().filter(|account| account.is_of_user("lea")).count(), 2);
        assert_eq!((stats.conns_over_address, stats.conns_over_user), (1, 1));
        assert_eq!((accounts.len(), quotas.len()), (6, 2));
        quotas.check(accounts.iter(), 0);
        for account in accounts {
            quotas.give_back(now, account);
        }
        assert_eq!((quotas.len(), quotas.next_deadline()), (0, None));
        quotas.check([].iter(), 0);
    }

    #[test]
    fn what_is_too_much_is_refused_and_counted() {
        let now = Instant::now();
        let (mut quotas, mut stats) = (quotas(now), Stats::default());
        let (here, there) = (Network::of(ip("192.0.2.1")), Network::of(ip("192.0.2.2")));
        let mut times = |what: &dyn Fn(&mut Quotas, &mut Stats) -> bool| -> usize {
            (0..10).filter(|_| what(&mut quotas, &mut stats)).count()
        };
        assert_eq!(times(&|quotas, stats| quotas.token_refused(now, here, stats)), 3);
        assert_eq!(times(&|quotas, stats| quotas.offer_of_user(now, "lea", stats)), 3);
        assert_eq!(times(&|quotas, stats| quotas.offer_of_program(now, stats)), 1, "all together");
        assert_eq!(times(&|quotas, stats| quotas.request_of_program(now, ("lea", Some(here)), stats)), 3);
        assert_eq!(times(&|quotas, stats| quotas.request_of_program(now, ("tom", Some(here)), stats)), 0);
        assert_eq!(
            times(&|quotas, stats| quotas.request_of_program(now, ("ana", None), stats)),
            3,
            "of this machine"
        );
        assert_eq!(times(&|quotas, stats| quotas.hold_listening(now, "lea", stats)), 2);
        assert!(quotas.request_of_program(now, ("leo", Some(there)), &mut stats));
        let Stats { tokens_refused, tokens_over_rate, offers_over_rate, .. } = stats;
        assert_eq!((tokens_refused, tokens_over_rate, offers_over_rate), (10, 7, 7 + 9));
        assert_eq!((stats.requests_over_rate, stats.tables_full), (7 + 10 + 7, 8));
        assert_eq!(stats.rows_forgotten, 3, "lea for ana, tom for lea, ana for leo");
        quotas.check([].iter(), 2);
    }

    #[test]
    fn rows_are_swept_until_none_is_left() {
        let now = Instant::now();
        let (mut quotas, mut stats) = (quotas(now), Stats::default());
        assert!(quotas.hold_listening(now, "lea", &mut stats));
        assert!(quotas.token_refused(now, Network::of(ip("192.0.2.1")), &mut stats));
        let first = now + SWEEP_INTERVAL;
        assert_eq!(quotas.next_deadline(), Some(first));
        quotas.handle_timeout(first - Duration::from_millis(1));
        assert_eq!((quotas.len(), quotas.next_deadline()), (2, Some(first)));
        quotas.handle_timeout(first);
        assert_eq!(
            (quotas.len(), quotas.next_deadline()),
            (1, Some(first + SWEEP_INTERVAL)),
            "one holds something"
        );
        quotas.check([].iter(), 1);
        quotas.release_listening(first, "lea");
        assert_eq!((quotas.len(), quotas.next_deadline()), (0, None));
    }
}
