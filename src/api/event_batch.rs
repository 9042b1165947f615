//! `POST /v1/events/batch`: many events in one request.

use std::fmt;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::Api;
use super::body::{RequestBody, read_body};
use super::caller::Tenant;
use super::event_input::EventReader;
use super::events::{PublishedView, REPLAYED, read_idempotency_key, refusal};
use super::input::{self, Errors};
use super::problem::{ErrorCode, Problem};
use super::trace_headers::trace_of;
use crate::actors::publication::{Publication, PublishError, Published};
use crate::domain::event::MAX_BODY_BYTES;
use crate::domain::filter::FieldError;
use crate::store::BatchKey;

/// The most events in one request. More: a batch holds more memory until the last of it is stored.
const MAX_EVENTS: usize = 1_000;
/// For the whole request: no more than a single event may have.
const MAX_BATCH_BYTES: usize = MAX_BODY_BYTES;
const NDJSON: &str = "application/x-ndjson";

/// One for each item of the request, in order.
#[derive(Serialize)]
struct BatchView {
    data: Vec<ItemView>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ItemView {
    Accepted(PublishedView),
    Refused { error: ItemError },
}

#[derive(Serialize)]
struct ItemError {
    code: &'static str,
    detail: String,
    errors: Vec<FieldError>,
}

impl From<&Problem> for ItemView {
    fn from(problem: &Problem) -> Self {
        let error = ItemError {
            code: problem.code().as_str(),
            detail: problem.detail().to_owned(),
            errors: problem.errors().to_vec(),
        };
        Self::Refused { error }
    }
}

/// `POST /v1/events/batch`: an array, or one event per line. Responds when all of it is durable; an invalid item is
/// reported in its place, and the others are stored.
pub(crate) async fn publish(
    request: HttpRequest,
    payload: web::Payload,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    // its share of the memory budget is held until the events are stored, the body itself only until it is parsed
    let RequestBody { bytes, share: _share } = read_body(&request, payload, MAX_BATCH_BYTES).await?;
    let is_ndjson = is_ndjson(&request);
    let mut errors = Errors::new();
    let key = read_idempotency_key(request.headers(), &mut errors);
    let reader = api.event_reader(organization_id).await?;
    let inline = reader.may_read_inline(bytes.len());
    let read = move || {
        let items = read_batch(&bytes, is_ndjson, errors, &reader)?;
        let key = key.map(|key| BatchKey::new(&key, batch_hash(&bytes)));
        Ok::<_, Problem>((items, key))
    };
    let is_in_doubt = api.engine.is_in_doubt();
    let (items, key) = if inline { read() } else { api.parse(organization_id, read).await? }?;
    // an item that is refused is no event
    api.admit_events(organization_id, items.iter().filter(|item| item.is_ok()).count())?;
    let mut refused = Vec::with_capacity(items.len());
    let mut publications = Vec::with_capacity(items.len());
    let trace = trace_of(request.headers());
    for item in items {
        match item {
            Ok(mut publication) => {
                publication.trace.clone_from(&trace);
                publications.push(publication);
                refused.push(None);
            }
            Err(problem) => match api.unless_in_doubt(problem, is_in_doubt) {
                doubt if doubt.code() == ErrorCode::Unavailable => return Err(doubt),
                problem => refused.push(Some(problem)),
            },
        }
    }
    let accepted = publish_all(&api, publications, key).await?;
    let is_replay =
        !accepted.is_empty() && accepted.iter().all(|answer| answer.as_ref().is_ok_and(|it| it.replayed));
    let mut accepted = accepted.into_iter();
    let mut data = Vec::with_capacity(refused.len());
    for refused in refused {
        // there are as many results as events
        let lost = || Problem::new(ErrorCode::Internal, ErrorCode::Internal.help());
        data.push(match refused {
            Some(problem) => ItemView::from(&problem),
            None => match accepted.next().ok_or_else(lost)? {
                Ok(published) => ItemView::Accepted(PublishedView::from(published)),
                Err(problem) => ItemView::from(&problem),
            },
        });
    }
    let mut response = HttpResponse::Accepted();
    if is_replay {
        response.insert_header(REPLAYED);
    }
    Ok(response.json(BatchView { data }))
}

/// What happened to each, or what concerns all of them: a batch takes several commits, and when one of them fails, or the
/// key of the whole was used for another batch, that is the response.
async fn publish_all(
    api: &Api,
    publications: Vec<Publication>,
    key: Option<BatchKey>,
) -> Result<Vec<Result<Published, Problem>>, Problem> {
    let answers = api.engine.publish_all(publications, key).await.map_err(refusal_of_batch)?;
    let results = answers.into_iter().map(|answer| match answer {
        Ok(published) => Ok(Ok(published)),
        Err(PublishError::IdempotencyKeyReused) => Ok(Err(Problem::new(
            ErrorCode::IdempotencyKeyReused,
            "the idempotency_key of this item was used with another event within 24 hours; use a new key for a new event",
        ))),
        Err(error @ PublishError::UnknownEventType) => Ok(Err(refusal(error))),
        Err(error) => Err(refusal_of_batch(error)),
    });
    results.collect()
}

fn refusal_of_batch(error: PublishError) -> Problem {
    match error {
        PublishError::Unavailable(reason) => {
            tracing::debug!(%reason, "batch not acknowledged");
            Problem::new(
                ErrorCode::Unavailable,
                "the database is not available, and a part of the batch may be stored: try again in a moment, and with an \
                 Idempotency-Key nothing is stored twice",
            )
        }
        error => refusal(error),
    }
}

/// Never the same as the hash of an event: an organization's keys are one space.
fn batch_hash(body: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update("[batch]\n").chain_update(body).finalize().into()
}

fn is_ndjson(request: &HttpRequest) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(NDJSON))
}

