//! Content by origin: its manifests, and the blobs that its upstream confirmed.

use std::{io, ops::ControlFlow, path::Path, sync::Arc};

use bytes::Bytes;

use super::{
    error::StoreError,
    layout::{is_origin_subfolder, origin_from_text},
    records::Provenance,
    state::{OriginKeyRef, StoreState},
};
use crate::{
    disk::{Disk, FolderEntry, read_whole},
    oci::{Algorithm, Digest, Manifest, Origin},
};

/// Largest file that is read as a manifest; `pull` accepts smaller ones only.
const MANIFEST_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most manifests that one lookup reads while the index is incomplete.
const SCAN_COUNT_MAX: usize = 10_000;
/// Deepest folder of an origin: a name has up to 128 elements, and `_local` and the host precede
/// it.
const DEPTH_MAX: usize = 130;

pub(super) async fn manifest(
    state: &Arc<StoreState>,
    origin: &Origin,
    digest: Digest,
) -> Result<Option<Arc<Manifest>>, StoreError> {
    if let Some(manifest) = state.manifests.get(&OriginKeyRef(origin, &digest)) {
        return Ok(Some(manifest));
    }
    let key = (origin.clone(), digest);
    state
        .blocking(move |state| {
            let found = read_manifest(state, &key.0, &key.1)?;
            if let Some(manifest) = &found {
                state.manifests.insert(key, Arc::clone(manifest));
            }
            Ok(found)
        })
        .await
}

pub(super) async fn keep_manifest(
    state: &Arc<StoreState>,
    origin: &Origin,
    manifest: &Arc<Manifest>,
) -> Result<(), StoreError> {
    let key = (origin.clone(), manifest.digest());
    if state.manifests.contains_key(&key) {
        return Ok(());
    }
    let manifest = Arc::clone(manifest);
    state
        .blocking(move |state| {
            let path = state.layout.manifest(&key.0, &key.1);
            state.put_file(&path, manifest.bytes())?;
            state.index.add_members(&key.0, &manifest);
            state.manifests.insert(key, manifest);
            Ok(())
        })
        .await
}

/// Does not fill the cache: a listing must not push out what clients request.
pub(super) fn manifests(
    state: &StoreState,
    origin: &Origin,
    count_max: usize,
) -> Result<Vec<Arc<Manifest>>, StoreError> {
    let mut found = Vec::new();
    for algorithm in Algorithm::ALL {
        let folder = state.layout.manifests(origin, algorithm);
        for digest in digests(state, &folder, algorithm)? {
            if found.len() >= count_max {
                return Ok(found);
            }
            let cached = state.manifests.get(&(origin.clone(), digest));
            match cached {
                Some(manifest) => found.push(manifest),
                None => found.extend(read_manifest(state, origin, &digest)?),
            }
        }
    }
    Ok(found)
}

pub(super) fn read_manifest(
    state: &StoreState,
    origin: &Origin,
    digest: &Digest,
) -> Result<Option<Arc<Manifest>>, StoreError> {
    let path = state.layout.manifest(origin, digest);
    let Some(bytes) = read(state, &path, MANIFEST_BYTES_MAX)? else {
        return Ok(None);
    };
    match Manifest::new(*digest, Bytes::from(bytes), None) {
        Ok(manifest) => Ok(Some(Arc::new(manifest))),
        Err(error) => {
            remove_damaged(state, &path, &error)?;
            Ok(None)
        }
    }
}

pub(super) async fn provenance(
    state: &Arc<StoreState>,
    digest: Digest,
    origin: &Origin,
) -> Result<Provenance, StoreError> {
    if let Some(provenance) = state.provenance.get(&OriginKeyRef(origin, &digest)) {
        return Ok(provenance);
    }
    let key = (origin.clone(), digest);
    state
        .blocking(move |state| {
            // So that *referenced* never replaces a concurrent *confirmed*.
            let _stripe = state.stripe(&key).map(parking_lot::Mutex::lock);
            let provenance = look_up(state, &key.0, &key.1)?;
            if provenance != Provenance::Unknown {
                state.provenance.insert(key, provenance);
            }
            Ok(provenance)
        })
        .await
}

pub(super) async fn confirm(
    state: &Arc<StoreState>,
    digest: Digest,
    origin: &Origin,
) -> Result<(), StoreError> {
    let key = (origin.clone(), digest);
    if state.provenance.get(&key) == Some(Provenance::Confirmed) {
        return Ok(());
    }
    state
        .blocking(move |state| {
            let _stripe = state.stripe(&key).map(parking_lot::Mutex::lock);
            state.put_file(&state.layout.marker(&key.0, &key.1), &[])?;
            state.index.confirm(&[key.1], &key.0);
            state.provenance.insert(key, Provenance::Confirmed);
            Ok(())
        })
        .await
}

