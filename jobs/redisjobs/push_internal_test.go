package redisjobs

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// A body comes back as it went in, whatever it is.
func FuzzStored(f *testing.F) {
	for _, body := range []string{"", "=", "a", opening, opening + "=", opening + "mail", opening + `mail","args":{}}`, "=" + opening + "mail"} {
		f.Add(body, "", int8(0))
		f.Add(body, "acme", int8(2))
	}
	f.Fuzz(func(t *testing.T, body, tenant string, priority int8) {
		j := driver.Job{Body: []byte(body), Tenant: tenant, Priority: driver.Priority(priority)}
		if checkTenant(&j) != nil {
			return
		}
		text := string(stored(&j))
		whose, got := readStored(text)
		require.Equal(t, []string{tenant, body}, []string{whose, string(got)})
		rest, cut := strings.CutPrefix(body, opening)
		if cut && rest != "" && rest[0] != whole {
			require.Len(t, text, routeSize+len(tenant)+len(rest), "the opening is not stored")
		}
	})
}

// What stored did not make is handed out unread: it says itself that it is
// nothing.
func TestForeignBodies(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "2", "20000", "20004abc", "20-01a=", "20+01a=", "garbage", `{"v":1,"kind":"a"}`} {
		tenant, body := readStored(text)
		require.Equal(t, []string{"", text}, []string{tenant, string(body)})
	}
}

// An envelope of 200 bytes of arguments fits into the allocator's class of 224
// bytes, which is what makes a job cheap to keep.
func TestStoredIsShort(t *testing.T) {
	t.Parallel()
	body := opening + `bench","args":` + strings.Repeat("x", 200) + "}"
	const sds = 4 // the server's header and end of a string
	require.LessOrEqual(t, len(stored(&driver.Job{Body: []byte(body)}))+sds, 224)
}
