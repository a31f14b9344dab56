//! nginx: static files, a cache with a lock, and the upstream of all mirrors.

use std::{fmt::Write as _, fs, io, net::SocketAddr, process::Command};

use tempfile::TempDir;

use super::{Requests, Server, Site, configure};
use crate::{
    Fallible,
    bodies::{ASKED_NAMES, MANIFEST_TYPE},
    gauge::free_address,
};

/// The file of the upstream that has a line for each request: when it ended, in seconds, how long
/// it took, the method and the path.
const UPSTREAM_LOG: &str = "upstream.log";

/// A blob's digest is the end of its path.
const BLOB: &str = "map $uri $blob { \"~/blobs/(?<of>.*)\" $of; }\n";

/// The upstream of all mirrors, with static files.
pub(crate) struct Upstream {
    pub(crate) server: Server,
    /// The same, each no faster than a link.
    pub(crate) links: Vec<SocketAddr>,
}

/// What the upstream wrote about one request.
pub(crate) struct Asked {
    /// When it came, in seconds since 1970.
    pub(crate) at: f64,
}

/// Serves the site's files, plain and by TLS, with the headers that a registry sends.
pub(crate) fn files(site: &Site, requests: Requests) -> Fallible<Server> {
    let folder = site.room("nginx")?;
    let (plain, tls) = (free_address()?, free_address()?);
    let log = match requests {
        Requests::Logged => format!("{} combined", folder.path().join("access.log").display()),
        Requests::Quiet => "off".to_owned(),
    };
    let (certificate, key) = (site.certificate.display(), site.key.display());
    let text = format!(
        "access_log {log};\n{BLOB}\
         server {{ listen {plain}; {files} }}\n\
         server {{ listen {tls} ssl http2; {files}\n\
         ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3; }}",
        files = serving(site),
    );
    let mut server = start(site, "nginx", folder, &text, plain)?;
    server.tls = Some(tls);
    Ok(server)
}

/// Passes everything on to the upstream, keeps it, and asks once for what many want.
pub(crate) fn cache(site: &Site, upstream: SocketAddr) -> Fallible<Server> {
    let folder = site.room("nginx-cache")?;
    let plain = free_address()?;
    let text = format!(
        "access_log off;\n\
         proxy_cache_path {cache} keys_zone=bodies:10m max_size=10g use_temp_path=off;\n\
         server {{ listen {plain}; location / {{ proxy_pass http://{upstream}; proxy_cache bodies;\n\
         proxy_cache_lock on; proxy_cache_lock_timeout 60s; proxy_cache_lock_age 60s;\n\
         proxy_cache_valid 200 1h; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }}",
        cache = folder.path().join("cache").display(),
    );
    start(site, "nginx proxy_cache", folder, &text, plain)
}

impl Upstream {
    /// Serves the files on a port without a limit, and on one for each link, where a connection
    /// gets so many bytes a second.
    pub(crate) fn start(site: &Site, link_bytes: &[u32]) -> Fallible<Self> {
        let folder = site.room("upstream")?;
        let (plain, files) = (free_address()?, serving(site));
        let mut text = format!(
            "log_format asked '$msec $request_time $request_method $uri';\n\
             access_log {log} asked;\n{BLOB}\
             server {{ listen {plain}; {files} }}\n",
            log = folder.path().join(UPSTREAM_LOG).display(),
        );
        let mut links = Vec::new();
        for bytes in link_bytes {
            let link = free_address()?;
            writeln!(
                text,
                "server {{ listen {link}; limit_rate {bytes}; {files} }}"
            )?;
            links.push(link);
        }
        let server = start(site, "upstream", folder, &text, plain)?;
        Ok(Self { server, links })
    }

    /// Forgets what was asked for so far.
    pub(crate) fn forget(&self) -> io::Result<()> {
        fs::write(self.server.file(UPSTREAM_LOG), "")
    }

    /// The finished GETs of a file of this name, in the order in which they ended.
    pub(crate) fn asked(&self, name: &str) -> Fallible<Vec<Asked>> {
        let log = fs::read_to_string(self.server.file(UPSTREAM_LOG))?;
        let mut found = Vec::new();
        for line in log.lines() {
            let mut words = line.split(' ');
            let (Some(end), Some(took)) = (words.next(), words.next()) else {
                return Err("odd line in the upstream's log".into());
            };
            if words.next() == Some("GET") && words.next().is_some_and(|path| path.ends_with(name))
            {
                let at = end.parse::<f64>()? - took.parse::<f64>()?;
                found.push(Asked { at });
            }
        }
        Ok(found)
    }
}

fn start(
    site: &Site,
    name: &'static str,
    folder: TempDir,
    text: &str,
    plain: SocketAddr,
) -> Fallible<Server> {
    let place = folder.path().display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {place}/{kind};\n"))
        .concat();
    // Only a master that is root takes note of the user.
    let text = format!(
        "daemon off; user root; worker_processes auto; pid {place}/pid; error_log stderr crit;\n\
         events {{ worker_connections 8192; }}\n\
         http {{\n{temporary}sendfile on; tcp_nopush on; keepalive_requests 1000000000;\n{text}\n}}\n"
    );
    let file = configure(&folder, &text)?;
    let mut command = Command::new(&site.programs.nginx);
    command
        .args(["-e", "stderr", "-c"])
        .arg(file)
        .arg("-p")
        .arg(folder.path());
    Server::start(name, &mut command, folder, plain)
}

/// The files, with the types and the digests that a registry says.
fn serving(site: &Site) -> String {
    let registry = "add_header Docker-Distribution-Api-Version registry/2.0;";
    let manifests = ASKED_NAMES.map(|name| {
        format!(
            "location /v2/{name}/manifests/ {{ default_type {MANIFEST_TYPE};\n\
             add_header Docker-Content-Digest {}; {registry} }}\n",
            site.bodies.digest
        )
    });
    format!(
        "root {}; types {{}}\n\
         location = /v2/ {{ return 200 \"{{}}\"; }}\n{}\
         location / {{ default_type application/octet-stream;\n\
         add_header Docker-Content-Digest $blob; {registry} }}\n",
        site.root().display(),
        manifests.concat()
    )
}
