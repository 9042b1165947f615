//! The event types that every organization has.

/// An event type with what a person needs to know of it.
#[derive(Debug, Clone, Copy)]
pub struct EventType {
    /// For example `call.completed`.
    pub name: &'static str,
    /// When it happens.
    pub description: &'static str,
    /// A realistic `data`, as JSON text.
    pub sample: &'static str,
}

/// The 14 of the document.
pub static BUILT_IN: &[EventType] = &[];

/// Those about webhooks themselves; delivered only to webhooks that ask for them by name.
pub static OPERATIONAL: &[EventType] = &[];

/// Finds a built-in event type.
pub fn built_in(name: &str) -> Option<&'static EventType> {
    BUILT_IN.iter().find(|event_type| event_type.name == name)
}

/// Whether this is the type of an operational event.
pub fn is_operational(name: &str) -> bool {
    OPERATIONAL.iter().any(|event_type| event_type.name == name)
}
