//! A process whose wall clock is wrong: a library is loaded into it that shifts what it is told.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::engine::Serve;
use crate::requirements::missing;

/// The monotonic clock stays as it is.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long shift(void) { const char *seconds = getenv("TEST_CLOCK_SHIFT"); return seconds ? atol(seconds) : 0; }
int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += shift();
    return failed;
}
int gettimeofday(struct timeval *now, void *zone) {
    int failed = syscall(SYS_gettimeofday, now, zone);
    if (!failed) now->tv_sec += shift();
    return failed;
}
time_t time(time_t *also) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (also) *also = now.tv_sec;
    return now.tv_sec;
}
"#;

struct Library {
    path: PathBuf,
    _folder: TempDir,
}

static LIBRARY: LazyLock<Option<Library>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let (source, path) = (folder.path().join("clock.c"), folder.path().join("clock.so"));
    std::fs::write(&source, SOURCE).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&path).arg(&source).status();
    match built {
        Ok(status) if status.success() => Some(Library { path, _folder: folder }),
        _ => {
            missing("a C compiler (`cc`), which makes a process with a wrong clock");
            None
        }
    }
});

/// The engine with its wall clock shifted. `None`, with a message on standard error, without a C compiler.
pub fn shifted(serve: Serve, seconds: i64) -> Option<Serve> {
    let library = LIBRARY.as_ref()?.path.to_str().unwrap();
    Some(serve.set("LD_PRELOAD", library).set("TEST_CLOCK_SHIFT", &seconds.to_string()))
}
