-- Tables that hold rows of tenants without protection.
create table app.forgotten (tenant_id text not null, body text);
grant select, insert on app.forgotten to tenancy_app, tenancy_system;
create materialized view app.summary as select tenant_id, count(*) from app.forgotten group by tenant_id;
create table app.half (tenant_id text not null, body text);
alter table app.half enable row level security;
create policy everyone on app.half to tenancy_app using (true) with check (true);
grant select, insert on app.half to tenancy_app;
-- Of another program: no role of ours may look into its schema.
create schema foreigners;
create table foreigners.things (tenant_id text not null, id bigserial);
grant select, delete on foreigners.things to tenancy_app, tenancy_system;
alter table foreigners.things enable row level security;
create policy tenancy_app on foreigners.things to tenancy_app using (tenant_id = (select tenancy.tenant_id()));
