//! What an operator should know of the other nodes: who came and went, and what is not the same as here although it should be.

use std::collections::{BTreeMap, HashSet};

use super::{Member, MemberState, Slot};

/// A node's settings that should be the same on all nodes, by name, as they would be written in the file.
pub(crate) type SharedSettings = BTreeMap<String, String>;

/// What this node says of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own<'a> {
    pub slot: Slot,
    pub name: &'a str,
    pub advertise: Option<&'a str>,
    pub settings: &'a SharedSettings,
}

/// Something that is new since the last look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    Joined {
        name: String,
    },
    Left {
        name: String,
    },
    OtherSetting {
        name: String,
        setting: String,
        here: String,
        there: String,
    },
    SameName {
        name: String,
    },
    SameAddress {
        name: String,
        address: String,
    },
    /// Of this node: others can't tell it of events.
    NoAddress,
}

/// Compares the nodes that have rights with those of the last look. Every finding is told once for each start of a node.
#[derive(Default)]
pub(crate) struct Neighbours {
    /// `None` before the first look, which tells nothing of who is there.
    known: Option<BTreeMap<(Slot, i64), String>>,
    told: HashSet<(Slot, i64, String)>,
    has_told_of_no_address: bool,
}

impl Neighbours {
    /// `settings_of` a member: none where it has not told them yet, or is of an older version.
    pub(crate) fn look(
        &mut self,
        own: Own<'_>,
        members: &[Member],
        settings_of: impl Fn(&Member) -> SharedSettings,
    ) -> Vec<Finding> {
        let others = members.iter().filter(|member| member.slot != own.slot && member.state.has_rights());
        let others: Vec<&Member> = others.filter(|member| member.state != MemberState::Joining).collect();
        let now: BTreeMap<(Slot, i64), String> =
            others.iter().map(|member| ((member.slot, member.incarnation), member.name.clone())).collect();
        let mut findings = Vec::new();
        if let Some(known) = &self.known {
            let gone = known.iter().filter(|(key, _)| !now.contains_key(key));
            findings.extend(gone.map(|(_, name)| Finding::Left { name: name.clone() }));
            let new = now.iter().filter(|(key, _)| !known.contains_key(key));
            findings.extend(new.map(|(_, name)| Finding::Joined { name: name.clone() }));
        }
        self.told.retain(|(slot, incarnation, _)| now.contains_key(&(*slot, *incarnation)));
        self.known = Some(now);
        let has_no_address = own.advertise.is_none() && !others.is_empty();
        if has_no_address && !std::mem::replace(&mut self.has_told_of_no_address, true) {
            findings.push(Finding::NoAddress);
        }
        for member in others {
            for (about, finding) in differences(own, member, settings_of(member)) {
                if self.told.insert((member.slot, member.incarnation, about)) {
                    findings.push(finding);
                }
            }
        }
        findings
    }
}

/// By what they are about.
fn differences(own: Own<'_>, member: &Member, theirs: SharedSettings) -> Vec<(String, Finding)> {
    let mut found = Vec::new();
    let name = || member.name.clone();
    if member.name == own.name {
        found.push((String::from("name"), Finding::SameName { name: name() }));
    }
    if let Some(address) = own.advertise.filter(|address| member.advertise.as_deref() == Some(*address)) {
        let finding = Finding::SameAddress { name: name(), address: address.to_owned() };
        found.push((String::from("advertise"), finding));
    }
    for (setting, there) in theirs {
        let Some(here) = own.settings.get(&setting).filter(|here| **here != there) else { continue };
        let finding = Finding::OtherSetting { name: name(), setting: setting.clone(), here: here.clone(), there };
        found.push((setting, finding));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::member;
    use super::*;

    fn settings(allow_http: &str) -> SharedSettings {
        [(String::from("allow_http"), allow_http.to_owned())].into()
    }

    fn other(slot: u8, name: &str, allow_http: &str) -> Member {
        let report = allow_http.to_owned();
        Member { name: name.to_owned(), report, ..member(slot, MemberState::Live) }
    }

    fn look(neighbours: &mut Neighbours, members: &[Member]) -> Vec<Finding> {
        let own = settings("true");
        let own = Own { slot: Slot(0), name: "a", advertise: Some("http://a"), settings: &own };
        let settings_of = |member: &Member| match member.report.as_str() {
            "" => SharedSettings::new(),
            allow_http => settings(allow_http),
        };
        neighbours.look(own, members, settings_of)
    }

    #[test]
    fn who_comes_and_goes_is_told_once_and_not_who_was_there_before() {
        let mut neighbours = Neighbours::default();
        let (b, c) = (other(1, "b", "true"), other(2, "c", "true"));
        assert_eq!(look(&mut neighbours, std::slice::from_ref(&b)), []);
        assert_eq!(look(&mut neighbours, &[b.clone(), c.clone()]), [Finding::Joined { name: "c".into() }]);
        let fenced = Member { state: MemberState::Fenced, ..b };
        assert_eq!(look(&mut neighbours, &[fenced.clone(), c.clone()]), [Finding::Left { name: "b".into() }]);
        assert_eq!(look(&mut neighbours, &[fenced, c.clone()]), []);
        let again = Member { incarnation: 99, ..c };
        let (left, joined) = (Finding::Left { name: "c".into() }, Finding::Joined { name: "c".into() });
        assert_eq!(look(&mut neighbours, &[again]), [left, joined]);
    }

    #[test]
    fn what_should_be_the_same_and_is_not_is_told_once_for_each_start_of_a_node() {
        let mut neighbours = Neighbours::default();
        let b = other(1, "b", "false");
        let differs = Finding::OtherSetting {
            name: "b".into(),
            setting: "allow_http".into(),
            here: "true".into(),
            there: "false".into(),
        };
        assert_eq!(look(&mut neighbours, std::slice::from_ref(&b)), std::slice::from_ref(&differs));
        assert_eq!(look(&mut neighbours, std::slice::from_ref(&b)), []);
        let again = Member { incarnation: 99, ..b };
        assert!(look(&mut neighbours, &[again]).contains(&differs));
        assert_eq!(look(&mut neighbours, &[other(2, "c", "")]).len(), 2, "it came, and the other one went");
    }

    #[test]
    fn names_and_addresses_that_are_the_same_and_should_not_be_are_told() {
        let same = Member { advertise: Some(String::from("http://a")), ..other(1, "a", "true") };
        let expected = [
            Finding::SameName { name: "a".into() },
            Finding::SameAddress { name: "a".into(), address: "http://a".into() },
        ];
        assert_eq!(look(&mut Neighbours::default(), std::slice::from_ref(&same)), expected);
        let (mut neighbours, settings) = (Neighbours::default(), SharedSettings::new());
        let own = Own { slot: Slot(0), name: "b", advertise: None, settings: &settings };
        let mut look = |members: &[Member]| neighbours.look(own, members, |_| SharedSettings::new());
        assert_eq!(look(&[]), [], "alone it needs none");
        assert_eq!(look(std::slice::from_ref(&same)), [Finding::Joined { name: "a".into() }, Finding::NoAddress]);
        assert_eq!(look(&[same]), []);
    }
}
