package registry_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/registry"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// never makes a well-formed secret that nobody issued.
func never(head string) string {
	body := head + "_" + rand.Text()
	return fmt.Sprintf("%s_%08x", body, crc32.ChecksumIEEE([]byte(body)))
}

// reseal changes a character and makes the checksum right again, as an attacker does.
func reseal(text string, at int) string {
	body := flip(text, at)[:strings.LastIndexByte(text, '_')]
	return fmt.Sprintf("%s_%08x", body, crc32.ChecksumIEEE([]byte(body)))
}

func flip(text string, at int) string {
	b := []byte(text)
	b[at] = map[bool]byte{true: '3', false: '2'}[b[at] == '2']
	return string(b)
}

func (f fixture) key(t registry.Tenant, n registry.NewKey) (registry.APIKey, string) {
	f.Helper()
	key, secret, err := f.reg.CreateKey(f.as(t, "ann"), n)
	require.NoError(f, err)
	return key, secret.Reveal()
}

func TestAPIKeys(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "ann")
		key, text := f.key(acme, registry.NewKey{Name: "ci", Scopes: []string{"projects.*"}, TTL: time.Hour})
		require.Regexp(f, `^sk_live_[a-z2-7]{16}_[A-Z2-7]{26}_[0-9a-f]{8}$`, text)
		require.Equal(f, time.Hour, key.ExpiresAt.Sub(key.CreatedAt))
		got, ref, err := f.reg.Authenticate(f.Context(), text)
		require.NoError(f, err)
		require.Equal(f, []string{acme.ID, key.ID, "ci", "ann"}, []string{ref.ID, got.ID, got.Name, got.CreatedBy})
		require.True(f, got.Can("projects.write"))
		require.False(f, got.Can("members.write"))
		require.Equal(f, "key/"+key.ID, got.Actor().ID)
		require.False(f, registry.APIKey{}.Can("projects.read"))

		list, err := f.reg.Keys(f.as(acme, ""), record.Query{})
		require.NoError(f, err)
		require.Len(f, list, 1)
		require.NotNil(f, list[0].LastUsedAt)
		require.NotContains(f, fmt.Sprintf("%+v %s", list, list[0].Hash), text[25:50])
		require.Equal(f, []string{"ann key.created key/" + key.ID}, f.audited(acme)[1:])
	})
}

func TestUselessKeys(t *testing.T) {
	both(t, func(f fixture) {
		acme, globex := f.tenant("acme", "ann"), f.tenant("globex", "eve")
		refused := func(text string, want error, code int) {
			f.Helper()
			_, ref, err := f.reg.Authenticate(f.Context(), text)
			require.ErrorIs(f, err, want)
			require.Equal(f, code, status(err))
			require.Zero(f, ref, "a refusal does not say whose key it is")
			if len(text) > 40 {
				require.NotContains(f, err.Error(), text[:24])
			}
		}
		key, text := f.key(acme, registry.NewKey{})
		for _, bad := range []string{
			"", "sk", "sk_live", text[:len(text)-1], text + "0", " " + text, strings.ToUpper(text), flip(text, 30), flip(text, len(text)-1),
			strings.Replace(text, "live", "test", 1), never("sk_live"), never("sk_test_abcdefghijklmnop"), never("pk_live_abcdefghijklmnop"),
			never("sk_live_abc_def"), never("sk_live_ABC"), "sk_live_" + strings.Repeat("_", 60), strings.Repeat("x", 1<<20),
		} {
			refused(bad, registry.ErrMalformed, 400)
		}
		refused(never("sk_live_abcdefghijklmnop"), registry.ErrInvalidToken, 401)
		refused(reseal(text, 30), registry.ErrInvalidToken, 401) // the right prefix and a wrong secret
		refused(reseal(text, 10), registry.ErrInvalidToken, 401) // the right secret behind another prefix

		// Another tenant neither sees nor ends the key.
		require.ErrorIs(f, f.reg.RevokeKey(f.as(globex, "eve"), key.ID), tenancy.ErrNotFound)
		_, _, err := f.reg.RotateKey(f.as(globex, "eve"), key.ID, 0)
		require.ErrorIs(f, err, tenancy.ErrNotFound)

		for _, c := range []struct {
			state registry.StateChange
			want  error
			code  int
		}{
			{registry.StateChange{To: registry.Suspended}, registry.ErrSuspended, 402},
			{registry.StateChange{To: registry.Archived}, registry.ErrArchived, 403},
			{registry.StateChange{To: registry.Deleting}, registry.ErrGone, 410},
		} {
			require.NoError(f, f.reg.SetState(f.as(acme, ""), c.state))
			refused(text, c.want, c.code)
			refused(reseal(text, 30), registry.ErrInvalidToken, 401) // the state is told to the key's holder only
			require.NoError(f, f.reg.SetState(f.as(acme, ""), registry.StateChange{To: registry.Active}))
		}
		require.NoError(f, f.reg.SetState(f.as(acme, ""), registry.StateChange{To: registry.Suspended, ReadOnly: true}))
		_, ref, err := f.reg.Authenticate(f.Context(), text)
		require.NoError(f, err)
		require.NoError(f, ref.Check(false))
		require.ErrorIs(f, ref.Check(true), registry.ErrSuspended)
		_, _, err = f.reg.CreateKey(f.as(acme, "ann"), registry.NewKey{})
		require.ErrorIs(f, err, registry.ErrSuspended)
		require.NoError(f, f.reg.SetState(f.as(acme, ""), registry.StateChange{To: registry.Active}))

		_, err = keyRows.Update(f.as(acme, ""), f.db, "expires_at = now()", "id = $1", key.ID)
		require.NoError(f, err)
		refused(text, registry.ErrExpired, 401)
		_, _, err = f.reg.RotateKey(f.as(acme, "ann"), key.ID, time.Hour)
		require.ErrorIs(f, err, registry.ErrExpired, "rotation revives nothing")
		require.NoError(f, f.reg.RevokeKey(f.as(acme, "ann"), key.ID))
		require.NoError(f, f.reg.RevokeKey(f.as(acme, "ann"), key.ID))
		refused(text, registry.ErrRevoked, 401)
	})
}

