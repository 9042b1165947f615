//! A TCP proxy that can pause: it then takes connections and data and passes nothing on, so that to both ends the
//! other one is there and says nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// It runs until the test process ends.
pub struct PausingProxy {
    pub address: SocketAddr,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    is_paused: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, is_paused: bool) {
        *self.is_paused.lock().unwrap() = is_paused;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let is_paused = self.is_paused.lock().unwrap();
        drop(self.changed.wait_while(is_paused, |is_paused| *is_paused).unwrap());
    }
}

impl PausingProxy {
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, gate) = (listener.local_addr().unwrap(), Arc::<Gate>::default());
        let shared = gate.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let gate = shared.clone();
                std::thread::spawn(move || connect(near, target, &gate));
            }
        });
        Self { address, gate }
    }

    pub fn pause(&self) {
        self.gate.set(true);
    }

    pub fn go_on(&self) {
        self.gate.set(false);
    }
}

fn connect(near: TcpStream, target: SocketAddr, gate: &Arc<Gate>) {
    gate.pass();
    // dropped: whoever connected sees that it is closed
    let Ok(far) = TcpStream::connect(target) else { return };
    let (near_again, far_again) = (near.try_clone().unwrap(), far.try_clone().unwrap());
    let back = gate.clone();
    std::thread::spawn(move || copy(far_again, near_again, &back));
    copy(near, far, gate);
}

fn copy(mut from: TcpStream, mut to: TcpStream, gate: &Gate) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        gate.pass();
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            // an error means that the other side is closed already
            let _ = to.shutdown(std::net::Shutdown::Both);
            let _ = from.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}
