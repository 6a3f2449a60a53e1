//! Writes log lines to stderr: time, level, a mark for what it is about, the message. For the journal of systemd the time
//! is left out, and the level stands in front as it wants it (sd-daemon(3)).
//!
//! Marks: `signal` 📡, `gps` 📍, `audio` 🎵, `webrtc` 📞, `http` 🌐, `audit` 🧾, and ❌ for every error. Invariant: a
//! record is one line, whatever a client put into a value of it, nothing that clients say is written by libraries, and
//! nobody waits for stderr but a thread of its own.

mod queue;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use env_filter::{Builder, Filter};
use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::threads;
pub use queue::Lost;
use queue::{Queue, Writer};

/// How long the end of the program waits for what is not written yet.
const FLUSH: Duration = Duration::from_millis(200);

/// The log, once it has started.
static LOG: OnceLock<Logger> = OnceLock::new();

/// Why a filter can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{directive}` is no log filter: write info, or info,webrtc=debug (signal, gps, audio, webrtc, http, audit)"
)]
pub struct FilterError {
    directive: String,
}

/// Checks a filter: levels and `target=level`, separated by commas.
///
/// # Errors
/// The first part that is neither.
pub fn check_filter(filter: &str) -> Result<(), FilterError> {
    for directive in filter.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        let is_known = match directive.split_once('=') {
            Some((target, level)) => is_target(target) && level.parse::<LevelFilter>().is_ok(),
            None => directive.parse::<LevelFilter>().is_ok() || is_target(directive),
        };
        if !is_known {
            return Err(FilterError { directive: directive.to_owned() });
        }
    }
    Ok(())
}

/// Why there can be no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error("can't start a thread for the log: {0}")]
    Thread(#[from] io::Error),
}

/// Starts logging; what logs before is lost.
///
/// # Errors
/// See [`check_filter`]; also where the system has no thread for it.
pub fn start(filter: &str) -> Result<(), LogError> {
    check_filter(filter)?;
    let (filter, is_journal) = (filter_of(filter), is_journal());
    let queue = Arc::new(Queue::default());
    let of_writer = Arc::clone(&queue);
    let tell_lost = move |count| lost_line(is_journal, count);
    threads::spawn("log", move || Writer::new(&of_writer, Patient(io::stderr()), tell_lost).run())?;
    // Fails only where there is a log already, as in a test: that one stays.
    let logger = LOG.get_or_init(|| Logger { filter, is_journal, queue });
    if log::set_logger(logger).is_ok() {
        log::set_max_level(logger.filter.filter());
        panic::set_hook(Box::new(move |panic| tell_panic(is_journal, panic)));
    }
    Ok(())
}

/// Writes a line to stderr as it is, after what was logged before. Nobody waits for it once logging has started.
pub fn print(line: String) {
    // What is lost is counted; and with stderr closed an exit code still tells.
    match LOG.get() {
        Some(log) => drop(log.queue.push(line)),
        None => drop(writeln!(io::stderr(), "{line}")),
    }
}

/// Logs a line of the journal, unless the filter keeps it out.
///
/// # Errors
/// [`Lost`], where there was no room for it: it will never be seen.
pub fn write_down(line: fmt::Arguments<'_>) -> Result<(), Lost> {
    let record = Record::builder().level(Level::Info).target("audit").args(line).build();
    match LOG.get() {
        Some(log) => log.take(&record),
        None => {
            log::logger().log(&record);
            Ok(())
        }
    }
}

/// Waits until what was logged is written, at its end: for 200 ms at most.
pub struct FlushAtEnd;

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        if let Some(log) = LOG.get() {
            log.queue.flush(FLUSH);
        }
    }
}

/// Returns the moment as RFC 3339 with milliseconds, in UTC.
pub fn timestamp(at: SystemTime) -> String {
    let elapsed = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (elapsed.as_secs() / 86_400, elapsed.as_secs() % 86_400);
    // Days since the epoch to a date: H. Hinnant, "chrono-compatible low-level date algorithms", civil_from_days.
    let day_from_march_0000 = days + 719_468;
    let (era, day_of_era) = (day_from_march_0000 / 146_097, day_from_march_0000 % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let milliseconds = elapsed.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

struct Logger {
    filter: Filter,
    is_journal: bool,
    queue: Arc<Queue>,
}

impl Logger {
    fn take(&self, record: &Record<'_>) -> Result<(), Lost> {
        if !self.filter.matches(record) {
            return Ok(());
        }
        let line = line(record.level(), record.target(), &record.args().to_string());
        self.queue.push(prefixed(self.is_journal, record.level(), &line))
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        // What is lost is counted.
        let _ = self.take(record);
    }

    fn flush(&self) {}
}

/// Waits where the other end of stderr made it one that never blocks.
struct Patient<W>(W);

impl<W: Write + AsFd> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE)?;
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Tells of a panic in the log, where nobody waits for it: most are caught, and the server goes on.
fn tell_panic(is_journal: bool, panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("of another kind");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let line = line(Level::Error, "ecoute", &format!("panicked: {message} at={place}"));
    print(prefixed(is_journal, Level::Error, &line));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        print(backtrace.to_string());
    }
}