pub(super) fn confirmed_by(state: &StoreState, digest: &Digest) -> Result<Vec<Origin>, StoreError> {
    if state.index.is_complete() {
        return Ok(state.index.confirmed_by(digest));
    }
    let mut found = Vec::new();
    for origin in origins(state)? {
        if is_confirmed(state, &origin, digest)? {
            found.push(origin);
        }
    }
    Ok(found)
}

/// Every origin that has a folder.
pub(super) fn origins(state: &StoreState) -> Result<Vec<Origin>, StoreError> {
    let mut found = Vec::new();
    let mut rest = vec![(String::new(), 0)];
    while let Some((text, depth)) = rest.pop() {
        let entries = list(&*state.disk, &state.layout.origins().join(&text))?;
        let mut is_origin = false;
        for entry in entries.into_iter().filter(|entry| entry.is_folder) {
            if is_origin_subfolder(&entry.name) {
                is_origin = true;
            } else if text.is_empty() {
                rest.push((entry.name, depth + 1));
            } else if depth < DEPTH_MAX {
                rest.push((format!("{text}/{}", entry.name), depth + 1));
            }
        }
        if is_origin {
            found.extend(origin_from_text(&text));
        }
    }
    Ok(found)
}

/// The digests that the files of a folder are named by.
pub(super) fn digests(
    state: &StoreState,
    folder: &Path,
    algorithm: Algorithm,
) -> Result<Vec<Digest>, StoreError> {
    let mut found = Vec::new();
    each_digest(state, folder, algorithm, |digest| {
        found.push(digest);
        Ok(true)
    })?;
    Ok(found)
}

/// Passes them to `show` one by one until it returns `false` or an error; returns whether all were
/// shown.
pub(super) fn each_digest(
    state: &StoreState,
    folder: &Path,
    algorithm: Algorithm,
    mut show: impl FnMut(Digest) -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    let mut outcome = Ok(true);
    let visited = state.disk.visit(folder, &mut |entry| {
        if !entry.is_folder
            && let Ok(digest) = Digest::from_hex(algorithm, &entry.name)
        {
            outcome = show(digest);
        }
        match outcome {
            Ok(true) => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    });
    visited.map_err(StoreError::at(folder))?;
    outcome
}

fn look_up(state: &StoreState, origin: &Origin, digest: &Digest) -> Result<Provenance, StoreError> {
    if is_confirmed(state, origin, digest)? {
        return Ok(Provenance::Confirmed);
    }
    if state.index.member_size(digest, origin).is_some() {
        return Ok(Provenance::Referenced);
    }
    if state.index.is_complete() {
        return Ok(Provenance::Unknown);
    }
    let found = manifests(state, origin, SCAN_COUNT_MAX)?;
    let mut children = found.iter().flat_map(|manifest| manifest.children());
    Ok(if children.any(|child| child.digest == *digest) {
        Provenance::Referenced
    } else {
        Provenance::Unknown
    })
}

/// The marker's file decides; the index only lists the origins of a blob.
fn is_confirmed(state: &StoreState, origin: &Origin, digest: &Digest) -> Result<bool, StoreError> {
    let path = state.layout.marker(origin, digest);
    match state.disk.open(&path) {
        Ok(_marker) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(StoreError::at(&path)(error)),
    }
}

/// A whole small file; `None` if it is absent, or was not a file that the store could have written.
pub(super) fn read(
    state: &StoreState,
    path: &Path,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, StoreError> {
    match read_whole(&*state.disk, path, bytes_max) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if is_absent(&error) || error.kind() == io::ErrorKind::FileTooLarge => {
            remove_damaged(state, path, &error)?;
            Ok(None)
        }
        Err(error) => Err(StoreError::at(path)(error)),
    }
}

pub(super) fn remove_damaged(
    state: &StoreState,
    path: &Path,
    why: &dyn std::fmt::Display,
) -> Result<(), StoreError> {
    tracing::warn!(path = %path.display(), %why, "removing a damaged file");
    state.metrics.damaged();
    state.disk.remove(path).map_err(StoreError::at(path))
}

pub(super) fn list(disk: &dyn Disk, folder: &Path) -> Result<Vec<FolderEntry>, StoreError> {
    disk.list(folder).map_err(StoreError::at(folder))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput
    )
}
