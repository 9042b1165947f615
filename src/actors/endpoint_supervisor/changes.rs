//! Changes that come from the API: new settings, a breaker that is reset, and payloads that are erased.

use actix::{Context, Handler};

use super::super::messages::{BreakerReset, ForgetPayload, Reconfigure, ResetBreaker};
use super::super::request::RequestTemplate;
use super::EndpointSupervisor;
use crate::domain::endpoint::Endpoint;
use crate::domain::machine::{Input, MachineSettings};

impl Handler<Reconfigure> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, Reconfigure(endpoint): Reconfigure, ctx: &mut Self::Context) {
        self.received += 1;
        self.reconfigure(endpoint, ctx);
    }
}

impl EndpointSupervisor {
    fn reconfigure(&mut self, endpoint: Option<Box<Endpoint>>, ctx: &mut Context<Self>) {
        let Some(running) = &mut self.running else {
            self.parts.context.queue_cursors.forget(self.parts.endpoint_id);
            self.start_is_stale = true;
            return;
        };
        let settings = match endpoint {
            Some(endpoint) if endpoint.version < running.template.version => return,
            Some(endpoint) => {
                running.template = RequestTemplate::new(&endpoint, &self.parts.context.settings);
                MachineSettings::of(&endpoint)
            }
            // deleted: its pending deliveries are cancelled in the store; attempts in flight end
            None => MachineSettings { active: false, ..running.machine.settings().clone() },
        };
        self.apply(Input::Reconfigured(settings), ctx);
    }
}

impl Handler<ForgetPayload> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, ForgetPayload(event_id): ForgetPayload, ctx: &mut Self::Context) {
        self.received += 1;
        self.early.retain(|delivery| delivery.event.id != event_id);
        self.apply(Input::PayloadErased(event_id), ctx);
    }
}

impl Handler<ResetBreaker> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, ResetBreaker(reset): ResetBreaker, ctx: &mut Self::Context) {
        self.received += 1;
        let Some(running) = &self.running else {
            self.parts.context.queue_cursors.forget(self.parts.endpoint_id);
            self.start_is_stale = true;
            return;
        };
        match reset {
            // a test of another URL says nothing about this one
            BreakerReset::TestSucceeded { url, .. } if url != running.template.url() => {}
            BreakerReset::TestSucceeded { accepted_secret, .. } => {
                self.apply(Input::Tested { accepted_secret }, ctx)
            }
            BreakerReset::Resumed => self.apply(Input::Resumed, ctx),
        }
    }
}
