//! A TCP proxy that can pause: it then takes connections and data and passes nothing on, so that to both ends the
//! other one is there and says nothing. It can also be far away: what it passes on arrives later.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Reads of a connection that are under way to its other end at a time.
const UNDER_WAY: usize = 256;

/// It runs until the test process ends.
pub struct PausingProxy {
    pub address: SocketAddr,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    is_paused: Mutex<bool>,
    delay: Mutex<Duration>,
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

    /// What is read from now on arrives so much later, each way.
    pub fn delay(&self, each_way: Duration) {
        *self.gate.delay.lock().unwrap() = each_way;
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

fn copy(mut from: TcpStream, to: TcpStream, gate: &Arc<Gate>) {
    let (sender, under_way) = sync_channel(UNDER_WAY);
    let (gate_of_other, closing) = (gate.clone(), from.try_clone().unwrap());
    std::thread::spawn(move || pass_on(&under_way, to, &closing, &gate_of_other));
    let mut buffer = vec![0; 64 * 1024];
    // an error means that the other side is closed already
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let due = Instant::now() + *gate.delay.lock().unwrap();
        if sender.send((due, buffer[..read].to_vec())).is_err() {
            break;
        }
    }
}

/// Until its sender ends; then what it has read is passed on, and both sides are closed.
fn pass_on(under_way: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream, from: &TcpStream, gate: &Gate) {
    for (due, read) in under_way {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        gate.pass();
        if to.write_all(&read).is_err() {
            break;
        }
    }
    gate.pass();
    let _ = to.shutdown(std::net::Shutdown::Both);
    let _ = from.shutdown(std::net::Shutdown::Both);
}
