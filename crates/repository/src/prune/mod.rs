//! Prune: gives back the space nothing refers to.
