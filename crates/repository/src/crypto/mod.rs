//! AES-256-CTR with Poly1305-AES, as restic seals everything.
