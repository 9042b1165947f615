//! The body of one event, and of a batch in both forms: no panic, and data is kept to the letter.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use ringback::api::event_batch::read_batch;
use ringback::api::event_input::EventReader;
use ringback::api::event_types::KnownTypes;
use ringback::api::input::Errors;
use ringback::domain::ids::OrganizationId;
use ringback::domain::time::UnixMillis;

fuzz_target!(|body: &[u8]| {
    let organization_id = OrganizationId(1);
    let types = KnownTypes::new(Arc::default(), organization_id);
    let reader = EventReader { organization_id, types, now: UnixMillis(1_700_000_000_000) };
    let one = reader.read(body, Errors::new());
    let batches = [false, true].map(|is_ndjson| read_batch(body, is_ndjson, Errors::new(), &reader));
    let many = batches.into_iter().flatten().flatten();
    for event in [one].into_iter().chain(many).flatten() {
        let data = event.data.get().as_bytes();
        assert!(data.starts_with(b"{") && body.windows(data.len()).any(|part| part == data));
        assert!(event.timestamp.ends_with('Z'));
    }
});
