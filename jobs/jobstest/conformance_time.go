package jobstest

import (
	"context"
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

func timeCases() []testCase {
	return []testCase{
		{"a delayed job is not early", "a reminder before its time is wrong", func(s *suite) {
			soon := plain("soon")
			soon.Delay = 2 * step
			later := plain("later")
			later.At = time.Now().Add(time.Hour)
			past := plain("past")
			past.At = time.Now().Add(-time.Hour)
			s.push(later, soon, past)
			s.stats(driver.Stats{Ready: 1, Scheduled: 2})
			s.join("w", time.Minute)
			batch := s.exchange("w", 5)
			s.equal("now", []string{"past"}, ids(batch.Jobs))
			s.equal("next", true, batch.Next > 0 && batch.Next <= 2*step+rounding)
			s.wait(batch.Next + 20*time.Millisecond)
			batch = s.exchange("w", 5)
			s.equal("then", []string{"soon"}, ids(batch.Jobs))
			s.equal("next", true, batch.Next > 50*time.Minute)
		}},
		{"a push wakes a waiting worker", "jobs start in a millisecond, not at the next poll", func(s *suite) {
			s.join("w", time.Minute)
			s.take("w", 1)
			for i, j := range []driver.Job{plain("a"), {ID: "b", Delay: time.Hour}, {ID: "c", Delay: time.Minute}} {
				s.drainTokens()
				began, woken := time.Now(), make(chan error, 1)
				go func() { woken <- s.d.Wait(s.Context(), time.Minute) }()
				s.push(j)
				s.must(<-woken)
				s.equal("woken soon", true, time.Since(began) < 5*time.Second)
				if i == 0 {
					s.take("w", 1)
				}
			}
		}},
		{"a wait ends with its context", "a shutdown must not hang", func(s *suite) {
			ctx, cancel := context.WithCancel(s.Context())
			began, ended := time.Now(), make(chan error, 1)
			go func() { ended <- s.d.Wait(ctx, time.Minute) }()
			s.wait(step)
			cancel()
			<-ended
			s.equal("ended soon", true, time.Since(began) < 5*time.Second)
		}},
		{"what is left wakes the next worker", "one wake-up must reach as many workers as there is work", func(s *suite) {
			s.push(many("j", "", 3)...)
			s.join("w", time.Minute)
			s.must(s.d.Wait(s.Context(), time.Minute))
			s.take("w", 1)
			began := time.Now()
			s.must(s.d.Wait(s.Context(), time.Minute))
			s.equal("woken soon", true, time.Since(began) < 5*time.Second)
		}},
		{"a tick is fired once", "a monthly report per process would be a disaster", func(s *suite) {
			fire := func(at time.Time, id string) driver.Fired {
				s.Helper()
				tick := driver.Tick{Name: "monthly", At: at}
				if id != "" {
					tick.Job = &driver.Job{ID: id, Body: []byte(id)}
				}
				fired, err := s.d.Fire(s.Context(), tick)
				s.must(err)
				return fired
			}
			first := fire(time.Time{}, "")
			s.equal("a new schedule starts now", first.Now, first.Last)
			s.equal("the past", false, fire(first.Now.Add(-time.Minute), "past").Fired)
			s.equal("the future", false, fire(first.Now.Add(time.Hour), "future").Fired)
			s.wait(step)
			tick := first.Now.Add(step / 2)
			s.equal("due", true, fire(tick, "due").Fired)
			again := fire(tick, "due")
			s.equal("again", false, again.Fired)
			s.equal("last", true, again.Last.Equal(tick))
			s.equal("an older one", false, fire(tick.Add(-time.Millisecond), "older").Fired)
			s.stats(driver.Stats{Ready: 1})
		}},
	}
}

// drainTokens takes left-over wake-ups away: two waits can find one at most
// each, since nothing is pushed meanwhile.
func (s *suite) drainTokens() {
	s.Helper()
	s.must(s.d.Wait(s.Context(), time.Second))
}