/// The items of a batch as raw text. How deeply an item nests is checked when it is read, and concerns that item alone.
#[derive(Default)]
struct Items<'a> {
    /// The first [`MAX_EVENTS`].
    kept: Vec<&'a [u8]>,
    /// The number of all items. Those beyond the bound are not kept: ten megabytes of commas would become a hundred.
    count: usize,
}

impl<'a> Items<'a> {
    fn push(&mut self, item: &'a [u8]) {
        self.count += 1;
        if self.kept.len() < MAX_EVENTS {
            self.kept.push(item);
        }
    }

    fn of_lines(body: &'a [u8]) -> Self {
        let mut items = Self::default();
        let body = input::without_mark(body);
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            // what is hashed for its idempotency key is the same in both forms
            items.push(line.trim_ascii());
        }
        items
    }

    fn of_array(body: &'a [u8], errors: &mut Errors) -> Result<Self, Problem> {
        let text = input::utf8(body)?;
        if text.trim_ascii_start().starts_with('[') {
            return serde_json::from_str(text).map_err(|error| input::invalid_json(&error));
        }
        let hint = format!("for one event a line, send the header Content-Type: {NDJSON}");
        match serde_json::from_str::<&RawValue>(text) {
            Ok(value) => errors.add("", format!("the body must be an array, not {}; {hint}", input::kind(value))),
            Err(error) if error.is_eof() || !text.trim_ascii_start().starts_with('{') => {
                return Err(input::invalid_json(&error));
            }
            Err(_) => errors.add("", format!("the body must be one JSON array; {hint}")),
        }
        Ok(Self::default())
    }
}

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemsVisitor;
        impl<'de> Visitor<'de> for ItemsVisitor {
            type Value = Items<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut read = Items::default();
                while let Some(item) = items.next_element::<&RawValue>()? {
                    read.push(item.get().as_bytes());
                }
                Ok(read)
            }
        }
        deserializer.deserialize_seq(ItemsVisitor)
    }
}

