//! What tests put into a page's address and form.

/// A page's address with ids that nothing has.
pub(crate) fn missing(pattern: &str) -> String {
    pattern
        .replace("{organization_id}", "org_0000000000001")
        .replace("{webhook_id}", "wh_0000000000001")
        .replace("{event_id}", "msg_0000000000001")
        .replace("{event_type}", "no.such_type")
        .replace("{catalogue_type}", "no.such_type")
        .replace("{delivery_id}", "dlv_0000000000001")
        .replace("{key_id}", "key_0000000000001")
}

/// What a form has to hold so that nothing but what is tested stands in its way.
pub(crate) fn body_for(path: &str) -> &'static [(&'static str, &'static str)] {
    match path {
        "/organizations" => &[("name", "another")],
        "/keys" | "/organizations/{organization_id}/keys" | "/deployment-keys" => {
            &[("name", "k"), ("role", "viewer")]
        }
        "/organizations/{organization_id}/delete" => &[("confirm", "acme")],
        "/event-types" | "/catalogue" => &[("name", "invoice.sent")],
        "/catalogue/{catalogue_type}" => &[("description", "another")],
        "/sign-in" => &[("key", "rbk_unknown")],
        "/events" => &[("event_type", "call.completed"), ("data", "{}")],
        "/webhooks" | "/webhooks/{webhook_id}/edit" => &[("url", "https://example.com/")],
        "/webhooks/{webhook_id}/recover" => {
            &[("since", "2024-12-16T10:00:00Z"), ("until", "2024-12-16T11:00:00Z"), ("status", "failed")]
        }
        _ => &[],
    }
}
