-- The columns of columns.sql in order, without the tenant, which is the customer's.
insert into billing.subscriptions (provider, subscription_id, tenant_id, customer_id, state, plan, price,
	cancel_at_period_end, created_at, period_end, trial_end)
values ($1, $2, (select c.tenant_id from billing.customers c where c.provider = $1 and c.customer_id = $3), $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (provider, subscription_id) do update set
	tenant_id = excluded.tenant_id, customer_id = excluded.customer_id, state = excluded.state, plan = excluded.plan,
	price = excluded.price, cancel_at_period_end = excluded.cancel_at_period_end, created_at = excluded.created_at,
	period_end = excluded.period_end, trial_end = excluded.trial_end, updated_at = now()
returning coalesce(tenant_id, '')
