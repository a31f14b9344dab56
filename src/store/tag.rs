//! Tag records: the manifest of each tag as of its last check, one small file each.

use std::{io, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    error::StoreError,
    origin::{list, read, remove_damaged},
    records::TagRecord,
    state::{CachedTag, OriginKeyRef, StoreState},
};
use crate::oci::{Origin, Tag};

/// Largest file that is read as a tag record.
const TAG_BYTES_MAX: usize = 4096;
/// How much newer than its file a record's `checked` may be, so that a tag requested every few
/// seconds is not synced to disk each time.
const CHECKED_LAG_SECONDS_MAX: i64 = 60;

/// A tag record as stored in its file.
#[derive(Serialize, Deserialize)]
struct TagFile {
    digest: String,
    checked: String,
}

pub(super) async fn find(
    state: &Arc<StoreState>,
    origin: &Origin,
    tag: &Tag,
) -> Result<Option<TagRecord>, StoreError> {
    if let Some(kept) = state.tags.get(&OriginKeyRef(origin, tag)) {
        return Ok(Some(kept.record));
    }
    let key = (origin.clone(), tag.clone());
    state
        .blocking(move |state| {
            let _stripe = state.stripe(&key).map(parking_lot::Mutex::lock);
            let record = read_tag(state, &state.layout.tag(&key.0, &key.1))?;
            if let Some(record) = record {
                let written = record.checked;
                state.tags.insert(key, CachedTag { record, written });
            }
            Ok(record)
        })
        .await
}

pub(super) async fn keep(
    state: &Arc<StoreState>,
    origin: &Origin,
    tag: &Tag,
    record: TagRecord,
) -> Result<(), StoreError> {
    let key = (origin.clone(), tag.clone());
    state
        .blocking(move |state| {
            let _stripe = state.stripe(&key).map(parking_lot::Mutex::lock);
            let written = state
                .tags
                .get(&key)
                .filter(|kept| kept.record.digest == record.digest)
                .map(|kept| kept.written)
                .filter(|written| is_recent(*written, record.checked));
            let written = if let Some(written) = written {
                written
            } else {
                write_tag(state, &state.layout.tag(&key.0, &key.1), record)?;
                record.checked
            };
            state.tags.insert(key, CachedTag { record, written });
            Ok(())
        })
        .await
}

pub(super) async fn forget(
    state: &Arc<StoreState>,
    origin: &Origin,
    tag: &Tag,
) -> Result<(), StoreError> {
    let key = (origin.clone(), tag.clone());
    state
        .blocking(move |state| {
            let _stripe = state.stripe(&key).map(parking_lot::Mutex::lock);
            let path = state.layout.tag(&key.0, &key.1);
            state.tags.invalidate(&key);
            let folder = state.layout.tags(&key.0);
            let removed = state.disk.remove(&path);
            removed.map_err(StoreError::at(&path))?;
            // A removed tag must not reappear after a power cut.
            match state.disk.sync_folder(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(StoreError::at(&folder)(error))
                }
                _ => Ok(()),
            }
        })
        .await
}

pub(super) fn all(state: &StoreState, origin: &Origin) -> Result<Vec<Tag>, StoreError> {
    let folder = state.layout.tags(origin);
    let entries = list(&*state.disk, &folder)?;
    let files = entries.iter().filter(|entry| !entry.is_folder);
    let mut tags: Vec<Tag> = files.filter_map(|entry| entry.name.parse().ok()).collect();
    tags.sort();
    Ok(tags)
}

fn read_tag(state: &StoreState, path: &Path) -> Result<Option<TagRecord>, StoreError> {
    let Some(bytes) = read(state, path, TAG_BYTES_MAX)? else {
        return Ok(None);
    };
    let parsed = serde_json::from_slice::<TagFile>(&bytes).ok();
    let parsed = parsed.and_then(|record| {
        Some(TagRecord {
            digest: record.digest.parse().ok()?,
            checked: record.checked.parse().ok()?,
        })
    });
    if parsed.is_none() {
        remove_damaged(state, path, &"not a tag record")?;
    }
    Ok(parsed)
}

fn write_tag(state: &StoreState, path: &Path, record: TagRecord) -> Result<(), StoreError> {
    let record = TagFile {
        digest: record.digest.to_string(),
        checked: record.checked.to_string(),
    };
    let bytes = serde_json::to_vec(&record).map_err(io::Error::from);
    state.put_file(path, &bytes.map_err(StoreError::at(path))?)
}

fn is_recent(written: jiff::Timestamp, checked: jiff::Timestamp) -> bool {
    (0..CHECKED_LAG_SECONDS_MAX).contains(&(checked.as_second() - written.as_second()))
}
