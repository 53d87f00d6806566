package driver

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// Flower is what a Driver may offer to run flows: jobs in stages. The jobs of a
// stage run side by side; when all of them are settled the next stage begins.
//
// What the end of a job means for its flow is part of the call that ends it
// (Exchange, Beat, Resolve), so that a flow neither stalls nor runs a stage
// twice: a job counts once, when it is finished, or when it fails, which is
// when it is buried or dropped. A failed job that is requeued counts as
// unsettled again if its stage goes on and the flow is not being ended;
// otherwise it runs for itself and its flow does not hear of it.
//
// When a job has failed, the policy says what follows. A flow that fails pushes
// its OnFailure job, once, when nothing of its stage is left running. When a
// flow has ended it is kept for Keep, and longer while one of its jobs is still
// there (dead, for example), so that no new flow gets into its way.
type Flower interface {
	// StartFlow stores a flow, or a part of one: p.Jobs are its jobs from
	// position p.From on, counted through all stages. Parts come in order; what
	// is stored already is skipped, so that a call can be repeated. With the
	// last job the flow begins, in the same step. It is forgotten if no part
	// comes for an hour before. Errors are those of Push, and ErrIDTaken.
	StartFlow(ctx context.Context, p FlowPart) (FlowStored, error)

	// Flow answers a flow; one without State does not exist.
	Flow(ctx context.Context, id string) (Flow, error)

	// Flows pages through the flows, those stored last first. Limit is 1 to
	// MaxBatch.
	Flows(ctx context.Context, offset, limit int) ([]Flow, error)

	// FlowJobs pages through the jobs of one stage, in their order.
	FlowJobs(ctx context.Context, q FlowQuery) ([]FlowJob, error)

	// CancelFlow ends a flow: its jobs that wait are dropped, those that run
	// are cancelled. It has ended when nothing of it is left running. False
	// answers a flow that has ended or does not exist.
	CancelFlow(ctx context.Context, id string) (bool, error)
}

// Bounds of a flow.
const (
	MaxFlowStages = 100
	MaxFlowJobs   = 100_000  // of all stages
	MaxFlowID     = 100      // bytes
	MaxResults    = 16 << 20 // bytes of results of one stage; a job whose result exceeds it has failed
)

// FlowPolicy says what a failed job means for its flow.
type FlowPolicy string

// The policies.
const (
	FailFast FlowPolicy = ""       // the rest of its stage is cancelled and the flow fails
	WaitAll  FlowPolicy = "wait"   // the rest of its stage goes on, then the flow fails
	Ignore   FlowPolicy = "ignore" // the flow goes on; the job has no result
)

// States of a flow are Waiting, Running, Done, Failed and Cancelled; those of
// its jobs are Waiting, Running (stored like any other job; Find knows more),
// Done and Failed.
const (
	Waiting   State = "waiting"   // a job for its stage, a flow for the rest of its jobs
	Failed    State = "failed"    // ended because of a job that died or was cancelled
	Cancelled State = "cancelled" // ended by CancelFlow
)

// FlowPart is a request of Flower.StartFlow. All but From and Jobs is the same
// in each part of a flow.
type FlowPart struct {
	ID        string // as Job.ID, MaxFlowID bytes at most
	Name      string // for people
	Tenant    string // whose it is; the jobs have their own
	Policy    FlowPolicy
	Keep      time.Duration // milliseconds
	Sizes     []int         // the number of jobs in each stage: at least one
	OnFailure *Job          // nil: none
	MaxDepth  int           // as Push.MaxDepth; the first stage counts

	From int
	Jobs []Job // at most MaxBatch, with the ids of FlowJobID; without Unique
}

// Total is the number of jobs in all stages.
func (p FlowPart) Total() int {
	total := 0
	for _, n := range p.Sizes {
		total += n
	}
	return total
}

// FlowStored is an answer of Flower.StartFlow.
type FlowStored struct {
	Next    int  // the position to go on with; at the total the flow has begun
	Existed bool // a flow of this id was there before the call
}

// Flow is the state of a flow.
type Flow struct {
	ID, Name, Tenant string

	Policy  FlowPolicy
	Keep    time.Duration
	State   State
	Stage   int // which one runs, or ran last
	Stages  []FlowStage
	Started time.Time // when the first part was stored
	Ended   time.Time // zero: not yet
	Culprit string    // the first job that failed
	Error   string    // its
}

// FlowStage counts the jobs of a stage. Those that are in neither Done nor
// Failed wait or run.
type FlowStage struct{ Total, Done, Failed int }

// FlowQuery is a request of Flower.FlowJobs.
type FlowQuery struct {
	ID     string
	Stage  int
	Offset int
	Limit  int // 1 to MaxBatch
}

// FlowJob is a job of a flow.
type FlowJob struct {
	ID, Kind string

	State  State
	Error  string // Failed
	Result []byte // Done
}

// FlowJobID names the job at an index of a stage: "<flow>~<stage>.<index>". No
// other job's id has a tilde.
func FlowJobID(flow string, stage, index int) string {
	return flow + "~" + strconv.Itoa(stage) + "." + strconv.Itoa(index)
}

// FailureID names the OnFailure job of a flow.
func FailureID(flow string) string { return flow + "~failure" }

// FlowOf reads an id of FlowJobID; of any other it answers false.
func FlowOf(id string) (flow string, stage, index int, ok bool) {
	flow, place, _ := strings.Cut(id, "~")
	first, second, found := strings.Cut(place, ".")
	stage, err1 := strconv.Atoi(first)
	index, err2 := strconv.Atoi(second)
	if !found || err1 != nil || err2 != nil || FlowJobID(flow, stage, index) != id || stage < 0 || index < 0 {
		return "", 0, 0, false
	}
	return flow, stage, index, true
}
