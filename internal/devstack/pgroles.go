package devstack

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"
)

//go:embed roles.sql
var rolesSQL string

// The login roles, see roles.sql.
const (
	ownerRole  = "ashlar_owner"
	appRole    = "ashlar_app"
	systemRole = "ashlar_system"
)

// bootstrap makes the roles and, on a private server, the database, and fills
// in the URLs of s. It may run many times, also side by side.
func bootstrap(ctx context.Context, s *PostgresServer, database string) (*PostgresServer, error) {
	admin, err := url.Parse(s.AdminURL)
	if err != nil {
		// The parser's error would print the password.
		return nil, fmt.Errorf("devstack: DATABASE_URL is not a URL: want postgres://user:password@host:5432/database")
	}
	conn, err := pgx.Connect(ctx, s.AdminURL)
	if err != nil {
		return nil, fmt.Errorf("devstack: PostgreSQL at %s: %w", admin.Redacted(), err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	s.Version = conn.PgConn().ParameterStatus("server_version")
	private := s.process != nil

	// A lock, because two programs starting at once would both create.
	if _, err := conn.Exec(ctx, `select pg_advisory_lock(7231895)`); err != nil {
		return nil, fmt.Errorf("devstack: lock: %w", err)
	}
	if _, err := conn.Exec(ctx, rolesSQL); err != nil {
		return nil, fmt.Errorf("devstack: create roles (the URL's user needs CREATEROLE): %w", err)
	}
	if !private {
		s.OwnerURL = s.AdminURL
		for _, r := range []struct {
			role string
			to   *string
		}{{appRole, &s.AppURL}, {systemRole, &s.SystemURL}} {
			u := *admin
			u.User = url.User(r.role)
			if key, ok := admin.User.Password(); ok {
				// The same for every program that knows the owner's password,
				// so that several can start side by side.
				mac := hmac.New(sha256.New, []byte(key))
				mac.Write([]byte(r.role))
				password := hex.EncodeToString(mac.Sum(nil))
				u.User = url.UserPassword(r.role, password)
				if _, err := conn.Exec(ctx, fmt.Sprintf("alter role %s password '%s'", r.role, password)); err != nil {
					return nil, fmt.Errorf("devstack: set the password of %s: %w", r.role, err)
				}
			}
			*r.to = u.String()
		}
		return s, nil
	}
	var exists bool
	if err := conn.QueryRow(ctx, `select exists(select from pg_database where datname = $1)`, database).Scan(&exists); err != nil {
		return nil, fmt.Errorf("devstack: look for the database: %w", err)
	}
	if !exists {
		if _, err := conn.Exec(ctx, "create database "+pgx.Identifier{database}.Sanitize()+" owner "+ownerRole); err != nil {
			return nil, fmt.Errorf("devstack: create the database: %w", err)
		}
	}
	s.AdminURL = onDatabase(s.AdminURL, database)
	s.OwnerURL = asUser(s.AdminURL, ownerRole)
	s.AppURL = asUser(s.AdminURL, appRole)
	s.SystemURL = asUser(s.AdminURL, systemRole)
	return s, nil
}

// On returns a copy of s whose URLs name another database. The copy's Close
// does nothing.
func (s *PostgresServer) On(database string) *PostgresServer {
	return &PostgresServer{
		AdminURL:  onDatabase(s.AdminURL, database),
		OwnerURL:  onDatabase(s.OwnerURL, database),
		AppURL:    onDatabase(s.AppURL, database),
		SystemURL: onDatabase(s.SystemURL, database),
		Version:   s.Version,
		Dir:       s.Dir,
	}
}

// onDatabase and asUser change a URL that is known to parse.
func onDatabase(raw, database string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	u.Path = "/" + database
	return u.String()
}

func asUser(raw, user string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	u.User = url.User(user)
	return u.String()
}
