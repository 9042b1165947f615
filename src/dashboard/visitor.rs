//! Whether a request is of somebody who came by a sign-in link.

use std::sync::Arc;

use actix_web::{HttpMessage, HttpRequest, web};

use super::portal::Portal;
use super::session_cookie::came_by_link;
use super::state::Dashboard;
use super::viewer::Viewer;

/// The product of whoever sent a request: of a visitor, or of one whose visit is over.
pub(super) fn portal_of(request: &HttpRequest) -> Option<Arc<Portal>> {
    if let Some(viewer) = request.extensions().get::<Viewer>() {
        return viewer.door.as_ref().map(|door| Arc::clone(&door.portal));
    }
    let dashboard = request.app_data::<web::Data<Dashboard>>()?;
    came_by_link(dashboard, request).map(|_| Arc::clone(&dashboard.portal))
}
