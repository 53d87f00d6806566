package jobs

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// docs/envelope.md names each member of an envelope, once, and no other; its example is what is
// stored, to the byte.
func TestEnvelopeIsAsDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/envelope.md")
	require.NoError(t, err)

	var members, documented []string
	for field := range reflect.TypeFor[envelope]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		members = append(members, name)
	}
	rows := regexp.MustCompile("(?m)^\\| (`[a-z`, ]+`) \\|").FindAllStringSubmatch(string(page), -1)
	for _, row := range rows {
		for _, name := range strings.Split(row[1], ", ") {
			documented = append(documented, strings.Trim(name, "`"))
		}
	}
	require.ElementsMatch(t, members, documented)

	example := regexp.MustCompile("(?s)```json\n(.*?)\n```").FindStringSubmatch(string(page))
	require.NotNil(t, example)
	env, err := decode([]byte(example[1]))
	require.NoError(t, err)
	require.Equal(t, envelope{
		Version: 1, Kind: "invoice.send", Tenant: "acme", MaxAttempts: 20, Args: json.RawMessage(`{"ID":42}`),
	}, env)
	require.Equal(t, example[1], string(env.encode()))
}
