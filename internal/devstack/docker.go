package devstack

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// dockerImage is the pinned image of the last resort.
const dockerImage = "postgres:17.6-alpine"

// dockerAnswers reports whether there is a docker engine, not only a client.
func dockerAnswers(ctx context.Context) bool {
	docker, err := exec.LookPath("docker")
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, docker, "info").Run() == nil
}

// dockerPostgres runs PostgreSQL in a container that ends with this process:
// the docker client in the foreground is the child that the watchdog stops,
// and it passes the signal on.
func dockerPostgres(ctx context.Context, o PostgresOptions) (*PostgresServer, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(o.Progress, "starting", dockerImage, "in docker")
	password, name := rand.Text(), "ashlar-"+strings.ToLower(rand.Text()[:8])
	args := []string{
		"run", "--rm", "--name", name, "-p", fmt.Sprintf("127.0.0.1:%d:5432", port),
		"-e", "POSTGRES_PASSWORD", "-e", "POSTGRES_DB=" + o.Database,
	}
	if o.Dir == "" {
		args = append(args, "--tmpfs", "/var/lib/postgresql/data")
	} else {
		abs, err := filepath.Abs(o.Dir)
		if err != nil {
			return nil, err
		}
		args = append(args, "-v", abs+":/var/lib/postgresql/data")
	}
	run, err := tempDir()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("docker", append(args, dockerImage)...)
	// Through the environment: an argument would show in the process list.
	cmd.Env = append(cmd.Environ(), "POSTGRES_PASSWORD="+password)
	cmd.SysProcAttr = ownSession()
	u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", password), Host: fmt.Sprintf("127.0.0.1:%d", port), Path: "/" + o.Database}
	s := &PostgresServer{AdminURL: u.String(), Dir: o.Dir}
	p, err := start(cmd, filepath.Join(run, "docker.log"), "INT", run)
	if err != nil {
		return nil, fmt.Errorf("devstack: docker run: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // the image may have to be pulled
	defer cancel()
	err = p.wait(ctx, "PostgreSQL in docker", func() bool {
		conn, err := pgx.Connect(ctx, s.AdminURL)
		if err != nil {
			return false
		}
		return conn.Close(ctx) == nil
	})
	if err == nil {
		// As with a URL that was given: the roles need passwords.
		s, err = bootstrap(ctx, s, o.Database)
	}
	if err != nil {
		_ = p.Close() // the error of the start matters more
		return nil, err
	}
	s.process = p
	return s, nil
}
