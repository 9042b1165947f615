//! Which applications there were a moment ago: every call names one, and publishers make many calls.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::SvixError;
use super::ids::ApplicationName;
use crate::api::Api;
use crate::api::caller::look_up;
use crate::api::key_text::hash_key;
use crate::api::line::Line;
use crate::api::lookup_cache::{Credential, LookupCache};
use crate::domain::svix::{Application, Environment};

/// What names of applications stand for. This node hears of changes of other nodes within milliseconds, and believes nothing for
/// longer than a second.
#[derive(Default)]
pub(super) struct KnownApplications {
    found: LookupCache<KnownApplication>,
    /// Of the names in it.
    version: AtomicU64,
}

#[derive(Clone, Copy)]
struct KnownApplication(Application);

impl Credential for KnownApplication {
    // one that is made now can be named now
    const REMEMBERS_UNKNOWN: bool = false;

    fn owner(&self) -> Line {
        self.0.id.into()
    }
}

impl KnownApplications {
    /// Finds an application, for a request from this address.
    pub(super) async fn find(
        &self,
        api: &Api,
        address: IpAddr,
        environment: &Environment,
        name: ApplicationName,
    ) -> Result<Option<Application>, SvixError> {
        let version = api.engine().names_version();
        if self.version.load(Ordering::Acquire) != version {
            // in this order: nobody who sees the new version finds what is older
            self.found.forget_everything();
            self.version.store(version, Ordering::Release);
        }
        // no name has a line break
        let hash = hash_key(&format!("{environment}\n{name}"));
        let environment = environment.clone();
        let found = look_up(api, &self.found, hash, address, move |store| {
            let found = match &name {
                ApplicationName::Ours(name) => store.application(&environment, name)?,
                ApplicationName::OfSvix(id) => store.application_by_svix_id(&environment, id)?,
            };
            Ok(found.map(KnownApplication))
        });
        Ok(found.await?.map(|KnownApplication(application)| application))
    }
}
