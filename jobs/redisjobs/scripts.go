package redisjobs

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

//go:embed lua/*.lua
var sources embed.FS

// command says how Go calls one script: the keys it declares, in order, and
// the arguments. A test compares both with the script's header and body.
type command struct {
	name string
	keys string
	argv string
}

const (
	storeKeys = "ready due body clock unique window wake control parked parkedat"
	endKeys   = "dead done result progress cancel"
	limitKeys = "control run rate parked parkedat open"
	flowKeys  = "flow flowdue flowend"
	jobArgs   = "{id stored due key window}..."
	// filterArgs are a driver.Filter.
	filterArgs = "state kind tenant error retried(0|1)"
)

var (
	push      = command{"push", storeKeys + " dead done", "max_depth " + jobArgs}
	pushPlain = command{"pushplain", "ready body clock wake control", "{place count {id stored}...}..."}
	pushOne   = command{"pushone", "ready body clock wake control", "place id stored"}
	pushAt    = command{"pushat", storeKeys + " position", "from to " + jobArgs}
	fire      = command{"fire", storeKeys + " cron ticks", "name tick known(0|1) " + jobArgs}
	exchange  = command{
		"exchange", "ready due body meta clock unique window wake held " + endKeys + " " + limitKeys + " " + flowKeys,
		"worker seq want each finished settled {id}... {id action delay error keep result took}... {id note}...",
	}
	beat = command{
		"beat", "lease held cancel history body meta done result unique window flow flows flowend workers",
		"worker ms join(0|1) audit(0|1) tally about running {id ms}... {id}...",
	}
	reclaim = command{
		"reclaim", "ready body meta clock unique window wake lease held " + endKeys + " " + limitKeys + " due " + flowKeys + " workers",
		"worker mode(expired|leave) limit max_crashes",
	}
	resolve = command{
		"resolve", "ready due body meta clock unique window wake " + endKeys + " parked parkedat " + flowKeys + " control",
		"how(requeue|delete|cancel) channel " + filterArgs + " {id}...",
	}
	configure = command{"configure", "control run rate parked open wake lease body held...", "workers {worker}... {field value}..."}
	list      = command{"list", "set body meta result", "first last order(asc|desc) parked(0|1)"}
	find      = command{"find", "ready due body meta dead done result progress parkedat flow", "{id}..."}
	match     = command{"match", "set ready due body meta dead done parkedat", filterArgs + " limit score member last_score last_member {id}..."}
	stats     = command{"stats", "ready due body dead done parked", "none"}
	workers   = command{"workers", "lease workers", "most"}

	commands = slices.Concat(
		[]command{push, pushPlain, pushOne, pushAt, fire, exchange, beat, reclaim, resolve, configure, list, find, match, stats, workers},
		scheduleCommands, flowCommands,
	)
)

// header is the comment block a script begins with.
type header struct{ keys, argv, returns, flags, include string }

func parseHeader(source string) header {
	var h header
	fields := map[string]*string{
		"KEYS": &h.keys, "ARGV": &h.argv, "returns": &h.returns, "flags": &h.flags, "include": &h.include,
	}
	for line := range strings.Lines(source) {
		text, ok := strings.CutPrefix(line, "--")
		if !ok {
			break
		}
		name, value, _ := strings.Cut(strings.TrimSpace(text), ":")
		if target := fields[name]; target != nil {
			*target = strings.TrimSpace(value)
		}
	}
	return h
}

func readSource(name string) (string, error) {
	data, err := sources.ReadFile(path.Join("lua", name+".lua"))
	return string(data), err
}

// assemble puts a script together: the shebang with its flags if the server
// understands it, what it includes, and the script itself. Older servers and
// imitations run the same text without the shebang.
func assemble(name string, shebang bool) (string, error) {
	source, err := readSource(name)
	if err != nil {
		return "", fmt.Errorf("redisjobs: script %s: %w", name, err)
	}
	h := parseHeader(source)
	var b strings.Builder
	if shebang {
		b.WriteString("#!lua")
		if h.flags != "" {
			b.WriteString(" flags=" + strings.ReplaceAll(h.flags, " ", ","))
		}
		b.WriteString("\n")
	}
	for _, include := range strings.Fields(h.include) {
		part, err := readSource("part_" + include)
		if err != nil {
			return "", fmt.Errorf("redisjobs: script %s: %w", name, err)
		}
		b.WriteString(part)
	}
	b.WriteString(source)
	return b.String(), nil
}

// scripts are the assembled commands for one kind of server, by name.
type scripts map[string]script

type script struct{ text, sha string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text)) // the name that EVALSHA knows it by
	return script{text, hex.EncodeToString(sum[:])}
}

// load asks the server once what it is, which needs the connection that New
// does not use. First callers ask side by side: none waits for the time-out of
// another.
func (d *Driver) load(ctx context.Context) (scripts, error) {
	if set := d.scripts.Load(); set != nil {
		return *set, nil
	}
	if err := d.checkEviction(ctx); err != nil {
		return nil, err
	}
	shebang := true
	// The key sends the question to the node of the queue.
	err := d.rdb.Eval(ctx, "#!lua flags=allow-oom\nreturn 1", []string{d.key("ready", "")}).Err()
	var refused redis.Error
	if errors.As(err, &refused) && strings.Contains(strings.ToLower(err.Error()), "compil") {
		shebang = false
	} else if err != nil {
		return nil, fmt.Errorf("redisjobs: connect: %w", err)
	}
	set := scripts{}
	for _, c := range commands {
		text, err := assemble(c.name, shebang)
		if err != nil {
			return nil, err
		}
		set[c.name] = newScript(text)
	}
	d.scripts.Store(&set)
	return set, nil
}