func TestKeysDoNotExceedTheirMaker(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "ann")
		f.add(acme, "adm", "admin")
		f.add(acme, "hr", "hr")
		make := func(user string, scopes ...string) error {
			_, _, err := f.reg.CreateKey(f.as(acme, user), registry.NewKey{Scopes: scopes})
			return err
		}
		require.NoError(f, make("ann", "*"))
		require.NoError(f, make("adm", "projects.read", "keys.*"))
		for user, scope := range map[string]string{"adm": "*", "hr": "projects.read", "eve": "projects.read", "": "projects.read"} {
			require.ErrorIs(f, make(user, scope), registry.ErrForbidden, user)
		}
		strong, _ := f.key(acme, registry.NewKey{Scopes: []string{"*"}})
		_, _, err := f.reg.RotateKey(f.as(acme, "adm"), strong.ID, 0)
		require.ErrorIs(f, err, registry.ErrForbidden, "a new secret for a stronger key")
		require.ErrorIs(f, f.reg.RevokeKey(f.as(acme, "adm"), strong.ID), registry.ErrForbidden)
		// A key that may make keys makes none that may more.
		weak, _ := f.key(acme, registry.NewKey{Scopes: []string{"keys.write"}})
		require.NoError(f, make(weak.Actor().ID, "keys.write"))
		require.ErrorIs(f, make(weak.Actor().ID, "keys.*"), registry.ErrForbidden)
		_, err = keyRows.Update(f.as(acme, ""), f.db, "expires_at = now() ", "id = $1", weak.ID)
		require.NoError(f, err)
		require.ErrorIs(f, make(weak.Actor().ID, "keys.write"), registry.ErrForbidden, "an expired key may nothing")
	})
}

func TestRotation(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "ann")
		ann := f.as(acme, "ann")
		old, text := f.key(acme, registry.NewKey{Name: "ci", Scopes: []string{"projects.read"}, TTL: 24 * time.Hour})
		key, secret, err := f.reg.RotateKey(ann, old.ID, time.Hour)
		require.NoError(f, err)
		require.Equal(f, []any{"ci", []string{"projects.read"}, 24 * time.Hour}, []any{key.Name, key.Scopes, key.ExpiresAt.Sub(key.CreatedAt)})
		for _, text := range []string{text, secret.Reveal()} { // both, for an hour
			_, _, err := f.reg.Authenticate(f.Context(), text)
			require.NoError(f, err)
		}
		got, err := f.reg.Keys(ann, record.Query{Where: "id = $1", Args: []any{old.ID}})
		require.NoError(f, err)
		require.Equal(f, key.ID, got[0].ReplacedBy)
		require.Equal(f, time.Hour, got[0].ExpiresAt.Sub(key.CreatedAt))
		_, _, err = f.reg.RotateKey(ann, old.ID, time.Hour)
		require.ErrorIs(f, err, registry.ErrRevoked, "a second rotation of the same key would be a fork")
		_, err = keyRows.Update(ann, f.db, "expires_at = now()", "id = $1", old.ID)
		require.NoError(f, err)
		_, _, err = f.reg.Authenticate(f.Context(), text)
		require.ErrorIs(f, err, registry.ErrRevoked)

		// The overlap never prolongs a life, and zero ends it at once.
		brief, _ := f.key(acme, registry.NewKey{TTL: time.Minute})
		_, _, err = f.reg.RotateKey(ann, brief.ID, time.Hour)
		require.NoError(f, err)
		got, err = f.reg.Keys(ann, record.Query{Where: "id = $1", Args: []any{brief.ID}})
		require.NoError(f, err)
		require.Equal(f, brief.ExpiresAt.UTC(), got[0].ExpiresAt.UTC())
		last, text := f.key(acme, registry.NewKey{})
		_, secret, err = f.reg.RotateKey(ann, last.ID, 0)
		require.NoError(f, err)
		_, _, err = f.reg.Authenticate(f.Context(), text)
		require.ErrorIs(f, err, registry.ErrRevoked)
		_, _, err = f.reg.Authenticate(f.Context(), secret.Reveal())
		require.NoError(f, err)
	})
}

