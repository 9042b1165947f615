//! What a browser does of itself: keeps cookies, says where a form comes from.

use std::cell::RefCell;
use std::collections::BTreeMap;

use actix_web::cookie::Cookie;
use actix_web::http::header;
use actix_web::test::TestRequest;

use crate::world::{Answer, World};

/// Says that a form was sent from a page of the dashboard itself.
pub(crate) const FROM_HERE: &[(&str, &str)] = &[("sec-fetch-site", "same-origin")];

/// A person's browser with its cookies.
pub(crate) struct Browser<'a> {
    pub world: &'a World,
    cookies: RefCell<BTreeMap<String, String>>,
}

impl<'a> Browser<'a> {
    /// Nobody signed in.
    pub(crate) fn new(world: &'a World) -> Self {
        Self { world, cookies: RefCell::default() }
    }

    /// Signed in with a key.
    pub(crate) async fn signed_in(world: &'a World, key: &str) -> Self {
        let browser = Self::new(world);
        let answer = browser.sign_in(key).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        assert_eq!(browser.cookies.borrow().len(), 1);
        browser
    }

    pub(crate) async fn sign_in(&self, key: &str) -> Answer {
        self.post("/sign-in", &[("key", key)]).await
    }

    pub(crate) async fn get(&self, address: &str) -> Answer {
        self.send("GET", address, &[], "").await
    }

    /// Sends a form of a page of ours.
    pub(crate) async fn post(&self, address: &str, form: &[(&str, &str)]) -> Answer {
        self.send("POST", address, FROM_HERE, &encoded(form)).await
    }

    /// Sends with these headers and the cookies, and keeps the cookies of the answer.
    pub(crate) async fn send(&self, method: &str, address: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = TestRequest::default().method(method.parse().unwrap()).uri(address);
        for &header in headers {
            request = request.insert_header(header);
        }
        for (name, value) in self.cookies.borrow().iter() {
            request = request.cookie(Cookie::new(name.clone(), value.clone()));
        }
        let answer = self.world.send(request.set_payload(body.to_owned())).await;
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            let cookie = Cookie::parse_encoded(cookie.to_str().unwrap().to_owned()).unwrap();
            let mut kept = self.cookies.borrow_mut();
            match cookie.max_age().is_some_and(|age| age.is_zero()) {
                true => drop(kept.remove(cookie.name())),
                false => drop(kept.insert(cookie.name().to_owned(), cookie.value().to_owned())),
            }
        }
        answer
    }

    /// Its cookies, to put them back later as a thief would.
    pub(crate) fn stolen(&self) -> Browser<'a> {
        Browser { world: self.world, cookies: self.cookies.clone() }
    }
}

/// A form's body.
pub(crate) fn encoded(form: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

impl Answer {
    /// Where it sends on to.
    pub(crate) fn location(&self) -> &str {
        self.header("location").unwrap_or_default()
    }

    /// Whether somebody has to sign in first.
    pub(crate) fn asks_to_sign_in(&self) -> bool {
        self.status == 303 && self.location().starts_with("/sign-in") && !self.location().contains("began=1")
    }
}
