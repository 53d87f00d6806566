package cron_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/jobs/internal/cron"
)

func BenchmarkNext(b *testing.B) {
	for _, spec := range []string{"0 * * * *", "*/5 * * * *", "17 3 * * *", "5 4 15 2 1 *", "0 0 29 2 *"} {
		for _, name := range []string{"UTC", "Europe/Berlin"} {
			b.Run(spec+" "+name, func(b *testing.B) {
				s, err := cron.Parse(spec, zone(b, name), "seed")
				require.NoError(b, err)
				at := time.Date(2026, 11, 29, 13, 0, 0, 0, time.UTC)
				for b.Loop() {
					s.Next(at)
				}
			})
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		_, err := cron.Parse("0 * * * *", time.UTC, "seed")
		require.NoError(b, err)
	}
}
