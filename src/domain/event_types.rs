//! The event types that there are: built in, of the catalogue, and of one organization.

use super::ids::OrganizationId;
use super::time::UnixMillis;

/// A built-in event type, described for people.
#[derive(Debug, Clone, Copy)]
pub struct EventType {
    /// For example `call.completed`.
    pub name: &'static str,
    /// When it happens.
    pub description: &'static str,
    /// A realistic `data`, as JSON text.
    pub sample: &'static str,
}

/// Who the types of the catalogue belong to in their rows: no organization has this id.
pub const CATALOGUE: OrganizationId = OrganizationId(0);

/// An event type that somebody defined: an organization for itself, or the operator in the catalogue for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinedEventType {
    /// The organization, or [`CATALOGUE`].
    pub organization_id: OrganizationId,
    /// Unique within its owner's.
    pub name: String,
    /// When it happens.
    pub description: String,
    /// A JSON Schema of its `data`, as JSON text.
    pub schema: Option<String>,
    /// A realistic `data`, as JSON text.
    pub sample: Option<String>,
    pub state: EventTypeState,
    /// When it was added.
    pub created_at: UnixMillis,
}

/// What a defined type is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventTypeState {
    #[default]
    Active,
    /// Accepted and delivered, and no longer offered.
    Archived,
    /// Of a built-in type: there is none any more.
    Removed,
}

impl DefinedEventType {
    /// One that has only a name.
    pub fn named(organization_id: OrganizationId, name: impl Into<String>, created_at: UnixMillis) -> Self {
        Self {
            organization_id,
            name: name.into(),
            description: String::new(),
            schema: None,
            sample: None,
            state: EventTypeState::Active,
            created_at,
        }
    }

    /// A built-in type, to be changed.
    pub fn of_built_in(built_in: &EventType, created_at: UnixMillis) -> Self {
        Self {
            description: built_in.description.to_owned(),
            sample: Some(built_in.sample.to_owned()),
            ..Self::named(CATALOGUE, built_in.name, created_at)
        }
    }
}

/// Which types there are besides those that somebody defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTypePolicy {
    /// The catalogue begins with the built-in types.
    pub has_built_in: bool,
    /// Types that nobody registered are accepted.
    pub accepts_unknown: bool,
}

impl Default for EventTypePolicy {
    fn default() -> Self {
        Self { has_built_in: true, accepts_unknown: false }
    }
}

impl EventTypePolicy {
    /// The built-in types that there are.
    pub fn built_in(self) -> &'static [EventType] {
        if self.has_built_in { BUILT_IN } else { &[] }
    }
}

