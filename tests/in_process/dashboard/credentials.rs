//! Client certificates and OAuth 2.0 on the pages of a webhook.

use rcgen::{CertificateParams, KeyPair};

use super::browser::Browser;
use crate::world::World;

/// A certificate that ends twelve days after the clock's time, and its key, as a browser sends them.
fn pem() -> [String; 2] {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["hooks.example".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2024, 12, 29);
    let certificate = params.self_signed(&key).unwrap();
    [certificate.pem(), key.serialize_pem()].map(|text| text.replace("\r\n", "\n").replace('\n', "\r\n"))
}

#[actix_web::test]
async fn a_certificate_is_set_and_removed_with_the_form_and_its_page_says_when_it_ends() {
    let world = World::new().await;
    let owner = world.owner().await;
    let browser = Browser::signed_in(&world, &owner).await;
    let [certificate, key] = pem();
    let fields = [
        ("url", "https://receiver.example/"),
        ("client_certificate.certificate", certificate.as_str()),
        ("client_certificate.private_key", key.as_str()),
        ("oauth2.token_url", "https://auth.example.com/token"),
        ("oauth2.client_id", "us"),
        ("oauth2.client_secret", "only-the-token-endpoint-knows"),
    ];
    let answer = browser.post("/webhooks", &fields).await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    let page = answer.location().split('?').next().unwrap().to_owned();
    let shown = browser.get(&page).await;
    assert!(shown.text.contains("The client certificate expires in 12 days."), "{}", shown.text);
    let edit = browser.get(&format!("{page}/edit")).await;
    assert!(edit.text.contains("Current: ") && edit.text.contains("client_certificate.removed"), "{}", edit.text);
    let inner = key.lines().nth(1).unwrap();
    for answer in [shown, edit] {
        assert!(!answer.text.contains("only-the-token-endpoint-knows") && !answer.text.contains(inner));
    }
    let webhook = world.get(&owner, &format!("/v1{page}")).await.ok(200);
    assert_eq!(webhook["oauth2"]["client_secret"], "********");

    // a webhook that nobody else has changed
    let version = "1".to_owned();
    let fields = [
        ("url", "https://receiver.example/"),
        ("version", version.as_str()),
        ("client_certificate.removed", "on"),
        ("oauth2.token_url", "https://auth.example.com/token"),
        ("oauth2.client_id", "us"),
        ("oauth2.client_secret", "********"),
    ];
    let saved = browser.post(&format!("{page}/edit"), &fields).await;
    assert_eq!(saved.status, 303, "{}", saved.text);
    let webhook = world.get(&owner, &format!("/v1{page}")).await.ok(200);
    assert!(webhook["client_certificate"].is_null() && webhook["oauth2"]["client_id"] == "us", "{webhook}");
}

#[actix_web::test]
async fn a_key_that_does_not_fit_is_complained_about_at_its_field() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, &world.owner().await).await;
    let ([certificate, _], [_, key]) = (pem(), pem());
    let fields = [
        ("url", "https://receiver.example/"),
        ("client_certificate.certificate", certificate.as_str()),
        ("client_certificate.private_key", key.as_str()),
    ];
    let answer = browser.post("/webhooks", &fields).await;
    assert_eq!(answer.status, 422);
    assert!(answer.text.contains("is not the key of the certificate"), "{}", answer.text);
    assert!(answer.text.contains(r#"id="client_certificate.private_key-error""#), "{}", answer.text);
}
