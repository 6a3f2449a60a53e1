//! Which rows are meant, as ranges: `1-2000 2003 2007-2010`.
//!
//! Invariant: ranges are in order and apart from each other, and none begins with 0.

use std::collections::BTreeMap;
use std::fmt;

/// Numbers of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// By the first of each range its last.
    ranges: BTreeMap<u64, u64>,
}

impl Numbers {
    /// Returns what is written by its `Display`, and nothing of any other text.
    pub fn parse(text: &str) -> Option<Numbers> {
        let mut ranges = BTreeMap::new();
        let mut before = 0;
        for range in text.split(' ').filter(|_| !text.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
            // The first may be 1, as there is no row before it.
            let is_apart = first > before && (before == 0 || first - before > 1);
            if !is_apart || last < first || last == u64::MAX {
                return None;
            }
            ranges.insert(first, last);
            before = last;
        }
        let numbers = Numbers { ranges };
        (numbers.to_string() == text).then_some(numbers)
    }

    /// Adds a number, which is none of them.
    pub fn add(&mut self, number: u64) {
        let before = self.ranges.range(..number).next_back().map(|(&first, &last)| (first, last));
        let last = self.ranges.remove(&number.saturating_add(1)).unwrap_or(number);
        match before {
            Some((first, end)) if end == number - 1 => self.ranges.insert(first, last),
            Some(_) | None => self.ranges.insert(number, last),
        };
    }

    /// Takes out those that are in others too; returns how many they were.
    pub fn take_out(&mut self, others: &Numbers) -> u64 {
        let mut count = 0;
        for (&from, &to) in &others.ranges {
            while let Some((&first, &last)) =
                self.ranges.range(..=to).next_back().filter(|(_, last)| **last >= from)
            {
                self.ranges.remove(&first);
                if first < from {
                    self.ranges.insert(first, from - 1);
                }
                if last > to {
                    self.ranges.insert(to + 1, last);
                }
                count += last.min(to) - first.max(from) + 1;
            }
        }
        count
    }

    /// Tells whether one of them is behind `after` and not behind `last`.
    pub fn is_any_in(&self, after: u64, last: u64) -> bool {
        self.ranges.range(..=last).next_back().is_some_and(|(_, &end)| end > after)
    }

    /// Returns those that are smaller than a number.
    pub fn below(mut self, number: u64) -> Numbers {
        self.ranges.split_off(&number);
        if let Some(mut range) = self.ranges.last_entry().filter(|range| *range.get() >= number) {
            *range.get_mut() = number - 1;
        }
        self
    }

    /// Returns the smallest of them.
    pub fn first(&self) -> Option<u64> {
        self.ranges.keys().next().copied()
    }

    /// Returns how many they are.
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Returns all of them, so many ranges together.
    pub fn split(self, ranges_max: usize) -> Vec<Numbers> {
        let ranges: Vec<(u64, u64)> = self.ranges.into_iter().collect();
        ranges.chunks(ranges_max).map(|part| Numbers { ranges: part.iter().copied().collect() }).collect()
    }
}

impl FromIterator<u64> for Numbers {
    fn from_iter<T: IntoIterator<Item = u64>>(numbers: T) -> Numbers {
        let mut all = Numbers::default();
        numbers.into_iter().for_each(|number| all.add(number));
        all
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.ranges.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            if first == last { write!(f, "{space}{first}")? } else { write!(f, "{space}{first}-{last}")? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ranges_in_whatever_order_they_come() {
        let numbers: Numbers = [5, 1, 2, 9, 3, 7, 8].into_iter().collect();
        assert_eq!(numbers.to_string(), "1-3 5 7-9");
        assert_eq!(Numbers::parse("1-3 5 7-9"), Some(numbers.clone()));
        assert_eq!((numbers.first(), numbers.count()), (Some(1), 7));
        assert_eq!(Numbers::parse(""), Some(Numbers::default()));
        let parts: Vec<String> = numbers.split(2).iter().map(ToString::to_string).collect();
        assert_eq!(parts, ["1-3 5", "7-9"]);
    }

    #[test]
    fn what_is_written_otherwise_is_nothing() {
        for text in ["0", "3 2", "1 2", "2-1", "1-1", "01", "+1", " 1", "1 ", "1-", "x", "1-18446744073709551615"] {
            assert_eq!(Numbers::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn those_below_a_number_are_part_of_them() {
        for (number, want) in [(0, ""), (3, ""), (4, "3"), (6, "3-5"), (7, "3-5"), (9, "3-5"), (10, "3-5 9")] {
            assert_eq!(Numbers::parse("3-5 9").unwrap().below(number).to_string(), want, "{number}");
        }
    }

    #[test]
    fn whether_there_are_some_is_told_of_each_span() {
        let numbers = Numbers::parse("3-5 9").unwrap();
        let cases =
            [((0, 2), false), ((0, 3), true), ((4, 8), true), ((5, 8), false), ((8, 9), true), ((9, 99), false)];
        for ((after, last), want) in cases {
            assert_eq!(numbers.is_any_in(after, last), want, "{after}..={last}");
        }
        assert!(!Numbers::default().is_any_in(0, u64::MAX));
    }

    #[test]
    fn what_is_taken_out_leaves_the_rest() {
        let cases = [
            ("1-9", "1-9", "", 9),
            ("1-9", "4", "1-3 5-9", 1),
            ("1-3 5-9", "2-6", "1 7-9", 4),
            ("1-3 5 7-9", "4 6 10-20", "1-3 5 7-9", 0),
            ("5", "1-4 6-9", "5", 0),
            ("2-5 8", "1-100", "", 5),
            ("", "1-3", "", 0),
        ];
        for (all, others, want, count) in cases {
            let mut left = Numbers::parse(all).unwrap();
            assert_eq!(left.take_out(&Numbers::parse(others).unwrap()), count, "{all} without {others}");
            assert_eq!(left.to_string(), want, "{all} without {others}");
        }
    }
}
