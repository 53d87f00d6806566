package app

import "github.com/ashlar-go/ashlar/tenancy/guard"

// Exceptions are what the database guard finds and a reviewer has accepted.
func Exceptions() []guard.Exception {
	const provider = "the ids are the payment provider's: random, and the same object may not belong to two teams"
	return []guard.Exception{
		{Rule: "T06", Object: "billing.subscriptions", Reason: "null is a subscription of nobody's customer, which the system alone sees"},
		{Rule: "T08", Object: "billing.customers_provider_customer_id_key", Reason: provider},
		{Rule: "T08", Object: "billing.subscriptions_pkey", Reason: provider},
	}
}
