// Package crontest holds tests alone: the crontab expressions of package jobs mean what they mean to robfig/cron and to
// adhocore/gronx, except where the clocks change and where the differences are listed below. It is in this module, so
// that nobody downloads the peers with the library.
//
// Differences by design:
//
//   - Around a change of the clocks the peers skip, repeat or hasten runs; package jobs follows ISC cron.
//   - robfig/cron takes a day field of * with a step, as in "0 0 */2 * fri", for a restriction and fires on the days of
//     either field; package jobs, gronx and crontab(5) want both. It does not know 7 for Sunday.
//   - Only package jobs knows H, L-n and LW; robfig/cron does not know L, W and # either.
//   - A list with a star in it, as in "0 0 30 * *,0", is no restriction here, as in crontab(5) if the star comes first; in
//     gronx it is one.
//   - A weekday of 7/n begins at Sunday, the last day, in package jobs; in gronx at Sunday, the first.
//   - gronx gives up on expressions that fire rarely; robfig/cron looks five years ahead, package jobs 41.
package crontest
