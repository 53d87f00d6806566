package guard

// own are the objects of this library that break a rule on purpose.
func own() []Exception {
	return []Exception{
		{"T07", "tenancy.outbox", "read by transaction id only, in commit order over all tenants"},
		{"T12", "tenancy.tenant_id()", "verifies the seal with keys that the app role must not read"},
		{"T12", "tenancy.seal_state()", "tells whether there are such keys, and nothing else of them"},
	}
}
