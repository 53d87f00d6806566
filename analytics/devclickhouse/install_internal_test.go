package devclickhouse

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// npm puts a program called npm first on PATH that "packs" these bytes and
// counts its calls in a file.
func npm(t *testing.T, tarball []byte) (calls func() int) {
	t.Helper()
	dir := t.TempDir()
	source, count := filepath.Join(dir, "source.tgz"), filepath.Join(dir, "calls")
	require.NoError(t, os.WriteFile(source, tarball, 0o600))
	script := fmt.Sprintf("#!/bin/sh\necho call >>%s\ncp %s \"$4/pack.tgz\" && echo pack.tgz\n", count, source)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "npm"), []byte(script), 0o700))
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return func() int {
		b, err := os.ReadFile(count)
		if os.IsNotExist(err) {
			return 0
		}
		require.NoError(t, err)
		return strings.Count(string(b), "call")
	}
}

func tgz(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range files {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}))
		_, err := w.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	return b.Bytes()
}

func testInstaller(t *testing.T, cache string, tarball []byte) *installer {
	sum := sha512.Sum512(tarball)
	return &installer{
		pkg:   pinned{"@chdb/lib-test", "sha512-" + base64.StdEncoding.EncodeToString(sum[:])},
		cache: cache, log: t.Logf,
	}
}

const libraryText = "the library"

func TestInstallOnceByMany(t *testing.T) {
	tarball := tgz(t, map[string]string{"package/index.js": "x", "package/libchdb.so": libraryText})
	calls := npm(t, tarball)
	cache := t.TempDir()
	// What a killed installation left.
	require.NoError(t, os.MkdirAll(filepath.Join(cache, "part-old", "out"), 0o755))
	_, err := testInstaller(t, cache, tarball).locate()
	require.ErrorIs(t, err, ErrNotInstalled)
	var wg sync.WaitGroup
	for range 8 {
		i := testInstaller(t, cache, tarball)
		wg.Go(func() {
			file, err := i.install(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			b, err := os.ReadFile(file)
			if err != nil || string(b) != libraryText {
				t.Errorf("%q %v", b, err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, calls())
	left, err := filepath.Glob(filepath.Join(cache, "part-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestChangedDownloadIsRefused(t *testing.T) {
	good := tgz(t, map[string]string{"package/libchdb.so": libraryText})
	for name, bad := range map[string][]byte{
		"one bit":   append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1),
		"cut":       good[:len(good)/2],
		"empty":     {},
		"exchanged": tgz(t, map[string]string{"package/libchdb.so": "another library"}),
	} {
		t.Run(name, func(t *testing.T) {
			npm(t, bad)
			cache := t.TempDir()
			i := testInstaller(t, cache, good)
			_, err := i.install(t.Context())
			require.ErrorContains(t, err, "damaged or was changed")
			_, err = i.locate()
			require.ErrorIs(t, err, ErrNotInstalled)
			entries, err := os.ReadDir(cache)
			require.NoError(t, err)
			require.Len(t, entries, 1, "only the lock stays")
		})
	}
	// The right download does install after the wrong one.
	npm(t, good)
	_, err := testInstaller(t, t.TempDir(), good).install(t.Context())
	require.NoError(t, err)
}

func TestPackageWithoutLibrary(t *testing.T) {
	tarball := tgz(t, map[string]string{"package/other.so": "x", "../libchdb.so": "x"})
	npm(t, tarball)
	_, err := testInstaller(t, t.TempDir(), tarball).install(t.Context())
	require.ErrorContains(t, err, "has no libchdb.so")
}

func TestInstallSaysWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := testInstaller(t, t.TempDir(), nil).install(t.Context())
	require.ErrorIs(t, err, exec.ErrNotFound)
	require.ErrorContains(t, err, "npm")
}

func TestInstallWaitsNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	unlock, err := lockFile(t.Context(), filepath.Join(cache, "lock"))
	require.NoError(t, err)
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = testInstaller(t, cache, nil).install(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
