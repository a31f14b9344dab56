//! Renders the configuration that points a node or a platform at the mirror.

use super::model::{
    format::Renderer,
    rendering::{Mirror, Rendering},
};

/// Writes the configuration.
pub fn render(renderer: &Renderer, mirror: &Mirror) -> Rendering {
    (renderer.run)(mirror)
}
