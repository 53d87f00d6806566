package tenancy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
)

func TestLSN(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]tenancy.LSN{"": 0, "0/0": 0, "16/B374D848": 0x16_B374D848, "FFFFFFFF/FFFFFFFF": 1<<64 - 1, "0/a": 10} {
		got, err := tenancy.ParseLSN(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"/", "1", "1/", "/1", "1/1/1", "123456789/0", "0/123456789", "x/0", "0/-1", "0/+1", " 0/1", "0/1'"} {
		_, err := tenancy.ParseLSN(text)
		require.Error(t, err, text)
	}
}

func FuzzParseLSN(f *testing.F) {
	f.Add("16/B374D848")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		at, err := tenancy.ParseLSN(text)
		if err != nil {
			return
		}
		again, err := tenancy.ParseLSN(at.String())
		require.NoError(t, err)
		require.Equal(t, at, again)
	})
}
