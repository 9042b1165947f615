//! Whose line a call of the API waits in.

use std::net::IpAddr;

use crate::domain::ids::OrganizationId;

/// Who waits in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Line {
    /// A caller with a key of this organization.
    Organization(OrganizationId),
    /// The admin, who counts as an organization.
    Admin,
    /// A caller without a key, or with one that is not known yet, from this address.
    Address(IpAddr),
}

impl Line {
    /// Whose share its work counts against: all strangers have one together, or an address would be worth a share.
    pub(super) fn owner(self) -> OrganizationId {
        match self {
            Self::Address(_) => OrganizationId(-2),
            line => line.id(),
        }
    }

    /// As the key of a gate. Ids of organizations are positive.
    pub(crate) fn id(self) -> OrganizationId {
        match self {
            Self::Organization(id) => id,
            Self::Admin => OrganizationId(-1),
            // two addresses with the same id share a line. The last 64 bits of an IPv6 address are its owner's choice
            Self::Address(IpAddr::V4(address)) => OrganizationId(-i64::from(u32::from(address)) - 3),
            Self::Address(IpAddr::V6(address)) => {
                let network = u128::from(address) >> 64;
                OrganizationId(i64::MIN + (network as i64 & (i64::MAX >> 1)))
            }
        }
    }
}

impl From<OrganizationId> for Line {
    fn from(organization_id: OrganizationId) -> Self {
        Self::Organization(organization_id)
    }
}
