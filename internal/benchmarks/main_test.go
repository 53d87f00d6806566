package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestUnknownBlockIsAnError(t *testing.T) {
	err := run(t.Context(), []string{"nothing"}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "jobs") {
		t.Errorf("got %v, want the names that exist", err)
	}
}

func TestRatioIsTheMedianOfTheRounds(t *testing.T) {
	l := &lab{log: io.Discard}
	n := 0.0
	ours := func(context.Context) (float64, error) { n++; return n * 10, nil }
	theirs := func(context.Context) (float64, error) { return 10, nil }
	if err := l.ratio(t.Context(), "x", ours, theirs); err != nil {
		t.Fatal(err)
	}
	// The first of the six only warms up.
	if want := (figure{Bench: "x", Value: 4, Min: 2, Max: 6, Unit: "x", Rounds: 5}); l.figures[0] != want {
		t.Errorf("got %+v, want %+v", l.figures[0], want)
	}
	failed := errors.New("planted")
	if err := l.ratio(t.Context(), "y", ours, func(context.Context) (float64, error) { return 0, failed }); !errors.Is(err, failed) {
		t.Errorf("got %v, want the side's error", err)
	}
}

func TestDelayedAddsToARoundTrip(t *testing.T) {
	client, server := net.Pipe()
	go func() { _, _ = io.Copy(server, server) }()
	defer server.Close()
	c := delayed(client, 20*time.Millisecond)
	defer c.Close()
	for range 2 {
		start := time.Now()
		if _, err := c.Write([]byte("a")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 20*time.Millisecond {
			t.Errorf("a round trip took %v", took)
		}
	}
}
