package testenv

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ashlar-go/ashlar/internal/devstack"
)

// slots is the number of slots of a Redis Cluster.
const slots = 16384

// Cluster is a Redis Cluster of this test alone. A master that is killed or
// paused is replaced by its replica within a few seconds.
type Cluster struct {
	// Nodes are the masters, then, in the same order, the replica of each.
	Nodes []*Server
	// Addrs are the addresses of the nodes.
	Addrs []string
}

// RedisCluster starts a Cluster of so many masters, each with a replica, and
// returns when it serves all slots and every replica is in step.
func RedisCluster(t testing.TB, masters int) *Cluster {
	t.Helper()
	c := &Cluster{}
	for range 2 * masters {
		s := RedisServer(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000",
			"--cluster-port", strconv.Itoa(freePort(t)), "--repl-diskless-sync-delay", "0")
		c.Nodes = append(c.Nodes, s)
		c.Addrs = append(c.Addrs, s.Addr)
	}
	ctx := t.Context()
	first := c.Nodes[0].Client()
	for i, n := range c.Nodes {
		if i < masters {
			from, to := i*slots/masters, (i+1)*slots/masters-1
			redisOK(t, n.Client().ClusterAddSlotsRange(ctx, from, to).Err())
		}
		if i > 0 {
			host, port, _ := strings.Cut(n.Addr, ":")
			redisOK(t, first.Do(ctx, "CLUSTER", "MEET", host, port, n.opts.Args[5]).Err())
		}
	}
	for i := range masters {
		id, err := c.Nodes[i].Client().ClusterMyID(ctx).Result()
		redisOK(t, err)
		replica := c.Nodes[masters+i].Client()
		redisSoon(t, "a replica of the cluster to know its master", func() bool {
			return replica.ClusterReplicate(ctx, id).Err() == nil
		})
	}
	for i, n := range c.Nodes {
		rdb := n.Client()
		redisSoon(t, "the cluster to be complete", func() bool {
			info, err := rdb.ClusterInfo(ctx).Result()
			if err != nil || !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", 2*masters)) {
				return false
			}
			return i < masters || strings.Contains(rdb.Info(ctx, "replication").Val(), "master_link_status:up")
		})
	}
	return c
}

// Client returns a client that gives up on a dead node quickly.
func (c *Cluster) Client() *redis.ClusterClient {
	rdb := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: c.Addrs, ContextTimeoutEnabled: true, DialTimeout: time.Second, DialerRetries: 1,
		ClusterStateReloadInterval: time.Second, // or a killed master is called for a minute
	})
	c.Nodes[0].t.Cleanup(func() { rdb.Close() })
	return rdb
}

// MasterOf returns the node that is the master of key's slot now.
func (c *Cluster) MasterOf(key string) *Server {
	t := c.Nodes[0].t
	t.Helper()
	addr, err := c.Client().MasterForKey(t.Context(), key)
	redisOK(t, err)
	for _, n := range c.Nodes {
		if n.Addr == addr.Options().Addr {
			return n
		}
	}
	t.Fatalf("testenv: the master of %q is none of the nodes", key)
	return nil
}

// Failover is a Redis master of this test alone, its replica and the three
// Sentinels that watch them: when the master is killed or paused the replica
// takes over within a few seconds.
type Failover struct {
	// Master is the first master, Replica its replica.
	Master, Replica *Server
	// Sentinels are the addresses of the Sentinels, Name is what they call the
	// master.
	Sentinels []string
	Name      string
}

// RedisFailover starts the five processes and returns when the Sentinels know
// all of each other and of the replica.
func RedisFailover(t testing.TB) *Failover {
	t.Helper()
	f := &Failover{Name: "main", Master: RedisServer(t, "--repl-diskless-sync-delay", "0")}
	host, port, _ := strings.Cut(f.Master.Addr, ":")
	f.Replica = RedisServer(t, "--replicaof", host+" "+port)
	ctx := t.Context()
	redisSoon(t, "the replica to be in step", func() bool {
		return strings.Contains(f.Replica.Client().Info(ctx, "replication").Val(), "master_link_status:up")
	})
	conf := fmt.Sprintf("sentinel monitor main %s %s 2\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n", host, port)
	for range 3 {
		f.Sentinels = append(f.Sentinels, redisServer(t, devstack.RedisOptions{Sentinel: conf}).Addr)
	}
	for _, addr := range f.Sentinels {
		s := redis.NewSentinelClient(&redis.Options{Addr: addr})
		t.Cleanup(func() { s.Close() })
		redisSoon(t, "the Sentinels to know each other", func() bool {
			m, err := s.Master(ctx, f.Name).Result()
			return err == nil && m["num-other-sentinels"] == "2" && m["num-slaves"] == "1"
		})
	}
	return f
}

// Client returns a client that follows the master and gives up on a dead one
// quickly.
func (f *Failover) Client() *redis.Client {
	rdb := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: f.Name, SentinelAddrs: f.Sentinels,
		ContextTimeoutEnabled: true, DialTimeout: time.Second, DialerRetries: 1,
	})
	f.Master.t.Cleanup(func() { rdb.Close() })
	return rdb
}

func redisOK(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("testenv: Redis: %v", err)
	}
}

// redisSoon waits for what servers arrange among themselves.
func redisSoon(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("testenv: waited in vain for %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freePort returns a loopback port that was free a moment ago.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("testenv: free port: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
