//! Brings over one environment: event types, then applications with their endpoints. What is as it should be is left alone.

use std::collections::{BTreeMap, BTreeSet};

use awc::http::Method;
use data_encoding::HEXLOWER;
use indicatif::ProgressBar;
use ringback::domain::secret::Secret;
use serde_json::{Value, json};

use super::super::{now, print_line};
use super::keys::KeyReader;
use super::same::{are_same_headers, is_same};
use super::source::{Row, Source, SourceApplication, SourceEndpoint, SourceEventType};
use super::tally::{Fate, Kind, Tally};
use super::target::{Answer, Target};

/// A replaced key can sign for as long.
const LONGEST_GRACE: i64 = 7 * 86_400;
/// For as long a key signs that only the engine knows.
const USUAL_GRACE: i64 = 86_400;

/// `Err`: why it was refused.
type Outcome = Result<Fate, String>;

pub(super) struct Bringer<'a> {
    pub environment: &'a str,
    pub source: &'a mut Source,
    pub target: Target,
    pub keys: &'a KeyReader,
    /// Nothing is changed.
    pub is_dry: bool,
    pub tally: &'a mut Tally,
    pub bar: &'a ProgressBar,
    pub archived: ArchivedTypes,
}

/// Archived event types. An endpoint can ask for one, but is only made or changed while it is not archived.
#[derive(Default)]
pub(super) struct ArchivedTypes {
    all: BTreeSet<String>,
    /// Those that have to be archived at the end.
    open: BTreeSet<String>,
}

