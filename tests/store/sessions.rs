//! Sessions of the dashboard.

use ringback::domain::ids::OrganizationId;
use ringback::domain::organization::Role;
use ringback::domain::session::{DashboardSession, LINKS_FOR_ONE, SESSIONS_FOR_ONE, SignIn, SignInLink, Visitor};
use ringback::store::{LinkUse, StoreError};

use crate::fixture::{Fixture, START, at};

on_every_store!(
    a_session_is_found_by_the_hash_of_its_token_until_it_is_ended,
    an_organizations_sessions_are_bounded_and_its_own_oldest_goes_first,
    sessions_that_are_over_are_removed_and_others_stay,
    an_organization_takes_its_sessions_with_it_and_one_that_is_gone_gets_none,
    a_link_is_used_once_before_its_end_and_goes_with_its_organization,
    an_organizations_links_are_bounded,
);

fn session(organization_id: Option<OrganizationId>, number: u32, ends_at: i64) -> DashboardSession {
    let mut token_hash = [0; 32];
    token_hash[..4].copy_from_slice(&number.to_be_bytes());
    DashboardSession { token_hash, organization_id, began_with: SignIn::Key([9; 32]), expires_at: at(ends_at) }
}

fn begin(f: &Fixture, session: &DashboardSession) {
    f.store.begin_session(session, START).unwrap();
}

fn is_there(f: &Fixture, session: &DashboardSession) -> bool {
    let found = f.store.session(&session.token_hash).unwrap();
    assert!(found.as_ref().is_none_or(|found| found == session));
    found.is_some()
}

fn a_session_is_found_by_the_hash_of_its_token_until_it_is_ended(f: &Fixture) {
    let (own, admins) = (session(Some(f.organization()), 1, 10), session(None, 2, 10));
    begin(f, &own);
    begin(f, &admins);
    assert!(is_there(f, &own) && is_there(f, &admins));
    f.store.end_session(&own.token_hash).unwrap();
    f.store.end_session(&own.token_hash).unwrap();
    assert!(!is_there(f, &own) && is_there(f, &admins));
}

fn an_organizations_sessions_are_bounded_and_its_own_oldest_goes_first(f: &Fixture) {
    let (one, other) = (Some(f.organization()), Some(f.organization()));
    let of_other = session(other, 0, 1);
    begin(f, &of_other);
    let many: Vec<_> =
        (1..=SESSIONS_FOR_ONE as u32 + 2).map(|number| session(one, number, i64::from(number))).collect();
    many.iter().for_each(|session| begin(f, session));
    assert!(is_there(f, &of_other), "older, but of another organization");
    assert_eq!(many.iter().filter(|session| is_there(f, session)).count(), SESSIONS_FOR_ONE);
    assert!(!is_there(f, &many[0]) && !is_there(f, &many[1]) && is_there(f, &many[2]));
}

fn sessions_that_are_over_are_removed_and_others_stay(f: &Fixture) {
    let organization_id = Some(f.organization());
    let sessions: Vec<_> = (1..=5).map(|number| session(None, number, i64::from(number))).collect();
    let old = session(organization_id, 6, 1);
    sessions.iter().chain([&old]).for_each(|session| begin(f, session));
    assert!(f.store.prune_sessions(at(3), 3).unwrap(), "there may be more");
    assert!(!f.store.prune_sessions(at(3), 3).unwrap());
    assert!(!is_there(f, &old));
    let left: Vec<bool> = sessions.iter().map(|session| is_there(f, session)).collect();
    assert_eq!(left, [false, false, false, true, true]);
    // with the next one of the same owner
    f.store.begin_session(&session(None, 7, 99), at(4)).unwrap();
    assert!(!is_there(f, &sessions[3]) && is_there(f, &sessions[4]));
}

fn an_organization_takes_its_sessions_with_it_and_one_that_is_gone_gets_none(f: &Fixture) {
    let (one, other) = (f.organization(), f.organization());
    let (of_one, of_other) = (session(Some(one), 1, 10), session(Some(other), 2, 10));
    begin(f, &of_one);
    begin(f, &of_other);
    f.store.delete_organization(one, at(1)).unwrap();
    assert!(!is_there(f, &of_one) && is_there(f, &of_other));
    let late = f.store.begin_session(&session(Some(one), 3, 10), at(1));
    assert!(matches!(late, Err(StoreError::NoSuchOrganization)), "{late:?}");
}

fn link(organization_id: OrganizationId, number: u32, ends_at: i64) -> SignInLink {
    let mut token_hash = [1; 32];
    token_hash[..4].copy_from_slice(&number.to_be_bytes());
    let visitor = Visitor { role: Role::Manager, name: Some("Ada".into()), return_url: None };
    SignInLink { token_hash, organization_id, visitor, expires_at: at(ends_at) }
}

fn a_link_is_used_once_before_its_end_and_goes_with_its_organization(f: &Fixture) {
    let organization_id = f.organization();
    let links = [1, 2, 3].map(|number| link(organization_id, number, 10));
    links.iter().for_each(|link| f.store.create_link(link, START).unwrap());
    let use_at = |number: usize, second| f.store.use_link(&links[number].token_hash, at(second)).unwrap();
    assert_eq!(use_at(0, 9), LinkUse::First(links[0].clone()));
    assert_eq!(use_at(0, 9), LinkUse::Refused(links[0].clone()));
    assert_eq!(use_at(1, 10), LinkUse::Refused(links[1].clone()), "it is over");
    assert_eq!(f.store.use_link(&[7; 32], at(1)).unwrap(), LinkUse::Unknown);
    let session = DashboardSession {
        began_with: SignIn::Link(std::sync::Arc::new(links[0].visitor.clone())),
        ..session(Some(organization_id), 9, 20)
    };
    begin(f, &session);
    assert!(is_there(f, &session), "as it was begun");
    f.store.delete_organization(organization_id, at(1)).unwrap();
    assert!(!is_there(f, &session));
    assert_eq!(use_at(2, 1), LinkUse::Unknown);
    let gone = f.store.create_link(&link(organization_id, 4, 10), START);
    assert!(matches!(gone, Err(StoreError::NoSuchOrganization)));
    let other = f.organization();
    f.store.create_link(&link(other, 5, 10), START).unwrap();
    assert!(!f.store.prune_sessions(at(10), 9).unwrap());
    assert_eq!(f.store.use_link(&link(other, 5, 10).token_hash, at(1)).unwrap(), LinkUse::Unknown, "pruned");
}

fn an_organizations_links_are_bounded(f: &Fixture) {
    let organization_id = f.organization();
    let most = LINKS_FOR_ONE as u32;
    for number in 0..=most {
        f.store.create_link(&link(organization_id, number, 10 + i64::from(number)), START).unwrap();
    }
    let use_link = |number: u32| f.store.use_link(&link(organization_id, number, 0).token_hash, at(1)).unwrap();
    assert_eq!(use_link(0), LinkUse::Unknown, "the one that ended first");
    assert!(matches!(use_link(1), LinkUse::First(_)) && matches!(use_link(most), LinkUse::First(_)));
}
