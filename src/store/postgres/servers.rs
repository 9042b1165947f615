//! The servers that a database URL names, and which of them to ask first.

use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use parking_lot::Mutex;

use super::super::fence::Timeline;
use super::super::{StoreError, StoreResult};

/// Without these, a connection waits a quarter of an hour for a server that vanished from the network, while a standby may have
/// taken its place. The machine's kernel answers for a server that is slow. Smaller: a pause of the network costs the
/// connections. Larger: so much later is the standby found.
const CONNECTION_DEFAULTS: [(&str, &str); 6] = [
    ("connect_timeout", "2"),
    ("keepalives_idle", "2"),
    ("keepalives_interval", "1"),
    ("keepalives_count", "2"),
    ("tcp_user_timeout", "3000"),
    ("application_name", "ringback"),
];
/// Of several servers the one that takes writes, whichever that is now.
const WRITABLE: (&str, &str) = ("target_session_attrs", "read-write");
/// A connection that failed after this long has kept its caller waiting: the machine does not answer. Smaller: a busy server is
/// taken for a dead one. Larger than the time limit of a connection: none ever is.
const LONG: Duration = Duration::from_secs(1);
/// A server that kept a caller waiting is asked last for so long. Smaller: after a failover each new connection waits for the
/// dead one. Larger: the same while the dead one is the only one that takes writes again.
const AVOIDED_FOR: Duration = Duration::from_secs(10);

/// The servers, of which one takes writes at a time.
pub(super) struct Servers {
    /// One for each.
    urls: Vec<String>,
    /// Of all that were reached.
    newest_timeline: AtomicI64,
    known: Mutex<Known>,
}

struct Known {
    /// The place of the one that answered last.
    last: usize,
    /// When each last kept someone waiting.
    kept_waiting_at: Vec<Option<Instant>>,
}

impl Servers {
    pub(super) fn of(url: &str) -> Self {
        let urls: Vec<String> = each(&with_defaults(url));
        let known = Known { last: 0, kept_waiting_at: vec![None; urls.len()] };
        Self { urls, newest_timeline: AtomicI64::new(0), known: Mutex::new(known) }
    }

    /// A connection to the first one that answers and takes writes.
    pub(super) fn connect(&self) -> StoreResult<PgConnection> {
        let mut messages: Vec<String> = Vec::new();
        for place in self.order(now()) {
            let begin = now();
            let url = &self.urls[place];
            match PgConnection::establish(url) {
                Ok(mut connection) => match self.refusal(&mut connection) {
                    None => {
                        self.answered(place);
                        return Ok(connection);
                    }
                    Some(refusal) => messages.push(refusal),
                },
                Err(error) => {
                    let message = safe_message(url, &error);
                    if !messages.contains(&message) {
                        messages.push(message);
                    }
                }
            }
            if begin.elapsed() >= LONG {
                self.kept_waiting(place, now());
            }
        }
        Err(StoreError::Unavailable(messages.join("; ")))
    }

    /// A server that was replaced and runs again takes writes, too: what is written there is lost.
    fn refusal(&self, postgres: &mut PgConnection) -> Option<String> {
        // a standby has none; it is refused with advice elsewhere
        let timeline = Timeline::of(postgres).ok()?.number();
        let newest = self.newest_timeline.fetch_max(timeline, Ordering::AcqRel);
        if timeline >= newest {
            return None;
        }
        let refusal = format!(
            "a PostgreSQL server takes writes although another one has replaced it (its timeline is {timeline}, that of its \
             successor {newest}); it is not used: stop it, and make it a standby"
        );
        tracing::warn!("{refusal}");
        Some(refusal)
    }

    /// In which order they are asked.
    fn order(&self, now: Instant) -> Vec<usize> {
        let known = self.known.lock();
        let count = self.urls.len();
        let mut places: Vec<usize> = (0..count).map(|place| (known.last + place) % count).collect();
        places.sort_by_key(|place| known.kept_waiting_at[*place].is_some_and(|at| now - at < AVOIDED_FOR));
        places
    }

    fn answered(&self, place: usize) {
        let mut known = self.known.lock();
        known.last = place;
        known.kept_waiting_at[place] = None;
    }

    /// A connection to the one that answered last was lost.
    pub(super) fn lost(&self) {
        let last = self.known.lock().last;
        self.kept_waiting(last, now());
    }

    fn kept_waiting(&self, place: usize, at: Instant) {
        self.known.lock().kept_waiting_at[place] = Some(at);
    }
}

