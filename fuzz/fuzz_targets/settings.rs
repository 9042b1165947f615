//! A settings file, and its last line as the value of every variable: no panic, and every error has a message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringback::config::keys::{KEYS, SettingKey};
use ringback::config::{Flags, merge};

fuzz_target!(|text: &str| {
    let value = text.lines().last().unwrap_or_default();
    let variables = KEYS.iter().map(SettingKey::variable).map(|name| (name, value.to_owned()));
    for result in [merge(Some(("f.toml", text)), [], &Flags::default()), merge(None, variables, &Flags::default())]
    {
        match result {
            Ok(loaded) => KEYS.iter().for_each(|key| drop(key.show(&loaded.settings))),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});
