//! zot, if it is installed: `onDemand` fetches an image when its manifest is requested.

use std::{net::SocketAddr, path::Path, process::Command};

use serde_json::json;

use super::{Server, Site, configure};
use crate::{Fallible, gauge::free_address};

pub(super) fn start(site: &Site, program: &Path, upstream: SocketAddr) -> Fallible<Server> {
    let folder = site.room("zot")?;
    let plain = free_address()?;
    let text = json!({
        "distSpecVersion": "1.1.1",
        "storage": {"rootDirectory": folder.path().join("data"), "gc": false},
        "http": {"address": plain.ip(), "port": plain.port().to_string()},
        "log": {"level": "error"},
        "extensions": {"sync": {"enable": true, "registries": [{
            "urls": [format!("http://{upstream}")],
            "onDemand": true,
            "tlsVerify": false,
            "content": [{"prefix": "**"}],
        }]}},
    });
    let file = configure(&folder, &text.to_string())?;
    let json = file.with_extension("json");
    std::fs::rename(file, &json)?;
    let mut command = Command::new(program);
    command.arg("serve").arg(json);
    Server::start("zot", &mut command, folder, plain)
}
