package record

// Options configures a table. A nil *Options and the zero value mean the defaults.
type Options struct {
	// Tenant is the column of the tenant. Empty means tenant_id; "-" means that the table has none, as a table that all
	// tenants share.
	Tenant string

	// SoftDelete makes Delete set the field DeletedAt, or the one tagged deleted, instead of removing the row.
	SoftDelete bool

	// Unique are the unique constraints and indexes besides the primary key. PostgreSQL knows its own; the in-memory kit
	// knows these, Upsert takes the predicate of a partial index from here, and errors their column names. Nil means none.
	Unique []Unique

	// Checks are the check constraints that the in-memory kit enforces, by name. Nil means none.
	Checks map[string]string

	// Audited writes an entry into the audit log for each record that is written, with the fields that changed; a field with
	// the tag json:"-" stays out of it, and so do version and times. The entries ride with COMMIT; a write outside of a unit
	// becomes one, of two round trips. What cannot know the old values fails: Upsert, and SaveLater of a change.
	Audited bool

	// CursorKeys seal the cursors of Page. The first one seals, all open, so that a key can be replaced. Each has 32 bytes or
	// more. Nil means a random key of this process: cursors then end with it, and other processes refuse them.
	CursorKeys [][]byte
}

// Unique is a unique constraint or index. Its first column is the tenant, which is not named here.
type Unique struct {
	// Columns are the columns without the tenant.
	Columns []string

	// Where is the predicate of a partial index, as "deleted_at is null". Empty means that all rows are in it.
	Where string

	// Name is what PostgreSQL calls it. Empty means the name that PostgreSQL gives by itself: table_columns_key.
	Name string

	// AllTenants says that the tenant is not part of it: a value can exist once in the whole table. With the columns of the
	// primary key it is about that.
	AllTenants bool
}

func (o *Options) tenant() string {
	switch {
	case o == nil || o.Tenant == "":
		return "tenant_id"
	case o.Tenant == "-":
		return ""
	}
	return o.Tenant
}
