use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

fn strict() -> TargetPolicy {
    TargetPolicy::default()
}

fn excepting(networks: &[&str]) -> TargetPolicy {
    let allowed_networks = networks.iter().map(|text| text.parse().unwrap()).collect();
    TargetPolicy { allow_http: true, allowed_networks, ..TargetPolicy::default() }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// First and last address of each range, and the neighbours just outside where those are public.
#[test]
fn every_refused_ipv4_range_ends_exactly_where_the_registry_says() {
    for (before, first, last, after) in [
        (None, "0.0.0.0", "0.255.255.255", Some("1.0.0.0")),
        (Some("9.255.255.255"), "10.0.0.0", "10.255.255.255", Some("11.0.0.0")),
        (Some("100.63.255.255"), "100.64.0.0", "100.127.255.255", Some("100.128.0.0")),
        (Some("126.255.255.255"), "127.0.0.0", "127.255.255.255", Some("128.0.0.0")),
        (Some("169.253.255.255"), "169.254.0.0", "169.254.255.255", Some("169.255.0.0")),
        (Some("172.15.255.255"), "172.16.0.0", "172.31.255.255", Some("172.32.0.0")),
        (Some("191.255.255.255"), "192.0.0.0", "192.0.0.255", Some("192.0.1.0")),
        (Some("192.0.1.255"), "192.0.2.0", "192.0.2.255", Some("192.0.3.0")),
        (Some("192.88.98.255"), "192.88.99.0", "192.88.99.255", Some("192.88.100.0")),
        (Some("192.167.255.255"), "192.168.0.0", "192.168.255.255", Some("192.169.0.0")),
        (Some("198.17.255.255"), "198.18.0.0", "198.19.255.255", Some("198.20.0.0")),
        (Some("198.51.99.255"), "198.51.100.0", "198.51.100.255", Some("198.51.101.0")),
        (Some("203.0.112.255"), "203.0.113.0", "203.0.113.255", Some("203.0.114.0")),
        (Some("223.255.255.255"), "224.0.0.0", "239.255.255.255", None),
        (None, "240.0.0.0", "255.255.255.255", None),
        (Some("168.63.129.15"), "168.63.129.16", "168.63.129.16", Some("168.63.129.17")),
    ] {
        for refused in [first, last] {
            assert!(!strict().allows_address(ip(refused)), "{refused}");
        }
        for allowed in [before, after].into_iter().flatten() {
            assert!(strict().allows_address(ip(allowed)), "{allowed}");
        }
    }
}

#[test]
fn of_ipv6_only_global_unicast_is_allowed_less_its_special_ranges() {
    for refused in [
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "64:ff9b:1::1",
        "100::1",
        "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001::",
        "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        "2002::",
        "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "3fff::",
        "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
        "4000::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ] {
        assert!(!strict().allows_address(ip(refused)), "{refused}");
    }
    for allowed in [
        "2000::",
        "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:200::",
        "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:db9::",
        "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "2003::",
        "2606:4700::1111",
        "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "3fff:1000::",
        "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ] {
        assert!(strict().allows_address(ip(allowed)), "{allowed}");
    }
}

#[test]
fn an_excepted_network_is_allowed_and_nothing_beside_it() {
    let policy = excepting(&["127.0.0.0/8", "fd00::/64"]);
    for (address, allowed) in [
        ("127.0.0.1", true),
        ("::ffff:127.0.0.1", true),
        ("::ffff:10.0.0.1", false),
        ("::127.0.0.1", false),
        ("::1", false),
        ("10.0.0.1", false),
        ("fd00::5", true),
        ("fd00:0:0:1::5", false),
    ] {
        assert_eq!(policy.allows_address(ip(address)), allowed, "{address}");
    }
}

#[test]
fn the_engines_own_address_is_refused_even_inside_an_excepted_network() {
    let own = |listen: &str| TargetPolicy {
        own_addresses: vec![listen.parse().unwrap()],
        ..excepting(&["127.0.0.0/8", "10.0.0.0/8", "::1/128"])
    };
    for (listen, target, allowed) in [
        ("127.0.0.1:8080", "http://127.0.0.1:8080/", false),
        ("127.0.0.1:8080", "http://[::ffff:127.0.0.1]:8080/", false),
        ("127.0.0.1:8080", "http://127.0.0.1:8081/", true),
        ("127.0.0.1:8080", "http://10.0.0.1:8080/", true),
        ("0.0.0.0:8080", "http://127.0.0.2:8080/", false),
        ("[::]:8080", "http://127.0.0.1:8080/", false),
        ("[::]:8080", "http://localhost:8080/", false),
        ("[::]:8080", "http://localhost:8081/", true),
    ] {
        assert_eq!(own(listen).check_url(target).is_ok(), allowed, "{target} while listening on {listen}");
    }
}

#[test]
fn a_url_is_refused_with_the_reason_and_a_stable_code() {
    let long = format!("https://a.example/{}", "x".repeat(MAX_URL_BYTES - 17));
    for (url, code) in [
        ("http://a.example/", "https_required"),
        ("ftp://a.example/", "invalid_url"),
        ("a.example", "invalid_url"),
        ("", "invalid_url"),
        ("https://", "invalid_url"),
        ("https://user@a.example/", "invalid_url"),
        ("https://user:password@a.example/", "invalid_url"),
        ("https://:password@a.example/", "invalid_url"),
        ("https://a.example:0/", "invalid_url"),
        ("https://a.example:22/", "invalid_url"),
        ("https://a.example:444/", "invalid_url"),
        ("https://a.example:1023/", "invalid_url"),
        ("https://a.example:6000/", "invalid_url"),
        ("https://a.example:6667/", "invalid_url"),
        ("https://a.example:10080/", "invalid_url"),
        ("https://a.example./", "invalid_url"),
        ("https://a..example/", "invalid_url"),
        ("https://localhost/", "blocked_address"),
        ("https://LOCALHOST:8443/", "blocked_address"),
        ("https://a.localhost/", "blocked_address"),
        ("https://127.0.0.1/", "blocked_address"),
        ("https://0x7f.1/", "blocked_address"),
        ("https://2130706433/", "blocked_address"),
        ("https://0177.0.0.1/", "blocked_address"),
        ("https://１２７.０.０.１/", "blocked_address"),
        ("https://127.0.0.1./", "blocked_address"),
        ("https://169.254.169.254/latest/meta-data", "blocked_address"),
        ("https://[::1]/", "blocked_address"),
        ("https://[::ffff:127.0.0.1]/", "blocked_address"),
        ("https://[::ffff:7f00:1]/", "blocked_address"),
        ("https://[fe80::1]/", "blocked_address"),
        (&long, "invalid_url"),
    ] {
        let error = strict().check_url(url).expect_err(url);
        assert_eq!(error.code(), code, "{url}: {error}");
    }
    assert_eq!(strict().check_url(&long), Err(TargetError::TooLong(MAX_URL_BYTES + 1)));
}

#[test]
fn a_public_target_is_accepted_and_its_fragment_dropped() {
    for (url, folded) in [
        ("https://a.example/x?y#z", "https://a.example/x?y"),
        ("https://a.example:80/", "https://a.example:80/"),
        ("https://a.example:443/", "https://a.example/"),
        ("https://a.example:1024/", "https://a.example:1024/"),
        ("https://a.example:65535/", "https://a.example:65535/"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
        ("https://[2606:4700::1111]/", "https://[2606:4700::1111]/"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://notlocalhost/", "https://notlocalhost/"),
    ] {
        assert_eq!(strict().check_url(url).map(String::from).as_deref(), Ok(folded), "{url}");
    }
    let exact = format!("https://a.example/{}", "x".repeat(MAX_URL_BYTES - 18));
    assert!(strict().check_url(&exact).is_ok());
    assert!(excepting(&["127.0.0.0/8"]).check_url("http://localhost:9000/").is_ok());
    assert!(excepting(&["::1/128"]).check_url("http://localhost:9000/").is_ok());
    assert!(excepting(&["10.0.0.0/8"]).check_url("http://localhost:9000/").is_err());
}

#[test]
fn a_host_name_may_hold_whatever_can_be_looked_up_and_what_can_not_is_refused_with_the_reason() {
    for host in
        ["my_app.example", "_", "-a.example", "a-.example", "a~b.example", "a!$&'()*+,;=b.example", "a--b.example"]
    {
        let url = format!("https://{host}/");
        assert_eq!(strict().check_url(&url).map(String::from), Ok(url.clone()), "{host}");
    }
    let label = "x".repeat(63);
    let name = format!("{label}.{label}.{label}.{}", "y".repeat(61));
    assert!(name.len() == 253 && strict().check_url(&format!("https://{name}/")).is_ok());
    for (host, reason) in [
        (format!("{label}x.example"), "has 64 characters; at most 63"),
        (format!("{name}y"), "it has 254 characters; at most 253"),
        ("a..example".to_owned(), "between two dots"),
        (".example".to_owned(), "before the first one"),
        ("a.example..".to_owned(), "between two dots"),
        ("a.example.".to_owned(), "remove the dot"),
        ("a\"b.example".to_owned(), "the character '\"'"),
        ("a`b.example".to_owned(), "the character '`'"),
        ("{a}.example".to_owned(), "the character '{'"),
    ] {
        let error = strict().check_url(&format!("https://{host}/")).expect_err(&host);
        assert_eq!(error.code(), "invalid_url", "{host}");
        assert!(error.to_string().contains(reason), "{host}: {error}");
    }
}

/// The same rules, written as prefixes of the address in binary.
fn oracle(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let bits: String = address.octets().iter().map(|octet| format!("{octet:08b}")).collect();
            let refused = [
                "00000000",
                "00001010",
                "0110010001",
                "01111111",
                "1010100111111110",
                "101011000001",
                "110000000000000000000000",
                "110000000000000000000010",
                "110000000101100001100011",
                "1100000010101000",
                "110001100001001",
                "110001100011001101100100",
                "110010110000000001110001",
                "1110",
                "1111",
                "10101000001111111000000100010000",
            ];
            !refused.iter().any(|prefix| bits.starts_with(prefix))
        }
        IpAddr::V6(address) => {
            let hex: String = address.segments().iter().map(|segment| format!("{segment:04x}")).collect();
            let is_assignments = hex.starts_with("2001") && matches!(&hex[4..6], "00" | "01");
            (hex.starts_with('2') || hex.starts_with('3'))
                && !is_assignments
                && !["20010db8", "2002", "3fff0"].iter().any(|prefix| hex.starts_with(prefix))
        }
    }
}

#[test]
fn a_hundred_thousand_addresses_are_judged_as_the_registries_say() {
    let mut rng = StdRng::seed_from_u64(0x5eed);
    let near_v4 = |rng: &mut StdRng| {
        let (network, length) = REFUSED_V4[rng.random_range(0..REFUSED_V4.len())];
        let edge = i64::from(network.to_bits()) + if rng.random() { 0 } else { 1i64 << (32 - length) };
        (edge + rng.random_range(-2..=2)) as u32
    };
    let near_v6 = |rng: &mut StdRng| {
        let (network, length) = REFUSED_V6.iter().chain([&ALLOWED_V6]).nth(rng.random_range(0..5)).unwrap();
        let edge = network.to_bits() + if rng.random() { 0 } else { 1u128 << (128 - length) };
        edge.wrapping_add(rng.random_range(0..5)).wrapping_sub(2)
    };
    let mut refused = 0;
    for number in 0..100_000 {
        let address: IpAddr = match number % 4 {
            0 => Ipv4Addr::from_bits(rng.random()).into(),
            1 => Ipv4Addr::from_bits(near_v4(&mut rng)).into(),
            // mostly inside 2000::/3 or near it
            2 => Ipv6Addr::from_bits(rng.random::<u128>() >> 2 | 1 << 125).into(),
            _ => Ipv6Addr::from_bits(near_v6(&mut rng)).into(),
        };
        let allowed = strict().allows_address(address);
        assert_eq!(allowed, oracle(address), "{address}");
        refused += usize::from(!allowed);
    }
    println!("measured: 100,000 addresses, {refused} of them refused, all as the oracle says");
    assert!((20_000..80_000).contains(&refused), "the addresses must try both sides: {refused}");
}

proptest! {
    #[test]
    fn any_ipv4_address_is_judged_like_its_binary_prefix(bits: u32, near in 0usize..16, offset in -2i64..=2) {
        let (network, length) = REFUSED_V4[near];
        let first = i64::from(network.to_bits());
        let last = first + (1i64 << (32 - length)) - 1;
        for bits in [bits, (first + offset) as u32, (last + offset) as u32] {
            let address = IpAddr::from(Ipv4Addr::from_bits(bits));
            prop_assert_eq!(strict().allows_address(address), oracle(address), "{}", address);
        }
    }

    #[test]
    fn any_ipv6_address_is_judged_like_its_hexadecimal_prefix(bits: u128, start in 0x1ff0u16..0x4010, second: u16) {
        let spread = Ipv6Addr::from_bits(bits);
        let near = Ipv6Addr::from_bits(u128::from(start) << 112 | u128::from(second) << 96 | bits >> 32);
        let special = Ipv6Addr::from_bits(0x2001u128 << 112 | u128::from(second) << 96 | bits >> 32);
        for address in [spread, near, special].map(IpAddr::from) {
            prop_assert_eq!(strict().allows_address(address), oracle(address), "{}", address);
        }
    }

    #[test]
    fn no_text_makes_the_check_panic(text in "\\PC*", host in "[-a-z0-9.:\\[\\]%@]{0,40}") {
        let _ = strict().check_url(&text);
        let _ = excepting(&["0.0.0.0/0"]).check_url(&format!("http://{host}/"));
    }

    #[test]
    fn an_accepted_literal_is_an_allowed_address(bits: u32) {
        let address = Ipv4Addr::from_bits(bits);
        let accepted = strict().check_url(&format!("https://{bits}/")).is_ok();
        prop_assert_eq!(accepted, strict().allows_address(address.into()));
    }

    #[test]
    fn an_accepted_url_is_accepted_again_as_it_is_folded(
        host in "[a-zA-Z0-9.é%-]{1,20}|\\[[0-9a-f:]{2,20}\\]|0x[0-9a-f]{1,8}",
        rest in "(:[0-9]{1,5})?(/[\\PC]{0,20})?",
    ) {
        let policy = excepting(&["127.0.0.0/8"]);
        if let Ok(url) = policy.check_url(&format!("http://{host}{rest}")) {
            prop_assert_eq!(policy.check_url(url.as_str()), Ok(url));
        }
    }
}
