insert into tenancy.inbox (tenant_id, consumer, event_id)
values (tenancy.tenant_or_none(), $1, $2::text::uuid)
on conflict do nothing
