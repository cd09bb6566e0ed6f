-- Who may do what. An access key without a user is the account's own, which may do everything in it.

ALTER TABLE access_keys ADD COLUMN user_name TEXT;
CREATE INDEX access_keys_by_account ON access_keys (account_id, created_at, id);

CREATE TABLE users (
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    -- argon2, with its salt; absent for users without a console login
    password_hash TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, name)
);

CREATE TABLE roles (
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    -- the document that says who may act in this role
    trust TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, name)
);

CREATE TABLE attached_documents (
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    -- user or role
    owner_kind TEXT NOT NULL,
    owner_name TEXT NOT NULL,
    name TEXT NOT NULL,
    -- absent where the name is that of a built-in document
    document TEXT,
    attached_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, owner_kind, owner_name, name)
);

-- Accounts whose machines an account backs up.
CREATE TABLE cross_accounts (
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    managed_account_id BIGINT NOT NULL,
    role_name TEXT NOT NULL,
    alias TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, managed_account_id, role_name)
);

CREATE TABLE audit (
    id TEXT PRIMARY KEY,
    account_id BIGINT NOT NULL,
    user_name TEXT,
    access_key_id TEXT NOT NULL,
    action TEXT NOT NULL,
    source_ip TEXT NOT NULL,
    subject TEXT,
    -- STARTED until the action has ended: what stays so is what a crash has cut off
    outcome TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX audit_by_account ON audit (account_id, started_at, id);
