//! Which process on which machine a node is: a successor on the same machine can see that it has ended, and need not wait for
//! its lease.

use std::fs;

use serde::{Deserialize, Serialize};

/// A process, as others on the machine can find it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The boot of the machine.
    boot: String,
    /// The name space that process numbers belong to: containers have their own.
    namespace: String,
    pid: u32,
    /// When it began, in the system's own count: numbers are given again.
    began: String,
}

impl ProcessIdentity {
    /// This process; `None` where the system does not say.
    pub fn own() -> Option<Self> {
        let pid = std::process::id();
        Some(Self { boot: boot()?, namespace: namespace()?, pid, began: began(pid)? })
    }

    /// As it is stored; empty for an unknown one.
    pub fn stored(own: Option<&Self>) -> String {
        own.and_then(|own| serde_json::to_string(own).ok()).unwrap_or_default()
    }

    /// Whether a stored process certainly has ended: it ran on this machine, and is not there any more.
    pub fn has_ended(stored: &str) -> bool {
        let Ok(process) = serde_json::from_str::<Self>(stored) else { return false };
        let is_here = boot().is_some_and(|boot| boot == process.boot)
            && namespace().is_some_and(|namespace| namespace == process.namespace);
        is_here && began(process.pid).is_none_or(|began| began != process.began)
    }
}

fn boot() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}

fn namespace() -> Option<String> {
    fs::read_link("/proc/self/ns/pid").ok().map(|path| path.to_string_lossy().into_owned())
}

/// The 22nd field of `stat`. The second is the program's name in brackets, which can hold anything.
fn began(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace();
    // a zombie does nothing any more
    let is_running = fields.next().is_some_and(|state| state != "Z" && state != "X");
    is_running.then(|| fields.nth(18).map(str::to_owned)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_this_machine_is_known_to_have_ended_and_nothing_is_known_of_others() {
        let Some(own) = ProcessIdentity::own() else { return };
        let stored = |identity: &ProcessIdentity| ProcessIdentity::stored(Some(identity));
        assert!(!ProcessIdentity::has_ended(&stored(&own)));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let ended = ProcessIdentity { pid: child.id(), ..own.clone() };
        child.wait().unwrap();
        assert!(ProcessIdentity::has_ended(&stored(&ended)));
        let earlier = ProcessIdentity { began: String::from("1"), ..own.clone() };
        assert!(ProcessIdentity::has_ended(&stored(&earlier)), "its number was given again");
        for elsewhere in [
            ProcessIdentity { boot: String::from("another"), ..ended.clone() },
            ProcessIdentity { namespace: String::from("another"), ..ended },
        ] {
            assert!(!ProcessIdentity::has_ended(&stored(&elsewhere)));
        }
        assert!(!ProcessIdentity::has_ended(""));
    }
}
