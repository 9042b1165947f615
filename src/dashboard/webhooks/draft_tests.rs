use std::collections::BTreeSet;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use super::*;
use crate::api::input::{Errors, JsonFields};
use crate::api::known_types::KnownTypes;
use crate::api::webhook_input::WebhookChanges;
use crate::api::webhook_settings::{HeaderBounds, Rules};
use crate::dashboard::components::Complaints;
use crate::dashboard::webhooks::event_type_options::EventTypeOptions;
use crate::dashboard::webhooks::form::{self, WebhookForm};
use crate::domain::attempt::RetryOn;
use crate::domain::credentials::{ClientAuthentication, Credentials, OAuth2};
use crate::domain::endpoint::{CustomHeader, EndpointDefaults, RateLimit};
use crate::domain::event_type_registry::EventTypeRegistry;
use crate::domain::filter::Filter;
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::patterns::EventPattern;
use crate::domain::secret::Secret;
use crate::domain::target::TargetPolicy;
use crate::domain::time::UnixMillis;

fn endpoint(filter: Value, retry: RetrySchedule) -> Endpoint {
    let events = ["batch.*", "webhook.failing", "call.completed", "gone.type"];
    Endpoint {
        description: Some("Sends <b>calls</b>\r\n& more ".to_owned()),
        events: events.map(|text| EventPattern::parse(text).unwrap()).to_vec(),
        filter: Some(Filter::parse(&filter).unwrap()),
        channels: vec!["eu, uk".to_owned(), "<größe>".to_owned()],
        timeout: Duration::from_secs(17),
        retry,
        retry_on: RetryOn { client_errors: true, redirects: true },
        headers: vec![CustomHeader {
            name: "Authorization".to_owned(),
            value: Secret::new("Bearer x".to_owned()),
        }],
        rate_limit: Some(RateLimit { per_second: 0.5, burst: Some(3) }),
        max_in_flight: 7,
        ordered: true,
        updated_at: UnixMillis(2),
        version: 3,
        ..Endpoint::new(
            EndpointId(1),
            OrganizationId(1),
            "https://example.com/a?b=c&d=\"e\"",
            Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
            UnixMillis(1),
        )
    }
}

fn every_setting() -> Endpoint {
    let filter =
        json!({"min_duration": 60, "agent_id": ["a", "b, c"], "x": {"gt": 1, "lt": 5.5}, "y": {"eq": "5"}});
    let policy = RetryPolicy {
        max_attempts: 7,
        backoff_multiplier: 2.5,
        initial_delay_seconds: 30,
        max_delay_seconds: 900,
    };
    endpoint(filter, RetrySchedule::Policy(policy))
}

/// What a browser sends of the form when nobody touched it.
fn untouched(html: &str) -> Form {
    let unescape =
        |text: &str| text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let (mut pairs, mut in_template, mut select): (Vec<(String, String)>, bool, Option<String>) =
        (Vec::new(), false, None);
    for piece in html.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap();
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let attribute = |name: &str| {
            let from = attributes.split_once(&format!("{name}=\"")).map(|(_, rest)| rest)?;
            from.split_once('"').map(|(value, _)| unescape(value))
        };
        let is_set = |name: &str| attributes.split(' ').any(|attribute| attribute == name);
        match name {
            "template" | "/template" => in_template = name == "template",
            _ if in_template => {}
            "input" => {
                let is_choice = matches!(attribute("type").as_deref(), Some("checkbox" | "radio"));
                if !is_choice || is_set("checked") {
                    pairs.push((
                        attribute(" name").or(attribute("name")).unwrap(),
                        attribute("value").unwrap_or_default(),
                    ));
                }
            }
            "textarea" => {
                pairs.push((
                    attribute(" name").or(attribute("name")).unwrap(),
                    unescape(text).replace('\n', "\r\n"),
                ));
            }
            "select" => select = attribute(" name").or(attribute("name")),
            "option" if is_set("selected") => {
                pairs.push((select.clone().unwrap(), attribute("value").unwrap()));
            }
            _ => {}
        }
    }
    let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    Form::parse(encoded.as_bytes())
}

fn through_the_form(draft: &Draft) -> Draft {
    let types = EventTypeOptions::built_in();
    let content = WebhookForm {
        draft,
        types: &types,
        complaints: Complaints::of(None),
        action: "/webhooks/x/edit",
        back: "/webhooks/x",
        version: Some(3),
        certificate: None,
        sample: ("call.completed", "{}"),
    };
    Draft::read(&untouched(&form::form(&content).into_string()))
}

fn draft_of(endpoint: &Endpoint) -> Draft {
    Draft::of(endpoint, &EventTypeOptions::built_in().names())
}

#[test]
fn a_webhook_with_every_setting_that_is_saved_unchanged_stays_as_it_is() {
    let usual = endpoint(json!({"a": {"in": [1], "exists": true}, "  ": 1}), RetrySchedule::Retries(5));
    let delays = RetrySchedule::Delays(RetryDelays::new(&[5, 604_800]).unwrap());
    for endpoint in [every_setting(), usual, Endpoint { retry: delays, ..every_setting() }] {
        let before = draft_of(&endpoint);
        let sent = through_the_form(&before);
        assert_eq!(sent, before);
        assert_eq!(sent.changes(&before).unwrap(), Map::new());
    }
    let blank = Draft::blank();
    assert_eq!(through_the_form(&blank), blank);
}

