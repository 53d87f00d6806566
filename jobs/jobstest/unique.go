package jobstest

import (
	"time"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// key is a unique key that is held.
type key struct {
	id   string
	ends time.Time // zero: with the job
}

// holder returns the id that holds a key, or "".
func (d *Driver) holder(name string) string {
	k, held := d.keys[name]
	if name == "" || !held {
		return ""
	}
	if !k.ends.IsZero() && !k.ends.After(now()) {
		delete(d.keys, name)
		return ""
	}
	return k.id
}

// hold gives a new job the key that it asks for.
func (d *Driver) hold(in driver.Job) {
	if in.Unique == "" {
		return
	}
	k := key{id: in.ID}
	if in.Scope == driver.UniqueFor {
		k.ends = now().Add(in.Window)
	}
	d.keys[in.Unique] = k
}

// free lets a job's key go, if it has it.
func (d *Driver) free(j *job) {
	if j.Unique != "" && d.keys[j.Unique].id == j.ID {
		delete(d.keys, j.Unique)
	}
}

// started lets the keys go that are held until then.
func (d *Driver) started(j *job) {
	if j.Scope == driver.UntilStarted || j.Scope == driver.Replace {
		d.free(j)
	}
}

// retake gives a job its key back, until it is started or finished, unless
// another one has it by now.
func (d *Driver) retake(j *job) {
	if j.Unique != "" && d.holder(j.Unique) == "" {
		d.keys[j.Unique] = key{id: j.ID}
	}
}

// cameBack is retake for a job that a worker gives back, or lost.
func (d *Driver) cameBack(j *job) {
	if j.Scope == driver.UntilStarted || j.Scope == driver.Replace {
		d.retake(j)
	}
}

// finished lets the key go unless it is held for a window.
func (d *Driver) finished(j *job) {
	if d.keys[j.Unique].ends.IsZero() {
		d.free(j)
	}
}
