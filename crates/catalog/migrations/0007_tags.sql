-- What callers have written on their things: tags, and the resource group that each is in. Ids are never reused.

CREATE TABLE tags (
    resource_id TEXT NOT NULL,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    tag_key TEXT NOT NULL,
    tag_value TEXT NOT NULL,
    PRIMARY KEY (resource_id, tag_key)
);
CREATE INDEX tags_by_key ON tags (account_id, tag_key, tag_value);

CREATE TABLE resource_groups (
    resource_id TEXT PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    group_id TEXT NOT NULL
);
