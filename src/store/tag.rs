//! What tags meant when they were last asked for, a small file each.

use std::{io, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    error::StoreError,
    origin::{list, read, remove_damaged},
    records::TagRecord,
    state::{CachedTag, OriginKeyRef, StoreState},
};
use crate::oci::{Origin, Tag};

/// Largest file we read as a tag record.
const TAG_BYTES_MAX: usize = 4096;
/// How much later than its file a record's `checked` may be: a tag that is asked for every few
/// seconds is not synced to disk each time.
const CHECKED_LAG_SECONDS_MAX: i64 = 60;

/// A tag record as its file has it.
#[derive(Serialize, Deserialize)]
struct TagFile {
    digest: String,
    checked: String,
}

pub(super) async fn find(
    shelf: &Arc<StoreState>,
    origin: &Origin,
    tag: &Tag,
) -> Result<Option<TagRecord>, StoreError> {
    if let Some(kept) = shelf.tags.get(&OriginKeyRef(origin, tag)) {
        return Ok(Some(kept.record));
    }
    let key = (origin.clone(), tag.clone());
    shelf
        .blocking(move |shelf| {
            let _stripe = shelf.stripe(&key).map(parking_lot::Mutex::lock);
            let record = read_tag(shelf, &shelf.layout.tag(&key.0, &key.1))?;
            if let Some(record) = record {
                let written = record.checked;
                shelf.tags.insert(key, CachedTag { record, written });
            }
            Ok(record)
        })
        .await
}

pub(super) async fn keep(
    shelf: &Arc<StoreState>,
    origin: &Origin,
    tag: &Tag,
    record: TagRecord,
) -> Result<(), StoreError> {
    let key = (origin.clone(), tag.clone());
    shelf
        .blocking(move |shelf| {
            let _stripe = shelf.stripe(&key).map(parking_lot::Mutex::lock);
            let written = shelf
                .tags
                .get(&key)
                .filter(|kept| kept.record.digest == record.digest)
                .map(|kept| kept.written)
                .filter(|written| is_recent(*written, record.checked));
            let written = if let Some(written) = written {
                written
            } else {
                write_tag(shelf, &shelf.layout.tag(&key.0, &key.1), record)?;
                record.checked
            };
            shelf.tags.insert(key, CachedTag { record, written });
            Ok(())
        })
        .await
}

pub(super) async fn forget(
    shelf: &Arc<StoreState>,
    origin: &Origin,
    tag: &Tag,
) -> Result<(), StoreError> {
    let key = (origin.clone(), tag.clone());
    shelf
        .blocking(move |shelf| {
            let _stripe = shelf.stripe(&key).map(parking_lot::Mutex::lock);
            let path = shelf.layout.tag(&key.0, &key.1);
            shelf.tags.invalidate(&key);
            let folder = shelf.layout.tags(&key.0);
            let removed = shelf.disk.remove(&path);
            removed.map_err(StoreError::at(&path))?;
            // A tag that upstream removed must not come back after a power cut.
            match shelf.disk.sync_folder(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(StoreError::at(&folder)(error))
                }
                _ => Ok(()),
            }
        })
        .await
}

pub(super) fn all(shelf: &StoreState, origin: &Origin) -> Result<Vec<Tag>, StoreError> {
    let folder = shelf.layout.tags(origin);
    let entries = list(&*shelf.disk, &folder)?;
    let files = entries.iter().filter(|entry| !entry.is_folder);
    let mut tags: Vec<Tag> = files.filter_map(|entry| entry.name.parse().ok()).collect();
    tags.sort();
    Ok(tags)
}

fn read_tag(shelf: &StoreState, path: &Path) -> Result<Option<TagRecord>, StoreError> {
    let Some(bytes) = read(shelf, path, TAG_BYTES_MAX)? else {
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
        remove_damaged(shelf, path, &"no tag record")?;
    }
    Ok(parsed)
}

fn write_tag(shelf: &StoreState, path: &Path, record: TagRecord) -> Result<(), StoreError> {
    let record = TagFile {
        digest: record.digest.to_string(),
        checked: record.checked.to_string(),
    };
    let bytes = serde_json::to_vec(&record).map_err(io::Error::from);
    shelf.put_file(path, &bytes.map_err(StoreError::at(path))?)
}

fn is_recent(written: jiff::Timestamp, checked: jiff::Timestamp) -> bool {
    (0..CHECKED_LAG_SECONDS_MAX).contains(&(checked.as_second() - written.as_second()))
}
