//! An organization in the middle of its work.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::engine::{Serve, eventually, text};
use test_support::receiver::{Receiver, Reply, reply};

use crate::site::Site;

/// What a receiver may try to have run in the reader's browser.
pub(crate) const HOSTILE: &str = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>\"'>";
/// Of which every tenth is missed, and every sixth one of a batch.
const EVENTS: usize = 240;

/// Webhooks of every state, and deliveries of every status. The receivers run as long as this does.
pub(crate) struct Seed {
    pub healthy: String,
    pub failing: String,
    pub broken: String,
    pub disabled: String,
    /// One delivery of each status.
    pub success: String,
    pub failed: String,
    pub pending: String,
    pub cancelled: String,
    pub event: String,
    _receivers: Vec<Receiver>,
}

/// A breaker that was opened stays open while somebody looks.
pub(crate) fn settings(serve: Serve) -> Serve {
    serve.argument("--dev").set("RINGBACK_DELIVERY_BREAKER_INITIAL_PAUSE_SECONDS", "500")
}

impl Seed {
    /// On a site with [`settings`].
    pub(crate) fn plant(site: &Site) -> Self {
        own_type(site);
        let receivers = receivers();
        let add = |at: usize, settings: Value| {
            let mut settings = settings;
            settings["url"] = json!(receivers[at].url());
            site.webhook(&settings)
        };
        let healthy =
            add(0, json!({"description": "CRM: every call becomes an activity", "headers": {"x-tenant": "42"}}));
        let failing = add(1, json!({"description": "Data warehouse", "events": ["batch.*"], "retry": 6}));
        let filters = json!({"direction": "outbound", "min_duration": 1});
        let broken = add(
            2,
            json!({"description": "Billing", "events": ["call.completed"], "filters": filters, "retry": 8}),
        );
        let disabled = add(3, json!({"description": "Old CRM", "events": ["call.missed"]}));
        let removed = add(4, json!({"description": "Trial", "events": ["call.summary_ready"]}));
        publish(site);
        site.publish(
            "call.summary_ready",
            &json!({"summary": "Asked for an invoice.", "action_items": ["send it"]}),
        );
        eventually("the receiver of the one that is removed is asked", || {
            (receivers[4].count() > 0).then_some(())
        });
        let id = |list: &str| {
            eventually(list, || {
                let page = site.owner.get(&format!("/v1/webhooks/logs?limit=1&{list}")).expect(200).json();
                page["data"][0]["id"].as_str().map(str::to_owned)
            })
        };
        let cancelled = id(&format!("webhook_id={removed}"));
        site.owner.try_call("DELETE", &format!("/v1/webhooks/{removed}"), None).unwrap().expect(204);
        for (webhook, state) in
            [(&healthy, "healthy"), (&failing, "failing"), (&broken, "paused"), (&disabled, "disabled")]
        {
            let path = format!("/v1/webhooks/{webhook}");
            eventually(&format!("{webhook} is {state}"), || {
                (text(&site.owner.get(&path).expect(200).json(), "state") == state).then_some(())
            });
        }
        eventually("the healthy webhook has all", || {
            let waiting = site.owner.get(&format!("/v1/webhooks/logs?webhook_id={healthy}&status=pending"));
            waiting.expect(200).json()["data"].as_array().unwrap().is_empty().then_some(())
        });
        let [success, failed] = ["success", "failed"].map(|it| id(&format!("webhook_id={healthy}&status={it}")));
        let pending = id(&format!("webhook_id={failing}&status=pending"));
        let events = site.owner.get("/v1/events?limit=1").expect(200).json();
        let event = text(&events["data"][0], "id").to_owned();
        Self {
            healthy,
            failing,
            broken,
            disabled,
            success,
            failed,
            pending,
            cancelled,
            event,
            _receivers: receivers,
        }
    }
}

fn own_type(site: &Site) {
    let schema = json!({
        "type": "object",
        "required": ["number"],
        "properties": {"number": {"type": "string"}, "total": {"type": "number"}},
        "examples": [{"number": "2026-0117", "total": 118.5}],
    });
    let own = json!({"name": "invoice.paid", "description": "An invoice was paid", "schema": schema});
    site.owner.post("/v1/event-types", &own).expect(201);
}

/// Of those in the order of [`Seed::plant`].
fn receivers() -> Vec<Receiver> {
    let took = |number: usize| Duration::from_millis(15 + (number * 37 % 90) as u64);
    let busy = || reply(503).with("retry-after", "120").body("{\"error\":\"maintenance until noon\"}");
    let scripts: [Box<dyn Fn(usize) -> Reply + Send + Sync>; 4] = [
        Box::new(move |number| match number % 23 {
            7 => reply(404).with("x-note", HOSTILE).with("content-type", "text/html").body(HOSTILE),
            _ => reply(200).with("content-type", "application/json").body("{\"ok\":true}").after(took(number)),
        }),
        Box::new(move |_| busy()),
        Box::new(|_| reply(500).body("Internal Server Error").after(Duration::from_millis(5))),
        Box::new(|_| reply(410)),
    ];
    let mut receivers: Vec<Receiver> = scripts.into_iter().map(Receiver::answering).collect();
    receivers.push(Receiver::holding(200));
    receivers
}

fn publish(site: &Site) {
    let event = |number: usize| {
        let (kind, data) = match number {
            _ if number % 10 == 3 => ("call.missed", json!({"call_from": "+4930123456", "reason": "busy"})),
            _ if number % 80 == 5 => {
                ("batch.completed", json!({"batch_id": format!("batch_{number}"), "total": 1000}))
            }
            _ if number % 12 == 1 => ("invoice.paid", json!({"number": format!("2026-{number:04}"), "total": 99})),
            _ => ("call.completed", call(number)),
        };
        json!({"event_type": kind, "data": data})
    };
    let batch: Vec<Value> = (0..EVENTS).map(event).collect();
    let taken = site.owner.post("/v1/events/batch", &json!(batch)).expect(202).json();
    assert!(taken["data"].as_array().unwrap().iter().all(|it| it["error"].is_null()), "{taken}");
}

fn call(number: usize) -> Value {
    json!({
        "id": format!("call_{}", 123_400_000 + number * 7),
        "call_from": "+14155550100",
        "call_to": format!("+1415555{:04}", number),
        "agent_name": "Support Agent",
        "direction": if number.is_multiple_of(7) { "outbound" } else { "inbound" },
        "status": "completed",
        "duration_seconds": 20 + number % 300,
        "custom_metadata": {"campaign_id": "camp_001", "customer_id": format!("cust_{number}")},
    })
}
