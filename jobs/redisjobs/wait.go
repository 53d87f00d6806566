package redisjobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Wait implements driver.Driver: it blocks on a connection of its own until the
// queue's token arrives. The client does not interrupt a blocking command when
// its context ends, so the server is asked to; where it cannot be, Wait blocks
// for a second at a time. It rounds d to whole seconds, since the client does.
func (d *Driver) Wait(ctx context.Context, wait time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	wait = max(wait.Truncate(time.Second), time.Second)
	node, err := d.node(ctx)
	if err != nil {
		return fmt.Errorf("redisjobs: wait: %w", err)
	}
	if node == nil {
		return d.pop(ctx, d.rdb, wait, time.Second)
	}
	conn := node.Conn()
	defer func() { _ = conn.Close() }() // gives it back to the pool
	id, err := conn.ClientID(ctx).Result()
	var refused redis.Error
	if errors.As(err, &refused) {
		return d.pop(ctx, conn, wait, time.Second)
	}
	if err != nil {
		return fmt.Errorf("redisjobs: wait: %w", err)
	}
	popped := make(chan struct{})
	defer close(popped)
	defer context.AfterFunc(ctx, func() { unblock(context.WithoutCancel(ctx), node, id, popped) })()
	return d.pop(ctx, conn, wait, wait)
}

// node is the client of the server that has the queue, or nil if the kind of
// client does not tell.
func (d *Driver) node(ctx context.Context) (*redis.Client, error) {
	switch c := d.rdb.(type) {
	case *redis.Client:
		return c, nil
	case *redis.ClusterClient:
		return c.MasterForKey(ctx, d.key("wake", ""))
	}
	return nil, nil
}

// pop blocks for the token, a slice of the wait at a time.
func (d *Driver) pop(ctx context.Context, rdb redis.Cmdable, wait, slice time.Duration) error {
	for ; wait > 0 && ctx.Err() == nil; wait -= slice {
		err := rdb.BLPop(context.WithoutCancel(ctx), slice, d.key("wake", "")).Err()
		if err == nil {
			return nil
		}
		if !errors.Is(err, redis.Nil) {
			return fmt.Errorf("redisjobs: wait: %w", err)
		}
	}
	return ctx.Err()
}

// unblock repeats itself, since the command may not have reached the server yet
// when ctx ends. A failure costs what is left of the wait.
func unblock(ctx context.Context, node *redis.Client, id int64, popped <-chan struct{}) {
	for {
		_ = node.ClientUnblock(ctx, id).Err()
		select {
		case <-popped:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}
