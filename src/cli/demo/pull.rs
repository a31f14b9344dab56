//! One pull, as a node does it: the manifest by tag, then its blobs.

use std::path::Path;

use bytes::Bytes;
use reqwest::{Client, Response};

use crate::{
    connect::over_socket,
    oci::{Digest, Manifest, MediaType, Verified},
};

/// A client for a server's Unix socket.
pub(super) fn client(socket: &Path) -> Result<Client, String> {
    over_socket(socket).map_err(|error| error.to_string())
}

/// The result of one pull.
pub(super) struct PullResult {
    pub(super) digest: Digest,
    pub(super) blobs: usize,
    pub(super) bytes: usize,
    /// The mirror marked the tag as stale.
    pub(super) stale: bool,
}

/// Pulls an image and verifies every digest.
pub(super) async fn image(client: &Client, name: &str, tag: &str) -> Result<PullResult, String> {
    let base = format!("http://mirror/v2/{name}");
    let response = get(client, &format!("{base}/manifests/{tag}?ns=docker.io")).await?;
    let stale = response.headers().contains_key(http::header::WARNING);
    let digest = response
        .headers()
        .get("docker-content-digest")
        .and_then(|text| text.to_str().ok());
    let digest = digest.and_then(|text| text.parse::<Digest>().ok());
    let digest = digest.ok_or("the response has no docker-content-digest")?;
    let declared = response.headers().get(http::header::CONTENT_TYPE);
    let declared = declared
        .and_then(|text| text.to_str().ok())
        .and_then(MediaType::from_header);
    let manifest = Manifest::new(digest, body(response).await?, declared.as_ref());
    let manifest = manifest.map_err(|error| error.to_string())?;
    let mut bytes = manifest.bytes().len();
    for child in manifest.children() {
        let url = format!("{base}/blobs/{}?ns=docker.io", child.digest);
        let blob = body(get(client, &url).await?).await?;
        Verified::of(child.digest, &blob).map_err(|error| error.to_string())?;
        bytes += blob.len();
    }
    Ok(PullResult {
        digest,
        blobs: manifest.children().len(),
        bytes,
        stale,
    })
}

/// The number of requests that a server has answered, from its metrics.
pub(super) async fn requests_answered(admin: &Client) -> Result<u64, String> {
    let text = body(get(admin, "http://admin/metrics").await?).await?;
    let text = String::from_utf8_lossy(&text);
    let counts = text
        .lines()
        .filter(|line| line.starts_with("roadstead_requests_total{"));
    let counts = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    Ok(counts.sum())
}

async fn get(client: &Client, url: &str) -> Result<Response, String> {
    let response = client
        .get(url)
        .send()
        .await
        .map_err(|error| error.to_string())?;
    response
        .error_for_status()
        .map_err(|error| error.to_string())
}

async fn body(response: Response) -> Result<Bytes, String> {
    response.bytes().await.map_err(|error| error.to_string())
}