func TestConcurrentRotationsMakeOneKey(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "ann")
		key, _ := f.key(acme, registry.NewKey{})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, _, err := f.reg.RotateKey(f.as(acme, "ann"), key.ID, time.Hour); err != nil && !errors.Is(err, registry.ErrRevoked) {
					f.Error(err)
				}
			})
		}
		wg.Wait()
		list, err := f.reg.Keys(f.as(acme, ""), record.Query{})
		require.NoError(f, err)
		require.Len(f, list, 2)
	})
}

func TestLastUseIsWrittenOncePerMinute(t *testing.T) {
	both(t, func(f fixture) {
		acme := f.tenant("acme", "ann")
		key, text := f.key(acme, registry.NewKey{})
		use := func() {
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					if _, _, err := f.reg.Authenticate(f.Context(), text); err != nil {
						f.Error(err)
					}
				})
			}
			wg.Wait()
		}
		version := func() int64 {
			got, err := f.reg.Keys(f.as(acme, ""), record.Query{Where: "id = $1", Args: []any{key.ID}})
			require.NoError(f, err)
			return got[0].Version
		}
		use()
		use()
		require.EqualValues(f, 2, version(), "32 uses, one write")
		_, err := keyRows.Update(f.as(acme, ""), f.db, "last_used_at = $1", "id = $2", time.Now().Add(-61*time.Second), key.ID)
		require.NoError(f, err)
		use()
		require.EqualValues(f, 4, version())
	})
}

// TestSecretsDoNotShow prints a secret in every way that loses one by accident.
func TestSecretsDoNotShow(t *testing.T) {
	t.Parallel()
	kit := tenancytest.New(t)
	f := fixture{t, kit.DB(), open(t, kit.DB()), kit}
	acme := f.tenant("acme", "ann")
	key, secret, err := f.reg.CreateKey(f.as(acme, "ann"), registry.NewKey{})
	require.NoError(t, err)
	_, token, err := f.reg.Invite(f.as(acme, "ann"), registry.NewInvitation{Email: "a@example.com", Role: "member"})
	require.NoError(t, err)
	var out bytes.Buffer
	for _, s := range []registry.Secret{secret, token} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%08.3f"} {
			fmt.Fprintf(&out, verb+" "+verb+" ", s, &s)
			fmt.Fprintf(&out, verb+" "+verb+" ", struct{ S registry.Secret }{s}, struct{ s registry.Secret }{s})
		}
		enc, err := json.Marshal(map[string]any{"s": s, "key": key})
		require.NoError(t, err)
		out.Write(enc)
		for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
			slog.New(h).Info("made", "secret", s, "in", struct{ S registry.Secret }{s}, "key", key)
		}
	}
	for _, e := range kit.Events() {
		out.Write(e.Payload)
	}
	log, err := json.Marshal(kit.Audits())
	require.NoError(t, err)
	out.Write(log)
	for _, s := range []registry.Secret{secret, token} {
		words := strings.Split(s.Reveal(), "_")
		random := words[len(words)-2]
		for n := 8; n <= len(random); n++ {
			require.NotContains(t, out.String(), random[len(random)-n:])
		}
		require.NotContains(t, out.String(), fmt.Sprintf("%x", random), "in hexadecimal")
	}
	require.Equal(t, "sk_live_"+key.Prefix+"_…", secret.String())
	require.Empty(t, registry.Secret{}.String())
}
