//! The log of changes: who made them, and `GET /v1/audit-log`.

use std::collections::{HashMap, HashSet};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::Value;

use super::Api;
use super::caller::Caller;
use super::line::Line;
use super::pagination::{List, RequestedPage};
use super::problem::{ErrorCode, Problem};
use crate::domain::audit::{Actor, AuditAction, AuditEntry, differences};
use crate::domain::ids::{AuditId, KeyId, OrganizationId};
use crate::domain::organization::Role;
use crate::domain::time::UnixMillis;
use crate::store::{PageRequest, Store, StoreResult};

/// Fields of views that say nothing about a change.
const LEFT_OUT: [&str; 4] = ["secret", "key", "updated_at", "last_used_at"];

/// Who makes a change, and in whose line it waits.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    pub line: Line,
    pub actor: Actor,
}

impl Author {
    pub(crate) fn of(caller: &Caller) -> Self {
        let actor = match (caller.key_id(), caller.role()) {
            (Some(key_id), role) => Actor::Key { key_id, role },
            (None, Role::Admin) => Actor::AdminKey,
            // only whoever came by a link has neither
            (None, role) => Actor::SignIn { name: None, role },
        };
        Self { line: caller.into(), actor }
    }

    /// An entry for a change of something, shown before and after; nothing of it is there without a view.
    pub(crate) fn entry(
        &self,
        api: &Api,
        owner: Option<OrganizationId>,
        action: AuditAction,
        subject: impl ToString,
        views: [Option<Value>; 2],
    ) -> AuditEntry {
        let [before, after] = views;
        let [before, after] = differences(before, after, &LEFT_OUT);
        AuditEntry {
            id: AuditId(api.engine.next_id()),
            organization_id: owner,
            at: api.engine.now(),
            actor: self.actor.clone(),
            action,
            subject: subject.to_string(),
            before,
            after,
        }
    }
}

/// A view of something for an entry.
pub(crate) fn view(of: &impl Serialize) -> Option<Value> {
    serde_json::to_value(of).ok()
}

impl FromRequest for Author {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let author = request.extensions().get::<Caller>().map(Self::of);
        // missing on an open route
        let missing = || Problem::new(ErrorCode::Internal, ErrorCode::Internal.help());
        std::future::ready(author.ok_or_else(missing))
    }
}

/// An entry as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct AuditView {
    pub id: AuditId,
    pub at: UnixMillis,
    pub actor: ActorView,
    pub action: &'static str,
    pub subject: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ActorView {
    pub r#type: &'static str,
    pub key_id: Option<KeyId>,
    pub name: Option<String>,
    pub role: Role,
}

impl From<AuditEntry> for AuditView {
    fn from(entry: AuditEntry) -> Self {
        let (r#type, key_id, name, role) = match entry.actor {
            Actor::AdminKey => ("admin_key", None, None, Role::Admin),
            Actor::Key { key_id, role } => ("key", Some(key_id), None, role),
            Actor::SignIn { name, role } => ("sign_in", None, name, role),
        };
        let actor = ActorView { r#type, key_id, name, role };
        let AuditEntry { id, at, action, subject, before, after, .. } = entry;
        Self { id, at, actor, action: action.as_str(), subject, before, after }
    }
}

/// `GET /v1/audit-log`: of the organization, or of the deployment for the admin who names none.
pub(crate) async fn list(
    request: HttpRequest,
    caller: web::ReqData<Caller>,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let owner = caller.organization_id();
    Ok(HttpResponse::Ok().json(page(&api, owner, request.query_string()).await?))
}

/// The page of an organization's or (`None`) the deployment's entries that a query string describes.
pub(crate) async fn page(
    api: &Api,
    owner: Option<OrganizationId>,
    query: &str,
) -> Result<List<AuditView>, Problem> {
    let page = RequestedPage::of_query(query)?;
    let line = owner.map_or(Line::Admin, Line::from);
    let read = api.read(line, move |store| {
        let rows = store.audit_log(owner, page.request())?;
        let names = key_names(store, owner, &rows)?;
        Ok((rows, names))
    });
    let (rows, names) = read.await?;
    let view = |entry| {
        let mut view = AuditView::from(entry);
        view.actor.name = view.actor.name.or_else(|| names.get(&view.actor.key_id?).cloned());
        view
    };
    Ok(page.list(rows, |entry| entry.id.0, view))
}

/// The names of the keys that made these changes and still exist: of the organization, and of the deployment.
fn key_names(
    store: &dyn Store,
    owner: Option<OrganizationId>,
    entries: &[AuditEntry],
) -> StoreResult<HashMap<KeyId, String>> {
    let key_of = |entry: &AuditEntry| match entry.actor {
        Actor::Key { key_id, .. } => Some(key_id),
        Actor::AdminKey | Actor::SignIn { .. } => None,
    };
    let ids: HashSet<KeyId> = entries.iter().filter_map(key_of).collect();
    let mut names = HashMap::new();
    for id in ids {
        for owner in [owner, None] {
            let newest = PageRequest { before_id: Some(id.0.saturating_add(1)), limit: 1 };
            let found = store.keys(owner, newest)?.pop().filter(|key| key.id == id);
            names.extend(found.map(|key| (id, key.name)));
        }
    }
    Ok(names)
}