/// The 14 types of the CallIntel documentation, in its order. Where it shows a payload, the sample is that `data`.
pub static BUILT_IN: &[EventType] = &[
    EventType {
        name: "call.initiated",
        description: "A new call has been initiated (outbound only)",
        sample: r#"{"id":"call_123456789","call_from":"+1234567890","call_to":"+0987654321","agent_id":"agent_abc123","agent_name":"Support Agent","status":"initiated","direction":"outbound","call_type":"voice","start_time":"2024-12-16T10:24:50Z","custom_metadata":{"campaign_id":"camp_001","customer_id":"cust_789"}}"#,
    },
    EventType {
        name: "call.connected",
        description: "Call has been successfully connected",
        sample: r#"{"id":"call_123456789","call_from":"+1234567890","call_to":"+0987654321","agent_id":"agent_abc123","agent_name":"Support Agent","status":"connected","direction":"outbound","call_type":"voice","start_time":"2024-12-16T10:25:00Z","custom_metadata":{"campaign_id":"camp_001","customer_id":"cust_789"}}"#,
    },
    EventType {
        name: "call.in_progress",
        description: "Call is currently in progress",
        sample: r#"{"id":"call_123456789","call_from":"+1234567890","call_to":"+0987654321","agent_id":"agent_abc123","agent_name":"Support Agent","status":"in_progress","direction":"outbound","call_type":"voice","start_time":"2024-12-16T10:25:00Z","duration_seconds":120,"custom_metadata":{"campaign_id":"camp_001","customer_id":"cust_789"}}"#,
    },
    EventType {
        name: "call.completed",
        description: "Call has been completed successfully",
        sample: r#"{"id":"call_123456789","call_from":"+1234567890","call_to":"+0987654321","agent_id":"agent_abc123","agent_name":"Support Agent","status":"completed","direction":"outbound","call_type":"voice","start_time":"2024-12-16T10:25:00Z","end_time":"2024-12-16T10:30:45Z","duration_seconds":345,"recording_url":"https://storage.callintel.com/recordings/call_123.mp3","transcript_url":"https://storage.callintel.com/transcripts/call_123.txt","custom_metadata":{"campaign_id":"camp_001","customer_id":"cust_789"}}"#,
    },
    EventType {
        name: "call.failed",
        description: "Call failed to connect or was dropped",
        sample: r#"{"id":"call_123456790","call_from":"+1234567890","call_to":"+0987654321","agent_id":"agent_abc123","agent_name":"Support Agent","status":"failed","direction":"outbound","call_type":"voice","start_time":"2024-12-16T10:25:00Z","end_time":"2024-12-16T10:25:30Z","duration_seconds":0,"failure_reason":"no_answer","custom_metadata":{"campaign_id":"camp_001","customer_id":"cust_789"}}"#,
    },
    EventType {
        name: "call.missed",
        description: "Inbound call was not answered",
        sample: r#"{"id":"call_123456791","call_from":"+0987654321","call_to":"+1234567890","agent_id":"agent_abc123","agent_name":"Support Agent","status":"missed","direction":"inbound","call_type":"voice","start_time":"2024-12-16T10:25:00Z","end_time":"2024-12-16T10:25:25Z","duration_seconds":0,"custom_metadata":{"customer_id":"cust_789"}}"#,
    },
    EventType {
        name: "call.transcript_ready",
        description: "Call transcript has been generated",
        sample: r#"{"id":"call_123456789","call_id":"call_123456789","transcript":"Agent: Hello, how can I help you today? Customer: I'd like to check my order status...","summary":"Customer inquired about order #12345. Agent confirmed order is in transit and will arrive by Dec 20.","sentiment":"positive","intent":"order_tracking","actionable_items":["Send customer tracking link","Follow up if not delivered by Dec 20"],"keywords":["order","tracking","delivery"],"confidence_score":0.95}"#,
    },
    EventType {
        name: "call.recording_ready",
        description: "Call recording is available for download",
        sample: r#"{"id":"call_123456789","call_id":"call_123456789","recording_url":"https://storage.callintel.com/recordings/call_123.mp3","format":"mp3","duration_seconds":345,"size_bytes":5520384}"#,
    },
    EventType {
        name: "call.summary_ready",
        description: "AI-generated call summary is ready",
        sample: r#"{"id":"call_123456789","call_id":"call_123456789","summary":"Customer inquired about order #12345. Agent confirmed order is in transit and will arrive by Dec 20.","actionable_items":["Send customer tracking link","Follow up if not delivered by Dec 20"],"confidence_score":0.95}"#,
    },
    EventType {
        name: "call.analysis_complete",
        description: "Call analysis (sentiment, intent, etc.) is complete",
        sample: r#"{"id":"call_123456789","call_id":"call_123456789","sentiment":"positive","intent":"order_tracking","keywords":["order","tracking","delivery"],"talk_ratio":0.42,"confidence_score":0.95}"#,
    },
    EventType {
        name: "batch.initiated",
        description: "Batch call campaign has been initiated",
        sample: r#"{"id":"batch_987654321","batch_name":"Q4 Customer Survey","agent_id":"agent_abc123","agent_name":"Survey Agent","status":"initiated","total_numbers":1000,"start_time":"2024-12-16T10:00:00Z","custom_metadata":{"campaign_type":"survey","department":"customer_success"}}"#,
    },
    EventType {
        name: "batch.in_progress",
        description: "Batch calls are currently being processed",
        sample: r#"{"id":"batch_987654321","batch_name":"Q4 Customer Survey","agent_id":"agent_abc123","agent_name":"Survey Agent","status":"in_progress","total_numbers":1000,"successfully_called":412,"failed_calls":63,"start_time":"2024-12-16T10:00:00Z","custom_metadata":{"campaign_type":"survey","department":"customer_success"}}"#,
    },
    EventType {
        name: "batch.completed",
        description: "All batch calls have been completed",
        sample: r#"{"id":"batch_987654321","batch_name":"Q4 Customer Survey","agent_id":"agent_abc123","agent_name":"Survey Agent","status":"completed","total_numbers":1000,"successfully_called":856,"failed_calls":144,"avg_duration_seconds":287,"start_time":"2024-12-16T10:00:00Z","end_time":"2024-12-16T11:45:00Z","success_rate":0.856,"cost_usd":45.20,"custom_metadata":{"campaign_type":"survey","department":"customer_success"}}"#,
    },
    EventType {
        name: "batch.failed",
        description: "Batch call campaign encountered errors",
        sample: r#"{"id":"batch_987654322","batch_name":"Q4 Customer Survey","agent_id":"agent_abc123","agent_name":"Survey Agent","status":"failed","total_numbers":1000,"successfully_called":12,"failed_calls":88,"start_time":"2024-12-16T10:00:00Z","end_time":"2024-12-16T10:07:30Z","failure_reason":"carrier_unavailable","custom_metadata":{"campaign_type":"survey","department":"customer_success"}}"#,
    },
];

