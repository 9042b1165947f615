//! Authorization. The only place where roles and organizations are enforced: a middleware around every route of the
//! table.

use actix_web::body::BoxBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, web};

use super::Api;
use super::caller::{Caller, find_caller};
use super::line::Line;
use super::problem::{ErrorCode, Problem};
use crate::domain::ids::OrganizationId;
use crate::domain::organization::{OrganizationRef, Role};
use crate::domain::svix::Environment;

/// What a route requires of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Nothing.
    Open,
    /// The admin key, or a key of the deployment with the role admin.
    Admin,
    /// The same, or an owner of the organization in the path.
    Keys,
    /// Publishing events.
    Publish,
    /// Reading what the organization has.
    Read,
    /// The same, and of all organizations for the admin: the route tells them apart.
    ReadAny,
    /// Reading who changed it; of the deployment for the admin.
    Audit,
    /// Changing it.
    Manage,
}

impl Permission {
    /// The roles that have it in an organization. The admin has it in every one.
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::Open => &Role::ALL,
            Self::Admin => &[],
            Self::Keys | Self::Audit => &[Role::Owner],
            Self::Publish => &[Role::Publisher, Role::Owner],
            Self::Read | Self::ReadAny => &[Role::Viewer, Role::Manager, Role::Owner],
            Self::Manage => &[Role::Manager, Role::Owner],
        }
    }

    /// Whether calls with it name their organization in the path, or need none.
    pub(crate) fn is_of_deployment(self) -> bool {
        matches!(self, Self::Open | Self::Admin | Self::Keys)
    }

    /// Whether the admin, who needs no organization for it, then means the deployment.
    fn is_of_both(self) -> bool {
        matches!(self, Self::ReadAny | Self::Audit)
    }

    /// Admits the caller or returns the error. `path_organization` is the organization in the path, if there is one.
    pub(crate) fn check(self, caller: &Caller, path_organization: Option<OrganizationId>) -> Result<(), Problem> {
        let is_of_deployment = self.is_of_deployment() || self.is_of_both() && caller.is_admin();
        if caller.organization_id().is_none() && !is_of_deployment {
            let detail = "a key of the deployment acts in the organization that the header Ringback-Organization names: send its \
                          id or uid, or use a key of the organization, made with POST /v1/organizations/{id}/keys";
            return Err(Problem::new(ErrorCode::OrganizationRequired, detail));
        }
        // before the role: callers must not learn which other organizations exist
        let own = caller.organization_id().or(path_organization);
        if self == Self::Keys && path_organization != own {
            return Err(Problem::no_such("organization"));
        }
        let role = caller.role();
        if role == Role::Admin {
            return Ok(());
        }
        if self.roles().contains(&role) {
            return Ok(());
        }
        let roles: Vec<&str> = self.roles().iter().map(|role| role.as_str()).collect();
        let needed = match roles.as_slice() {
            [] => "the admin key, or a key of the deployment with the role admin".to_owned(),
            roles => format!("a key with the role {}", roles.join(" or ")),
        };
        let detail = format!("this key has the role {}; the call needs {needed}", role.as_str());
        Err(Problem::new(ErrorCode::Forbidden, detail))
    }
}

/// The organization in the path, which exists, for handlers of [`Permission::Keys`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct PathOrganization(pub OrganizationId);

impl FromRequest for PathOrganization {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // missing on a route that is not registered with that permission
        let missing = || Problem::new(ErrorCode::Internal, ErrorCode::Internal.help());
        std::future::ready(request.extensions().get::<Self>().copied().ok_or_else(missing))
    }
}

/// The middleware around a route: finds the caller and checks the permission before the handler runs.
pub(crate) async fn authorize(
    permission: Permission,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if permission == Permission::Open {
        return next.call(request).await;
    }
    match admit(permission, request.request()).await {
        Ok(()) => next.call(request).await,
        Err(problem) => Ok(request.error_response(problem)),
    }
}

async fn admit(permission: Permission, request: &HttpRequest) -> Result<(), Problem> {
    let api = request
        .app_data::<web::Data<Api>>()
        .ok_or_else(|| Problem::new(ErrorCode::Internal, ErrorCode::Internal.help()))?;
    let caller = find_caller(api, request).await?;
    // for the access log, also when it is refused
    request.extensions_mut().insert(caller);
    let path_organization = match permission {
        Permission::Keys => Some(path_organization(api, request).await?),
        _ => None,
    };
    permission.check(&caller, path_organization)?;
    if let Some(organization_id) = path_organization {
        request.extensions_mut().insert(PathOrganization(organization_id));
    }
    Ok(())
}

/// The organization that the path names by its id or uid, read now: what such calls change lasts. Nothing that others use is
/// forgotten for it, or whoever lists their keys in a loop would keep everyone's names from being remembered.
pub(super) async fn path_organization(
    api: &web::Data<Api>,
    request: &HttpRequest,
) -> Result<OrganizationId, Problem> {
    let unknown = || Problem::no_such("organization");
    let name = request.match_info().get("organization_id").unwrap_or_default();
    let name: OrganizationRef = name.parse().map_err(|()| unknown())?;
    let read = api.read(Line::of(request), move |store| match &name {
        OrganizationRef::Id(id) => store.organization(*id),
        OrganizationRef::Uid(uid) => store.organization_by_uid(&Environment::default(), uid),
    });
    read.await?.map(|organization| organization.id).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::KeyId;

    #[test]
    fn every_role_may_do_exactly_what_the_contract_says() {
        use Permission::{Admin, Keys, Manage, Publish, Read};
        let all = [Admin, Keys, Publish, Read, Manage];
        let own = Some(OrganizationId(1));
        let may = |role| {
            let key_id = Some(KeyId(1));
            let caller = Caller::Key { organization_id: OrganizationId(1), key_id, role };
            all.map(|permission| permission.check(&caller, own).is_ok())
        };
        assert_eq!(may(Role::Publisher), [false, false, true, false, false]);
        assert_eq!(may(Role::Viewer), [false, false, false, true, false]);
        assert_eq!(may(Role::Manager), [false, false, false, true, true]);
        assert_eq!(may(Role::Owner), [false, true, true, true, true]);
        assert_eq!(may(Role::Admin), [true; 5]);
        let without = |caller: Caller| {
            all.map(|permission| permission.check(&caller, own).err().map(|problem| problem.code()))
        };
        let (required, forbidden) = (Some(ErrorCode::OrganizationRequired), Some(ErrorCode::Forbidden));
        assert_eq!(without(Caller::ADMIN), [None, None, required, required, required]);
        let of_deployment = |role| without(Caller::Deployment { key_id: KeyId(1), role });
        assert_eq!(of_deployment(Role::Owner), [forbidden, None, required, required, required]);
        for role in [Role::Publisher, Role::Viewer, Role::Manager] {
            assert_eq!(of_deployment(role), [forbidden, forbidden, required, required, required], "{role:?}");
        }
    }

    #[test]
    fn another_organizations_keys_are_not_found_for_any_role() {
        for role in Role::OF_DEPLOYMENT {
            let caller = Caller::Key { organization_id: OrganizationId(1), key_id: Some(KeyId(1)), role };
            let problem = Permission::Keys.check(&caller, Some(OrganizationId(2))).unwrap_err();
            assert_eq!(problem.code(), ErrorCode::NotFound, "{role:?}");
        }
    }
}
