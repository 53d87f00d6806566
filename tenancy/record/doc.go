// Package record is Active Record for simple tables: a struct is a row, its tags say what is special, and the methods of a
// Table find, save, page and delete. There is no code generation, no dirty tracking and no lazy loading.
package record
