//! Deleted endpoints: a name stays for the log of their deliveries, and without deliveries not even that.

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use ringback::domain::attempt::NextStep;
use ringback::domain::delivery::DeliveryFilter;
use ringback::domain::ids::EndpointId;
use ringback::store::open;

use crate::fixture::{Fixture, at, cipher, full_endpoint, open_sqlite, outcome};

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Counts rows of a database, on a connection next to the engine's.
type Count = Box<dyn Fn(&str) -> i64>;

fn on_both(test: impl Fn(&Fixture, &Count)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    let count: Count = Box::new(move |sql| {
        let mut sqlite = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        diesel::sql_query(sql).get_result::<Number>(&mut sqlite).unwrap().n
    });
    test(&f, &count);
    let Some(server) = test_support::postgres::shared() else { return };
    let url = server.create_database();
    let f = Fixture::over(open(&url, cipher()).unwrap_or_else(|error| panic!("{error}")));
    let count: Count = Box::new(move |sql| {
        let mut postgres = PgConnection::establish(&url).unwrap();
        diesel::sql_query(sql).get_result::<Number>(&mut postgres).unwrap().n
    });
    test(&f, &count);
}

const ROWS: &str = "SELECT count(*) AS n FROM endpoints";
const SECRETS: &str = "SELECT count(*) AS n FROM endpoints WHERE length(secret) > 0 OR previous_secret IS NOT NULL \
                       OR previous_secret_expires_at IS NOT NULL OR headers IS NOT NULL OR length(url) > 0 \
                       OR description IS NOT NULL OR filters IS NOT NULL OR credentials IS NOT NULL";

#[test]
fn a_deleted_endpoint_leaves_nothing_confidential_and_its_log_can_be_read() {
    on_both(|f, count| {
        let organization_id = f.organization();
        let full = full_endpoint(EndpointId(f.id_at(at(0))), organization_id);
        f.store.create_endpoint(&full).unwrap();
        let delivery_id = f.publish(organization_id, &[full.id], at(0))[0];
        assert_eq!((count(ROWS), count(SECRETS)), (1, 1));
        f.store.delete_endpoint(organization_id, full.id, at(1)).unwrap();
        assert_eq!((count(ROWS), count(SECRETS)), (1, 0));
        let filter = DeliveryFilter { endpoint_id: Some(full.id), ..Default::default() };
        assert_eq!(f.log(organization_id, &filter), [delivery_id]);
        assert!(f.store.endpoint(organization_id, full.id).unwrap().is_none());
        assert!(f.store.scan_endpoints(None, 9).unwrap().is_empty());
    });
}

#[test]
fn a_deleted_endpoint_is_removed_with_its_last_delivery_and_no_other_is() {
    on_both(|f, count| {
        let organization_id = f.organization();
        let [live, deleted, unused] = [(); 3].map(|()| f.endpoint(organization_id));
        let just_now = f.endpoint(organization_id);
        for second in [1, 2] {
            for delivery_id in f.publish(organization_id, &[deleted], at(second)) {
                f.record(vec![outcome(organization_id, deleted, delivery_id, 1, 200, NextStep::Succeeded)]);
            }
        }
        for endpoint_id in [deleted, unused] {
            f.store.delete_endpoint(organization_id, endpoint_id, at(3)).unwrap();
        }
        f.store.delete_endpoint(organization_id, just_now, at(5)).unwrap();
        // in steps of one, as others write in between
        let prune = || {
            let mut after = None;
            while let Some(next) = f.store.prune_endpoints(at(4), after, 1).unwrap() {
                assert!(after.is_none_or(|after| next > after), "each step continues behind the one before");
                after = Some(next);
            }
        };
        prune();
        let left = |endpoint_id: EndpointId| count(&format!("{ROWS} WHERE id = {}", endpoint_id.0));
        assert_eq!([live, deleted, unused, just_now].map(left), [1, 1, 0, 1], "something can be in flight");
        f.store.prune(at(2), None, 9).unwrap();
        prune();
        assert_eq!(left(deleted), 1, "one of its deliveries is in the log");
        f.store.prune(at(3), None, 9).unwrap();
        prune();
        assert_eq!([live, deleted, just_now].map(left), [1, 0, 1]);
        assert_eq!(f.store.prune_endpoints(at(9), None, 9).unwrap(), None);
        assert_eq!(count(ROWS), 1);
    });
}

#[test]
fn nothing_stays_of_a_deleted_organizations_endpoints_including_those_deleted_before() {
    on_both(|f, count| {
        let organization_id = f.organization();
        let (_live, deleted) = (f.endpoint(organization_id), f.endpoint(organization_id));
        f.publish(organization_id, &[deleted], at(0));
        f.store.delete_endpoint(organization_id, deleted, at(1)).unwrap();
        f.store.delete_organization(organization_id, at(2)).unwrap();
        assert_eq!(count(ROWS), 0);
    });
}
