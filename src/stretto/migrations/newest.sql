CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE cache_entry (
    "key" TEXT NOT NULL,
    size INTEGER NOT NULL,
    created_at REAL NOT NULL,
    last_used_at REAL NOT NULL,
    expires_at REAL,
    hits INTEGER DEFAULT 0 NOT NULL,
    value BLOB NOT NULL, source TEXT DEFAULT '' NOT NULL, epoch INTEGER DEFAULT 0 NOT NULL, engine TEXT DEFAULT '' NOT NULL, model TEXT DEFAULT '' NOT NULL, grain TEXT DEFAULT '' NOT NULL, scope TEXT DEFAULT '' NOT NULL, tag TEXT DEFAULT '' NOT NULL, speech_s REAL DEFAULT 0 NOT NULL,
    PRIMARY KEY ("key")
);
CREATE TABLE transcript (
    number INTEGER NOT NULL,
    id TEXT NOT NULL,
    request_key TEXT NOT NULL,
    file_hash TEXT NOT NULL,
    file TEXT NOT NULL,
    language TEXT NOT NULL,
    status TEXT NOT NULL,
    duration_s REAL NOT NULL,
    created_at REAL NOT NULL,
    engine TEXT NOT NULL,
    speed REAL,
    document BLOB NOT NULL, version INTEGER DEFAULT 1 NOT NULL, "indexed" INTEGER DEFAULT 0 NOT NULL, owner TEXT DEFAULT '' NOT NULL,
    PRIMARY KEY (number),
    UNIQUE (id)
);
CREATE INDEX transcript_request ON transcript (request_key, status, created_at, number);
CREATE INDEX transcript_created_at ON transcript (created_at, number);
CREATE INDEX transcript_file_hash ON transcript (file_hash);
CREATE INDEX transcript_speed ON transcript (engine, created_at) WHERE speed IS NOT NULL;
CREATE INDEX cache_entry_source ON cache_entry (source);
CREATE INDEX transcript_language ON transcript (language, created_at, number);
CREATE INDEX transcript_status ON transcript (status, created_at, number);
CREATE INDEX transcript_unindexed ON transcript (number) WHERE indexed = 0;
CREATE TABLE segment (
    number INTEGER NOT NULL,
    transcript INTEGER NOT NULL,
    position INTEGER NOT NULL,
    start_s REAL NOT NULL,
    end_s REAL NOT NULL,
    text TEXT NOT NULL,
    stems TEXT NOT NULL,
    words BLOB NOT NULL,
    PRIMARY KEY (number),
    CONSTRAINT segment_place UNIQUE (transcript, position),
    CONSTRAINT segment_transcript_fkey FOREIGN KEY(transcript) REFERENCES transcript (number) ON DELETE CASCADE
);
CREATE VIRTUAL TABLE segment_words USING fts5 (
        stems, content = 'segment', content_rowid = 'number',
        tokenize = 'unicode61 remove_diacritics 0'
    );
CREATE TRIGGER segment_words_added AFTER INSERT ON segment BEGIN
        INSERT INTO segment_words (rowid, stems) VALUES (new.number, new.stems);
    END;
CREATE TRIGGER segment_words_gone AFTER DELETE ON segment BEGIN
        INSERT INTO segment_words (segment_words, rowid, stems)
        VALUES ('delete', old.number, old.stems);
    END;
