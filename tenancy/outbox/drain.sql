-- Removes events older than $1 seconds from the default partition that all sinks have ($2 their ids, $3 their snapshots, $4
-- their floors) and that are not among the anchors $5; the oldest $6 of them, and none if there are other sinks.
delete from tenancy.outbox_default
where ctid = any (array(
    select o.ctid from tenancy.outbox_default o
    where o.at < now() - make_interval(secs => $1) and o.id::text <> all (coalesce($5::text[], '{}'))
      and not exists (
          select from unnest($3::text[]::pg_snapshot[], $4::bigint[]) s (since, floor)
          where o.seq > s.floor and not pg_visible_in_snapshot(o.xid, s.since))
      and not exists (select from tenancy.outbox_sink s where s.id::text <> all (coalesce($2::text[], '{}')))
    order by o.seq
    limit $6))
