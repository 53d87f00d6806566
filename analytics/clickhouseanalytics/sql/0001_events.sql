-- One row per event. Repeats of a batch are dropped by its token for the last 10000 inserts (the window is off by
-- default on a table that is not replicated); a later repeat of an id collapses when parts merge.
CREATE TABLE IF NOT EXISTS {events} (
    tenant   LowCardinality(String),
    event    LowCardinality(String),
    id       UUID,
    user_id  String,
    time     DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    received DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta, ZSTD),
    props    JSON
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (tenant, event, toDate(time), cityHash64(user_id), id)
SETTINGS non_replicated_deduplication_window = 10000
