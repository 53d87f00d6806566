package ormtest

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/schema"
	"entgo.io/ent/dialect/sql/sqlgraph"
	"entgo.io/ent/schema/field"
	"github.com/jackc/pgx/v5"
)

// entORM does by hand what ent's generated code does: builders and sqlgraph on its driver.
type entORM struct{ drv *entsql.Driver }

func (o entORM) build() *entsql.DialectBuilder { return entsql.Dialect(dialect.Postgres) }

// inTx is the WithTx of ent's documentation.
func (o entORM) inTx(ctx context.Context, fn func(tx dialect.Tx) error) error {
	tx, err := o.drv.Tx(ctx)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (o entORM) insert(ctx context.Context, drv dialect.Driver, table string, id *int64, fields ...*sqlgraph.FieldSpec) error {
	spec := sqlgraph.NewCreateSpec(table, sqlgraph.NewFieldSpec("id", field.TypeInt64))
	spec.Fields = fields
	if err := sqlgraph.CreateNode(ctx, drv, spec); err != nil {
		return err
	}
	*id = spec.ID.Value.(int64)
	return nil
}

func text(column, value string) *sqlgraph.FieldSpec {
	return &sqlgraph.FieldSpec{Column: column, Type: field.TypeString, Value: value}
}

// txDriver makes a driver of a transaction, as generated code does.
type txDriver struct{ dialect.ExecQuerier }

// Tx implements dialect.Driver.
func (d txDriver) Tx(context.Context) (dialect.Tx, error) { return dialect.NopTx(d), nil }

// Dialect implements dialect.Driver.
func (txDriver) Dialect() string { return dialect.Postgres }

// Close implements dialect.Driver.
func (txDriver) Close() error { return nil }

func (o entORM) AddAuthor(ctx context.Context, name string, tags []string, titles ...string) (id int64, err error) {
	return id, o.inTx(ctx, func(tx dialect.Tx) error {
		tagged := &sqlgraph.FieldSpec{Column: "tags", Type: field.TypeOther, Value: append(textArray{}, tags...)}
		if err := o.insert(ctx, txDriver{tx}, "authors", &id, text("name", name), tagged); err != nil {
			return err
		}
		for _, title := range titles {
			var book int64
			author := &sqlgraph.FieldSpec{Column: "author_id", Type: field.TypeInt64, Value: id}
			if err := o.insert(ctx, txDriver{tx}, "books", &book, text("title", title), author); err != nil {
				return err
			}
		}
		return nil
	})
}

func (o entORM) query(ctx context.Context, q entsql.Querier, into any) error {
	text, args := q.Query()
	var rows entsql.Rows
	if err := o.drv.Query(ctx, text, args, &rows); err != nil {
		return err
	}
	defer rows.Close()
	return entsql.ScanSlice(&rows, into)
}

func (o entORM) Titles(ctx context.Context, author int64) (tags, titles []string, err error) {
	a, b := entsql.Table("authors").As("a"), entsql.Table("books").As("b")
	var found []struct {
		Tags  textArray
		Title string
	}
	q := o.build().Select(a.C("tags"), b.C("title")).From(a).Join(b).On(a.C("id"), b.C("author_id")).
		Where(entsql.EQ(a.C("id"), author)).OrderBy(b.C("id"))
	if err := o.query(ctx, q, &found); err != nil {
		return nil, nil, err
	}
	if len(found) == 0 {
		return nil, nil, sql.ErrNoRows
	}
	for _, f := range found {
		titles = append(titles, f.Title)
	}
	return found[0].Tags, titles, nil
}

func (o entORM) Names(ctx context.Context) (names []string, err error) {
	return names, o.query(ctx, o.build().Select("name").From(entsql.Table("authors")).OrderBy("name"), &names)
}

func (o entORM) exec(ctx context.Context, q entsql.Querier) (int64, error) {
	text, args := q.Query()
	var res sql.Result
	if err := o.drv.Exec(ctx, text, args, &res); err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (o entORM) Rename(ctx context.Context, author int64, name string) (int64, error) {
	return o.exec(ctx, o.build().Update("authors").Set("name", name).Where(entsql.EQ("id", author)))
}

func (o entORM) Delete(ctx context.Context, author int64) (int64, error) {
	return o.exec(ctx, o.build().Delete("authors").Where(entsql.EQ("id", author)))
}

func (o entORM) Raw(ctx context.Context, tenant string) (n int, err error) {
	return n, o.drv.DB().QueryRowContext(ctx, `select count(*) from authors where tenant_id = $1`, tenant).Scan(&n)
}

// Nested: ent has no nested transactions, so the second name comes once.
func (o entORM) Nested(ctx context.Context, first, second string) error {
	return o.inTx(ctx, func(tx dialect.Tx) error {
		var id int64
		return errors.Join(o.insert(ctx, txDriver{tx}, "authors", &id, text("name", first)),
			o.insert(ctx, txDriver{tx}, "authors", &id, text("name", second)))
	})
}

func (o entORM) Migrate(ctx context.Context) error {
	m, err := schema.NewMigrate(o.drv)
	if err != nil {
		return err
	}
	id := &schema.Column{Name: "id", Type: field.TypeInt64, Increment: true}
	return m.Create(ctx, schema.NewTable("news").AddPrimary(id))
}

func TestEnt(t *testing.T) {
	t.Parallel()
	l := open(t, pgx.QueryExecModeCacheStatement)
	suite(t, l, entORM{entsql.OpenDB(dialect.Postgres, l.std)})
}
