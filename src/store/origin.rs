//! What belongs to an origin: its manifests, and the blobs its upstream confirmed.

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

/// Largest file we read as a manifest; what `pull` lets in is smaller.
const MANIFEST_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most manifests that are read to answer one question while the index is incomplete.
const SCAN_COUNT_MAX: usize = 10_000;
/// How deep folders of origins may lie: a name has up to 128 elements, `_local` and the host.
const DEPTH_MAX: usize = 130;

pub(super) async fn manifest(
    shelf: &Arc<StoreState>,
    origin: &Origin,
    digest: Digest,
) -> Result<Option<Arc<Manifest>>, StoreError> {
    if let Some(manifest) = shelf.manifests.get(&OriginKeyRef(origin, &digest)) {
        return Ok(Some(manifest));
    }
    let key = (origin.clone(), digest);
    shelf
        .blocking(move |shelf| {
            let found = read_manifest(shelf, &key.0, &key.1)?;
            if let Some(manifest) = &found {
                shelf.manifests.insert(key, Arc::clone(manifest));
            }
            Ok(found)
        })
        .await
}

pub(super) async fn keep_manifest(
    shelf: &Arc<StoreState>,
    origin: &Origin,
    manifest: &Arc<Manifest>,
) -> Result<(), StoreError> {
    let key = (origin.clone(), manifest.digest());
    if shelf.manifests.contains_key(&key) {
        return Ok(());
    }
    let manifest = Arc::clone(manifest);
    shelf
        .blocking(move |shelf| {
            let path = shelf.layout.manifest(&key.0, &key.1);
            shelf.put_file(&path, manifest.bytes())?;
            shelf.index.add_members(&key.0, &manifest);
            shelf.manifests.insert(key, manifest);
            Ok(())
        })
        .await
}

/// Reads from disk, past the cache: a list of all must not push out what is asked for.
pub(super) fn manifests(
    shelf: &StoreState,
    origin: &Origin,
    count_max: usize,
) -> Result<Vec<Arc<Manifest>>, StoreError> {
    let mut found = Vec::new();
    for algorithm in Algorithm::ALL {
        let folder = shelf.layout.manifests(origin, algorithm);
        for digest in digests(shelf, &folder, algorithm)? {
            if found.len() >= count_max {
                return Ok(found);
            }
            let cached = shelf.manifests.get(&(origin.clone(), digest));
            match cached {
                Some(manifest) => found.push(manifest),
                None => found.extend(read_manifest(shelf, origin, &digest)?),
            }
        }
    }
    Ok(found)
}

pub(super) fn read_manifest(
    shelf: &StoreState,
    origin: &Origin,
    digest: &Digest,
) -> Result<Option<Arc<Manifest>>, StoreError> {
    let path = shelf.layout.manifest(origin, digest);
    let Some(bytes) = read(shelf, &path, MANIFEST_BYTES_MAX)? else {
        return Ok(None);
    };
    match Manifest::new(*digest, Bytes::from(bytes), None) {
        Ok(manifest) => Ok(Some(Arc::new(manifest))),
        Err(error) => {
            remove_damaged(shelf, &path, &error)?;
            Ok(None)
        }
    }
}

pub(super) async fn provenance(
    shelf: &Arc<StoreState>,
    digest: Digest,
    origin: &Origin,
) -> Result<Provenance, StoreError> {
    if let Some(standing) = shelf.provenance.get(&OriginKeyRef(origin, &digest)) {
        return Ok(standing);
    }
    let key = (origin.clone(), digest);
    shelf
        .blocking(move |shelf| {
            // So that *named* never replaces a *confirmed* that came meanwhile.
            let _stripe = shelf.stripe(&key).map(parking_lot::Mutex::lock);
            let standing = look_up(shelf, &key.0, &key.1)?;
            if standing != Provenance::Unknown {
                shelf.provenance.insert(key, standing);
            }
            Ok(standing)
        })
        .await
}

