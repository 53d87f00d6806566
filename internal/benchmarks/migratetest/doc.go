// Package migratetest holds tests alone: tenancy/migrate reads the files of goose and of golang-migrate as these do
// themselves, and takes over their databases. It is in this module, so that nobody downloads them with the library.
package migratetest
