package driver_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// FuzzFlowOf reads any id: only what FlowJobID makes is a flow's job.
func FuzzFlowOf(f *testing.F) {
	for _, id := range []string{"a~0.0", driver.FlowJobID("flow.1", 99, 99_999), driver.FailureID("a"), "a~01.2", "a~+1.2", "a~1.-2", "a~1~2.3", "~0.0", "a", ""} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		flow, stage, index, ok := driver.FlowOf(id)
		if ok {
			require.Equal(t, id, driver.FlowJobID(flow, stage, index))
			require.GreaterOrEqual(t, stage, 0)
			require.GreaterOrEqual(t, index, 0)
		}
	})
}
