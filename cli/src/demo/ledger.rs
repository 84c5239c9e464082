//! The load's own ledger: what its users experienced. Every request has exactly one outcome, and
//! for each user the versions that answered stand in the order in which they did.

use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How far back [`Ledger::recent`] looks.
const RECENT: SignedDuration = SignedDuration::from_secs(2);
/// No more than this is remembered for [`Ledger::recent`]: far more than two seconds hold.
const MAX_RECENT: usize = 10_000;
/// Incidents that are remembered in full; the counts have all of them.
const MAX_INCIDENTS: usize = 200;
/// Changes of a user from one version to another that are remembered.
const MAX_TURNS: usize = 64;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A version answered it well.
    Answered(Answer),
    /// An answer that is no success, or that is not from the app.
    Refused(u16),
    /// The connection could not be made, or broke.
    Broken,
    /// There was no answer in time.
    TimedOut,
    /// Too many others were under way.
    NotSent,
}

/// A good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The version that gave it.
    pub version: u8,
    /// Stable gave it in place of the canary, which had failed.
    pub fallback: bool,
}

/// A request and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Whose it was.
    pub user: usize,
    /// When it was sent.
    pub sent: Timestamp,
    /// When its outcome was known.
    pub ended: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
}

/// All exchanges, counted.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    requests: u64,
    answers: BTreeMap<u8, u64>,
    fallbacks: u64,
    refused: BTreeMap<u16, u64>,
    broken: u64,
    timed_out: u64,
    not_sent: u64,
    users: BTreeMap<usize, User>,
    recent: VecDeque<(Timestamp, u8)>,
    incidents: Vec<Incident>,
}

/// An exchange that should not have been as it was, for who looks into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// The exchange.
    pub exchange: Exchange,
    /// What is wrong with it.
    pub what: &'static str,
}

/// What a user experienced.
#[derive(Clone, Debug, Default)]
struct User {
    /// The versions in the order of their answers; a version stands again when the user came back.
    turns: Vec<u8>,
    /// When each version first answered. By fallback does not count: it says nothing about sides.
    first: BTreeMap<u8, Timestamp>,
    /// Pairs of an old version and a newer one: the old one answered a request that was sent after
    /// the newer one had answered.
    returned: BTreeSet<(u8, u8)>,
}

// === impl Ledger ===

impl Ledger {
    /// Counts an exchange.
    pub fn record(&mut self, exchange: &Exchange) {
        self.requests += 1;
        match &exchange.outcome {
            Outcome::Answered(answer) => self.answered(exchange, *answer),
            Outcome::Refused(status) => *self.refused.entry(*status).or_default() += 1,
            Outcome::Broken => self.broken += 1,
            Outcome::TimedOut => self.timed_out += 1,
            Outcome::NotSent => self.not_sent += 1,
        }
        if !matches!(exchange.outcome, Outcome::Answered(_)) {
            self.incident(exchange, "no good answer");
        }
    }

    fn incident(&mut self, exchange: &Exchange, what: &'static str) {
        if self.incidents.len() < MAX_INCIDENTS {
            self.incidents.push(Incident {
                exchange: exchange.clone(),
                what,
            });
        }
    }

    /// The first of the exchanges that should not have been as they were.
    pub fn incidents(&self) -> &[Incident] {
        &self.incidents
    }

    fn answered(&mut self, exchange: &Exchange, answer: Answer) {
        *self.answers.entry(answer.version).or_default() += 1;
        self.recent.push_back((exchange.ended, answer.version));
        let old = |(at, _): &(Timestamp, u8)| exchange.ended.duration_since(*at) > RECENT;
        while self.recent.len() > MAX_RECENT || self.recent.front().is_some_and(old) {
            self.recent.pop_front();
        }
        if answer.fallback {
            self.fallbacks += 1;
            return;
        }
        let user = self.users.entry(exchange.user).or_default();
        if user.answered(exchange, answer.version) && answer.version == 1 {
            self.incident(exchange, "back to version 1");
        }
    }

    /// All requests.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Requests that had no good answer.
    pub fn failures(&self) -> u64 {
        self.refused.values().sum::<u64>() + self.broken + self.timed_out + self.not_sent
    }

    /// Good answers of a version.
    pub fn answers_of(&self, version: u8) -> u64 {
        self.answers.get(&version).copied().unwrap_or_default()
    }

    /// Answers that stable gave in place of the canary.
    pub fn fallbacks(&self) -> u64 {
        self.fallbacks
    }

    /// Users whom `new` had answered, and then `old` again.
    pub fn side_changes(&self, old: u8, new: u8) -> usize {
        self.users
            .values()
            .filter(|user| user.returned.contains(&(old, new)))
            .count()
    }

    /// How the answers of the last two seconds were spread over versions 1 to 3, in per cent.
    pub fn recent(&self) -> [f64; 3] {
        let all = self.recent.len().max(1) as f64;
        [1, 2, 3].map(|version| {
            let count = self
                .recent
                .iter()
                .filter(|(_, answered)| *answered == version)
                .count();
            count as f64 * 100.0 / all
        })
    }

