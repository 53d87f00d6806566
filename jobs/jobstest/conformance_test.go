package jobstest_test

import (
	"testing"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/jobs/driver"
	"github.com/ashlar-go/ashlar/jobs/jobstest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	jobstest.Run(t, func(t testing.TB) driver.Driver { return jobstest.New(t) }, jobstest.Features{Bubble: true})
}

func TestWalks(t *testing.T) {
	t.Parallel()
	jobstest.RunWalks(t, func(t testing.TB) driver.Driver { return jobstest.New(t) }, jobstest.Features{Bubble: true}, testenv.Rounds(40, 20_000))
}