fn with_defaults(url: &str) -> String {
    let mut url = url.to_owned();
    let writable = names_several(&url).then_some(WRITABLE);
    for (name, value) in CONNECTION_DEFAULTS.into_iter().chain(writable) {
        if !url.contains(&format!("{name}=")) {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(name);
            url.push('=');
            url.push_str(value);
        }
    }
    url
}

/// A URL for each server of one.
fn each(url: &str) -> Vec<String> {
    let hosts = hosts(url);
    let one = |host: &str| format!("{}{host}{}", &url[..hosts.start], &url[hosts.end..]);
    url[hosts.clone()].split(',').map(one).collect()
}

/// Where they are: between the password and the name of the database.
fn hosts(url: &str) -> Range<usize> {
    let begin = url.find("://").map_or(0, |place| place + 3);
    let end = url[begin..].find(['/', '?']).map_or(url.len(), |place| begin + place);
    let begin = url[begin..end].rfind('@').map_or(begin, |place| begin + place + 1);
    begin..end
}

/// Whether a URL names several servers: `postgres://a,b/database`, or `?host=a,b`.
fn names_several(url: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let named = |parameter: &str| parameter.starts_with("host=") && parameter.contains(',');
    url[hosts(url)].contains(',') || query.replace("%2C", ",").split('&').any(named)
}

/// How libpq's messages begin if it could read the URL. Any other message may quote the part that it can't
/// read, which can be a password.
const READABLE: [&str; 3] = ["connection to server", "could not translate host name", "timeout expired"];

/// The part of an error that may be shown: never a part of the password. A password with an unencoded `@`
/// or `/` makes libpq take a part of it for the host.
fn safe_message(url: &str, error: &ConnectionError) -> String {
    let text = error.to_string();
    // it was connected: the URL is as it should be, and the message is the server's, or a pooler's
    if matches!(error, ConnectionError::CouldntSetupConfiguration(_)) {
        return text;
    }
    let is_plain = url.matches('@').count() <= 1;
    match is_plain && READABLE.iter().any(|beginning| text.trim_start().starts_with(beginning)) {
        true if text.contains("FATAL:  database") && text.contains("does not exist") => {
            format!("{} (make it with CREATE DATABASE, or name another one in the URL)", text.trim_end())
        }
        true => text,
        false => String::from(
            "its URL can't be read, or names no server; special characters in a user name or password must be \
             percent-encoded (an `@` as %40, a `/` as %2F, a `%` as %25)",
        ),
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a network took, which no simulated time runs")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_servers_the_one_that_takes_writes_is_asked_for() {
        for url in [
            "postgres://a,b/ringback",
            "postgres://u:p@a:5432,b:5433/ringback?sslmode=require",
            "postgresql:///ringback?host=a,b",
            "postgresql:///ringback?host=a%2Cb&port=5432,5433",
        ] {
            assert!(with_defaults(url).contains("target_session_attrs=read-write"), "{url}");
        }
        for url in ["postgres://u:a,b@h/ringback", "postgres://h/a,b", "postgres://h/d?options=-csearch_path=a,b"]
        {
            assert!(!with_defaults(url).contains("target_session_attrs"), "{url}");
        }
        let chosen = with_defaults("postgres://a,b/d?target_session_attrs=any&connect_timeout=9");
        assert!(!chosen.contains("read-write") && !chosen.contains("connect_timeout=2"), "{chosen}");
    }

    #[test]
    fn each_server_of_a_url_is_asked_for_by_itself() {
        let urls = |url: &str| Servers::of(url).urls;
        let of_two = urls("postgres://u:p@[::1]:5432,b/ringback?sslmode=require");
        assert!(of_two[0].starts_with("postgres://u:p@[::1]:5432/ringback?sslmode=require&"), "{of_two:?}");
        assert!(of_two[1].starts_with("postgres://u:p@b/ringback?sslmode=require&"), "{of_two:?}");
        assert!(of_two.iter().all(|url| url.contains("target_session_attrs=read-write")));
        assert_eq!(urls("postgres://a/d?host=b,c").len(), 1, "libpq's own way to name several");
        assert_eq!(urls("postgres://a/d").len(), 1);
    }

    #[test]
    fn the_server_that_answered_last_is_asked_first_and_one_that_kept_us_waiting_last() {
        let servers = Servers::of("postgres://a,b,c/d");
        let begin = now();
        assert_eq!(servers.order(begin), [0, 1, 2]);
        servers.answered(1);
        assert_eq!(servers.order(begin), [1, 2, 0]);
        servers.kept_waiting(1, begin);
        assert_eq!(servers.order(begin), [2, 0, 1]);
        assert_eq!(servers.order(begin + AVOIDED_FOR), [1, 2, 0]);
    }
}
