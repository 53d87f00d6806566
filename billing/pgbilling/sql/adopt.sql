-- $1 provider, $2 tenant, $3 customer.
update billing.subscriptions set tenant_id = $2, updated_at = now()
where provider = $1 and customer_id = $3 and tenant_id is null
