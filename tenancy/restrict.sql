-- Restricts the tenant $1 to the access $2; the time is that of the change. It is on disk before anybody relies on it, whatever
-- synchronous_commit says.
insert into tenancy.restriction as r (tenant, access)
select $1, $2
where current_setting('synchronous_commit') <> 'off' or set_config('synchronous_commit', 'on', true) = 'on'
on conflict (tenant) do update set access = excluded.access, at = excluded.at where r.access <> excluded.access
