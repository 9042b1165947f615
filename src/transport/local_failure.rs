//! What this machine lacked, when a socket could not be had. No receiver is to blame for that.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::domain::attempt::LocalFault;

/// Whether opening a socket, or connecting it to `remote`, failed for want of something here.
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

/// "Address not available" means two things: all ports are taken, or this machine has no address of that kind at
/// all (IPv6 is switched off), which no waiting changes. UDP has ports of its own, so it tells them apart.
fn out_of_ports(remote: SocketAddr) -> Option<LocalFault> {
    let any = match remote {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    match UdpSocket::bind(any).and_then(|socket| socket.connect(remote)) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => None,
        // it could not be told apart for want of a descriptor: wanting here, in any case
        _ => Some(LocalFault::Ports),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REMOTE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

    #[test]
    fn what_this_machine_lacks_is_told_from_what_a_receiver_does() {
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
    fn an_address_that_this_machine_can_never_reach_is_no_want_of_ports() {
        // site-local, with an interface that does not exist: no source address can be had
        let nowhere: SocketAddr = "[fe80::1%4000000]:9".parse().unwrap();
        let error = io::Error::from_raw_os_error(libc::EADDRNOTAVAIL);
        let unreachable = UdpSocket::bind("[::]:0").and_then(|socket| socket.connect(nowhere));
        let is_unavailable = unreachable.is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable);
        assert_eq!(local_fault(&error, nowhere).is_none(), is_unavailable);
    }
}
