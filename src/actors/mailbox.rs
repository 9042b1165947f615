//! Sending without waiting, only for messages that state what bounds them.

use actix::{Actor, Addr, Context, Handler, Message, Recipient};

/// A message that may be posted without waiting.
pub(crate) trait Bounded {
    /// What limits how many of its kind can be queued at once.
    const BOUND: &'static str;
}

/// An actor that takes messages of this kind, by its address or as a [`Recipient`].
pub(crate) trait Mailbox<M> {
    /// Queues the message; drops it when the actor has ended.
    fn queue(&self, message: M);
}

impl<A, M> Mailbox<M> for Addr<A>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn queue(&self, message: M) {
        #[expect(clippy::disallowed_methods, reason = "`post` takes only messages that state their bound")]
        self.do_send(message);
    }
}

impl<M> Mailbox<M> for Recipient<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn queue(&self, message: M) {
        #[expect(clippy::disallowed_methods, reason = "`post` takes only messages that state their bound")]
        self.do_send(message);
    }
}

/// Sends a message that states its bound.
///
/// actix's `do_send` never waits and never refuses, so a message may only be sent by it when something else limits how
/// many of its kind can be queued: see [`Bounded`].
pub(crate) fn post<M: Bounded>(to: &impl Mailbox<M>, message: M) {
    const { assert!(!M::BOUND.is_empty(), "a posted message states its bound") };
    to.queue(message);
}
