package ormtest

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

type bunAuthor struct {
	bun.BaseModel `bun:"table:authors"`

	ID    int64 `bun:",pk,autoincrement"`
	Name  string
	Tags  []string   `bun:",array,nullzero,default:'{}'"`
	Books []*bunBook `bun:"rel:has-many,join:id=author_id"`
}

type bunBook struct {
	bun.BaseModel `bun:"table:books"`

	ID       int64 `bun:",pk,autoincrement"`
	AuthorID int64
	Title    string
}

type bunORM struct{ db *bun.DB }

func (o bunORM) AddAuthor(ctx context.Context, name string, tags []string, titles ...string) (int64, error) {
	a := bunAuthor{Name: name, Tags: tags}
	err := o.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewInsert().Model(&a).Exec(ctx); err != nil || len(titles) == 0 {
			return err
		}
		var books []*bunBook
		for _, title := range titles {
			books = append(books, &bunBook{AuthorID: a.ID, Title: title})
		}
		_, err := tx.NewInsert().Model(&books).Exec(ctx)
		return err
	})
	return a.ID, err
}

func (o bunORM) Titles(ctx context.Context, author int64) (tags, titles []string, err error) {
	var a bunAuthor
	err = o.db.NewSelect().Model(&a).Where("id = ?", author).
		Relation("Books", func(q *bun.SelectQuery) *bun.SelectQuery { return q.Order("id") }).Scan(ctx)
	for _, b := range a.Books {
		titles = append(titles, b.Title)
	}
	return a.Tags, titles, err
}

func (o bunORM) Names(ctx context.Context) (names []string, err error) {
	return names, o.db.NewSelect().Model((*bunAuthor)(nil)).Column("name").Order("name").Scan(ctx, &names)
}

func (o bunORM) Rename(ctx context.Context, author int64, name string) (int64, error) {
	res, err := o.db.NewUpdate().Model((*bunAuthor)(nil)).Set("name = ?", name).Where("id = ?", author).Exec(ctx)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (o bunORM) Delete(ctx context.Context, author int64) (int64, error) {
	res, err := o.db.NewDelete().Model((*bunAuthor)(nil)).Where("id = ?", author).Exec(ctx)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (o bunORM) Raw(ctx context.Context, tenant string) (n int, err error) {
	return n, o.db.NewRaw(`select count(*) from authors where tenant_id = ?`, tenant).Scan(ctx, &n)
}

func (o bunORM) Nested(ctx context.Context, first, second string) error {
	return o.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewInsert().Model(&bunAuthor{Name: first}).Exec(ctx); err != nil {
			return err
		}
		add := func(ctx context.Context, tx bun.Tx) error {
			_, err := tx.NewInsert().Model(&bunAuthor{Name: second}).Exec(ctx)
			return err
		}
		if err := tx.RunInTx(ctx, nil, add); err != nil {
			return err
		}
		if err := tx.RunInTx(ctx, nil, add); err == nil {
			return errors.New("the name is unique")
		}
		return nil
	})
}

func (o bunORM) Migrate(ctx context.Context) error {
	_, err := o.db.NewCreateTable().Model((*gormNew)(nil)).Exec(ctx)
	return err
}

// TestBun runs in both modes of pgx: bun writes arguments into the text, so the mode without preparing is the better one.
func TestBun(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			l := open(t, mode)
			suite(t, l, bunORM{bun.NewDB(l.std, pgdialect.New())})
		})
	}
}
