package ormtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// gormAuthor has the tenant in its primary key, as the table has: gorm saves relations with ON CONFLICT (primary key).
type gormAuthor struct {
	TenantID string `gorm:"primaryKey;default:tenancy.tenant_id()"`
	ID       int64  `gorm:"primaryKey;autoIncrement"`
	Name     string
	Tags     textArray  `gorm:"type:text[]"`
	Books    []gormBook `gorm:"foreignKey:TenantID,AuthorID"`
}

// TableName implements gorm's Tabler.
func (gormAuthor) TableName() string { return "authors" }

type gormBook struct {
	TenantID string `gorm:"primaryKey;default:tenancy.tenant_id()"`
	ID       int64  `gorm:"primaryKey;autoIncrement"`
	AuthorID int64
	Title    string
}

// TableName implements gorm's Tabler.
func (gormBook) TableName() string { return "books" }

// gormNew has no table.
type gormNew struct{ ID int64 }

type gormORM struct{ db *gorm.DB }

func openGorm(t *testing.T, std *sql.DB) *gorm.DB {
	g, err := gorm.Open(postgres.New(postgres.Config{Conn: std}), &gorm.Config{Logger: logger.Discard}) // pings
	require.NoError(t, err)
	return g
}

func (o gormORM) AddAuthor(ctx context.Context, name string, tags []string, titles ...string) (int64, error) {
	a := gormAuthor{Name: name, Tags: append(textArray{}, tags...)}
	for _, title := range titles {
		a.Books = append(a.Books, gormBook{Title: title})
	}
	err := o.db.WithContext(ctx).Create(&a).Error
	return a.ID, err
}

func (o gormORM) Titles(ctx context.Context, author int64) (tags, titles []string, err error) {
	var a gormAuthor
	err = o.db.WithContext(ctx).Preload("Books", func(db *gorm.DB) *gorm.DB { return db.Order("id") }).Where("id = ?", author).First(&a).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, nil, sql.ErrNoRows
	}
	for _, b := range a.Books {
		titles = append(titles, b.Title)
	}
	return a.Tags, titles, err
}

func (o gormORM) Names(ctx context.Context) (names []string, err error) {
	return names, o.db.WithContext(ctx).Model(&gormAuthor{}).Order("name").Pluck("name", &names).Error
}

func (o gormORM) Rename(ctx context.Context, author int64, name string) (int64, error) {
	done := o.db.WithContext(ctx).Model(&gormAuthor{}).Where("id = ?", author).Update("name", name)
	return done.RowsAffected, done.Error
}

func (o gormORM) Delete(ctx context.Context, author int64) (int64, error) {
	done := o.db.WithContext(ctx).Where("id = ?", author).Delete(&gormAuthor{})
	return done.RowsAffected, done.Error
}

func (o gormORM) Raw(ctx context.Context, tenant string) (n int, err error) {
	return n, o.db.WithContext(ctx).Raw(`select count(*) from authors where tenant_id = @tenant`, sql.Named("tenant", tenant)).Scan(&n).Error
}

func (o gormORM) Nested(ctx context.Context, first, second string) error {
	return o.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := tx.Create(&gormAuthor{Name: first, Tags: textArray{}}).Error; err != nil {
			return err
		}
		add := func(tx *gorm.DB) error { return tx.Create(&gormAuthor{Name: second, Tags: textArray{}}).Error }
		if err := tx.Transaction(add); err != nil {
			return err
		}
		if err := tx.Transaction(add); err == nil {
			return errors.New("the name is unique")
		}
		return nil
	})
}

func (o gormORM) Migrate(ctx context.Context) error {
	return o.db.WithContext(ctx).AutoMigrate(&gormNew{})
}

func TestGorm(t *testing.T) {
	t.Parallel()
	l := open(t, pgx.QueryExecModeCacheStatement)
	g := openGorm(t, l.std)
	suite(t, l, gormORM{g})
	prepared := g.Session(&gorm.Session{PrepareStmt: true})
	_, err := gormORM{prepared}.AddAuthor(tenant(t, "acme"), "Prepared", nil, "x")
	require.NoError(t, err)
	names, err := gormORM{prepared}.Names(tenant(t, "other"))
	require.NoError(t, err)
	require.Empty(t, names)
}

// TestPlantedLeak: gorm on the plain driver, with the tenant set once per connection as many recipes have it.
func TestPlantedLeak(t *testing.T) {
	t.Parallel()
	l := open(t, pgx.QueryExecModeCacheStatement)
	_, err := gormORM{openGorm(t, l.std)}.AddAuthor(tenant(t, "acme"), "Ada", nil)
	require.NoError(t, err)

	unsafe, err := sql.Open("pgx", l.AppURL)
	require.NoError(t, err)
	defer unsafe.Close()
	unsafe.SetMaxOpenConns(1)
	g := openGorm(t, unsafe)
	names := func(id string) []string {
		if id != "" {
			require.NoError(t, g.WithContext(t.Context()).Exec(fmt.Sprintf(`set tenancy.tenant = '%s'`, id)).Error)
		}
		list, err := gormORM{g}.Names(t.Context())
		require.NoError(t, err)
		return list
	}
	require.Equal(t, []string{"Ada"}, names("acme"))
	require.Equal(t, []string{"Ada"}, names(""), "the next request, whose code forgot to set it, sees the last one's rows")
	_, err = gormORM{openGorm(t, l.std)}.Names(t.Context())
	require.Error(t, err, "sqldb refuses")
}
