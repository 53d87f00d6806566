package clickhouseanalytics

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed sql/*.sql
var files embed.FS

// Migrate creates the tables or brings them to the version of this package. It is safe to run on every start and from
// several processes at once: each step is one statement that can be repeated. A schema newer than the package is left
// alone, so that an older release keeps running beside a newer one.
func (s *Store) Migrate(ctx context.Context) error {
	versions := s.events + "_migrations"
	err := s.conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+versions+
		" (version UInt32, applied DateTime DEFAULT now()) ENGINE = ReplacingMergeTree ORDER BY version")
	if err != nil {
		return wrap(err, "migrate")
	}
	var current uint32
	if err := s.conn.QueryRow(ctx, "SELECT max(version) FROM "+versions).Scan(&current); err != nil {
		return wrap(err, "migrate")
	}
	names, err := fs.Glob(files, "sql/*.sql") // sorted; file n is version n, a test sees to it
	if err != nil {
		return fmt.Errorf("clickhouseanalytics: migrate: %w", err)
	}
	for i, name := range names {
		version := uint32(i + 1)
		if version <= current {
			continue
		}
		statement, err := files.ReadFile(name)
		if err == nil {
			err = s.conn.Exec(ctx, strings.ReplaceAll(string(statement), "{events}", s.events))
		}
		if err == nil {
			err = s.conn.Exec(ctx, fmt.Sprintf("INSERT INTO %s (version) SELECT %d", versions, version))
		}
		if err != nil {
			return wrap(err, "migrate: %s", name)
		}
	}
	return nil
}
