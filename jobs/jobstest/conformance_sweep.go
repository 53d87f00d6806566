package jobstest

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func (s *suite) sweeper() driver.Sweeper {
	s.Helper()
	sweeper, ok := s.d.(driver.Sweeper)
	if !ok {
		s.Fatal("driver is not a driver.Sweeper; set Features.NoSweep if that is meant")
	}
	return sweeper
}

// pages goes through all pages of a filter; between is called after each. It
// answers the ids as they came.
func (s *suite) pages(f driver.Filter, between func()) []string {
	s.Helper()
	found := []string{}
	for cursor := ""; ; {
		ids, next, err := s.sweeper().Match(s.Context(), f, cursor)
		s.must(err)
		s.equal("bounded", true, len(ids) <= driver.MaxBatch)
		found = append(found, ids...)
		if next == "" {
			return found
		}
		cursor = next
		if between != nil {
			between()
		}
	}
}

func (s *suite) matching(f driver.Filter) []string {
	s.Helper()
	found := s.pages(f, nil)
	slices.Sort(found)
	return found
}

func (s *suite) resolveMatching(how driver.Resolution, f driver.Filter, ids ...string) int {
	s.Helper()
	n, err := s.sweeper().ResolveMatching(s.Context(), ids, f, how)
	s.must(err)
	return n
}

// population puts two jobs of each state and tenant into the queue, one of each
// kind, named <state>-<tenant>-<kind>. Those of "b" failed with another error.
func (s *suite) population() {
	s.Helper()
	each := func(state driver.State, do func(id, kind, tenant string)) {
		for _, tenant := range []string{"a", "b"} {
			for _, kind := range []string{"mail", "bill"} {
				do(fmt.Sprintf("%s-%s-%s", state, tenant, kind), kind, tenant)
			}
		}
	}
	add := func(id, kind, tenant string) { s.push(of(kind, tenant, id)) }
	s.join("w", time.Minute)
	for _, state := range []driver.State{driver.Dead, driver.Done, driver.Running} {
		each(state, add)
	}
	s.equal("taken", 12, len(s.take("w", 12)))
	each(driver.Dead, func(id, _, tenant string) {
		s.exchange("w", 0, driver.Outcome{ID: id, Action: driver.Bury, Error: "100% [no] to " + tenant})
	})
	each(driver.Done, func(id, _, _ string) {
		s.exchange("w", 0, driver.Outcome{ID: id, Action: driver.Finish, Keep: time.Hour})
	})
	each(driver.Ready, add)
	each(driver.Scheduled, func(id, kind, tenant string) {
		j := of(kind, tenant, id)
		j.Delay = time.Hour
		s.push(j)
	})
}

// populated are the states of a population.
func populated() []driver.State {
	return []driver.State{driver.Ready, driver.Scheduled, driver.Running, driver.Dead, driver.Done}
}

func sweepCases() []testCase {
	return slices.Concat(filterCases(), recheckCases(), searchCases())
}

func filterCases() []testCase {
	return []testCase{
		{"a filter selects by state, kind, tenant and error", "what is selected is deleted", func(s *suite) {
			s.population()
			for _, state := range populated() {
				named := func(names ...string) []string {
					for i, name := range names {
						names[i] = string(state) + "-" + name
					}
					return names
				}
				s.equal("state", named("a-bill", "a-mail", "b-bill", "b-mail"), s.matching(driver.Filter{State: state}))
				s.equal("tenant", named("a-bill", "a-mail"), s.matching(driver.Filter{State: state, Tenant: "a"}))
				s.equal("kind", named("a-mail", "b-mail"), s.matching(driver.Filter{State: state, Kind: "mail"}))
				s.equal("both", named("b-bill"), s.matching(driver.Filter{State: state, Kind: "bill", Tenant: "b"}))
				s.equal("neither", []string{}, s.matching(driver.Filter{State: state, Kind: "bil"}))
			}
			s.equal("error", []string{"dead-b-bill", "dead-b-mail"}, s.matching(driver.Filter{State: driver.Dead, Error: "% [no] to b"}))
			s.equal("no pattern", []string{}, s.matching(driver.Filter{State: driver.Dead, Error: "no.*b"}))
			s.equal("no error", []string{}, s.matching(driver.Filter{State: driver.Ready, Error: "no"}))
			s.equal("nothing is parked", []string{}, s.matching(driver.Filter{State: driver.Parked}))
			for _, state := range []driver.State{"", "nonsense"} {
				_, _, err := s.sweeper().Match(s.Context(), driver.Filter{State: state}, "")
				s.equal("unknown state", true, err != nil)
			}
		}},
		{"a filter selects those that ran before", "a retry is no delay", func(s *suite) {
			s.push(plain("again"), plain("burnt"), plain("once"))
			s.join("w", time.Minute)
			s.take("w", 3)
			s.exchange("w", 0, driver.Outcome{ID: "burnt", Action: driver.Retry, Error: "no"})
			s.take("w", 1)
			s.exchange("w", 0, driver.Outcome{ID: "again", Action: driver.Retry, Error: "no", Delay: time.Hour},
				driver.Outcome{ID: "burnt", Action: driver.Bury, Error: "no"}, driver.Outcome{ID: "once", Action: driver.Bury, Error: "no"})
			s.push(driver.Job{ID: "later", Body: []byte("x"), Delay: time.Hour})
			s.equal("scheduled", []string{"again"}, s.matching(driver.Filter{State: driver.Scheduled, Retried: true}))
			s.equal("dead", []string{"burnt"}, s.matching(driver.Filter{State: driver.Dead, Retried: true}))
			s.equal("all that are dead", []string{"burnt", "once"}, s.matching(driver.Filter{State: driver.Dead}))
		}},
	}
}

