//! Docker's `config.json`, and the pull Secrets of Kubernetes.

#[cfg(test)]
pub(super) mod vectors;
