package guard

// own are the objects of this library that break a rule on purpose.
func own() []Exception {
	return []Exception{
		{"T07", "tenancy.outbox", "read by transaction id only, in commit order over all tenants"},
	}
}