func recheckCases() []testCase {
	return []testCase{
		{"what does not match any more is left alone", "it has changed since it was looked for", func(s *suite) {
			s.population()
			all := func(tenant string) []string {
				var ids []string
				for _, state := range populated() {
					ids = append(ids, string(state)+"-"+tenant+"-mail")
				}
				return append(ids, "unknown")
			}
			both := append(all("b"), all("a")...)
			s.equal("requeued", 1, s.resolveMatching(driver.Requeue, driver.Filter{State: driver.Dead, Tenant: "a"}, both...))
			s.equal("twice", 0, s.resolveMatching(driver.Requeue, driver.Filter{State: driver.Dead, Tenant: "a"}, both...))
			s.equal("made ready", driver.Ready, s.state("dead-a-mail"))
			s.equal("another error", 0, s.resolveMatching(driver.Delete, driver.Filter{State: driver.Dead, Error: "to a"}, both...))
			s.equal("sooner", 1, s.resolveMatching(driver.Requeue, driver.Filter{State: driver.Scheduled, Tenant: "b"}, both...))
			s.equal("cancelled", 1, s.resolveMatching(driver.Cancel, driver.Filter{State: driver.Scheduled}, both...))
			s.equal("another kind", 0, s.resolveMatching(driver.Cancel, driver.Filter{State: driver.Running, Kind: "bill"}, both...))
			s.equal("told", 1, s.resolveMatching(driver.Cancel, driver.Filter{State: driver.Running, Tenant: "b"}, both...))
			s.equal("its worker", []string{"running-b-mail"}, s.exchange("w", 0).Cancel)
			s.equal("deleted", 2, s.resolveMatching(driver.Delete, driver.Filter{State: driver.Done}, both...))
			// ready-b-mail, and scheduled-b-mail since it was made ready
			s.equal("waiting", 2, s.resolveMatching(driver.Cancel, driver.Filter{State: driver.Ready, Tenant: "b"}, both...))
			s.equal("a state that the resolution is not for", 0, s.resolveMatching(driver.Delete, driver.Filter{State: driver.Ready}, both...))
			s.stats(driver.Stats{Ready: 4, Scheduled: 2, Running: 4, Dead: 3, Done: 2})
			_, err := s.sweeper().ResolveMatching(s.Context(), both, driver.Filter{Tenant: "a"}, driver.Cancel)
			s.equal("no state", true, err != nil)
			_, err = s.sweeper().ResolveMatching(s.Context(), make([]string, driver.MaxBatch+1), driver.Filter{State: driver.Ready}, driver.Cancel)
			s.equal("too many", true, err != nil)
			s.stats(driver.Stats{Ready: 4, Scheduled: 2, Running: 4, Dead: 3, Done: 2})
		}},
	}
}

