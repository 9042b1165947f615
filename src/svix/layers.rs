//! Layers that few requests need.

use std::rc::Rc;

use actix_cors::Cors;
use actix_service::boxed::{self, BoxService};
use actix_service::forward_ready;
use actix_web::Error;
use actix_web::body::{BoxBody, EitherBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::header;
use actix_web::middleware::{NormalizePath, TrailingSlash};
use futures_util::future::{Either, FutureExt, LocalBoxFuture, Map};

/// The rules for browsers, and a path's extra slashes taken out. Programs that publish need neither: their requests pass by both.
pub(super) struct SeldomNeeded(pub Rc<Cors>);

impl<S> Transform<S, ServiceRequest> for SeldomNeeded
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error> + 'static,
    S::Future: 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type InitError = ();
    type Transform = Layered<S>;
    type Future = LocalBoxFuture<'static, Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        let direct = Rc::new(service);
        let inner = NormalizePath::new(TrailingSlash::Trim).new_transform(direct.clone());
        let cors = self.0.clone();
        async move {
            let layered = boxed::service(cors.new_transform(inner.await?).await?);
            Ok(Layered { direct, layered })
        }
        .boxed_local()
    }
}

pub(super) struct Layered<S> {
    direct: Rc<S>,
    layered: BoxService<ServiceRequest, ServiceResponse<EitherBody<BoxBody>>, Error>,
}

type Answer<B> = Result<ServiceResponse<B>, Error>;
type Boxing = fn(Answer<EitherBody<BoxBody>>) -> Answer<BoxBody>;

impl<S> Service<ServiceRequest> for Layered<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Future = Either<S::Future, Map<LocalBoxFuture<'static, Answer<EitherBody<BoxBody>>>, Boxing>>;

    forward_ready!(direct);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        if !needs_layers(&request) {
            return Either::Left(self.direct.call(request));
        }
        let boxing: Boxing = |answer| answer.map(ServiceResponse::map_into_boxed_body);
        Either::Right(self.layered.call(request).map(boxing))
    }
}

fn needs_layers(request: &ServiceRequest) -> bool {
    let path = request.path();
    request.headers().contains_key(header::ORIGIN) || path.ends_with('/') || path.contains("//")
}
