-- Restricts the tenant $1 to the access $2; the time is that of the change.
insert into tenancy.restriction as r (tenant, access) values ($1, $2)
on conflict (tenant) do update set access = excluded.access, at = excluded.at where r.access <> excluded.access
