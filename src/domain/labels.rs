//! What a publisher attaches to an event beside its data: channels decide who gets it, by tags it is found, and it can have a
//! time at which it is sent, and one at which its payload is forgotten. Receivers see none of it.

use super::time::UnixMillis;

/// Characters of a channel or tag (contract).
pub(crate) const MAX_CHARACTERS: usize = 128;
/// Channels of an event (contract).
pub(crate) const MAX_EVENT_CHANNELS: usize = 5;
/// Channels of an endpoint (contract).
pub(crate) const MAX_ENDPOINT_CHANNELS: usize = 10;
/// Tags of an event (contract).
pub(crate) const MAX_TAGS: usize = 10;

/// The channels and tags of an event, in the order in which they were published; none of them twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventLabels {
    /// At most 5.
    pub channels: Vec<String>,
    /// At most 10.
    pub tags: Vec<String>,
    /// The publisher's own id of the event, unique in its organization.
    pub uid: Option<String>,
    /// First attempts are due then; `None`: at once.
    pub deliver_at: Option<UnixMillis>,
    /// Its payload is forgotten then; `None`: when retention removes the event.
    pub erase_at: Option<UnixMillis>,
}

impl EventLabels {
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are, the event's own id and its times included.
    pub(crate) fn len(&self) -> usize {
        let times = [self.deliver_at, self.erase_at].into_iter().flatten().count();
        self.channels.len() + self.tags.len() + usize::from(self.uid.is_some()) + times
    }
}

/// Whether an endpoint with these channels gets an event with those: one without any gets every event, one with channels
/// only events that share one.
pub(crate) fn is_reached(endpoint: &[String], event: &[String]) -> bool {
    endpoint.is_empty() || event.iter().any(|channel| endpoint.contains(channel))
}

/// Whether this can be a channel or a tag: 1 to 128 characters, none of them a control character.
pub(crate) fn is_label(text: &str) -> bool {
    let characters = text.chars().count();
    (1..=MAX_CHARACTERS).contains(&characters) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_with_channels_gets_only_events_that_share_one() {
        let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for (endpoint, event, expected) in [
            ("", "", true),
            ("", "eu", true),
            ("eu", "", false),
            ("eu", "us", false),
            ("eu us", "us ca", true),
            ("EU", "eu", false),
        ] {
            assert_eq!(is_reached(&list(endpoint), &list(event)), expected, "{endpoint:?} {event:?}");
        }
    }

    #[test]
    fn a_label_has_1_to_128_characters_and_no_control_characters() {
        assert!(is_label("project_123") && is_label("größe 7") && is_label(&"ß".repeat(128)));
        assert!(!is_label("") && !is_label(&"x".repeat(129)) && !is_label("a\nb") && !is_label("a\0"));
    }
}
