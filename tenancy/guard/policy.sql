alter table {table} enable row level security;
alter table {table} force row level security;
alter table {table} alter column {tenant} set default tenancy.row_tenant()::{type};
alter table {table} alter column {tenant} set not null;
drop policy if exists tenancy_app on {table};
create policy tenancy_app on {table} to tenancy_app
    using ({tenant} = (select tenancy.tenant_id()::{type}))
    with check ({tenant} = (select tenancy.tenant_id()::{type}));
drop policy if exists tenancy_system on {table};
create policy tenancy_system on {table} to tenancy_system using (true) with check (true);
grant select, insert, update, delete on {table} to tenancy_app, tenancy_system;