    /// What went wrong for users, in words; empty when nothing did.
    pub fn failures_in_words(&self) -> String {
        let statuses = self
            .refused
            .iter()
            .map(|(status, n)| format!("{n} answered {status}"));
        let others = [
            (self.broken, "broken connections"),
            (self.timed_out, "without an answer in time"),
            (self.not_sent, "not sent for want of room"),
        ];
        let others = others
            .into_iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| format!("{n} {what}"));
        statuses.chain(others).collect::<Vec<_>>().join(", ")
    }

    /// The versions that answered a user, in order.
    pub fn turns_of(&self, user: usize) -> &[u8] {
        self.users.get(&user).map_or(&[], |user| &user.turns)
    }
}

// === impl User ===

impl User {
    /// Counts an answer; whether the user went back with it.
    fn answered(&mut self, exchange: &Exchange, version: u8) -> bool {
        if self.turns.last() != Some(&version) && self.turns.len() < MAX_TURNS {
            self.turns.push(version);
        }
        // Answers may overtake each other on the way. Only a request that was *sent* when a newer
        // version had already answered shows that somebody went back.
        let newer = self.first.range(version.saturating_add(1)..);
        let left = newer.filter(|(_, first)| **first < exchange.sent);
        let left: Vec<_> = left.map(|(newer, _)| (version, *newer)).collect();
        self.first.entry(version).or_insert(exchange.ended);
        self.returned.extend(&left);
        !left.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
    }

    /// A good answer after ten milliseconds.
    fn good(user: usize, sent: i64, version: u8) -> Exchange {
        let outcome = Outcome::Answered(Answer {
            version,
            fallback: false,
        });
        Exchange {
            user,
            sent: at(sent),
            ended: at(sent + 10),
            outcome,
        }
    }

    fn other(outcome: Outcome) -> Exchange {
        Exchange {
            user: 0,
            sent: at(0),
            ended: at(10),
            outcome,
        }
    }

    fn ledger(exchanges: &[Exchange]) -> Ledger {
        let mut ledger = Ledger::default();
        for exchange in exchanges {
            ledger.record(exchange);
        }
        ledger
    }

    #[test]
    fn every_request_has_one_outcome() {
        let exchanges = [
            good(1, 0, 1),
            good(2, 0, 2),
            other(Outcome::Refused(500)),
            other(Outcome::Refused(500)),
            other(Outcome::Refused(503)),
            other(Outcome::Broken),
            other(Outcome::TimedOut),
            other(Outcome::NotSent),
        ];
        let ledger = ledger(&exchanges);
        assert_eq!((ledger.requests(), ledger.failures()), (8, 6));
        assert_eq!(
            [1, 2, 3].map(|version| ledger.answers_of(version)),
            [1, 1, 0]
        );
        assert_eq!(
            ledger.failures_in_words(),
            "2 answered 500, 1 answered 503, 1 broken connections, 1 without an answer in time, \
             1 not sent for want of room"
        );
    }

    #[test]
    fn a_user_who_goes_back_changes_sides_once() {
        let back = [
            good(7, 0, 1),
            good(7, 20, 2),
            good(7, 40, 1),
            good(7, 60, 2),
            good(7, 80, 1),
        ];
        let ledger = ledger(&back);
        assert_eq!(ledger.side_changes(1, 2), 1);
        assert_eq!(ledger.turns_of(7), [1, 2, 1, 2, 1]);
        let incidents: Vec<_> = ledger
            .incidents()
            .iter()
            .map(|it| it.exchange.sent)
            .collect();
        assert_eq!(incidents, [at(40), at(80)]);
    }

    #[test]
    fn what_is_no_change_of_sides() {
        let fallback = Outcome::Answered(Answer {
            version: 1,
            fallback: true,
        });
        let table: [(&str, Vec<Exchange>); 4] = [
            (
                "onwards",
                vec![good(1, 0, 1), good(1, 20, 2), good(1, 40, 2)],
            ),
            (
                "overtaken: sent before the new one had answered",
                vec![good(1, 5, 2), good(1, 10, 1)],
            ),
            (
                "by fallback",
                vec![
                    good(1, 0, 2),
                    Exchange {
                        user: 1,
                        sent: at(50),
                        ended: at(60),
                        outcome: fallback,
                    },
                ],
            ),
            (
                "release 3 is aborted",
                vec![good(1, 0, 2), good(1, 20, 3), good(1, 40, 2)],
            ),
        ];
        for (what, exchanges) in table {
            assert_eq!(ledger(&exchanges).side_changes(1, 2), 0, "{what}");
        }
    }

    #[test]
    fn recent_looks_back_two_seconds() {
        let ledger = ledger(&[
            good(1, 0, 1),
            good(1, 1000, 1),
            good(2, 2500, 2),
            good(3, 2600, 2),
        ]);
        let [one, two, three] = ledger.recent();
        assert!((one - 33.3).abs() < 0.1 && (two - 66.7).abs() < 0.1 && three == 0.0);
    }
}