/// Events about webhooks themselves; delivered only to webhooks that subscribe to them by name.
pub static OPERATIONAL: &[EventType] = &[
    EventType {
        name: "webhook.disabled",
        description: "A webhook was disabled: its receiver responded with 410, or it failed for too long",
        sample: r#"{"webhook_id":"wh_01jf7k2m3n4p5","url":"https://example.com/webhooks","disabled_reason":"gone","disabled_at":"2024-12-16T10:30:45.000Z"}"#,
    },
    EventType {
        name: "webhook.failing",
        description: "A webhook keeps failing and its deliveries are paused",
        sample: r#"{"webhook_id":"wh_01jf7k2m3n4p5","url":"https://example.com/webhooks","failing_since":"2024-12-16T10:30:45.000Z"}"#,
    },
    EventType {
        name: "webhook.recovered",
        description: "A webhook that was failing takes deliveries again",
        sample: r#"{"webhook_id":"wh_01jf7k2m3n4p5","url":"https://example.com/webhooks","failing_since":"2024-12-16T10:30:45.000Z","recovered_at":"2024-12-16T10:45:45.000Z"}"#,
    },
    EventType {
        name: "delivery.exhausted",
        description: "A delivery has failed with no retries left",
        sample: r#"{"delivery_id":"dlv_01jf7k2m3n4p6","event_id":"msg_01jf7k2m3n4p7","webhook_id":"wh_01jf7k2m3n4p5","event_type":"call.completed","attempt_count":4,"response_code":503,"error":null}"#,
    },
];

/// Finds a built-in event type.
pub fn built_in(name: &str) -> Option<&'static EventType> {
    // 14 comparisons of length first, so nearly all of them cost one integer comparison
    BUILT_IN.iter().find(|event_type| event_type.name == name)
}

/// Whether this is the type of an operational event.
pub(crate) fn is_operational(name: &str) -> bool {
    // a match, because this is called for every published event
    matches!(name, "webhook.disabled" | "webhook.failing" | "webhook.recovered" | "delivery.exhausted")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::patterns::is_event_type;
    use serde_json::Value;

    #[test]
    fn every_event_type_has_a_valid_name_a_description_and_a_sample_object() {
        assert_eq!(BUILT_IN.len(), 14);
        for event_type in BUILT_IN.iter().chain(OPERATIONAL) {
            assert!(is_event_type(event_type.name), "{}", event_type.name);
            assert!(!event_type.description.is_empty());
            let sample: Value = serde_json::from_str(event_type.sample).unwrap();
            assert!(sample.as_object().is_some_and(|fields| fields.len() >= 3), "{}", event_type.name);
        }
    }

    #[test]
    fn names_are_unique_and_found() {
        for event_type in BUILT_IN {
            assert_eq!(built_in(event_type.name).unwrap().description, event_type.description);
            assert!(!is_operational(event_type.name));
        }
        assert!(built_in("call.nothing").is_none());
        assert!(built_in("webhook.disabled").is_none());
    }

    #[test]
    fn the_fast_check_agrees_with_the_list_of_operational_types() {
        assert_eq!(OPERATIONAL.len(), 4);
        assert!(OPERATIONAL.iter().all(|event_type| is_operational(event_type.name)));
        assert!(!is_operational("webhook.other"));
        assert!(!is_operational(""));
    }

    #[test]
    fn status_and_type_of_a_call_sample_agree() {
        for event_type in BUILT_IN {
            let sample: Value = serde_json::from_str(event_type.sample).unwrap();
            if let Some(status) = sample.get("status").and_then(Value::as_str) {
                assert!(event_type.name.ends_with(status), "{}", event_type.name);
            }
        }
    }

    #[test]
    fn the_samples_are_the_examples_of_the_callintel_documentation() {
        let field = |name: &str, field: &str| -> Value {
            let sample: Value = serde_json::from_str(built_in(name).unwrap().sample).unwrap();
            sample[field].clone()
        };
        assert_eq!(field("call.completed", "duration_seconds"), 345);
        assert_eq!(field("call.transcript_ready", "confidence_score"), 0.95);
        assert_eq!(field("batch.completed", "successfully_called"), 856);
        assert!(built_in("batch.completed").unwrap().sample.contains("\"cost_usd\":45.20,"));
    }
}