CREATE TABLE audio_file (
    file_hash TEXT NOT NULL,
    name TEXT NOT NULL,
    duration_s REAL NOT NULL,
    size_bytes INTEGER,
    container TEXT DEFAULT '' NOT NULL,
    codec TEXT DEFAULT '' NOT NULL,
    bitrate_bps INTEGER,
    first_seen_at REAL NOT NULL,
    last_seen_at REAL NOT NULL,
    PRIMARY KEY (file_hash)
);
CREATE TABLE outbox_event (
    number INTEGER NOT NULL,
    id TEXT NOT NULL,
    stream TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at REAL NOT NULL,
    delivered_at REAL,
    PRIMARY KEY (number),
    UNIQUE (id)
);
CREATE INDEX outbox_event_stream ON outbox_event (stream, number);
CREATE INDEX outbox_event_waiting ON outbox_event (number) WHERE delivered_at IS NULL;
CREATE INDEX outbox_event_delivered_at ON outbox_event (delivered_at) WHERE delivered_at IS NOT NULL;
CREATE TABLE outbox_receipt (
    consumer TEXT NOT NULL,
    event_id TEXT NOT NULL,
    received_at REAL NOT NULL,
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX outbox_receipt_received_at ON outbox_receipt (received_at);
CREATE TABLE outbox_lease (
    name TEXT NOT NULL,
    holder TEXT NOT NULL,
    until REAL NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE slow_statement (
    "key" VARCHAR(64) NOT NULL,
    shape TEXT NOT NULL,
    statement TEXT NOT NULL,
    site TEXT NOT NULL,
    count INTEGER NOT NULL,
    total_ms FLOAT NOT NULL,
    worst_ms FLOAT NOT NULL,
    rows INTEGER,
    last_seen_s FLOAT NOT NULL,
    PRIMARY KEY ("key")
);
CREATE TABLE learned_loading (
    "key" VARCHAR(64) NOT NULL,
    site TEXT NOT NULL,
    path TEXT NOT NULL,
    line INTEGER NOT NULL,
    state VARCHAR(16) NOT NULL,
    most_statements INTEGER NOT NULL,
    last_seen_s FLOAT NOT NULL,
    PRIMARY KEY ("key")
);
CREATE TABLE repeated_statement (
    "key" VARCHAR(64) NOT NULL,
    site TEXT NOT NULL,
    line INTEGER NOT NULL,
    shape TEXT NOT NULL,
    most_statements INTEGER NOT NULL,
    last_seen_s FLOAT NOT NULL,
    PRIMARY KEY ("key")
);
CREATE INDEX cache_entry_last_used_at ON cache_entry (last_used_at, size, speech_s);
CREATE INDEX cache_entry_hits ON cache_entry (hits, last_used_at);
CREATE INDEX cache_entry_engine ON cache_entry (engine, model);
CREATE INDEX cache_entry_created_at ON cache_entry (created_at);
CREATE INDEX cache_entry_tag ON cache_entry (tag) WHERE tag <> '';
CREATE TABLE cache_state (
    identity TEXT NOT NULL,
    invalidations INTEGER NOT NULL,
    PRIMARY KEY (identity)
);
CREATE TABLE cache_invalidation (
    number INTEGER NOT NULL,
    at REAL NOT NULL,
    source TEXT NOT NULL,
    engine TEXT NOT NULL,
    model TEXT NOT NULL,
    tag TEXT NOT NULL,
    made_before REAL,
    PRIMARY KEY (number)
);
CREATE INDEX cache_invalidation_at ON cache_invalidation (at);
CREATE TABLE cache_use (
    level TEXT NOT NULL,
    engine TEXT NOT NULL,
    count INTEGER NOT NULL,
    speech_s REAL NOT NULL,
    PRIMARY KEY (level, engine)
);
CREATE TABLE cache_lease (
    "key" TEXT NOT NULL,
    holder TEXT NOT NULL,
    until REAL NOT NULL,
    PRIMARY KEY ("key")
);
CREATE TABLE queue_job (
    id TEXT NOT NULL,
    file TEXT NOT NULL,
    work TEXT NOT NULL,
    work_key TEXT NOT NULL,
    priority INTEGER NOT NULL,
    status TEXT NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    run_at REAL NOT NULL,
    fence INTEGER NOT NULL,
    holder TEXT NOT NULL,
    lease_until REAL,
    lease_boot TEXT NOT NULL,
    errors INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    crashes_since REAL,
    crashed_after INTEGER NOT NULL,
    cancelling INTEGER NOT NULL,
    progress TEXT NOT NULL,
    transcript_id TEXT,
    error TEXT,
    cause TEXT,
    request_key TEXT,
    request_digest TEXT NOT NULL, callback TEXT DEFAULT '' NOT NULL, parent TEXT, division TEXT, owner TEXT DEFAULT '' NOT NULL, outages INTEGER DEFAULT 0 NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX queue_job_ready ON queue_job (priority, run_at, id) WHERE status = 'queued';
CREATE INDEX queue_job_lease ON queue_job (lease_boot, lease_until) WHERE status = 'processing';
CREATE INDEX queue_job_holder ON queue_job (holder) WHERE status = 'processing';
CREATE INDEX queue_job_work ON queue_job (work_key) WHERE status = 'processing';
CREATE UNIQUE INDEX queue_job_request ON queue_job (request_key) WHERE request_key IS NOT NULL;
CREATE INDEX queue_job_transcript ON queue_job (transcript_id);
CREATE TABLE queue_worker (
    id TEXT NOT NULL,
    node TEXT NOT NULL,
    started_at REAL NOT NULL,
    lease_until REAL NOT NULL,
    lease_boot TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE cdn_asset (
    "key" TEXT NOT NULL,
    transcript_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at REAL NOT NULL,
    state TEXT NOT NULL,
    store TEXT DEFAULT '' NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    trouble TEXT DEFAULT '' NOT NULL,
    due_at REAL DEFAULT 0 NOT NULL,
    holder TEXT DEFAULT '' NOT NULL,
    held_until REAL DEFAULT 0 NOT NULL,
    PRIMARY KEY ("key")
);
CREATE INDEX cdn_asset_transcript ON cdn_asset (transcript_id, kind);
CREATE INDEX cdn_asset_waiting ON cdn_asset ("key") WHERE state <> 'stored';
CREATE INDEX queue_job_created_at ON queue_job (created_at, id) WHERE parent IS NULL;
CREATE INDEX queue_job_status ON queue_job (status, created_at, id) WHERE (parent IS NULL OR status = 'failed');
CREATE INDEX queue_job_parent ON queue_job (parent) WHERE parent IS NOT NULL;
CREATE TABLE queue_webhook (
    id TEXT NOT NULL,
    job_id TEXT NOT NULL,
    url TEXT NOT NULL,
    body TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due_at REAL NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX queue_webhook_due ON queue_webhook (due_at);
CREATE TABLE metric_process (
    id TEXT NOT NULL,
    role TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    reported_at REAL NOT NULL,
    state TEXT NOT NULL,
    reading TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE metric_kept (
    name TEXT NOT NULL,
    ticked_at REAL NOT NULL,
    ended TEXT NOT NULL,
    told TEXT NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE metric_frame (
    step_s INTEGER NOT NULL,
    starts_at REAL NOT NULL,
    reading TEXT NOT NULL,
    PRIMARY KEY (step_s, starts_at)
);
CREATE TABLE alert_state (
    rule TEXT NOT NULL,
    status TEXT NOT NULL,
    since REAL NOT NULL,
    value REAL,
    incidents INTEGER NOT NULL,
    silenced_until REAL NOT NULL,
    told INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (rule)
);
CREATE INDEX queue_job_owner ON queue_job (owner, created_at, id);
CREATE INDEX transcript_owner ON transcript (owner, created_at, number);
CREATE TABLE access_key (
    id TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    owner TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at REAL NOT NULL,
    revoked_at REAL,
    PRIMARY KEY (id),
    UNIQUE (sha256)
);
INSERT INTO alembic_version VALUES ('0011');
INSERT INTO cache_state VALUES (lower(hex(randomblob(16))), 0);
