//! Resources that this machine lacked for a socket. The receiver is not to blame for that.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::domain::attempt::LocalFault;

/// What this machine lacked, if opening a socket or connecting it to `remote` failed for a local reason.
pub(super) fn local_fault(error: &io::Error, remote: SocketAddr) -> Option<LocalFault> {
    match error.kind() {
        io::ErrorKind::OutOfMemory => return Some(LocalFault::Memory),
        // the system's limit of watched sockets (epoll_ctl)
        io::ErrorKind::StorageFull => return Some(LocalFault::Memory),
        io::ErrorKind::AddrNotAvailable => return out_of_ports(remote),
        _ => {}
    }
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => Some(LocalFault::OpenFiles),
        Some(libc::ENOBUFS) => Some(LocalFault::Memory),
        _ => None,
    }
}

/// "Address not available" means one of two things: all ports are taken, or this machine has no address of that family
/// (IPv6 is switched off), which waiting does not change. UDP has separate ports, so a UDP socket distinguishes the two.
fn out_of_ports(remote: SocketAddr) -> Option<LocalFault> {
    let any = match remote {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    match UdpSocket::bind(any).and_then(|socket| socket.connect(remote)) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => None,
        // if this failed for lack of a descriptor, the fault is local in any case
        _ => Some(LocalFault::Ports),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REMOTE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

    #[test]
    fn local_faults_are_distinguished_from_the_receivers_failures() {
        for (code, expected) in [
            (libc::EMFILE, Some(LocalFault::OpenFiles)),
            (libc::ENFILE, Some(LocalFault::OpenFiles)),
            (libc::ENOBUFS, Some(LocalFault::Memory)),
            (libc::ENOMEM, Some(LocalFault::Memory)),
            (libc::ENOSPC, Some(LocalFault::Memory)),
            (libc::EADDRNOTAVAIL, Some(LocalFault::Ports)),
            (libc::ECONNREFUSED, None),
            (libc::ECONNRESET, None),
            (libc::ENETUNREACH, None),
            (libc::EHOSTUNREACH, None),
            (libc::ETIMEDOUT, None),
            (libc::EACCES, None),
        ] {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(local_fault(&error, REMOTE), expected, "{error}");
        }
    }

    #[test]
    fn an_address_that_this_machine_can_never_reach_is_not_a_lack_of_ports() {
        // site-local, with an interface that does not exist: no source address can be had
        let nowhere: SocketAddr = "[fe80::1%4000000]:9".parse().unwrap();
        let error = io::Error::from_raw_os_error(libc::EADDRNOTAVAIL);
        let unreachable = UdpSocket::bind("[::]:0").and_then(|socket| socket.connect(nowhere));
        let is_unavailable = unreachable.is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable);
        assert_eq!(local_fault(&error, nowhere).is_none(), is_unavailable);
    }
}
