package pgbilling_test

import (
	"fmt"
	"io/fs"

	"github.com/ashlar-go/ashlar/billing/pgbilling"
)

func ExampleMigrations() {
	files, err := fs.Glob(pgbilling.Migrations, "*.sql")
	fmt.Println(files, err)
	// Output: [0001_billing.sql 0002_tenancy.sql 0003_forget.sql] <nil>
}
