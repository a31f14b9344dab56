//! Docker's `config.json`, and the pull Secrets of Kubernetes.

pub(in crate::platform) mod import;
#[cfg(test)]
mod vectors;
