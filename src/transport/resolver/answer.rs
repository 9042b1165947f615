//! Reads a name server's reply about a name.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// Aliases that are followed inside one reply; more are treated as a loop.
const MAX_ALIASES: usize = 16;

/// A proper reply: the server knows the name, or knows that it does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DnsAnswer {
    /// At least one address of the requested family.
    Found {
        /// In the server's order.
        addresses: Vec<IpAddr>,
        /// How long they may be used.
        ttl: Duration,
    },
    /// The name is an alias of another one, for which the reply has no records.
    Alias {
        /// The name to ask for next.
        target: Name,
        /// How long this may be used.
        ttl: Duration,
    },
    /// No address of this family.
    Empty {
        /// Whether the name exists; it can have other records.
        exists: bool,
        /// How long this may be used; `None` when the server does not specify it (RFC 2308, section 5).
        ttl: Option<Duration>,
    },
}

/// Reads a reply. `None` for a refusal, a failure, or a referral to other servers.
pub(super) fn read(reply: &Message, query: &Query) -> Option<DnsAnswer> {
    let exists = match reply.metadata.response_code {
        ResponseCode::NoError => true,
        ResponseCode::NXDomain => false,
        _ => return None,
    };
    let (name, mut ttl) = follow_aliases(&reply.answers, &query.name);
    let mut addresses = Vec::new();
    for record in reply.answers.iter().filter(|record| is_of(record, &name)) {
        if let Some(address) = address(&record.data, query.query_type) {
            addresses.push(address);
            ttl = ttl.min(record.ttl);
        }
    }
    let ttl = Duration::from_secs(ttl.into());
    let says_that_there_is_none = negative_ttl(reply);
    if !addresses.is_empty() {
        return Some(DnsAnswer::Found { addresses, ttl });
    }
    if exists && says_that_there_is_none.is_none() && name != query.name {
        return Some(DnsAnswer::Alias { target: name, ttl });
    }
    let is_referral = exists
        && says_that_there_is_none.is_none()
        && !reply.metadata.authoritative
        && !reply.metadata.recursion_available
        && reply.authorities.iter().any(|record| record.record_type() == RecordType::NS);
    (!is_referral).then_some(DnsAnswer::Empty { exists, ttl: says_that_there_is_none })
}

/// Where the reply's aliases lead from here, and how long they may be used.
fn follow_aliases(records: &[Record], name: &Name) -> (Name, u32) {
    let (mut name, mut ttl) = (name.clone(), u32::MAX);
    for _ in 0..MAX_ALIASES {
        let alias = records.iter().filter(|record| is_of(record, &name)).find_map(|record| match &record.data {
            RData::CNAME(target) => Some((target.0.clone(), record.ttl)),
            _ => None,
        });
        let Some((target, of_alias)) = alias else { break };
        ttl = ttl.min(of_alias);
        name = target;
    }
    (name, ttl)
}

fn is_of(record: &Record, name: &Name) -> bool {
    record.dns_class == DNSClass::IN && record.name == *name
}

fn address(data: &RData, wanted: RecordType) -> Option<IpAddr> {
    match (data, wanted) {
        (RData::A(address), RecordType::A) => Some(address.0.into()),
        (RData::AAAA(address), RecordType::AAAA) => Some(address.0.into()),
        _ => None,
    }
}

fn negative_ttl(reply: &Message) -> Option<Duration> {
    reply.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(Duration::from_secs(record.ttl.min(soa.minimum).into())),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, SOA};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn query() -> Query {
        Query::query(name("A.example."), RecordType::A)
    }

    fn record(owner: &str, ttl: u32, data: RData) -> Record {
        Record::from_rdata(name(owner), ttl, data)
    }

    fn alias(owner: &str, ttl: u32, target: &str) -> Record {
        record(owner, ttl, RData::CNAME(CNAME(name(target))))
    }

    fn a(owner: &str, ttl: u32, last: u8) -> Record {
        record(owner, ttl, RData::A(A::new(192, 0, 2, last)))
    }

    fn soa() -> Record {
        record("example.", 900, RData::SOA(SOA::new(name("ns."), name("me."), 1, 1, 1, 1, 60)))
    }

    fn reply(code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record>) -> Option<DnsAnswer> {
        let mut reply = Message::query().into_response();
        reply.metadata.response_code = code;
        reply.metadata.recursion_available = true;
        reply.answers = answers;
        reply.authorities = authorities;
        read(&reply, &query())
    }

    fn found(last: &[u8], ttl: u64) -> Option<DnsAnswer> {
        let addresses = last.iter().map(|&last| IpAddr::from([192, 0, 2, last])).collect();
        Some(DnsAnswer::Found { addresses, ttl: Duration::from_secs(ttl) })
    }

    #[test]
    fn addresses_are_those_at_the_end_of_the_aliases_in_whatever_order_the_records_come() {
        let ok = ResponseCode::NoError;
        assert_eq!(reply(ok, vec![a("a.example.", 60, 1), a("a.EXAMPLE.", 30, 2)], vec![]), found(&[1, 2], 30));
        let chain = vec![
            a("c.example.", 60, 1),
            alias("b.example.", 7, "c.example."),
            alias("a.example.", 9, "B.example."),
        ];
        assert_eq!(reply(ok, chain, vec![]), found(&[1], 7));
        let beside = vec![a("other.example.", 60, 9), a("a.example.", 60, 1)];
        assert_eq!(reply(ok, beside, vec![]), found(&[1], 60), "another name's address is not this one's");
        let ipv6 = record("a.example.", 60, RData::AAAA(AAAA::new(1, 2, 3, 4, 5, 6, 7, 8)));
        assert_eq!(reply(ok, vec![ipv6], vec![]), Some(DnsAnswer::Empty { exists: true, ttl: None }));
    }

    #[test]
    fn aliases_that_lead_out_of_the_reply_are_asked_for_and_loops_end() {
        let ok = ResponseCode::NoError;
        let out = reply(ok, vec![alias("a.example.", 9, "b.example.")], vec![]);
        assert_eq!(out, Some(DnsAnswer::Alias { target: name("b.example."), ttl: Duration::from_secs(9) }));
        let ended = reply(ok, vec![alias("a.example.", 9, "b.example.")], vec![soa()]);
        assert_eq!(ended, Some(DnsAnswer::Empty { exists: true, ttl: Some(Duration::from_secs(60)) }));
        let dead = reply(ResponseCode::NXDomain, vec![alias("a.example.", 9, "b.example.")], vec![]);
        assert_eq!(dead, Some(DnsAnswer::Empty { exists: false, ttl: None }));
        let looping = vec![alias("a.example.", 9, "b.example."), alias("b.example.", 9, "a.example.")];
        assert!(!matches!(reply(ok, looping, vec![]), Some(DnsAnswer::Found { .. })));
    }

    #[test]
    fn only_no_error_and_no_such_name_are_proper_replies_and_a_referral_is_not() {
        for code in 0..16 {
            let code = ResponseCode::from_low(code);
            let is_proper = matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
            assert_eq!(reply(code, vec![], vec![]).is_some(), is_proper, "{code:?}");
        }
        let ns = record("example.", 60, RData::NS(NS(name("ns.example."))));
        let mut referral = Message::query().into_response();
        referral.authorities = vec![ns];
        assert_eq!(read(&referral, &query()), None);
        referral.metadata.authoritative = true;
        assert_eq!(read(&referral, &query()), Some(DnsAnswer::Empty { exists: true, ttl: None }));
    }
}
