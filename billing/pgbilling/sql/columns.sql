select provider, subscription_id, coalesce(tenant_id, ''), customer_id, state, plan, price, cancel_at_period_end,
	created_at, period_end, trial_end
from billing.subscriptions