impl Bringer<'_> {
    /// An error means that going on has no sense.
    pub(super) async fn bring(&mut self) -> anyhow::Result<()> {
        let mut behind = String::new();
        loop {
            let page = self.source.event_types(self.environment, &behind)?;
            let Some(last) = page.last() else { break };
            behind = name_of(last, |row| &row.name).to_owned();
            for row in page {
                let Some(row) = self.readable(Kind::EventType, row) else { continue };
                let outcome = self.event_type(&row).await?;
                self.note(Kind::EventType, &row.name, outcome);
            }
        }
        let mut behind = String::new();
        loop {
            let page = self.source.applications(self.environment, &behind)?;
            let Some(last) = page.last() else { break };
            behind = name_of(last, |row| &row.id).to_owned();
            for row in page {
                let Some(row) = self.readable(Kind::Application, row) else { continue };
                self.application_with_endpoints(&row).await?;
            }
        }
        for name in std::mem::take(&mut self.archived.open) {
            if let Err(reason) = self.set_archived(&name, true).await? {
                self.tally.refuse(Kind::EventType, &name, &reason);
            }
        }
        Ok(())
    }

    async fn set_archived(&self, name: &str, is_archived: bool) -> anyhow::Result<Result<(), String>> {
        let body = json!({"archived": is_archived});
        Ok(match self.target.send(Method::PATCH, &path_of_type(name), &body).await? {
            Answer::Done => Ok(()),
            Answer::Refused(reason) => Err(reason),
        })
    }

    /// Lets an endpoint ask for these types.
    async fn open_types(&mut self, names: &[String]) -> anyhow::Result<()> {
        let closed = |name: &&String| self.archived.all.contains(*name) && !self.archived.open.contains(*name);
        let closed: Vec<String> = names.iter().filter(closed).cloned().collect();
        for name in closed {
            // when it is refused, so is the endpoint
            if !self.is_dry && self.set_archived(&name, false).await?.is_ok() {
                self.archived.open.insert(name);
            }
        }
        Ok(())
    }

    fn readable<T>(&mut self, kind: Kind, row: Row<T>) -> Option<T> {
        row.map_err(|(name, reason)| self.note(kind, &name, Err(format!("its row can't be read: {reason}")))).ok()
    }

    fn note(&mut self, kind: Kind, name: &str, outcome: Outcome) {
        self.bar.inc(1);
        match outcome {
            Ok(fate) => {
                self.tally.count(kind, fate);
                let verb = match fate {
                    Fate::Imported => "import",
                    Fate::Changed => "change",
                    Fate::Unchanged => return,
                };
                if self.is_dry {
                    let environment = self.environment;
                    self.bar
                        .suspend(|| print_line(&format!("would {verb} {} {name} in {environment}", kind.one())));
                }
            }
            Err(reason) => self.tally.refuse(kind, name, &reason),
        }
    }

    async fn put(&self, path: &str, body: &Value, fate: Fate) -> anyhow::Result<Outcome> {
        if self.is_dry {
            return Ok(Ok(fate));
        }
        Ok(match self.target.send(Method::PUT, path, body).await? {
            Answer::Done => Ok(fate),
            Answer::Refused(reason) => Err(reason),
        })
    }

    async fn event_type(&mut self, row: &SourceEventType) -> anyhow::Result<Outcome> {
        let path = path_of_type(&row.name);
        if row.deleted {
            self.archived.all.insert(row.name.clone());
        }
        let flags = row.feature_flag.as_ref().map(|flag| json!([flag]));
        let mut wanted = json!({
            "description": row.description, "deprecated": row.deprecated, "schemas": row.schemas,
            "featureFlags": flags, "archived": row.deleted,
        });
        let fate = match self.target.get(&path).await? {
            None => Fate::Imported,
            Some(known) if is_same(&wanted, &known) => return Ok(Ok(Fate::Unchanged)),
            Some(_) => Fate::Changed,
        };
        wanted["archived"] = json!(false);
        let outcome = self.put(&path, &wanted, fate).await?;
        if row.deleted && outcome.is_ok() && !self.is_dry {
            self.archived.open.insert(row.name.clone());
        }
        Ok(outcome)
    }

    async fn application_with_endpoints(&mut self, row: &SourceApplication) -> anyhow::Result<()> {
        let path = format!("/app/{}", escaped(&row.id));
        let wanted = json!({
            "name": row.name, "uid": row.uid, "rateLimit": row.rate_limit,
            "metadata": row.metadata.clone().unwrap_or_default(),
        });
        let outcome = match self.target.get(&path).await? {
            None => self.put(&path, &wanted, Fate::Imported).await?,
            Some(known) if is_same(&wanted, &known) => Ok(Fate::Unchanged),
            Some(_) => self.put(&path, &wanted, Fate::Changed).await?,
        };
        let is_there = outcome.is_ok();
        self.note(Kind::Application, &row.id, outcome);
        let mut behind = String::new();
        loop {
            let page = self.source.endpoints(&row.id, &behind)?;
            let Some(last) = page.last() else { return Ok(()) };
            behind = name_of(last, |row| &row.id).to_owned();
            for endpoint in page {
                let Some(endpoint) = self.readable(Kind::Endpoint, endpoint) else { continue };
                let outcome = match is_there {
                    true => self.endpoint(&path, &endpoint).await?,
                    false => Err(format!("its application {} was refused", row.id)),
                };
                self.note(Kind::Endpoint, &endpoint.id, outcome);
            }
        }
    }

    async fn endpoint(&mut self, application: &str, row: &SourceEndpoint) -> anyhow::Result<Outcome> {
        if row.filter.as_ref().is_some_and(|filter| !filter.is_empty()) {
            return Ok(Err(
                "it has a filter over payloads, which has no equivalent: make it without one".to_owned()
            ));
        }
        let chain = match self.chain(row) {
            Ok(chain) => chain,
            Err(reason) => return Ok(Err(reason)),
        };
        let fields = json!({
            "url": row.url, "description": row.description, "uid": row.uid, "disabled": row.disabled,
            "filterTypes": row.event_types_ids, "channels": row.channels, "rateLimit": row.rate_limit,
            "metadata": row.metadata.clone().unwrap_or_default(),
        });
        let wanted = WantedEndpoint {
            path: format!("{application}/endpoint/{}", escaped(&row.id)),
            fields,
            headers: row.headers.clone().unwrap_or_default(),
            types: row.event_types_ids.clone().unwrap_or_default(),
            chain,
        };
        match self.target.get(&wanted.path).await? {
            None => {
                self.open_types(&wanted.types).await?;
                self.make_endpoint(&wanted).await
            }
            Some(known) => self.change_endpoint(&wanted, &known).await,
        }
    }

    /// As [`WantedEndpoint::chain`] has it.
    fn chain(&self, row: &SourceEndpoint) -> Result<Vec<(Secret, i64)>, String> {
        let bytes = row.key.strip_prefix("\\x").and_then(|text| HEXLOWER.decode(text.as_bytes()).ok());
        let newest = self.keys.open(&bytes.ok_or("its key can't be read")?).map_err(|error| error.to_string())?;
        let mut chain = Vec::new();
        for old in row.old_keys.iter().flatten() {
            let end: jiff::Timestamp =
                old.expiration.parse().map_err(|error| format!("a replaced key: {error}"))?;
            let left = end.as_second() - now().as_seconds();
            if left > 0 {
                let key = self.keys.open_text(&old.key).map_err(|error| format!("a replaced key: {error}"))?;
                chain.push((key, left.min(LONGEST_GRACE)));
            }
        }
        chain.sort_by_key(|(_, left)| *left);
        chain.push((newest, 0));
        Ok(chain)
    }

    async fn make_endpoint(&self, wanted: &WantedEndpoint) -> anyhow::Result<Outcome> {
        let WantedEndpoint { path, chain, .. } = wanted;
        let mut body = wanted.with_headers();
        body["secret"] = json!(chain.first().map(|(oldest, _)| oldest.expose()));
        if chain.len() == 1 {
            return self.put(path, &body, Fate::Imported).await;
        }
        // nothing is sent to it before all of its keys sign
        body["disabled"] = json!(true);
        let outcome = self.put(path, &body, Fate::Imported).await?;
        if self.is_dry || outcome.is_err() {
            return Ok(outcome);
        }
        if let Err(reason) = self.rotate(path, chain, 1).await? {
            self.target.send(Method::DELETE, path, &json!({})).await?;
            return Ok(Err(reason));
        }
        let enabled = json!({"disabled": wanted.fields["disabled"]});
        Ok(match self.target.send(Method::PATCH, path, &enabled).await? {
            Answer::Done => outcome,
            Answer::Refused(reason) => Err(reason),
        })
    }

    /// Lets the keys from this place on take over, one after the other.
    async fn rotate(
        &self,
        path: &str,
        chain: &[(Secret, i64)],
        from: usize,
    ) -> anyhow::Result<Result<(), String>> {
        for (place, (key, _)) in chain.iter().enumerate().skip(from) {
            // of a key that only the engine knows nothing is known
            let replaced = place.checked_sub(1).and_then(|before| chain.get(before));
            let grace = replaced.map_or(USUAL_GRACE, |(_, left)| *left);
            let body = json!({"key": key.expose(), "gracePeriodSeconds": grace});
            let rotation = self.target.send(Method::POST, &format!("{path}/secret/rotate"), &body).await?;
            if let Answer::Refused(reason) = rotation {
                return Ok(Err(format!("its signing key: {reason}")));
            }
        }
        Ok(Ok(()))
    }

    async fn change_endpoint(&mut self, wanted: &WantedEndpoint, known: &Value) -> anyhow::Result<Outcome> {
        let WantedEndpoint { path, chain, .. } = wanted;
        let secret = self.target.get(&format!("{path}/secret")).await?.unwrap_or_default();
        let current = secret["key"].as_str().unwrap_or_default();
        let headers = self.target.get(&format!("{path}/headers")).await?.unwrap_or_default();
        let has_key = chain.last().is_some_and(|(newest, _)| newest.expose() == current);
        let has_fields = is_same(&wanted.fields, known) && are_same_headers(&wanted.headers, &headers);
        if has_key && has_fields {
            return Ok(Ok(Fate::Unchanged));
        }
        if self.is_dry {
            return Ok(Ok(Fate::Changed));
        }
        if !has_key {
            // it goes on where it was cut off
            let rotation = match chain.iter().position(|(key, _)| key.expose() == current) {
                Some(place) => self.rotate(path, chain, place + 1).await?,
                None => self.rotate(path, &chain[chain.len() - 1..], 0).await?,
            };
            if let Err(reason) = rotation {
                return Ok(Err(reason));
            }
        }
        if has_fields {
            return Ok(Ok(Fate::Changed));
        }
        self.open_types(&wanted.types).await?;
        self.put(path, &wanted.with_headers(), Fate::Changed).await
    }
}

/// An endpoint as it should be.
struct WantedEndpoint {
    path: String,
    /// All but its headers and keys.
    fields: Value,
    headers: BTreeMap<String, String>,
    types: Vec<String>,
    /// The keys that sign, the oldest first, with the seconds for which each goes on; the last is the newest.
    chain: Vec<(Secret, i64)>,
}

impl WantedEndpoint {
    fn with_headers(&self) -> Value {
        let mut body = self.fields.clone();
        body["headers"] = json!(self.headers);
        body
    }
}

fn name_of<'a, T>(row: &'a Row<T>, name: impl Fn(&'a T) -> &'a String) -> &'a str {
    match row {
        Ok(row) => name(row),
        Err((name, _)) => name,
    }
}

fn path_of_type(name: &str) -> String {
    format!("/event-type/{}", escaped(name))
}

/// In a path.
fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