func searchCases() []testCase {
	return []testCase{
		{"many jobs of one instant are all found, once", "a page must not hide a job behind its like", func(s *suite) {
			at := time.Now().Add(time.Hour)
			want := []string{}
			for i := range 3 {
				batch := many(fmt.Sprint("p", i, "-"), "", 400)
				for n := range batch {
					batch[n].At = at
					want = append(want, batch[n].ID)
				}
				s.push(batch...)
			}
			s.equal("found", want, s.matching(driver.Filter{State: driver.Scheduled}))
		}},
		{"a queue that moves hides nothing and never ends the search late", "workers go on meanwhile", func(s *suite) {
			const more = 2*driver.MaxBatch + 100
			for i := range 3 {
				s.push(many(fmt.Sprint("p", i, "-"), "", more/3+1)...)
			}
			s.join("w", time.Minute)
			taken, pages := map[string]bool{}, 0
			found := s.pages(driver.Filter{State: driver.Ready}, func() {
				pages++
				for _, id := range s.take("w", 300) { // of those that were in the page
					taken[id] = true
				}
				s.push(many(fmt.Sprint("new", pages, "a"), "", 400)...) // more than a page has
				s.push(many(fmt.Sprint("new", pages, "b"), "", 400)...)
				s.equal("pages", true, pages < 20)
			})
			times := map[string]int{}
			for _, id := range found {
				times[id]++
				s.equal("times of "+id, 1, times[id])
			}
			for i := range 3 {
				for _, j := range many(fmt.Sprint("p", i, "-"), "", more/3+1) {
					s.equal("found "+j.ID, true, times[j.ID] == 1 || taken[j.ID])
				}
			}
		}},
		{"large jobs are all found and resolved, once", "they are read a few at a time, so that workers get their turn", func(s *suite) {
			body := append([]byte(`{"v":1,"kind":"mail","args":{"text":"`), bytes.Repeat([]byte("x"), 200<<10)...)
			body = append(body, `"}}`...)
			want := map[string][]string{"runs": {}, "waits": {}, "later": {}}
			add := func(prefix string, delay time.Duration) {
				for i := range 12 {
					j := driver.Job{ID: fmt.Sprintf("%s%02d", prefix, i), Kind: "mail", Body: body, Delay: delay}
					want[prefix] = append(want[prefix], j.ID)
					s.push(j)
				}
			}
			s.join("w", time.Minute)
			add("runs", 0)
			s.equal("taken", 12, len(s.take("w", 12)))
			add("waits", 0)
			add("later", time.Hour)
			for prefix, state := range map[string]driver.State{"runs": driver.Running, "waits": driver.Ready, "later": driver.Scheduled} {
				f := driver.Filter{State: state, Kind: "mail"}
				s.equal("found", want[prefix], s.matching(f))
				s.equal("cancelled", 12, s.resolveMatching(driver.Cancel, f, slices.Concat(want["runs"], want["waits"], want["later"])...))
			}
			s.equal("told", 12, len(s.exchange("w", 0).Cancel))
			s.stats(driver.Stats{Running: 12})
		}},
		{"the longest dead come first", "their turn was first", func(s *suite) {
			s.push(plain("c"), plain("b"), plain("a"))
			s.join("w", time.Minute)
			s.take("w", 3)
			for _, id := range []string{"b", "c", "a"} {
				s.exchange("w", 0, driver.Outcome{ID: id, Action: driver.Bury})
				s.wait(5 * time.Millisecond)
			}
			s.equal("order", []string{"b", "c", "a"}, s.pages(driver.Filter{State: driver.Dead}, nil))
		}},
	}
}

func sweepParked() []testCase {
	return []testCase{
		{"parked jobs match, of each tenant", "a pause may end with their cancellation", func(s *suite) {
			s.configure(driver.Change{Target: acme, Pause: new(true)}, driver.Change{Target: driver.Target{Tenant: "t 1:0"}, Pause: new(true)})
			want := []string{}
			for _, tenant := range []string{acme.Tenant, "t 1:0"} {
				batch := many("j-"+tenant[:1], tenant, 300)
				s.push(batch...)
				for _, j := range batch {
					want = append(want, j.ID)
				}
			}
			s.join("w", time.Minute)
			for range 4 {
				s.equal("held back", 0, len(s.take("w", 500)))
			}
			slices.Sort(want)
			s.equal("parked", want, s.matching(driver.Filter{State: driver.Parked}))
			s.equal("of one", want[300:], s.matching(driver.Filter{State: driver.Parked, Tenant: "t 1:0"}))
			s.equal("running", []string{}, s.matching(driver.Filter{State: driver.Running}))
			s.equal("parked is not running", 0, s.resolveMatching(driver.Cancel, driver.Filter{State: driver.Running}, want[:500]...))
			s.equal("cancelled", 300, s.resolveMatching(driver.Cancel, driver.Filter{State: driver.Parked, Tenant: acme.Tenant}, want[:500]...))
			s.stats(driver.Stats{Parked: 300})
		}},
	}
}
