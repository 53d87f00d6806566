package jobs

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestScratchIsMarshal(t *testing.T) {
	s := newScratch()
	for _, v := range []any{
		nil, 7, "", "a\nb\n", "<b>&\u2028", struct{}{}, struct{ A, B string }{"x", "\n"}, []string{}, map[string]int{"b": 1, "a": 2},
		json.RawMessage(" { \"a\" : 1 } \n"), strings.Repeat("long ", 10_000), math.Inf(1), json.RawMessage("{"), make(chan int), "after errors",
	} {
		want, wantErr := json.Marshal(v)
		got, err := s.marshal(v)
		require.Equal(t, string(want), string(got))
		require.Equal(t, wantErr, err)
	}
}

// What a job keeps is its own: nothing of it changes with the next one.
func TestJobsShareNoMemory(t *testing.T) {
	var bodies [][]byte
	var texts []string
	for i := range 50 {
		args := planArgs{plan{Kind: "k", Args: json.RawMessage(strings.Repeat(strconv.Itoa(i%9+1), 300))}}
		job, err := NewJob("acme", args, nil, -1)
		require.NoError(t, err)
		bodies, texts = append(bodies, job.Body), append(texts, string(job.Body))
	}
	for i := range bodies {
		require.Equal(t, texts[i], string(bodies[i]))
	}
}
