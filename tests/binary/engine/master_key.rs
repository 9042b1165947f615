//! The change of the master key, on databases of the real binary.

use std::process::{Command, Output};

use data_encoding::BASE64;
use serde_json::json;
use test_support::engine::{MASTER_KEY, text};
use test_support::receiver::Receiver;
use test_support::world::{Database, World};

on_both_databases!(a_new_master_key_reads_what_the_old_one_wrote_and_is_refused_while_an_engine_runs);

fn rotate(world: &World, old: &str, new: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringback"));
    command.args(["keys", "rotate", "--database-url", &world.database.url, "--old", old]);
    command.current_dir(world.database.folder.path()).env_clear().env("RINGBACK_NEW_MASTER_KEY", new);
    command.output().unwrap()
}

fn a_new_master_key_reads_what_the_old_one_wrote_and_is_refused_while_an_engine_runs(database: Database) {
    let mut world = World::new(database);
    let receiver = Receiver::holding(200);
    let webhook = world.webhook(&receiver, json!({"headers": {"x-token": "t0ken"}}));
    let new = BASE64.encode(&[9; 32]);

    let refused = rotate(&world, MASTER_KEY, &new);
    let printed = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "changed under a running engine");
    assert!(printed.contains("another"), "not helpful: {printed}");
    world.engine.terminate();
    assert_eq!(world.engine.end().code(), Some(0));

    let wrong = rotate(&world, &BASE64.encode(&[7; 32]), &new);
    let printed = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(!wrong.status.success() && printed.contains("master key whose id is"), "{printed}");
    for changed in ["1 webhooks", "0 webhooks"] {
        let done = rotate(&world, MASTER_KEY, &new);
        let printed = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert!(printed.starts_with(changed), "{printed}");
    }

    world.serve = world.database.serve().set("RINGBACK_MASTER_KEY", &new);
    world.kill_and_restart();
    let path = format!("/v1/webhooks/{}/secret", text(&webhook, "id"));
    let secret = world.api.get(&path).expect(200).json();
    assert_eq!(secret["secret"], webhook["secret"]);
    receiver.release();
}
