//! The egress proxy.

use super::setting_key::{SettingKey, ValueKind};
use crate::domain::egress_proxy::EgressProxy;

pub(super) const EGRESS_PROXY: SettingKey = SettingKey {
    name: "egress_proxy",
    kind: ValueKind::Text("http://host:port"),
    help: "Forward proxy that every request to a receiver goes through, like http://user:password@proxy.internal:3128; nodes of a cluster \
           reach each other without it. HTTPS goes through a tunnel (CONNECT), encrypted up to the receiver. While the proxy can't be \
           reached or wants other credentials, deliveries wait and none is counted as failed. With a password, prefer the variable \
           RINGBACK_EGRESS_PROXY_FILE to this file.",
    example: Some(r#""http://proxy.internal:3128""#),
    read: |value, settings| {
        let proxy = EgressProxy::parse(value.text()?).map_err(|error| error.to_string())?;
        settings.egress_proxy = Some(proxy);
        Ok(())
    },
    show: |settings| settings.egress_proxy.as_ref().map(|proxy| format!("{:?}", proxy.to_string())),
};

pub(super) const EGRESS_PROXY_RESOLVES: SettingKey = SettingKey {
    name: "egress_proxy_resolves",
    kind: ValueKind::Text("true or false"),
    help: "Whether the egress proxy is asked for host names and looks them up, by rules of its own. With false, names are looked up and \
           addresses checked here (`allowed_networks`), and the proxy is asked for an address. With true, only the proxy keeps a \
           customer's webhook out of your network; addresses written in URLs are still checked here.",
    example: None,
    read: |value, settings| value.boolean().map(|resolves| settings.egress_proxy_resolves = resolves),
    show: |settings| Some(settings.egress_proxy_resolves.to_string()),
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::config::value::SettingValue;

    #[test]
    fn a_proxys_password_is_not_shown_and_not_repeated_in_an_error() {
        let mut settings = Settings::default();
        let value = SettingValue::Untyped("http://ringback:s3cret@proxy:3128".to_owned());
        EGRESS_PROXY.read(&value, &mut settings).unwrap();
        assert_eq!(EGRESS_PROXY.show(&settings).as_deref(), Some(r#""http://(hidden)@proxy:3128""#));
        let wrong = SettingValue::Untyped("https://ringback:s3cret@proxy:3128".to_owned());
        let error = EGRESS_PROXY.read(&wrong, &mut settings).unwrap_err();
        assert!(!error.contains("s3cret") && error.contains("http://host:port"), "{error}");
    }
}
