//! angos, if it is installed. It asks its upstreams without the first part of a repository's name,
//! so the files are linked to that name.

use std::{net::SocketAddr, os::unix::fs::symlink, path::Path, process::Command};

use super::{Server, Site, configure};
use crate::{Fallible, gauge::free_address};

pub(super) fn start(site: &Site, program: &Path, upstream: SocketAddr) -> Fallible<Server> {
    let folder = site.room("angos")?;
    let plain = free_address()?;
    let link = site.root().join("v2/img");
    if !link.exists() {
        symlink("bench/img", link)?;
    }
    let text = format!(
        "[server]\nbind_address = \"{ip}\"\nport = {port}\n\
         [blob_store.fs]\nroot_dir = \"{data}\"\n\
         [global.access_policy]\ndefault_allow = true\n\
         [[repository.\"bench\".upstream]]\nurl = \"http://{upstream}\"\n",
        ip = plain.ip(),
        port = plain.port(),
        data = folder.path().join("data").display(),
    );
    let file = configure(&folder, &text)?;
    let mut command = Command::new(program);
    command.arg("-c").arg(file).arg("server");
    Server::start("angos", &mut command, folder, plain)
}
