//! One file a form.

mod full;
mod streamed;
mod top_k;
mod window;

pub(super) use full::Full;
pub(super) use streamed::Streamed;
pub(super) use top_k::TopK;
pub(super) use window::Window;
