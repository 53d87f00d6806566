package outbox

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const full = "2|1066b5e7-0640-4177-9697-89f94c2d5a26/16713|d7ce5c51-8a4e-44ff-bb28-f75dddb0e7ea|700:753:701,740|760:770:765|41|7|" +
	"752|01a2245a-9f5b-72de-9601-9008a53f2a34|1795906248540187|1795906248581267"

func FuzzPosition(f *testing.F) {
	for _, s := range []string{
		"", full, "1|1:1:||0", "1|7:9:7,8|9:12:|41", "1|1:1:|", "3|1:1:||0", "1|1:1:||-1", "1|a:1:||0", "1|1:1:|x|0",
		"2||d7ce5c51-8a4e-44ff-bb28-f75dddb0e7ea|1:1:||0|0|0||0|0", full + "|9|1795906248581268", full + "|0|1",
	} {
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
		done, err := p.from.parse()
		require.NoError(t, err)
		for _, max := range []uint64{1, done.min, done.max, done.max + 1} {
			earlier, err := p.from.before(max)
			require.NoError(t, err)
			x, err := earlier.parse()
			require.NoError(t, err, "%q before %d is %q", p.from, max, earlier)
			require.LessOrEqual(t, x.max, done.max)
		}
	})
}

func TestPositionSurvivesItsText(t *testing.T) {
	t.Parallel()
	p, err := parsePosition(full)
	require.NoError(t, err)
	require.Equal(t, full, p.String())
	p, err = parsePosition(full + "|9|1795906248581268")
	require.NoError(t, err)
	require.EqualValues(t, 9, p.moved)
	require.Equal(t, full+"|9|1795906248581268", p.String())
	p, err = parsePosition("1|7:9:7,8|9:12:|41")
	require.NoError(t, err)
	require.Equal(t, position{from: "7:9:7,8", upto: "9:12:", seq: 41}, p)
}

func TestBadPositions(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"1|1:1:|", "3|1:1:||0", "1|1:1:||-1", "1|1:1:||x", "1|a:1:||0", "1|1:1:|x|0", "1|||0", "2|1:1:||0",
		"1|9:7:||0", "1|1:9:8,7||0", "1|5:9:4||0", "1|5:9:9||0", "1|0:9:||0", "1|1:99999999999999999999:||0",
		full + "|", full + "|1", full + "|0|1", full + "|-1|1", full + "|1|x", full[:len(full)-1] + "x", "2|l|not-an-id|1:1:||0|0|0||0|0", "2|l||1:1:||0|0|7||0|0", "2|l||1:1:||0|-1|0||0|0",
	} {
		_, err := parsePosition(s)
		require.Error(t, err, s)
	}
}

// TestSnapshotBefore: what the position says must not speak of transactions after the last event.
func TestSnapshotBefore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   snapshot
		max  uint64
		want snapshot
	}{
		{"10:20:10,15", 30, "10:20:10,15"},
		{"10:20:10,15", 20, "10:20:10,15"},
		{"10:20:10,15", 15, "10:15:10"},
		{"10:20:10,15", 16, "10:16:10,15"},
		{"10:20:10,15", 10, "10:10:"},
		{"10:20:10,15", 5, "5:5:"},
		{"12:20:", 15, "15:15:"},
	} {
		got, err := c.in.before(c.max)
		require.NoError(t, err)
		require.Equal(t, c.want, got, "%s before %d", c.in, c.max)
	}
}
