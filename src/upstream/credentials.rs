//! Which credentials are for which repository, and the programs that hand them out.

pub(super) mod helper;
pub(super) mod keyring;
mod provider;
mod scope;
