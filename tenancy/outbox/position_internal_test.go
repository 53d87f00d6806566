package outbox

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzPosition(f *testing.F) {
	for _, s := range []string{"", "1|1:1:||0", "1|7:9:7,8|9:12:|41", "1|1:1:|", "2|1:1:||0", "1|1:1:||-1", "1|a:1:||0", "1|1:1:|x|0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePosition(s)
		if err != nil {
			return
		}
		again, err := parsePosition(p.String())
		require.NoError(t, err)
		require.Equal(t, p, again)
	})
}

func TestBadPositions(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"1|1:1:|", "2|1:1:||0", "1|1:1:||-1", "1|1:1:||x", "1|a:1:||0", "1|1:1:|x|0", "1|||0"} {
		_, err := parsePosition(s)
		require.Error(t, err, s)
	}
}