#[test]
fn what_the_form_says_of_a_webhook_makes_the_same_webhook() {
    let mut endpoint = every_setting();
    endpoint.events.retain(|pattern| pattern.to_string() != "gone.type");
    let body = Value::Object(draft_of(&endpoint).body().unwrap()).to_string();
    let registry = Arc::new(RwLock::new(EventTypeRegistry::default()));
    let rules = Rules {
        types: KnownTypes::new(registry, OrganizationId(1)),
        target_policy: &TargetPolicy::default(),
        signature_header_prefix: "x-callintel",
        defaults: EndpointDefaults::default(),
        headers: HeaderBounds::USUAL,
        now: UnixMillis(9),
    };
    let mut errors = Errors::new();
    let fields = JsonFields::parse(body.as_bytes(), &mut errors).unwrap();
    let changes = WebhookChanges::read_change(fields, &rules, &mut errors);
    let mut made = endpoint.clone();
    made.events.clear();
    made.filter = None;
    made.channels.clear();
    (made.timeout, made.retry) = (Duration::from_secs(1), RetrySchedule::default());
    (made.rate_limit, made.max_in_flight, made.ordered) = (None, 1, false);
    changes.apply(&mut made, UnixMillis(9), &mut errors);
    errors.into_result().unwrap();
    // ticked ones come first, and a browser trims; both only count when somebody changes them
    made.events.sort_by_key(|pattern| endpoint.events.iter().position(|it| it == pattern));
    made.description.clone_from(&endpoint.description);
    assert_eq!(made.filter.as_ref().map(|it| it.source()["y"].clone()), Some(json!("5")));
    made.filter.clone_from(&endpoint.filter);
    assert!(made == endpoint);
}

#[test]
fn oauth2_that_is_saved_unchanged_stays_and_its_secret_is_not_in_the_form() {
    let oauth2 = OAuth2 {
        token_url: "https://auth.example/token".to_owned(),
        client_id: "us".to_owned(),
        client_secret: Secret::new("hidden".to_owned()),
        scope: Some("a b".to_owned()),
        audience: None,
        client_authentication: ClientAuthentication::Post,
    };
    let credentials = Credentials { oauth2: Some(Arc::new(oauth2)), ..Credentials::default() };
    let before = draft_of(&Endpoint { headers: Vec::new(), credentials, ..every_setting() });
    assert_eq!(through_the_form(&before), before);
    assert!(!format!("{before:?}").contains("hidden"));
    let mut after = before.clone();
    after.credentials.oauth2[3] = "c".to_owned();
    let changes = Value::Object(after.changes(&before).unwrap());
    assert_eq!((&changes["oauth2"]["scope"], &changes["oauth2"]["client_secret"]), (&json!("c"), &json!(MASK)));
    after.credentials.oauth2 = Default::default();
    assert_eq!(Value::Object(after.changes(&before).unwrap()), json!({"oauth2": null}));
}

#[test]
fn typed_delays_are_a_list_of_numbers_and_what_is_none_goes_to_the_api_as_it_was_typed() {
    let draft = Draft { retry_as: RetryAs::Delays, delays: "5,300;  soon\n1.5".to_owned(), ..Draft::blank() };
    assert_eq!(draft.body().unwrap()["retry_schedule"], json!([5, 300, "soon", 1.5]));
    assert_eq!(Draft { delays: String::new(), ..draft }.body().unwrap()["retry_schedule"], json!([]));
}

#[test]
fn the_form_has_every_setting() {
    let mut draft = Draft { secret: "whsec_x".to_owned(), ..Draft::blank() };
    draft.credentials.removes_certificate = true;
    let mut names: Vec<String> = draft.body().unwrap().into_iter().map(|(name, _)| name).collect();
    for way in [RetryAs::Policy, RetryAs::Delays] {
        draft.retry_as = way;
        names.extend(draft.body().unwrap().into_iter().map(|(name, _)| name));
    }
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(names, SETTINGS.iter().map(|setting| setting.name).collect());
}

#[test]
fn only_what_was_changed_is_sent() {
    let before = draft_of(&every_setting());
    let mut after = Draft { retry_as: RetryAs::Retries, ..before.clone() };
    after.simple.insert("timeout", "20".to_owned());
    let changes = Value::Object(after.changes(&before).unwrap());
    assert_eq!(changes, json!({"timeout": 20, "retry": 3}));
    let mut after = before.clone();
    after.headers.push(("X-A".to_owned(), "1".to_owned()));
    let changes = Value::Object(after.changes(&before).unwrap());
    assert_eq!(changes, json!({"headers": {"Authorization": MASK, "X-A": "1"}}));
}

#[test]
fn what_the_form_alone_can_see_is_complained_about_at_its_fields_all_at_once() {
    let draft = Draft {
        all_events: false,
        filter_is_json: true,
        filter_json: "{".to_owned(),
        headers: vec![
            ("a".to_owned(), "1".to_owned()),
            ("a".to_owned(), "2".to_owned()),
            (String::new(), "3".to_owned()),
        ],
        ..Draft::blank()
    };
    let problem = draft.body().unwrap_err();
    let fields: Vec<&str> = problem.errors().iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["events", "filters", "headers.a", "headers"]);
    let line = FilterRow { field: String::new(), operator: Operator::Is, value: "5".to_owned() };
    let draft = Draft { lines: vec![line], ..Draft::blank() };
    assert_eq!(draft.body().unwrap_err().errors()[0].field, "filters");
}

#[test]
fn a_number_that_is_none_goes_to_the_api_as_it_was_typed() {
    let mut draft = Draft { per_second: "1e1".to_owned(), ..Draft::blank() };
    draft.simple.insert("timeout", "soon".to_owned());
    let body = draft.body().unwrap();
    assert_eq!((&body["timeout"], &body["rate_limit"]["per_second"]), (&json!("soon"), &json!(10.0)));
    assert_eq!(body["events"], json!([]));
}
