-- Databases and Redis servers that can be backed up. An id is unique on the server, whoever's it is.

CREATE TABLE resources (
    id TEXT PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL,
    engine TEXT NOT NULL,
    -- what may be shown of the URL, as JSON
    address TEXT NOT NULL,
    -- sealed
    url TEXT NOT NULL,
    is_cluster BIGINT NOT NULL,
    -- where its backups go; without one into the account's vault of databases
    vault_id TEXT,
    -- of a server that this one runs itself: where, as JSON
    instance TEXT,
    state TEXT NOT NULL,
    -- as the server told when it was last asked
    version TEXT,
    -- when it is backed up by itself, as JSON
    policy TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX resources_by_account ON resources (account_id, kind, created_at, id);
CREATE INDEX resources_by_vault ON resources (vault_id) WHERE vault_id IS NOT NULL;
