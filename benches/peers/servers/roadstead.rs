//! Roadstead: the program of this tree, with one upstream.

use std::{net::SocketAddr, process::Command};

use super::{Requests, Server, Site, configure};
use crate::{Fallible, gauge::free_address};

pub(crate) fn start(site: &Site, upstream: SocketAddr, requests: Requests) -> Fallible<Server> {
    let folder = site.room("roadstead")?;
    let (plain, tls, admin) = (free_address()?, free_address()?, free_address()?);
    let requests = match requests {
        Requests::Logged => "all",
        Requests::Quiet => "none",
    };
    let text = format!(
        "unmatched = \"deny\"\n\
         [server]\nlisten = \"{plain}\"\ndefault_registry = \"registry.example\"\n\
         [[listener]]\nlisten = \"{tls}\"\ntls_cert_file = \"{certificate}\"\ntls_key_file = \"{key}\"\n\
         [admin]\nlisten = \"{admin}\"\n\
         [store]\npath = \"{store}\"\n\
         [freshness]\ntag_fresh = \"1h\"\n\
         [log]\nformat = \"json\"\nrequests = \"{requests}\"\n\
         [upstream.up]\nurl = \"http://{upstream}\"\n\
         [[route]]\nfrom = \"registry.example\"\nto = [\"up\"]\n",
        certificate = site.certificate.display(),
        key = site.key.display(),
        store = folder.path().join("store").display(),
    );
    let file = configure(&folder, &text)?;
    let mut command = Command::new(&site.programs.roadstead);
    command.arg("serve").arg("--config").arg(file);
    let mut server = Server::start("Roadstead", &mut command, folder, plain)?;
    server.tls = Some(tls);
    Ok(server)
}