fn lost_line(is_journal: bool, count: u64) -> String {
    let message = format!("log lines were lost, they could not be written in time: count={count}");
    prefixed(is_journal, Level::Warn, &line(Level::Warn, module_path!(), &message))
}

/// Keeps the journal when the rest is quiet, only a filter that names `audit` itself changes it; and keeps a library
/// quiet that would trace all messages, tokens in them.
fn filter_of(filter: &str) -> Filter {
    Builder::new().parse(&format!("audit=info,tungstenite=off,{filter}")).build()
}

/// Puts in front of a line what its reader wants there.
fn prefixed(is_journal: bool, level: Level, line: &str) -> String {
    match is_journal {
        true => format!("<{}>{line}", priority(level)),
        false => format!("{} {line}", timestamp(now())),
    }
}

fn is_target(text: &str) -> bool {
    mark(Level::Info, text).is_some() || text.split("::").next() == Some("ecoute")
}

#[expect(clippy::disallowed_methods, reason = "the time of a log line")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Tells whether stderr leads to the journal, and not to where somebody who started us redirected it.
fn is_journal() -> bool {
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    std::env::var("JOURNAL_STREAM").is_ok_and(|stream| stream == format!("{}:{}", stderr.dev(), stderr.ino()))
}

/// The levels of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

fn line(level: Level, target: &str, message: &str) -> String {
    let message = one_line(message);
    match mark(level, target) {
        Some(mark) => format!("{level:<5} {mark} {target}: {message}"),
        None => format!("{level:<5} {target}: {message}"),
    }
}

fn mark(level: Level, target: &str) -> Option<&'static str> {
    if level == Level::Error {
        return Some("❌");
    }
    match target {
        "signal" => Some("📡"),
        "gps" => Some("📍"),
        "audio" => Some("🎵"),
        "webrtc" => Some("📞"),
        "http" => Some("🌐"),
        "audit" => Some("🧾"),
        _ => None,
    }
}

/// Escapes what could forge a second line, steer a terminal, or stay unseen.
fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for character in message.chars() {
        match character {
            '"' | '\'' | '\\' => line.push(character),
            _ => line.extend(character.escape_debug()),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use nix::fcntl::{FcntlArg, OFlag, fcntl};

    use super::*;

    #[test]
    fn a_pipe_that_never_blocks_is_waited_for() {
        let (mut reader, writer) = io::pipe().unwrap();
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let text = vec![7; 1 << 20];
        let mut read = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| Patient(writer).write_all(&text).unwrap());
            reader.read_to_end(&mut read).unwrap();
        });
        assert_eq!(read.len(), 1 << 20);
    }

    #[test]
    fn timestamps() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_763_846_645_007, "2025-11-22T21:24:05.007Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (milliseconds, want) in cases {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_millis(milliseconds)), want);
        }
        assert_eq!(timestamp(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn marks() {
        let cases = [
            (Level::Info, "signal", Some("📡")),
            (Level::Debug, "gps", Some("📍")),
            (Level::Info, "audio", Some("🎵")),
            (Level::Warn, "webrtc", Some("📞")),
            (Level::Info, "http", Some("🌐")),
            (Level::Info, "audit", Some("🧾")),
            (Level::Error, "audit", Some("❌")),
            (Level::Error, "ecoute::shell", Some("❌")),
            (Level::Warn, "ecoute::shell", None),
        ];
        for (level, target, want) in cases {
            assert_eq!(mark(level, target), want, "{level} {target}");
        }
    }

    #[test]
    fn a_record_is_one_line() {
        let got = line(Level::Info, "http", "path=/\r\n2025 é \u{1b}[31m\u{9b}");
        assert_eq!(got, "INFO  🌐 http: path=/\\r\\n2025 é \\u{1b}[31m\\u{9b}");
        let got = line(Level::Info, "http", "\"o'\\\" \u{202e}\u{200b}\u{2028}\u{feff} 📡");
        assert_eq!(got, "INFO  🌐 http: \"o'\\\" \\u{202e}\\u{200b}\\u{2028}\\u{feff} 📡");
    }

    #[test]
    fn audit_is_logged_unless_it_is_named() {
        let info = |filter| {
            let filter = filter_of(filter);
            let record = |target| filter.matches(&Record::builder().level(Level::Info).target(target).build());
            (record("audit"), record("http"))
        };
        assert_eq!(info("info"), (true, true));
        assert_eq!(info("warn"), (true, false));
        assert_eq!(info(""), (true, false));
        assert_eq!(info("info,audit=off"), (false, true));
    }

    #[test]
    fn filters() {
        for good in ["info", "off", "DEBUG", "info,webrtc=trace", "ecoute::shell=debug, warn", "audit", ""] {
            assert_eq!(check_filter(good), Ok(()), "{good}");
        }
        for bad in ["loud", "info,webrt=debug", "webrtc=loud", "=info", "info debug", "a=b=c", "webrtc="] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
    }
}
