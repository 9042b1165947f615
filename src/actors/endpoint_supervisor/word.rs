//! What a supervisor hears from outside of its deliveries: that its endpoint changed, and what speaks for it.

use actix::{Context, Handler};

use super::super::messages::{Reconfigure, Relief, Relieve};
use super::super::request::RequestTemplate;
use super::EndpointSupervisor;
use crate::domain::endpoint::Endpoint;
use crate::domain::machine::{Input, MachineSettings};

impl Handler<Reconfigure> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, Reconfigure(endpoint): Reconfigure, ctx: &mut Self::Context) {
        self.received += 1;
        self.retemplate(endpoint, ctx);
    }
}

impl EndpointSupervisor {
    fn retemplate(&mut self, endpoint: Option<Box<Endpoint>>, ctx: &mut Context<Self>) {
        let Some(running) = &mut self.running else {
            self.start_is_stale = true;
            return;
        };
        let settings = match endpoint {
            Some(endpoint) if endpoint.version < running.template.version => return,
            Some(endpoint) => {
                running.template = RequestTemplate::new(&endpoint, &self.parts.context.settings);
                MachineSettings::of(&endpoint)
            }
            // deleted: its deliveries are cancelled; what is in flight ends
            None => MachineSettings { active: false, ..running.machine.settings().clone() },
        };
        self.apply(Input::Reconfigured(settings), ctx);
    }
}

impl Handler<Relieve> for EndpointSupervisor {
    type Result = ();
    fn handle(&mut self, Relieve(relief): Relieve, ctx: &mut Self::Context) {
        self.received += 1;
        let Some(running) = &self.running else {
            self.start_is_stale = true;
            return;
        };
        match relief {
            // a test of another place says nothing about this one
            Relief::Tested { url, .. } if url != running.template.url() => {}
            Relief::Tested { accepted_secret, .. } => self.apply(Input::Tested { accepted_secret }, ctx),
            Relief::Resumed => self.apply(Input::Resumed, ctx),
        }
    }
}
