//! The body of a webhook's creation and of a change: no panic, and something that is wrong is said.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use ringback::api::event_types::KnownTypes;
use ringback::api::input::{Errors, Fields};
use ringback::api::webhook_input::{Rules, WebhookChanges};
use ringback::domain::ids::OrganizationId;
use ringback::domain::target::TargetPolicy;

fuzz_target!(|body: &[u8]| {
    let policy = TargetPolicy::default();
    let rules = Rules {
        types: KnownTypes::new(Arc::default(), OrganizationId(1)),
        target_policy: &policy,
        signature_header_prefix: "x-acme",
    };
    for read in [WebhookChanges::read_new, WebhookChanges::read_change] {
        let mut errors = Errors::new();
        if let Ok(fields) = Fields::parse(body, &mut errors) {
            drop(read(fields, &rules, &mut errors));
        }
        if let Err(problem) = errors.into_result() {
            assert!(!problem.detail().is_empty());
        }
    }
});
