//! Payloads that were erased: supervisors must not hold them any longer.

use actix::Handler;

use super::super::mailbox::post;
use super::super::messages::{ForgetPayload, PayloadErased};
use super::Router;

impl Handler<PayloadErased> for Router {
    type Result = ();
    fn handle(&mut self, PayloadErased { organization_id, event_id }: PayloadErased, _: &mut Self::Context) {
        let of_organization = self.supervised.values_mut().filter(|it| it.organization_id == organization_id);
        for supervised in of_organization.filter(|it| it.addr.connected()) {
            supervised.sent += 1;
            post(&supervised.addr, ForgetPayload(event_id));
        }
    }
}
