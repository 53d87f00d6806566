package jobstest

import (
	"fmt"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

var (
	wholeQueue = driver.Target{Queue: true}
	nobodys    = driver.Target{NoTenant: true}
	eachTenant = driver.Target{EachTenant: true}
	acme       = driver.Target{Tenant: "acme"}
	mail       = driver.Target{Kind: "mail"}
)

func (s *suite) configure(changes ...driver.Change) {
	s.Helper()
	controller, ok := s.d.(driver.Controller)
	if !ok {
		s.Fatal("driver is not a driver.Controller; set Features.NoControl if that is meant")
	}
	s.must(controller.Configure(s.Context(), changes))
}

func (s *suite) pause(t driver.Target) {
	s.Helper()
	s.configure(driver.Change{Target: t, Pause: new(true)})
}
func (s *suite) resume(t driver.Target) {
	s.Helper()
	s.configure(driver.Change{Target: t, Pause: new(false)})
}

func (s *suite) limit(t driver.Target, l driver.Limit) {
	s.Helper()
	s.configure(driver.Change{Target: t, Limit: &l})
}

func (s *suite) control() driver.Control {
	s.Helper()
	c, err := s.d.(driver.Controller).Control(s.Context())
	s.must(err)
	return c
}

// all takes what can be taken, up to want; it may need several calls, since
// one may find so much to park that it stops.
func (s *suite) all(worker string, want int) []string {
	s.Helper()
	taken := []string{}
	for range 100 {
		batch := s.exchange(worker, want-len(taken))
		taken = append(taken, ids(batch.Jobs)...)
		if batch.Ready == 0 || len(taken) == want {
			return taken
		}
	}
	s.Fatalf("jobs are ready for ever, and not handed out\nwhy this matters: %s", s.why)
	return nil
}

// of makes a job with an envelope.
func of(kind, tenant, id string) driver.Job {
	return driver.Job{ID: id, Kind: kind, Tenant: tenant, Body: fmt.Appendf(nil, `{"v":1,"kind":%q,"args":{"id":%q}}`, kind, id)}
}

// some makes n jobs of a tenant.
func some(tenant string, n int) []driver.Job {
	batch := make([]driver.Job, n)
	for i := range batch {
		batch[i] = of("plain", tenant, fmt.Sprintf("%s-%03d", tenant, i))
	}
	return batch
}

func controlCases() []testCase {
	return []testCase{
		{"what is in force can be asked", "an operator wants to know why nothing runs", func(s *suite) {
			limit := func(running, rate int) *driver.Limit {
				return &driver.Limit{Running: running, Rate: rate, Per: time.Duration(min(rate, 1)) * time.Minute, Burst: rate}
			}
			globex, odd := driver.Target{Tenant: "globex"}, driver.Target{Tenant: "paused ß\n1"}
			s.equal("nothing", driver.Control{Tenants: map[string]driver.Limit{}, Weights: map[string]int{}}, s.control())
			s.configure(
				driver.Change{Pause: new(true), Limit: limit(100, 0)},
				driver.Change{Target: acme, Pause: new(true)},
				driver.Change{Target: odd, Pause: new(true), Weight: new(7)},
				driver.Change{Target: mail, Pause: new(true)},
				driver.Change{Target: eachTenant, Limit: limit(0, 5)},
				driver.Change{Target: globex, Limit: limit(3, 50), Weight: new(1000)},
			)
			s.equal("all", driver.Control{
				Paused: true, PausedTenants: []string{"acme", odd.Tenant}, PausedKinds: []string{"mail"},
				Limit: *limit(100, 0), EachTenant: *limit(0, 5),
				Tenants: map[string]driver.Limit{"globex": *limit(3, 50)},
				Weights: map[string]int{"globex": 1000, odd.Tenant: 7},
			}, s.control())
			s.configure(
				driver.Change{Pause: new(false), Limit: limit(0, 0)}, driver.Change{Target: acme, Pause: new(false)},
				driver.Change{Target: odd, Pause: new(false), Weight: new(1)}, driver.Change{Target: mail, Pause: new(false)},
				driver.Change{Target: eachTenant, Limit: limit(0, 0)}, driver.Change{Target: globex, Limit: limit(0, 0), Weight: new(0)},
			)
			s.equal("nothing again", driver.Control{Tenants: map[string]driver.Limit{}, Weights: map[string]int{}}, s.control())
		}},
		{"the jobs of no tenant can be meant", "they are not those of all tenants", func(s *suite) {
			s.push(of("plain", "", "nobody's"), of("plain", "acme", "acme's"))
			s.pause(nobodys)
			s.join("w", time.Minute)
			s.equal("paused", []string{""}, s.control().PausedTenants)
			s.equal("the other's", []string{"acme's"}, s.all("w", 5))
			s.resume(nobodys)
			s.limit(nobodys, driver.Limit{Running: 1})
			s.push(of("plain", "", "second"))
			s.equal("limit", map[string]driver.Limit{"": {Running: 1}}, s.control().Tenants)
			s.equal("one of two", []string{"nobody's"}, s.all("w", 5))
			s.limit(nobodys, driver.Limit{})
			s.equal("the other", []string{"second"}, s.all("w", 5))
		}},
		{"a field that is nil changes nothing", "who sets a limit must not end a pause", func(s *suite) {
			s.pause(acme)
			s.configure(driver.Change{Target: acme, Weight: new(3)})
			s.limit(acme, driver.Limit{Running: 2})
			s.configure(driver.Change{Target: acme})
			c := s.control()
			s.equal("paused", []string{"acme"}, c.PausedTenants)
			s.equal("limit", driver.Limit{Running: 2}, c.Tenants["acme"])
			s.equal("weight", 3, c.Weights["acme"])
		}},
		{"a rate has defaults", "10 a second is what Rate: 10 looks like", func(s *suite) {
			s.limit(wholeQueue, driver.Limit{Rate: 10})
			s.equal("limit", driver.Limit{Rate: 10, Per: time.Second, Burst: 10}, s.control().Limit)
		}},
		{"an end that is told twice makes room once", "a counter that goes below the truth lets too many run", func(s *suite) {
			s.limit(acme, driver.Limit{Running: 2})
			s.push(some("acme", 4)...)
			s.join("w", time.Minute)
			s.equal("two", 2, len(s.all("w", 10)))
			end := driver.Outcome{ID: "acme-000", Action: driver.Finish}
			s.equal("one for one", []string{"acme-002"}, ids(s.exchange("w", 10, end, end).Jobs))
			s.equal("no more", 0, len(s.all("w", 10)))
			s.equal("nor for what is gone", []string{}, ids(s.exchange("w", 10, end).Jobs))
		}},
	}
}

func weightCases() []testCase {
	return []testCase{
		{"a weight is a share of the turns", "who pays more waits less", func(s *suite) {
			s.configure(driver.Change{Target: acme, Weight: new(3)})
			s.push(some("acme", 40)...)
			s.push(some("globex", 40)...)
			s.join("w", time.Minute)
			share := func(n int) int {
				acme := 0
				for _, id := range s.all("w", n) {
					if id[0] == 'a' {
						acme++
					}
				}
				return acme
			}
			s.equal("of twelve", 9, share(12))
			s.equal("of eight", 6, share(8))
		}},
		{"a requeued job counts by its tenant's weight", "after an outage most jobs are requeued ones", func(s *suite) {
			s.configure(driver.Change{Target: acme, Weight: new(3)})
			all := append(some("acme", 24), some("globex", 24)...)
			s.push(all...)
			s.join("w", time.Minute)
			var bury []driver.Outcome
			var dead []string
			for _, id := range s.all("w", len(all)) {
				bury = append(bury, driver.Outcome{ID: id, Action: driver.Bury})
			}
			s.exchange("w", 0, bury...)
			for _, j := range all {
				dead = append(dead, j.ID)
			}
			s.equal("requeued", len(all), s.resolve(driver.Requeue, dead...))
			acme := 0
			for _, id := range s.all("w", 16) {
				if id[0] == 'a' {
					acme++
				}
			}
			s.equal("of sixteen", 12, acme)
		}},
	}
}
