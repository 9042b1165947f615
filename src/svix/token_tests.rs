use super::*;
use crate::domain::ids::OrganizationId;
use crate::svix::ids::ApplicationId;
use serde_json::{Value, json};

const NOW: UnixMillis = UnixMillis(1_734_345_045_007);

fn key() -> TokenKey {
    TokenKey::new(&Secret::new("a-secret-of-the-deployment".to_owned()))
}

/// A token with this header and these claims, signed with the key whatever the header says.
fn token(header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", encoded(header), encoded(claims));
    let mut mac = key().0;
    mac.update(signed.as_bytes());
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&mac.finalize().into_bytes()))
}

fn with_claims(claims: &Value) -> String {
    token(&json!({"alg": "HS256", "typ": "JWT"}), claims)
}

#[test]
fn a_token_made_by_another_program_with_the_secret_is_read() {
    // by Python: base64, json and hmac of its standard library
    let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJvcmdfb3BlbndlYXJhYmxlcyJ9.\
                 RHhfHzdyeBob_SlHgu-0bKPOQnS27hZJRyFr-YTDkiM";
    assert_eq!(key().read(token, NOW).unwrap().sub.as_deref(), Some("org_openwearables"));
}

#[test]
fn a_token_that_we_make_says_whose_it_is_and_how_long_it_is_valid() {
    let environment: Environment = "org_acme".parse().unwrap();
    let claims = key().read(&key().environment_token(&environment, NOW), NOW).unwrap();
    assert_eq!((claims.sub.as_deref(), claims.org.as_deref()), (Some("org_acme"), None));
    let wishes = TokenWishes { feature_flags: vec!["beta".to_owned()], read_only: true, ..TokenWishes::default() };
    let application = ApplicationId(OrganizationId(7));
    let token = key().application_token(&environment, &application, wishes, NOW);
    let claims = key().read(&token, NOW).unwrap();
    assert_eq!(claims.sub, Some(application.to_string()));
    assert_eq!((claims.org.as_deref(), claims.read_only), (Some("org_acme"), true));
    assert_eq!(claims.feature_flags, ["beta"]);
    let (_, payload) = token.split_once('.').unwrap();
    let payload: Value = decoded(payload.split_once('.').unwrap().0).unwrap();
    assert!(payload["exp"].is_i64() && payload["iat"] == NOW.as_seconds(), "{payload}");
    let end = NOW + APPLICATION_LIFETIME;
    assert!(key().read(&token, end).is_some());
    assert!(key().read(&token, end + Duration::from_secs(LEEWAY_SECONDS as u64 + 1)).is_none());
    assert!(!claims.is_from_before(NOW) && claims.is_from_before(NOW + Duration::from_secs(1)));
}

#[test]
fn another_algorithm_is_refused_whatever_signed_the_token() {
    let claims = json!({"sub": "org_acme"});
    assert!(key().read(&with_claims(&claims), NOW).is_some());
    for algorithm in ["none", "None", "", "HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256"] {
        assert!(key().read(&token(&json!({"alg": algorithm}), &claims), NOW).is_none(), "{algorithm}");
    }
    let unsigned = token(&json!({"alg": "none"}), &claims);
    let (signed, _) = unsigned.rsplit_once('.').unwrap();
    assert!(key().read(&format!("{signed}."), NOW).is_none());
    assert!(key().read(&token(&json!({"typ": "JWT"}), &claims), NOW).is_none());
    assert!(key().read(&token(&json!({"alg": "HS256", "crit": ["exp"]}), &claims), NOW).is_none());
}

#[test]
fn a_changed_token_or_another_secret_is_refused() {
    let token = with_claims(&json!({"sub": "org_acme"}));
    let other = TokenKey::new(&Secret::new("a-secret-of-the-deploymenu".to_owned()));
    assert!(other.read(&token, NOW).is_none());
    for position in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(key().read(&changed, NOW).is_none(), "{position}");
        assert!(key().read(&token[..position], NOW).is_none(), "{position}");
    }
    for text in ["", ".", "..", "...", "a.b.c", &format!("{token}."), &"x".repeat(MAX_TOKEN_BYTES + 1)] {
        assert!(key().read(text, NOW).is_none());
    }
}

#[test]
fn times_count_where_a_token_has_them_and_clocks_may_be_a_little_wrong() {
    let now = NOW.as_seconds();
    let is_valid = |claims: Value| key().read(&with_claims(&claims), NOW).is_some();
    for name in ["nbf", "iat"] {
        assert!(is_valid(json!({ name: now + 800 })), "{name}");
        assert!(!is_valid(json!({ name: now + 1_000 })), "{name}");
    }
    assert!(is_valid(json!({"exp": now - 800})) && !is_valid(json!({"exp": now - 1_000})));
    assert!(is_valid(json!({"exp": now as f64 + 0.5})) && is_valid(json!({})));
    for wrong in [json!("soon"), json!([1]), json!({})] {
        assert!(!is_valid(json!({ "exp": wrong })));
    }
}

#[test]
fn a_token_that_does_not_say_when_it_was_made_is_from_before() {
    let claims = |claims: Value| key().read(&with_claims(&claims), NOW).unwrap();
    assert!(claims(json!({"sub": "app_x"})).is_from_before(NOW));
    assert!(claims(json!({"iat": NOW.as_seconds() - 1})).is_from_before(NOW));
    assert!(!claims(json!({"iat": NOW.as_seconds()})).is_from_before(NOW));
}

#[test]
fn a_key_of_ours_is_not_taken_for_a_token() {
    for text in ["rbk_abc", "an.admin.key-of-16", "..", "eyJ9.x.y"] {
        assert!(!TokenKey::is_token(text), "{text}");
    }
    assert!(TokenKey::is_token(&with_claims(&json!({}))));
}