pub(super) async fn confirm(
    shelf: &Arc<StoreState>,
    digest: Digest,
    origin: &Origin,
) -> Result<(), StoreError> {
    let key = (origin.clone(), digest);
    if shelf.provenance.get(&key) == Some(Provenance::Confirmed) {
        return Ok(());
    }
    shelf
        .blocking(move |shelf| {
            let _stripe = shelf.stripe(&key).map(parking_lot::Mutex::lock);
            shelf.put_file(&shelf.layout.marker(&key.0, &key.1), &[])?;
            shelf.index.confirm(&[key.1], &key.0);
            shelf.provenance.insert(key, Provenance::Confirmed);
            Ok(())
        })
        .await
}

pub(super) fn confirmed_by(shelf: &StoreState, digest: &Digest) -> Result<Vec<Origin>, StoreError> {
    if shelf.index.is_complete() {
        return Ok(shelf.index.confirmed_by(digest));
    }
    let mut found = Vec::new();
    for origin in origins(shelf)? {
        if is_confirmed(shelf, &origin, digest)? {
            found.push(origin);
        }
    }
    Ok(found)
}

/// Every origin that has a folder.
pub(super) fn origins(shelf: &StoreState) -> Result<Vec<Origin>, StoreError> {
    let mut found = Vec::new();
    let mut rest = vec![(String::new(), 0)];
    while let Some((text, depth)) = rest.pop() {
        let entries = list(&*shelf.disk, &shelf.layout.origins().join(&text))?;
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

/// The digests that files of a folder are named by.
pub(super) fn digests(
    shelf: &StoreState,
    folder: &Path,
    algorithm: Algorithm,
) -> Result<Vec<Digest>, StoreError> {
    let mut found = Vec::new();
    each_digest(shelf, folder, algorithm, |digest| {
        found.push(digest);
        Ok(true)
    })?;
    Ok(found)
}

/// Shows the same one by one, until told to stop by `false` or an error; whether all were shown.
pub(super) fn each_digest(
    shelf: &StoreState,
    folder: &Path,
    algorithm: Algorithm,
    mut show: impl FnMut(Digest) -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    let mut outcome = Ok(true);
    let visited = shelf.disk.visit(folder, &mut |entry| {
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

fn look_up(shelf: &StoreState, origin: &Origin, digest: &Digest) -> Result<Provenance, StoreError> {
    if is_confirmed(shelf, origin, digest)? {
        return Ok(Provenance::Confirmed);
    }
    if shelf.index.member_size(digest, origin).is_some() {
        return Ok(Provenance::Referenced);
    }
    if shelf.index.is_complete() {
        return Ok(Provenance::Unknown);
    }
    let found = manifests(shelf, origin, SCAN_COUNT_MAX)?;
    let mut children = found.iter().flat_map(|manifest| manifest.children());
    Ok(if children.any(|child| child.digest == *digest) {
        Provenance::Referenced
    } else {
        Provenance::Unknown
    })
}

/// The marker's file is the truth; the index only knows where to look for all of them.
fn is_confirmed(shelf: &StoreState, origin: &Origin, digest: &Digest) -> Result<bool, StoreError> {
    let path = shelf.layout.marker(origin, digest);
    match shelf.disk.open(&path) {
        Ok(_marker) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(StoreError::at(&path)(error)),
    }
}

/// A whole small file; none if it is absent, or was no file we could have written.
pub(super) fn read(
    shelf: &StoreState,
    path: &Path,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, StoreError> {
    match read_whole(&*shelf.disk, path, bytes_max) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if is_absent(&error) || error.kind() == io::ErrorKind::FileTooLarge => {
            remove_damaged(shelf, path, &error)?;
            Ok(None)
        }
        Err(error) => Err(StoreError::at(path)(error)),
    }
}

pub(super) fn remove_damaged(
    shelf: &StoreState,
    path: &Path,
    why: &dyn std::fmt::Display,
) -> Result<(), StoreError> {
    tracing::warn!(path = %path.display(), %why, "a kept file is damaged; it is removed");
    shelf.metrics.damaged();
    shelf.disk.remove(path).map_err(StoreError::at(path))
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
