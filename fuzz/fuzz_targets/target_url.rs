//! A URL: no panic; what is accepted is accepted again as it was folded; a literal address that is accepted is allowed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringback::domain::target::TargetPolicy;

fuzz_target!(|text: &str| {
    let policy = TargetPolicy { allow_http: true, ..TargetPolicy::default() };
    let Ok(url) = policy.check_url(text) else { return };
    assert_eq!(policy.check_url(url.as_str()).as_ref(), Ok(&url));
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
    let host = url.host_str().expect("checked").trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse() {
        assert!(policy.allows_address(address), "{url}");
    }
});
