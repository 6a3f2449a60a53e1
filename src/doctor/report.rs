//! What the checks found, a line each, and below it the line that mends it.
//!
//! Invariant: nothing that is wrong is without its mend.

use std::io::{self, Write};
use std::time::{Duration, Instant};

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Ok,
    Warning,
    Wrong,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub verdict: Verdict,
    /// In plain words, on one line.
    pub text: String,
    /// One line: a command, an option or a setting.
    pub mend: Option<String>,
}

impl Finding {
    pub fn ok(text: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Ok, text: text.into(), mend: None }
    }

    pub fn warning(text: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Warning, text: text.into(), mend: Some(mend.into()) }
    }

    pub fn wrong(text: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Wrong, text: text.into(), mend: Some(mend.into()) }
    }
}

/// Writes findings as they come.
pub struct Report<'a> {
    out: &'a mut dyn Write,
    wrong: usize,
    unwritten: Option<io::Error>,
}

impl Report<'_> {
    /// Returns a report without findings, which are written to `out`.
    pub fn new(out: &mut dyn Write) -> Report<'_> {
        Report { out, wrong: 0, unwritten: None }
    }

    pub fn add(&mut self, finding: Finding) {
        self.wrong += usize::from(finding.verdict == Verdict::Wrong);
        let written = write(self.out, &finding);
        self.unwritten = self.unwritten.take().or(written.err());
    }

    /// Returns how many findings were wrong.
    ///
    /// # Errors
    /// The first of writing.
    pub fn finish(self) -> io::Result<usize> {
        self.unwritten.map_or(Ok(self.wrong), Err)
    }
}

fn write(out: &mut dyn Write, finding: &Finding) -> io::Result<()> {
    let verdict = match finding.verdict {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Wrong => "wrong",
    };
    // What a stranger answered must not write to a terminal as it likes.
    let line = |text: &str| text.replace(char::is_control, " ");
    writeln!(out, "{verdict:<9}{}", line(&finding.text))?;
    if let Some(mend) = &finding.mend {
        writeln!(out, "         → {}", line(mend))?;
    }
    out.flush()
}

/// Returns the time from `begin` to `end`, or none where that is past.
pub fn since(begin: Instant, end: Instant) -> Duration {
    end.saturating_duration_since(begin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_each_and_its_mend_below() {
        let mut out = Vec::new();
        let mut report = Report::new(&mut out);
        report.add(Finding::ok("a"));
        report.add(Finding::warning("b\n\x1b[31m", "c"));
        report.add(Finding::wrong("d", "e"));
        assert_eq!(report.finish().unwrap(), 1);
        let want = "ok       a\nwarning  b  [31m\n         → c\nwrong    d\n         → e\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
