//! The engine's memory, according to the system.

/// Resident memory of a process in bytes, now.
pub fn resident_bytes(pid: u32) -> u64 {
    status(pid, "VmRSS:")
}

/// The maximum since [`forget_peak`].
pub fn peak_bytes(pid: u32) -> u64 {
    status(pid, "VmHWM:")
}

/// Restarts the measurement of the peak.
pub fn forget_peak(pid: u32) {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
}

fn status(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}
