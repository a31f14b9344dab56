//! Debian's `docker-registry` as a mirror: the CNCF's distribution in its proxy mode.

use std::{net::SocketAddr, path::Path, process::Command};

use super::{Server, Site, configure};
use crate::{Fallible, gauge::free_address};

pub(super) fn start(site: &Site, program: &Path, upstream: SocketAddr) -> Fallible<Server> {
    let folder = site.room("docker-registry")?;
    let plain = free_address()?;
    let text = format!(
        "version: 0.1\n\
         log: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage: {{cache: {{blobdescriptor: inmemory}}, filesystem: {{rootdirectory: \"{data}\"}}}}\n\
         http: {{addr: \"{plain}\"}}\n\
         proxy: {{remoteurl: \"http://{upstream}\"}}\n",
        data = folder.path().join("data").display(),
    );
    let file = configure(&folder, &text)?;
    let mut command = Command::new(program);
    command.arg("serve").arg(file);
    Server::start("docker-registry", &mut command, folder, plain)
}
