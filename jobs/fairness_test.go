package jobs_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs"
)

// By how many jobs of a large tenant the first job of each small one is
// delayed. In virtual time a call takes none, so that nothing is held ahead;
// redisjobs has the same on a real server.
func TestLargeTenantDelaysSmallOnesBriefly(t *testing.T) {
	opts := withTenants()
	opts.Concurrency = 8
	bubble(t, opts, func(b *bench) {
		const large, smalls = 500, 20
		as := func(tenant string) context.Context { return opts.WithTenant(b.Context(), tenant) }
		items := make([]jobs.Item, large)
		for i := range items {
			items[i] = jobs.Item{Args: Note{N: i}}
		}
		_, err := b.q.EnqueueMany(as("large"), items)
		require.NoError(b, err)
		ran, started := make(chan struct{}, large), make(chan int, smalls)
		jobs.Handle(b.q, func(ctx context.Context, _ Note) error {
			if tenant, _ := opts.Tenant(ctx); tenant != "large" {
				started <- len(ran)
				return nil
			}
			<-time.After(time.Millisecond)
			ran <- struct{}{}
			return nil
		})
		stop := run(b, b.q)
		b.sleep(20 * time.Millisecond)
		from := len(ran)
		require.Greater(b, from, 100)
		for i := range smalls {
			_, err := b.q.Enqueue(as(fmt.Sprint("small", i)), Note{}, nil)
			require.NoError(b, err)
		}
		for range smalls {
			require.LessOrEqual(b, <-started-from, smalls, "in turns")
		}
		require.Less(b, len(ran), large/2, "the large tenant must still wait, or this shows nothing")
		b.sleep(time.Minute)
		require.NoError(b, stop())
		b.stats(jobs.Stats{})
	})
}