// checkEviction refuses a server that would throw jobs away when it is full.
// Servers that do not tell are taken at their word. Of a Cluster or a Ring every
// node is asked, replicas included: the queue may move to any of them. One that
// cannot be reached is passed over; if none can, that is the error.
func (d *Driver) checkEviction(ctx context.Context) error {
	if d.opts != nil && d.opts.AllowEviction {
		return nil
	}
	many, ok := d.rdb.(interface {
		ForEachShard(ctx context.Context, fn func(context.Context, *redis.Client) error) error
	})
	if !ok {
		return evictionOf(ctx, d.rdb, "")
	}
	var mu sync.Mutex
	var evicts, broken error
	answered := false
	err := many.ForEachShard(ctx, func(ctx context.Context, node *redis.Client) error {
		err := evictionOf(ctx, node, " of "+node.Options().Addr)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			answered = true
		case errors.Is(err, ErrEvicts):
			evicts = err
		default:
			broken = err
		}
		return nil
	})
	switch {
	case evicts != nil:
		return evicts
	case answered:
		return nil
	case broken != nil:
		return broken
	}
	if err == nil {
		err = errors.New("the cluster has no nodes")
	}
	return fmt.Errorf("redisjobs: connect: %w", err)
}

func evictionOf(ctx context.Context, node interface {
	Info(ctx context.Context, section ...string) *redis.StringCmd
}, where string,
) error {
	info, err := node.Info(ctx, "memory").Result()
	var refused redis.Error
	if err != nil && !errors.As(err, &refused) {
		return fmt.Errorf("redisjobs: connect: %w", err)
	}
	for line := range strings.Lines(info) {
		policy, ok := strings.CutPrefix(strings.TrimSpace(line), "maxmemory_policy:")
		if ok && strings.HasPrefix(policy, "allkeys-") && !strings.Contains(info, "\nmaxmemory:0\r") {
			return fmt.Errorf("%w (maxmemory-policy %s%s); set noeviction", ErrEvicts, policy, where)
		}
	}
	return nil
}

// do runs a script on the queue's keys and answers the list it returns; suffix
// completes the key that is per worker, or names list's set.
func (d *Driver) do(ctx context.Context, c command, suffix string, args ...any) (reader, error) {
	return d.run(ctx, c, d.keysOf(c, suffix), args)
}

// doAll is do for a script that takes the held hash of every worker.
func (d *Driver) doAll(ctx context.Context, c command, workers []string, args ...any) (reader, error) {
	keys := slices.Clone(d.keys[c.name])
	for _, w := range workers {
		keys = append(keys, d.key("held", w))
	}
	return d.run(ctx, c, keys, args)
}

// tell is do for a script that has nothing to say: an integer is the one reply
// that costs the server next to nothing.
func (d *Driver) tell(ctx context.Context, c command, args ...any) error {
	return d.call(ctx, c, d.keysOf(c, ""), args, func(line []any) redis.Cmder { return redis.NewIntCmd(ctx, line...) })
}

func (d *Driver) run(ctx context.Context, c command, keys, args []any) (reader, error) {
	// Script.Run of the client would make an allocation of each value on the way.
	var reply *redis.StringSliceCmd
	err := d.call(ctx, c, keys, args, func(line []any) redis.Cmder {
		reply = redis.NewStringSliceCmd(ctx, line...)
		return reply
	})
	if err != nil {
		return reader{}, err
	}
	return reader{op: c.name, items: reply.Val()}, nil
}

// call has a script executed, and loaded if the server does not know it.
func (d *Driver) call(ctx context.Context, c command, keys, args []any, reply func(line []any) redis.Cmder) error {
	set, err := d.load(ctx)
	if err != nil {
		return err
	}
	script := set[c.name]
	line := make([]any, 0, 3+len(keys)+len(args))
	line = append(append(append(line, "evalsha", script.sha, len(keys)), keys...), args...)
	if err = d.rdb.Process(ctx, reply(line)); redis.HasErrorPrefix(err, "NOSCRIPT") {
		line[0], line[1] = "eval", script.text
		err = d.rdb.Process(ctx, reply(line))
	}
	switch {
	case err == nil:
		return nil
	case redis.HasErrorPrefix(err, "OOM"):
		return fmt.Errorf("redisjobs: %s: %w: %w", c.name, driver.ErrFull, err)
	}
	return fmt.Errorf("redisjobs: %s: %w", c.name, err)
}

// keysOf names the keys of a script. Those of most are the same in each call.
func (d *Driver) keysOf(c command, suffix string) []any {
	keys := d.keys[c.name]
	if suffix == "" {
		return keys
	}
	keys = slices.Clone(keys)
	for i, name := range strings.Fields(c.keys) {
		if name == "held" || name == "set" {
			keys[i] = d.key(name, suffix)
		}
	}
	return keys
}

// prepareKeys names the keys that do not change.
func (d *Driver) prepareKeys() {
	d.keys = map[string][]any{}
	for _, c := range commands {
		var keys []any
		for _, name := range strings.Fields(c.keys) {
			if !strings.HasSuffix(name, "...") {
				keys = append(keys, d.key(name, ""))
			}
		}
		d.keys[c.name] = keys
	}
}

// key names a key of the queue. "held" is per worker; "set" is list's state.
func (d *Driver) key(name, suffix string) string {
	switch name {
	case "held":
		return d.prefix + "held:" + suffix
	case "set":
		return d.prefix + suffix
	}
	return d.prefix + name
}
