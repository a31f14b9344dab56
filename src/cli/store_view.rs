//! Reads what is stored, from the store itself or from the server that holds it.

use std::{path::Path, sync::Arc};

use bytes::Bytes;

use super::output::eprint_error;
use crate::{
    connect::over_socket,
    control::{self, KeptTag},
    disk::RealDisk,
    oci::{Origin, Reference},
    pull::StoredImage,
    store::{self, Store, StoreError},
    tasks::Tasks,
    telemetry::{Metrics, chain},
};

/// The store, opened here or through the server that holds it.
pub(super) enum StoreView {
    Local(Store),
    Server(reqwest::Client),
    Unavailable,
}

impl StoreView {
    /// Opens the store, or connects to its server.
    pub(super) async fn open(settings: store::Settings) -> Self {
        let folder = settings.path.clone();
        // Reading must not create a store.
        if !folder.is_dir() {
            return Self::Unavailable;
        }
        let Ok(metrics) = Metrics::new().map(Arc::new) else {
            return Self::Unavailable;
        };
        let tasks = Tasks::new(Arc::clone(&metrics));
        match Store::open(settings, Arc::new(RealDisk), tasks, metrics).await {
            Ok(store) => Self::Local(store),
            Err(StoreError::Locked { .. }) => Self::server(&folder),
            Err(error) => {
                eprint_error(format_args!("cannot read the store: {}", chain(&error)));
                Self::Unavailable
            }
        }
    }

    fn server(folder: &Path) -> Self {
        let socket = folder.join("control.sock");
        match over_socket(&socket) {
            Ok(client) => Self::Server(client),
            Err(error) => {
                eprint_error(format_args!(
                    "cannot query the server that holds the store: {error}"
                ));
                Self::Unavailable
            }
        }
    }

    /// What is stored under the first of these keys that has something.
    pub(super) async fn stored(&self, keys: &[(Origin, Reference)]) -> Option<StoredImage> {
        match self {
            Self::Unavailable => None,
            Self::Local(store) => StoredImage::look_up(store, keys)
                .await
                .unwrap_or_else(|error| {
                    eprint_error(format_args!("cannot read the store: {}", chain(&error)));
                    None
                }),
            Self::Server(client) => {
                let body = get(client, &control::stored_target(keys)).await?;
                serde_json::from_slice(&body).ok()?
            }
        }
    }

    /// Every stored tag.
    pub(super) async fn tags(&self) -> Vec<KeptTag> {
        match self {
            Self::Unavailable => Vec::new(),
            Self::Local(store) => control::kept_tags(store).await.unwrap_or_else(|error| {
                eprint_error(format_args!("cannot read the store: {}", chain(&error)));
                Vec::new()
            }),
            Self::Server(client) => {
                let body = get(client, control::TAGS_TARGET).await.unwrap_or_default();
                control::read_tags(&body).unwrap_or_default()
            }
        }
    }
}

async fn get(client: &reqwest::Client, target: &str) -> Option<Bytes> {
    let url = format!("http://localhost{target}");
    let body = async { client.get(url).send().await?.bytes().await };
    let body = body.await.inspect_err(|error| {
        eprint_error(format_args!(
            "cannot query the server that holds the store: {error}"
        ));
    });
    body.ok()
}
