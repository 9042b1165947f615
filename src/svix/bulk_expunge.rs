//! `/api/v1/app/{app}/msg/bulk-expunge`: the payloads of several messages are forgotten.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::error::SvixError;
use super::input::{Invalid, read_json};
use super::messages;
use crate::api::audit::Author;
use crate::api::problem::{ErrorCode, Problem};
use crate::api::{Api, erasure};

/// Messages of one call: each is a transaction of its own.
const MOST: usize = 100;

#[derive(Deserialize)]
struct ExpungeIn {
    ids: Option<Vec<String>>,
}

#[derive(Serialize)]
struct ExpungeOut {
    results: BTreeMap<String, Expunged>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Expunged {
    Expunged,
    NotFound,
}

/// `POST /api/v1/app/{app}/msg/bulk-expunge`: by ids and own ids. One that is not found does not keep the others.
pub(super) async fn erase(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let owner = access.application()?.id;
    let ExpungeIn { ids } = read_json(&request, payload).await?;
    let ids = ids.unwrap_or_default();
    let mut invalid = Invalid::of_body();
    // not an answer that sounds as if something was forgotten
    if ids.is_empty() {
        invalid.add("ids", "must name a message");
    }
    if ids.len() > MOST {
        invalid.add("ids", format!("has at most {MOST} items"));
    }
    invalid.into_result()?;
    let mut results = BTreeMap::new();
    for name in ids {
        let erased = match messages::find(&api, &access, owner, &name).await? {
            Some(id) => was_there(erasure::erase_payload(&api, &author, owner, id).await)?,
            None => Expunged::NotFound,
        };
        results.insert(name, erased);
    }
    Ok(HttpResponse::Ok().json(ExpungeOut { results }))
}

fn was_there(erased: Result<(), Problem>) -> Result<Expunged, SvixError> {
    match erased {
        Ok(()) => Ok(Expunged::Expunged),
        Err(problem) if problem.code() == ErrorCode::NotFound => Ok(Expunged::NotFound),
        Err(problem) => Err(problem.into()),
    }
}
