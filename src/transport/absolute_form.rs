//! A request's head as a proxy reads it (RFC 9112, section 3.2.2).

use bytes::{BufMut, BytesMut};
use memchr::memchr;

/// What a request's head has in addition when it is sent to the proxy itself.
pub(super) struct AbsoluteForm {
    prefix: String,
    credentials: String,
}

impl AbsoluteForm {
    /// What stands before the path, and a header line with its end, or nothing.
    pub(super) fn new(prefix: String, credentials: String) -> Self {
        Self { prefix, credentials }
    }

    /// Adds it to a complete head, with `host` first; returns how many bytes that are.
    pub(super) fn add_to(&self, head: &mut BytesMut) -> usize {
        let Some(target) = memchr(b' ', head).map(|space| space + 1) else { return 0 };
        let Some(first) = memchr(b'\n', head).map(|end| end + 1) else { return 0 };
        let Some(host) = memchr(b'\n', &head[first..]).map(|end| first + end + 1) else { return 0 };
        let before = head.len();
        let mut longer = BytesMut::with_capacity(before + self.prefix.len() + self.credentials.len());
        longer.put_slice(&head[..target]);
        longer.put_slice(self.prefix.as_bytes());
        longer.put_slice(&head[target..host]);
        longer.put_slice(self.credentials.as_bytes());
        longer.put_slice(&head[host..]);
        *head = longer;
        head.len() - before
    }
}
