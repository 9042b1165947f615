//! Sessions of the dashboard.

use ringback::domain::ids::OrganizationId;
use ringback::domain::session::{DashboardSession, SESSIONS_FOR_ONE};
use ringback::store::StoreError;

use crate::fixture::{Fixture, START, at};

on_every_store!(
    a_session_is_found_by_the_hash_of_its_token_until_it_is_ended,
    an_organizations_sessions_are_bounded_and_its_own_oldest_goes_first,
    sessions_that_are_over_are_removed_and_others_stay,
    an_organization_takes_its_sessions_with_it_and_one_that_is_gone_gets_none,
);

fn session(organization_id: Option<OrganizationId>, number: u32, ends_at: i64) -> DashboardSession {
    let mut token_hash = [0; 32];
    token_hash[..4].copy_from_slice(&number.to_be_bytes());
    DashboardSession { token_hash, organization_id, key_hash: [9; 32], expires_at: at(ends_at) }
}

fn begin(f: &Fixture, session: &DashboardSession) {
    f.store.begin_session(session, START).unwrap();
}

fn is_there(f: &Fixture, session: &DashboardSession) -> bool {
    let found = f.store.session(&session.token_hash).unwrap();
    assert!(found.is_none_or(|found| found == *session));
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
