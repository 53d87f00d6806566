-- Removes events older than $1 seconds from the default partition that all sinks have ($2 their snapshots, $3 their floors)
-- and that are not among the anchors $4; at most $5.
delete from tenancy.outbox_default
where ctid = any (array(
    select o.ctid from tenancy.outbox_default o
    where o.at < now() - make_interval(secs => $1) and o.id::text <> all (coalesce($4::text[], '{}'))
      and not exists (
          select from unnest($2::text[]::pg_snapshot[], $3::bigint[]) s (since, floor)
          where o.seq > s.floor and not pg_visible_in_snapshot(o.xid, s.since))
    limit $5))
