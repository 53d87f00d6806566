package cachetest_test

import (
	"testing"

	"github.com/ashlar-go/ashlar/cache"
	"github.com/ashlar-go/ashlar/cache/cachetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	cachetest.Run(t, func(t *testing.T) cache.Store { return cachetest.New(t) }, cachetest.Features{Virtual: true})
}
