-- SQL that was injected writes no event that DB.Emit would refuse: a relay reads at least one event at a time, of all tenants, and
-- hands it on, so one of a gigabyte would end the process, again and again.
alter policy tenancy_app_insert on tenancy.outbox with check (
    tenant_id = (select tenancy.tenant_id())
    and type <> '' and octet_length(type) <= 255 and octet_length(key) <= 255 and octet_length(payload) <= 1048576
);
