-- $1 tenant, $2 sources, $3 names, $4 checksums
insert into ashlar.tenant_migrations (tenant, source, name, checksum)
select $1, f.source, f.name, f.checksum from unnest($2::text[], $3::text[], $4::text[]) as f (source, name, checksum)
on conflict do nothing
