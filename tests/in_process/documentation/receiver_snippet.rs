use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// `now` and `timestamp` in Unix seconds; whether this is from the engine and not too old.
pub(crate) fn verify(secret: &str, id: &str, timestamp: i64, signatures: &str, body: &[u8], now: i64) -> bool {
    let Some(Ok(key)) = secret.strip_prefix("whsec_").map(|key| BASE64.decode(key.as_bytes())) else {
        return false;
    };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { return false };
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    let matches = |given: &str| {
        let given = given.strip_prefix("v1,").map(|given| BASE64.decode(given.as_bytes()));
        // compares in constant time
        given.is_some_and(|given| given.is_ok_and(|given| mac.clone().verify_slice(&given).is_ok()))
    };
    now.abs_diff(timestamp) <= 300 && signatures.split(' ').any(matches)
}
