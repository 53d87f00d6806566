package record_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy/record"
)

func TestDescribe(t *testing.T) {
	t.Parallel()
	type member struct {
		record.Base
		Email  string `db:"email,search"`
		Role   string `enum:"owner,member" label:"What they may do"`
		UserID *int64 `db:"user_id" ref:"app.users"`
		Hash   []byte `json:"-"`
		Seen   time.Time
		Prefs  map[string]bool
	}
	d := record.Define[member]("app.members", &record.Options{Audited: true, Unique: []record.Unique{{Columns: []string{"email"}}}}).Describe()
	body, err := json.Marshal(d)
	require.NoError(t, err)
	var back record.Description
	require.NoError(t, json.Unmarshal(body, &back))
	require.Equal(t, d, back)
	require.Equal(t, "app.members", d.Table)
	require.True(t, d.Audited)
	require.False(t, d.SoftDelete)
	require.Equal(t, [][]string{{"id"}, {"email"}}, d.Unique)
	require.Equal(t, []record.Column{
		{Name: "id", Field: "Base.ID", Kind: "text", SQL: "text", Go: "string", Key: true, ReadOnly: true, Label: "Id"},
		{Name: "version", Field: "Base.Version", Kind: "integer", SQL: "bigint", Go: "int64", ReadOnly: true, Role: "version", Label: "Version"},
		{Name: "created_at", Field: "Base.CreatedAt", Kind: "time", SQL: "timestamptz", Go: "time.Time", ReadOnly: true, Role: "created", Label: "Created at"},
		{Name: "updated_at", Field: "Base.UpdatedAt", Kind: "time", SQL: "timestamptz", Go: "time.Time", ReadOnly: true, Role: "updated", Label: "Updated at"},
		{Name: "email", Field: "Email", Kind: "text", SQL: "text", Go: "string", Search: true, Label: "Email"},
		{Name: "role", Field: "Role", Kind: "text", SQL: "text", Go: "string", Choices: []string{"owner", "member"}, Label: "What they may do"},
		{Name: "user_id", Field: "UserID", Kind: "integer", SQL: "bigint", Go: "*int64", Nullable: true, Ref: "app.users", Label: "User id"},
		{Name: "hash", Field: "Hash", Kind: "bytes", SQL: "bytea", Go: "[]uint8", Hidden: true, Label: "Hash"},
		{Name: "seen", Field: "Seen", Kind: "time", SQL: "timestamptz", Go: "time.Time", Label: "Seen"},
		{Name: "prefs", Field: "Prefs", Kind: "json", SQL: "jsonb", Go: "map[string]bool", Label: "Prefs"},
	}, d.Columns)
	require.Equal(t, "deleted", notes.Describe().Columns[4].Role)
}

// Each struct below is a mistake that Define refuses, by a part of what it says.
func TestDefineRefuses(t *testing.T) {
	t.Parallel()
	refuses := func(want string, define func()) {
		t.Helper()
		defer func() { require.Contains(t, fmt.Sprint(recover()), want) }()
		define()
	}
	type ok struct {
		ID string `db:"id,pk"`
	}
	refuses("want a struct", func() { record.Define[int]("x", nil) })
	refuses("no field is tagged pk", func() { record.Define[struct{ A int }]("x", nil) })
	refuses("unknown option", func() {
		record.Define[struct {
			A int `db:"a,pk,primary"`
		}]("x", nil)
	})
	refuses("two fields for the column a", func() {
		record.Define[struct {
			A string `db:"a,pk"`
			B string `db:"a"`
		}]("x", nil)
	})
	refuses("same role", func() {
		record.Define[struct {
			A    string `db:"a,pk"`
			B, C int    `db:",version"`
		}]("x", nil)
	})
	refuses("a version is an integer", func() {
		record.Define[struct {
			A string `db:"a,pk"`
			B string `db:"b,version"`
		}]("x", nil)
	})
	refuses("want time.Time", func() {
		record.Define[struct {
			A string `db:"a,pk"`
			B string `db:"b,created"`
		}]("x", nil)
	})
	refuses("auto is for a primary key", func() {
		record.Define[struct {
			A string `db:"a,pk"`
			B string `db:"b,auto"`
		}]("x", nil)
	})
	refuses("tenant's column", func() {
		record.Define[struct {
			A string `db:"a,pk"`
			B string `db:"tenant_id"`
		}]("x", nil)
	})
	refuses("needs a field DeletedAt", func() { record.Define[ok]("x", &record.Options{SoftDelete: true}) })
	refuses("want *time.Time", func() {
		record.Define[struct {
			ok
			DeletedAt time.Time
		}]("x", &record.Options{SoftDelete: true})
	})
	refuses("unknown column", func() { record.Define[ok]("x", &record.Options{Unique: []record.Unique{{Columns: []string{"b"}}}}) })
	for _, name := range []string{"", ".", "a.", ".a", "a.b.c"} {
		refuses("a table's name", func() { record.Define[ok](name, nil) })
	}
}
