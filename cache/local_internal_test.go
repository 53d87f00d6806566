package cache

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Hashes of keys may be equal, and caches may have the same types: an item goes to nobody but
// the one whose it is.
func TestItemsAreNotMistakenForOthers(t *testing.T) {
	t.Parallel()
	l, err := newLocal(1 << 20)
	require.NoError(t, err)
	c := &core{clock: newClock(), local: l}
	c.coherence.init()
	c.coherence.trusted.Store(1 << 62)
	users, other := newSpace[int64](c, "users", &Policy{}), newSpace[int64](c, "other", &Policy{})
	other.seed = users.seed
	text := newSpace[string](c, "text", &Policy{})
	text.seed = users.seed

	put := func(kept, as localKey[string]) {
		sp := &spec{key: "k", local: kept.own(), hash: as.hash(users.seed)}
		users.putLocal(sp, &item[int64]{value: 7, fresh: 1 << 62, mark: c.coherence.mark("k", nil)})
	}
	a, b, tenantA := localKey[string]{"", "a"}, localKey[string]{"", "b"}, localKey[string]{"t", "a"}
	put(a, a)
	got := fromLocal(t.Context(), users, &a)
	require.NotNil(t, got)
	require.EqualValues(t, 7, got.value)
	require.Nil(t, fromLocal(t.Context(), other, &a), "another cache")
	require.Nil(t, fromLocal(t.Context(), text, &a), "another type of value")
	require.Nil(t, fromLocal(t.Context(), users, &tenantA))
	for _, planted := range []localKey[string]{b, tenantA} {
		put(a, planted)
		require.Nil(t, fromLocal(t.Context(), users, &planted), "another key with the same hash")
	}
	type name string
	renamed := localKey[name]{"", "a"}
	put(a, localKey[string]{"", "a"})
	require.Nil(t, fromLocal(t.Context(), users, &renamed), "another type of key")
}
