package redisjobs

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

var (
	flowStart = command{
		"flow_start", "ready due body clock wake control dead done " + flowKeys + " flows",
		"name header failure max_depth from {id value}...",
	}
	flowCancel = command{
		"flow_cancel", "ready due body meta clock unique window wake " + endKeys + " parked parkedat " + flowKeys + " control",
		"name limit",
	}
	flowJobs = command{"flow_jobs", "flow", "name stage offset limit"}

	flowCommands = []command{flowStart, flowCancel, flowJobs}
)

// flowHeader is what is stored of a flow, see lua/part_flow.lua.
type flowHeader struct {
	Name    string            `json:"n"`
	Tenant  string            `json:"t"`
	Policy  driver.FlowPolicy `json:"p"`
	Keep    int64             `json:"k"` // ms
	State   driver.State      `json:"s"`
	Stage   int               `json:"g"`
	Counts  [][3]int          `json:"c"`
	Stored  int               `json:"w"`
	Release int               `json:"r"`
	Results int               `json:"b"`
	Started int64             `json:"a,omitempty"` // ms since 1970
	Ended   int64             `json:"z,omitempty"`
	Culprit string            `json:"i,omitempty"`
	Error   string            `json:"m,omitempty"`
}

// StartFlow implements driver.Flower.
func (d *Driver) StartFlow(ctx context.Context, p driver.FlowPart) (driver.FlowStored, error) {
	if err := bounded("flow_start", len(p.Jobs)); err != nil {
		return driver.FlowStored{}, err
	}
	h := flowHeader{
		Name: p.Name, Tenant: p.Tenant, Policy: p.Policy, Keep: ceilMillis(p.Keep), State: driver.Waiting,
	}
	for _, n := range p.Sizes {
		h.Counts = append(h.Counts, [3]int{n})
	}
	header, err := json.Marshal(h)
	if err != nil {
		return driver.FlowStored{}, fmt.Errorf("redisjobs: flow_start: %w", err)
	}
	failure := []byte{}
	if p.OnFailure != nil {
		if failure, err = waitingJob(p.OnFailure, false); err != nil {
			return driver.FlowStored{}, fmt.Errorf("redisjobs: flow_start: %w", err)
		}
	}
	args := []any{p.ID, header, failure, p.MaxDepth, p.From}
	for i := range p.Jobs {
		value, err := waitingJob(&p.Jobs[i], true)
		if err != nil {
			return driver.FlowStored{}, fmt.Errorf("redisjobs: flow_start: %w", err)
		}
		args = append(args, p.Jobs[i].ID, value)
	}
	r, err := d.do(ctx, flowStart, "", args...)
	if err != nil {
		return driver.FlowStored{}, err
	}
	next := r.text()
	switch next {
	case "full":
		return driver.FlowStored{}, fmt.Errorf("redisjobs: flow_start: %w", driver.ErrQueueFull)
	case "taken":
		return driver.FlowStored{}, fmt.Errorf("redisjobs: flow_start: %w", driver.ErrIDTaken)
	case "other":
		return driver.FlowStored{}, fmt.Errorf("redisjobs: flow_start: another flow with the id %s is being stored", p.ID)
	}
	stored := driver.FlowStored{Existed: r.int() == 1}
	if stored.Next, err = strconv.Atoi(next); err != nil {
		r.fail()
	}
	return stored, r.err
}

// waitingJob is a job as lua/part_flow.lua keeps it until its stage begins.
func waitingJob(j *driver.Job, member bool) ([]byte, error) {
	if err := checkTenant(j); err != nil {
		return nil, err
	}
	value := append([]byte("w"), j.Kind+" "+dueText(j)+" "...)
	body := stored(j)
	if member {
		body[1] = '8' // the flag of a flow's jobs; they have no unique key
	}
	return append(value, body...), nil
}

func (h *flowHeader) flow(id string) driver.Flow {
	f := driver.Flow{
		ID: id, Name: h.Name, Tenant: h.Tenant, Policy: h.Policy, Keep: time.Duration(h.Keep) * time.Millisecond,
		State: h.State, Stage: h.Stage, Started: time.UnixMilli(h.Started).UTC(), Culprit: h.Culprit, Error: h.Error,
	}
	if h.Ended != 0 {
		f.Ended = time.UnixMilli(h.Ended).UTC()
	}
	for _, c := range h.Counts {
		f.Stages = append(f.Stages, driver.FlowStage{Total: c[0], Done: c[1], Failed: c[2]})
	}
	return f
}

// Flow implements driver.Flower.
func (d *Driver) Flow(ctx context.Context, id string) (driver.Flow, error) {
	flows, err := d.flows(ctx, []string{id})
	if err != nil || len(flows) == 0 {
		return driver.Flow{}, err
	}
	return flows[0], nil
}

// Flows implements driver.Flower.
func (d *Driver) Flows(ctx context.Context, offset, limit int) ([]driver.Flow, error) {
	if err := paged("flows", offset, limit); err != nil {
		return nil, err
	}
	ids, err := d.rdb.ZRevRange(ctx, d.key("flows", ""), int64(offset), int64(offset+limit-1)).Result()
	if err != nil {
		return nil, fmt.Errorf("redisjobs: flows: %w", err)
	}
	return d.flows(ctx, ids)
}

// flows reads those of the flows that are there.
func (d *Driver) flows(ctx context.Context, ids []string) ([]driver.Flow, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	headers, err := d.rdb.HMGet(ctx, d.key("flow", ""), ids...).Result()
	if err != nil && err != redis.Nil {
		return nil, fmt.Errorf("redisjobs: flows: %w", err)
	}
	var flows []driver.Flow
	for i, text := range headers {
		header, ok := text.(string)
		if !ok {
			continue
		}
		var h flowHeader
		if err := json.Unmarshal([]byte(header), &h); err != nil {
			return nil, fmt.Errorf("redisjobs: flows: %s: %w", ids[i], err)
		}
		flows = append(flows, h.flow(ids[i]))
	}
	return flows, nil
}

// FlowJobs implements driver.Flower.
func (d *Driver) FlowJobs(ctx context.Context, q driver.FlowQuery) ([]driver.FlowJob, error) {
	if err := paged("flow_jobs", q.Offset, q.Limit); err != nil {
		return nil, err
	}
	r, err := d.do(ctx, flowJobs, "", q.ID, q.Stage, q.Offset, q.Limit)
	if err != nil {
		return nil, err
	}
	states := map[string]driver.State{"w": driver.Waiting, "p": driver.Running, "d": driver.Done, "f": driver.Failed}
	var page []driver.FlowJob
	for len(r.items) > 0 && r.err == nil {
		j := driver.FlowJob{ID: r.text(), State: states[r.text()], Kind: r.text()}
		switch text := r.text(); {
		case j.State == driver.Failed:
			j.Error = text
		case text != "":
			j.Result = []byte(text)
		}
		page = append(page, j)
	}
	return page, r.err
}

// CancelFlow implements driver.Flower.
func (d *Driver) CancelFlow(ctx context.Context, id string) (bool, error) {
	for first := true; ; first = false {
		r, err := d.do(ctx, flowCancel, "", id, reclaimLimit)
		if err != nil {
			return false, err
		}
		found, more := r.int() == 1, r.int() == 1
		if r.err != nil || !more {
			return found || !first, r.err
		}
	}
}