/// The events of a request, or what is wrong with each; an error when the whole request can't be accepted.
pub(crate) fn read_batch(
    body: &[u8],
    is_ndjson: bool,
    mut errors: Errors,
    reader: &EventReader,
) -> Result<Vec<Result<Publication, Problem>>, Problem> {
    let items = if is_ndjson { Items::of_lines(body) } else { Items::of_array(body, &mut errors)? };
    if !(1..=MAX_EVENTS).contains(&items.count) && errors.is_empty() {
        errors.add("", format!("a batch holds 1 to {MAX_EVENTS} events, this has {}", items.count));
    }
    errors.into_result()?;
    Ok(items.kept.into_iter().enumerate().map(|(place, item)| reader.read_item(item, place)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::collection;
    use proptest::prelude::*;

    use super::*;
    use crate::api::known_types::KnownTypes;
    use crate::domain::ids::OrganizationId;
    use crate::domain::time::UnixMillis;

    #[test]
    fn items_beyond_the_bound_are_counted_but_not_kept() {
        let array = format!("[{}1]", "1,".repeat(99_999));
        let lines = "1\n".repeat(100_000);
        let read = Items::of_array(array.as_bytes(), &mut Errors::new()).map_err(|problem| problem.code());
        for items in [read.unwrap_or_default(), Items::of_lines(lines.as_bytes())] {
            assert_eq!((items.count, items.kept.len()), (100_000, MAX_EVENTS));
        }
    }

    #[test]
    fn nesting_of_an_item_does_not_reach_a_recursive_parser() {
        let text = format!("[{}{}]", "[".repeat(200_000), "]".repeat(200_000));
        assert!(Items::of_array(text.as_bytes(), &mut Errors::new()).is_ok_and(|items| items.count == 1));
    }

    const ORGANIZATION: OrganizationId = OrganizationId(1);

    fn reader() -> EventReader {
        let types = KnownTypes::new(Arc::default(), ORGANIZATION);
        EventReader { organization_id: ORGANIZATION, types, now: UnixMillis(1_700_000_000_000) }
    }

    /// The timestamp and data of an event, or what is wrong with it.
    type Read = Result<(String, String), String>;

    /// The result of each item, in a form that can be compared.
    fn read(body: &str, is_ndjson: bool) -> Result<Vec<Read>, String> {
        let items = read_batch(body.as_bytes(), is_ndjson, Errors::new(), &reader());
        let items = items.map_err(|problem| problem.detail().to_owned())?;
        let data = |event: Publication| (event.timestamp, event.data.get().to_owned());
        Ok(items.into_iter().map(|item| item.map(data).map_err(|problem| problem.detail().to_owned())).collect())
    }

    /// Mostly events, good ones and bad ones.
    fn item() -> impl Strategy<Value = String> {
        let data = prop_oneof![
            Just(String::from(r#"{"n":1e400, "big":123456789012345678901234567890}"#)),
            Just(String::from("[]")),
            r#"\{"[a-z]{0,5}": ?(-?[1-9][0-9]{0,30}|"[^"\\\\\pC]{0,9}"|true|null)\}"#,
        ];
        let timestamp = prop_oneof![
            Just(String::new()),
            r#","timestamp":"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|\+[0-9]{2}:[0-9]{2})""#,
        ];
        let event = (data, timestamp).prop_map(|(data, timestamp)| {
            format!(r#"{{"event_type":"call.completed","data":{data}{timestamp}}}"#)
        });
        prop_oneof![4 => event, 1 => r#""[a-z]{0,9}"|-?[1-9]{1,5}|\{"x":\[\]\}"#]
    }

    proptest! {
        #[test]
        fn an_array_and_the_same_items_line_by_line_are_read_alike(items in collection::vec(item(), 1..8)) {
            let array = read(&format!("[{}]", items.join(" ,")), false);
            prop_assert_eq!(&array, &read(&items.join("\n"), true));
            for (text, read) in items.iter().zip(array.unwrap_or_default()) {
                // a publisher's data is kept verbatim
                prop_assert!(read.is_err() || read.is_ok_and(|(_, data)| text.contains(&data)), "{}", text);
            }
        }

        #[test]
        fn no_body_makes_the_reader_panic(
            bytes in collection::vec(any::<u8>(), 0..200),
            text in r#"[\[\]{}",:\\ \n0-9a-eut.-]{0,120}"#,
            is_ndjson: bool,
        ) {
            let _ = read_batch(&bytes, is_ndjson, Errors::new(), &reader());
            let _ = read(&text, is_ndjson);
            let _ = reader().read(text.as_bytes(), None, Errors::new()).map(|_| ());
        }
    }
}
