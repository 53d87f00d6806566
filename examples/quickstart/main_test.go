package main

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/httpx/httpxtest"
)

// TestQuickstart runs the whole program in virtual time: it does no I/O.
func TestQuickstart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type count struct {
			team  string
			words int
		}
		counts := make(chan count, 1)
		handler, workers, err := newServer(func(team string, words int) { counts <- count{team, words} })
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		for _, w := range workers {
			go func() { _ = w(ctx) }()
		}
		client := httpxtest.NewClient(t, handler)
		acme, globex := client.With("Team", "acme"), client.With("Team", "globex")

		var notes []Note
		acme.Get("/notes").RequireStatus(http.StatusOK).JSON(&notes)
		require.Empty(t, notes)
		acme.Post("/notes", Note{Body: "two words"}).RequireStatus(http.StatusCreated)
		require.Equal(t, count{"acme", 2}, <-counts)
		acme.Get("/notes").RequireStatus(http.StatusOK).JSON(&notes)
		require.Equal(t, []Note{{ID: 1, Body: "two words"}}, notes, "the write dropped the cached list")
		globex.Get("/notes").RequireStatus(http.StatusOK).JSON(&notes)
		require.Empty(t, notes, "another team sees none of it")
		client.Get("/notes").RequireStatus(http.StatusNotFound)
		acme.Post("/notes", Note{Body: "three more words"}).RequireStatus(http.StatusCreated)
		require.Equal(t, count{"acme", 3}, <-counts, "each job runs once")
		cancel()
	})
}
