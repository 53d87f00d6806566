insert into tenancy.inbox (tenant_id, consumer, event_id)
values (coalesce(current_setting('tenancy.tenant', true), ''), $1, $2::text::uuid)
on conflict do nothing
